"""Sums of parts: they add up to those of one pass, and only parts that belong together are added."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import DataError
from converters.frontend.dynamic_file import dynamic_file
from converters.layers.find import find_layers
from converters.rewriting.lookups import with_lookups
from tests.support.pipeline import Converted, image_feeds, residual
from tests.support.table_nets import float_table, gather_model
from tfmpq.algorithms import LayerStatistics
from tfmpq.measure import moments
from tfmpq.measure import sums as running
from tfmpq.measure.lookups import collect_lookups
from tfmpq.measure.moments import collect_statistics
from tfmpq.measure.partial import (
    check_complete,
    measure_or_merge,
    merge_partial,
    network_digest,
    read_header,
    write_partial,
)
from tfmpq.measure.shard_sums import Files, sum_files
from tfmpq.progress import Progress
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Found, Network

SAMPLES = image_feeds(20, seed=5)
CENTRE = image_feeds(3, seed=6)
SAMPLE = next(iter(SAMPLES[0]))


@pytest.fixture(scope="module")
def net() -> Converted:
    return residual()


@pytest.fixture
def write(net: Converted, tmp_path: Path) -> Callable[..., list[Path]]:
    """Collects all parts of the samples in files of these sizes."""
    runs = itertools.count()

    def write(sizes: Sequence[int], parts: int, *, seed: int = 0, samples: Sequence[Any] = SAMPLES) -> list[Path]:
        folder = tmp_path / str(next(runs))
        folder.mkdir()
        ends = np.cumsum([0, *sizes])
        held = {folder / f"{i:03}": samples[ends[i] : ends[i + 1]] for i in range(len(sizes))}
        for path in held:
            path.touch()
        found = []
        for part in range(1, parts + 1):
            files = Files(list(held), lambda path: iter(held[path]), (part, parts))
            sums = sum_files(net.graph, list(net.layers.values()), files, CENTRE, seed=seed)
            found.append(folder / f"part{part}.npz")
            write_partial(found[-1], sums.header, sums.moments, sums.lookups)
        return found

    return write


def merged(net: Converted, paths: Sequence[Path], *, seed: int = 0) -> dict[str, LayerStatistics]:
    layers = list(net.layers.values())
    found = merge_partial(paths, network_digest(net.graph, layers, seed), net.graph, layers)
    assert found.samples == len(SAMPLES)
    return dict(found.statistics)


def assert_close(found: dict[str, LayerStatistics], wanted: dict[str, LayerStatistics], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, known in wanted.items():
        assert found[name].positions == known.positions
        scale = known.power().max()
        np.testing.assert_allclose(found[name].means, known.means, atol=tolerance * np.sqrt(scale), rtol=0)
        np.testing.assert_allclose(
            found[name].quantized_means, known.quantized_means, atol=tolerance * np.sqrt(scale), rtol=0
        )
        np.testing.assert_allclose(found[name].covariance, known.covariance, atol=tolerance * scale, rtol=0)


def test_parts_add_up_to_one_pass_in_any_grouping(
    net: Converted, write: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
):
    whole = merged(net, write([20], 1))
    with monkeypatch.context() as patch:  # the estimate of how much is mixed in depends a little on the point
        patch.setattr(running, "shrink", lambda own, variance, target=None: (own, np.zeros(len(own))))
        plain = collect_statistics(net.graph, list(net.layers.values()), lambda: iter(SAMPLES), len(SAMPLES))
        # Sums are about another point there, and so on another grid, of 22 bits of the largest value.
        assert_close(merged(net, write([20], 1)), plain, 1e-5)

    @settings(max_examples=6, deadline=None)
    @given(st.lists(st.integers(0, 6), min_size=3, max_size=6), st.integers(1, 3), st.randoms())
    def grouped(sizes: list[int], parts: int, random: Any) -> None:
        sizes = [*sizes, 20 - sum(sizes)] if sum(sizes) <= 20 else [5, 0, 15]
        paths = write(sizes, parts)
        random.shuffle(paths)
        # float64's rounding of 20 sums, and what differences of moments make of it.
        assert_close(merged(net, paths), whole, 1e-12)

    grouped()


def test_the_same_parts_are_the_same_bytes_and_positions_do_not_depend_on_grouping(
    net: Converted, write: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(moments, "_MIN_POSITIONS", 5)  # of the 64 that the maps have: they are drawn
    paths = write([7, 7, 6], 3)
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in write([7, 7, 6], 3)]
    assert_close(merged(net, paths), merged(net, write([7, 7, 6], 1)), 1e-12)
    drawn = merged(net, write([7, 7, 6], 2, seed=1), seed=1)
    assert np.abs(drawn["conv"].means - merged(net, paths)["conv"].means).max() > 1e-3


def test_parts_that_do_not_belong_together_are_refused(net: Converted, write: Callable[..., list[Path]]):
    layers = list(net.layers.values())
    first, second, third = write([10, 5, 5], 3)
    header = read_header(second)
    assert (header.part, header.parts, header.samples) == (2, 3, 5)

    def refused(paths: Sequence[Path], message: str, seed: int = 0) -> None:
        with pytest.raises(DataError, match=message):
            merge_partial(paths, network_digest(net.graph, layers, seed), net.graph, layers)

    refused([third, first], r"part 2/3 of the statistics is missing, beside '.*part1\.npz'\. Give each once")
    copy = third.with_name("copy.npz")
    copy.write_bytes(third.read_bytes())
    refused([third, first, second, copy], "part 3/3 of the statistics is there twice")
    refused([first, second, third], r"was collected for another network: .*Collect with what you convert with", seed=1)
    refused([first, *write([10, 10], 2)], "of another number of parts")
    refused([], "no file of the statistics is given")
    whole = second.read_bytes()
    second.write_bytes(whole[: len(whole) // 2])
    refused(
        [first, second, third],
        r"'.*part2\.npz' is damaged, or no file by tfmpq collect: .*\. Collect that part again\.$",
    )
    at = whole.index(b"square.npy") + 400  # in an array
    second.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    refused([first, second, third], r"'.*part2\.npz' is damaged, .*: Bad CRC")
    np.savez(second, x=1)
    with pytest.raises(DataError, match=r"holds no sums by tfmpq collect: it has no header\."):
        check_complete([second])


def test_what_lies_beyond_the_ranges_is_counted_and_said(net: Converted, write: Callable[..., list[Path]]):
    layers, network = list(net.layers.values()), Network(None, None, net.graph, None, {})  # type: ignore[arg-type]
    found = [Found(layer, LayerSettings(4, 2, "nearest", "split"), None) for layer in layers]
    notes, shares = {}, {}
    for factor in (1, 3):
        samples = [{name: factor * array for name, array in sample.items()} for sample in SAMPLES]
        paths = write([10, 10], 2, samples=samples)
        shares[factor] = merge_partial(paths, network_digest(net.graph, layers, 0), net.graph, layers).beyond
        usual: dict[str, Any] = {"seed": 0, "progress": Progress(False)}
        notes[factor] = measure_or_merge(found, network, lambda: iter(()), 0, paths, **usual)[1]
    assert (len(notes[1]), len(notes[3])) == (1, 2)
    assert max(shares[1].values()) < 0.01  # samples of the kind that ranges are of
    first = layers[0]
    rows = np.concatenate([sample[SAMPLE] for sample in SAMPLES]) * 3
    source = first.uses[0].int8_input
    low, high = ((code - source.zero_point) * source.scale for code in (-128, 127))
    # A quarter of the positions is counted, and a sixth or so of what they read is padding, which is within.
    assert shares[3][first.name] == pytest.approx(((rows < low) | (rows > high)).mean(), rel=0.3)
    assert "lies beyond the range that the representative data gave, and of" in notes[3][1]


def test_lookups_of_tables_are_counted(tmp_path: Path):
    model = with_lookups(gather_model(float_table(), (1, 4)))
    layers, _ = find_layers(model.graph, dynamic_file(model).graph)
    samples = [{"ids": np.array([[i, 5, 5, 89]], np.int32)} for i in range(7)]
    held = {tmp_path / "a": samples[:4], tmp_path / "b": samples[4:]}
    paths = []
    for part in (1, 2):
        for path in held:
            path.touch()
        sums = sum_files(model, layers, Files(list(held), lambda p: iter(held[p]), (part, 2)), samples[:1], seed=0)
        paths.append(tmp_path / f"{part}.npz")
        write_partial(paths[-1], sums.header, sums.moments, sums.lookups)
    found = merge_partial(paths, network_digest(model, layers, 0), model, layers).statistics
    (known,) = collect_lookups(model, layers, lambda: iter(samples)).values()
    assert known.rows is not None
    np.testing.assert_array_equal(found[layers[0].name].rows, known.rows)
