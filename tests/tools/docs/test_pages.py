"""Every example of the documentation runs, in the order of its page; training is cut to one epoch.

Pages that train networks, or convert detectors or transformers, take longest: `make examples` runs them too, as does CI
at night.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.documented import NAMES, detector, token_ids, write_files
from tests.support.whole_files import WIDTH, two_entries
from tfmpq.cli import run
from tfmpq.measure.partial import check_complete
from tools.docs.blocks import RUN, Block, blocks_of, commands_of, pages

# Keras saves its variables in a way that NumPy 2 does not like.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ROOT = Path(__file__).parents[3]
# tfmot switches a process to Keras 2: its page runs in one of its own.
OWN_PROCESS = "docs/tfmot.md"
# A flag that is given twice has the last value.
QUICKLY = {"benchmark": ["--min_seconds=0.02", "--min_runs=2", "--rounds=2", "--warmup=1"], "train": ["--epochs=1"]}
ONE_EPOCH = """
import tf_keras
fit = tf_keras.Model.fit
tf_keras.Model.fit = lambda self, *args, **options: fit(self, *args, **{**options, "epochs": 1})
"""


def _to_run(page: str) -> list[Block]:
    blocks = blocks_of(page, (ROOT / page).read_text())
    return [block for block in blocks if block.language in RUN and block.not_run is None]


HEAVY = ("docs/activations.md", "docs/detector.md", "docs/keras.md", "docs/training.md", "docs/transformers.md")
at_night = pytest.mark.skipif("ALL_EXAMPLES" not in os.environ, reason="long: make examples runs it")
PAGES = [page for page in pages() if page != OWN_PROCESS and _to_run(page)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture
def place(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the page's own with the files that examples name."""
    shutil.copytree(files, tmp_path / "page")
    monkeypatch.chdir(tmp_path / "page")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "page"


def _names(page: str, blocks: list[Block], place: Path) -> dict[str, Any]:
    """What the page's code takes for granted; made only if it is named."""
    from ai_edge_litert.interpreter import Interpreter

    makers = {**NAMES, "Interpreter": lambda: Interpreter}
    if page in ("docs/activations.md", "docs/detector.md"):
        makers["model"] = detector
    if page == "docs/training.md":
        makers["labels"] = lambda: np.arange(200) % 10  # of the demo's images
    if page == "docs/transformers.md":
        import keras

        (place / "lm_float.tflite").write_bytes(two_entries())
        rng = np.random.default_rng(0)
        makers["prompts"] = lambda: [{"x": rng.normal(size=(1, 8, WIDTH)).astype(np.float32)} for _ in range(8)]
        ids = keras.Input((8,), dtype="int32", name="ids")
        x = keras.layers.Embedding(64, 32)(ids)
        makers["model"] = lambda: keras.Model(ids, keras.layers.Dense(64)(keras.ops.mean(x, axis=1)))
        makers["sentences"] = lambda: token_ids(40)
    named = {
        name for block in blocks if block.language == "python" for name in compile(block.text, "", "exec").co_names
    }
    return {name: make() for name, make in makers.items() if name in named}


def _run_commands(block: Block) -> None:
    for program, *arguments in commands_of(block.text):
        assert program == "tfmpq", f"{block.page}:{block.line}: say why {program} is not run"
        # A gate may find that so few samples cannot tell.
        expected = (0, 1) if arguments[0] == "check" else (0,)
        assert run([*arguments, *QUICKLY.get(arguments[0], [])]) in expected, arguments


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(page, marks=at_night if page in HEAVY else ()) for page in PAGES])
def test_the_examples_of_a_page_run(page: str, place: Path, monkeypatch: pytest.MonkeyPatch):
    import keras

    fit = keras.Model.fit
    monkeypatch.setattr(keras.Model, "fit", lambda self, *args, **options: fit(self, *args, **{**options, "epochs": 1}))
    blocks = _to_run(page)
    names = _names(page, blocks, place)
    for block in blocks:
        if block.language == "sh":
            _run_commands(block)
            continue
        # As many empty lines before, so that a traceback names the line of the page.
        exec(compile("\n" * (block.line - 1) + block.text, str(ROOT / page), "exec"), names)


@pytest.mark.slow
def test_the_line_for_xargs_runs(place: Path):
    blocks = blocks_of("docs/fleets.md", (ROOT / "docs/fleets.md").read_text())
    (line,) = [block.text for block in blocks if "xargs" in block.text]
    for former, new in {"16": "2", "tfmpq ": f"{sys.executable} -m tfmpq "}.items():
        assert former in line
        line = line.replace(former, new)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [header.part for _, header in check_complete(sorted(place.glob("part-*.npz")))] == [1, 2]


@pytest.mark.slow
@at_night
def test_the_examples_with_tfmot_run_in_a_process_of_their_own(tmp_path: Path):
    pytest.importorskip("tensorflow_model_optimization", reason="needs the extra [tfmot]", exc_type=ImportError)
    code = "\n".join(block.text for block in _to_run(OWN_PROCESS))
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ONE_EPOCH + code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "simulated.tflite").exists()
