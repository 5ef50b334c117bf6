"""Evaluation in parts: the same figures as at once."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import DataError
from tests.support.documents import checked
from tests.support.shards import npy, write_tar
from tfmpq.analysis.evaluation import evaluate
from tfmpq.analysis.shard_evaluation import Counted, count, merge_counted, write_counted
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.shards.labelled import Chunk


def close(found: Any, wanted: Any) -> None:
    """Counts exactly, real numbers but for rounding."""
    for field in dataclasses.fields(wanted):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if dataclasses.is_dataclass(other):
            close(one, other)
        else:
            assert one == (pytest.approx(other, rel=1e-9) if isinstance(other, (float, tuple)) else other), field.name


@pytest.mark.parametrize(("labelled", "compared"), [(True, False), (True, True), (False, True)])
def test_parts_give_what_one_pass_gives(
    tmp_path: Path, conv_net_int8: bytes, conv_net_float: bytes, images: np.ndarray, labelled: bool, compared: bool
):
    labels = np.arange(len(images)) % 10 if labelled else None
    against = conv_net_float if compared else None
    whole = evaluate(conv_net_int8, Labelled({"x": images}, labels), against=against)

    @settings(max_examples=5, deadline=None)
    @given(st.lists(st.integers(0, len(images)), max_size=4))
    def grouped(cuts: list[int]) -> None:
        ends = sorted({0, *cuts, len(images)})
        paths = []
        for number, (start, end) in enumerate(itertools.pairwise(ends), 1):
            part = Labelled({"x": images[start:end]}, None if labels is None else labels[start:end])
            sums = count(conv_net_int8, [Chunk("it", part)], against=against)
            paths.append(tmp_path / f"{number}.json")
            write_counted(paths[-1], Counted("a b", "r", "xnnpack", number, len(ends) - 1, sums))
        sums = merge_counted(paths[::-1], "a").sums
        assert sums is not None
        close(sums.evaluation(runtime=whole.runtime, kernels="xnnpack"), whole)

    grouped()


def test_what_does_not_belong_together_is_refused(tmp_path: Path, conv_net_int8: bytes, images: np.ndarray):
    sums = count(conv_net_int8, [Chunk("it", Labelled({"x": images[:4]}, np.zeros(4, int)))])
    for number, of in ((1, "a b"), (2, "a c")):
        write_counted(tmp_path / f"{number}.json", Counted(of, "r", "xnnpack", number, 2, sums))
    paths = [tmp_path / "1.json", tmp_path / "2.json"]
    with pytest.raises(DataError, match=r"2\.json' is of other samples than"):
        merge_counted(paths)
    with pytest.raises(DataError, match=r"part 2/2 of the counts is missing, beside '.*1\.json'"):
        merge_counted(paths[:1])
    write_counted(paths[1], Counted("a b", "r", "xnnpack", 2, 2, None))  # a part without samples
    assert merge_counted(paths, "a").sums == sums
    with pytest.raises(DataError, match="was counted of another file"):
        merge_counted(paths, "other")
    for text in ("", "{}", paths[0].read_text()[:-40], paths[0].read_text().replace('"hits5"', '"a"')[:50]):
        paths[0].write_text(text)
        with pytest.raises(DataError, match=r"1\.json' holds no counts by tfmpq evaluate"):
            merge_counted(paths)


def test_errors_name_where_the_sample_is(conv_net_int8: bytes, images: np.ndarray):
    with pytest.raises(DataError, match=r"^shard 'a', samples 0 to 1: sample 1 has label 12, but the model has 10"):
        count(conv_net_int8, [Chunk("shard 'a', samples 0 to 1", Labelled({"x": images[:2]}, np.array([0, 12])))])
    with pytest.raises(DataError, match=r"^it: there are neither labels nor a second file"):
        count(conv_net_int8, [Chunk("it", Labelled({"x": images[:2]}, None))])
    assert count(conv_net_int8, []) is None


def test_the_command_takes_shards_parts_and_functions(
    run: Any, tmp_path: Path, conv_net_int8: bytes, conv_net_float: bytes, images: np.ndarray, monkeypatch: Any
):
    monkeypatch.chdir(tmp_path)
    Path("int8.tflite").write_bytes(conv_net_int8)
    Path("float.tflite").write_bytes(conv_net_float)
    np.savez("one.npz", x=images, y=np.arange(len(images)) % 10)
    rows = np.concatenate([np.arange(number, len(images), 3) for number in range(3)])
    for number in range(3):
        write_tar(
            Path(f"{number}.tar"),
            [{"npy": npy(images[i]), "cls": str(i % 10).encode()} for i in rows if i % 3 == number],
        )
    Path("pairs_of_images.py").write_text(
        "import numpy as np\ndef pairs():\n    d = np.load('one.npz')\n    yield from zip(d['x'], d['y'])\n"
        "def batches():\n    d = np.load('one.npz')\n    yield d['x'][:5], d['y'][:5]\n    yield d['x'][5:], d['y'][5:]"
    )
    usual = ("evaluate", "int8.tflite", "--against=float.tflite", "--json", "--quiet")

    def figures(*arguments: str) -> Any:
        code, out, err = run(*usual, *arguments)
        assert code == 0, err
        found = checked(out, "evaluate")
        found.pop("made_by")
        return json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.9g}"))

    wanted = figures("--data=one.npz")
    for data in ("*.tar", "pairs_of_images:pairs", "pairs_of_images.py:batches"):
        assert figures("--data", data) == wanted, data
    np.savez("in_order.npz", **{name: array[rows] for name, array in np.load("one.npz").items()})
    cosine = figures("--data=in_order.npz", "--metric=cosine")
    assert figures("--data=*.tar", "--metric=cosine") == cosine
    np.save("image.npy", images[0])
    for part in ("1/2", "2/2"):
        figures("--data=*.tar", f"--part={part}", f"--write_counts=part-{part[0]}.json")
    assert figures("--counts=part-*.json") == wanted
    for arguments, code, message in (
        (("--counts=part-1.json",), 1, "part 2/2 of the counts is missing"),
        (("--counts=part-*.json", "--kernels=builtin"), 1, "counted of another file, or run otherwise"),
        (("--counts=part-*.json", "--data=one.npz"), 2, "either --data or --counts"),
        (("--data=one.npz", "--part=1/2"), 2, "--part and --write_counts are for shards"),
        (("--data=*.tar", "--metric=cosine", "--part=1/2"), 2, "--metric=cosine has no counts"),
        (("--data=*.npy",), 1, "matches files of a sample each, which have no labels"),
        (("--data=*.tar", "--part=1/9"), 1, "3 files cannot be shared by 9 parts"),
        (("--data=pairs_of_images:pairs", "--part=1/2"), 2, "a function gives none"),
        (("--data=*.tar", "--write_counts=0.tar"), 2, "would overwrite what is read"),
    ):
        found, _, err = run(*usual, *arguments)
        assert (found, message in err) == (code, True), err
