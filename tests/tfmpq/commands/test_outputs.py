"""Nothing that is read, and no other result, is overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from absl import flags

from tfmpq.commands.command import UsageError
from tfmpq.commands.outputs import check_outputs


def flag_values(**paths: Path | str | None) -> flags.FlagValues:
    values = flags.FlagValues()
    for name, path in paths.items():
        flags.DEFINE_string(name, None if path is None else str(path), "", flag_values=values)
    values(["tfmpq"])
    return values


@pytest.mark.parametrize("link", [False, True])
def test_what_is_read_is_not_overwritten(tmp_path: Path, link: bool):
    source = tmp_path / "model.tflite"
    source.write_bytes(b"model")
    path = source
    if link:
        path = tmp_path / "link"
        path.symlink_to(source)
    with pytest.raises(UsageError, match=r"--output=.* would overwrite what is read"):
        check_outputs(flag_values(output=path), ("output",), sources=[str(source)])


def test_files_in_a_directory_that_is_read_are_not_overwritten(tmp_path: Path):
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    for path in (folder / "saved_model.pb", folder / "variables" / "variables.index"):
        path.write_bytes(b"part")
        with pytest.raises(UsageError, match="would overwrite what is read"):
            check_outputs(flag_values(output=path), ("output",), sources=[str(folder)])
    check_outputs(flag_values(output=folder / "new.tflite"), ("output",), sources=[str(folder)])  # replaces nothing


def test_no_two_results_are_one_file(tmp_path: Path):
    values = flag_values(output=tmp_path / "a", json=tmp_path / "." / "a", report=None)
    with pytest.raises(UsageError, match=r"--json=.*a is what --output writes"):
        check_outputs(values, ("output", "report", "json"), sources=[])
    check_outputs(flag_values(output=tmp_path / "a", json="-"), ("output", "json"), sources=[])


def test_the_file_beside_the_output_is_one_too(tmp_path: Path):
    beside = tmp_path / "a.names.json"
    values = flag_values(output=tmp_path / "a.tflite", json=beside)
    check_outputs(values, ("output",), sources=[], beside={beside: "output"})
    with pytest.raises(UsageError, match=r"--json=.* is what --output writes"):
        check_outputs(values, ("output", "json"), sources=[], beside={beside: "output"})
    beside.write_text("{}")
    with pytest.raises(UsageError, match=r"a.names.json', which is written beside --output, would overwrite"):
        check_outputs(values, ("output",), sources=[str(beside)], beside={beside: "output"})


def test_places_that_cannot_be_written(tmp_path: Path):
    for path, words in ((tmp_path / "none" / "a", "there is no directory"), (tmp_path, "cannot be written")):
        with pytest.raises(UsageError, match=words):
            check_outputs(flag_values(output=path), ("output",), sources=[])


def test_a_model_is_no_place_for_json(tmp_path: Path):
    """``tfmpq benchmark --json a.tflite b.tflite``: the first file was meant to be measured."""
    (tmp_path / "a.tflite").write_bytes(b"model")
    with pytest.raises(UsageError, match=r"is what models are called; .*--json=- prints"):
        check_outputs(flag_values(json=tmp_path / "a.tflite"), ("json",), sources=[])


def test_devices_and_pipes_replace_nothing(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    check_outputs(flag_values(output="/dev/null", json="/dev/null"), ("output", "json"), sources=[])
    check_outputs(flag_values(output=tmp_path / "pipe"), ("output",), sources=[])


def test_sources_are_known_by_other_names(tmp_path: Path):
    source = tmp_path / "data.npz"
    source.write_bytes(b"data")
    (tmp_path / "symbolic").symlink_to(source)
    os.link(source, tmp_path / "hard")
    (tmp_path / "folder").symlink_to(tmp_path)
    for path in ("data.npz", "symbolic", "hard", "folder/data.npz", "folder/../" + tmp_path.name + "/data.npz"):
        with pytest.raises(UsageError, match="would overwrite what is read"):
            check_outputs(flag_values(output=tmp_path / path), ("output",), sources=[str(source)])
    with pytest.raises(UsageError, match="cannot be written"):
        check_outputs(flag_values(output=""), ("output",), sources=[])
