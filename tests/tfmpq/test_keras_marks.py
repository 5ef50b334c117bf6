"""Files and models of tfmpq.keras are told apart without loading it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from tests.support.keras_nets import reloaded, sequence
from tfmpq.keras import SimulationSettings, annotate
from tfmpq.keras_marks import is_annotated_or_simulated, is_annotated_or_simulated_file


def test_models_and_files_are_told_apart(tmp_path: Path, run_python: Callable[..., CompletedProcess[str]]):
    plain, annotated = sequence(), annotate(sequence(), SimulationSettings())
    assert is_annotated_or_simulated(annotated)
    assert not is_annotated_or_simulated(plain)
    paths = [tmp_path / name for name in ("annotated.keras", "plain.keras", "text.keras", "none.keras")]
    reloaded(annotated, paths[0])
    reloaded(plain, paths[1])
    paths[2].write_text("no archive")
    assert [is_annotated_or_simulated_file(path) for path in paths] == [True, False, False, False]
    code = """
        import sys
        from tfmpq.keras_marks import is_annotated_or_simulated_file
        print(is_annotated_or_simulated_file(sys.argv[1]), "keras" in sys.modules, "tensorflow" in sys.modules)
    """
    result = run_python(code, paths[0])
    assert result.stdout.split() == ["True", "False", "False"], result.stderr
