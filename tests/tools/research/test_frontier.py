"""The frontier tool on a tiny network: what it writes, what it keeps, and what a failure costs."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import DataError, MissingDependencyError
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tests.support.pages import read_page
from tfmpq.html.page import to_html
from tools.research.frontier import __main__ as frontier
from tools.research.frontier import peers as frontier_peers
from tools.research.frontier import work as frontier_work
from tools.research.frontier.metrics import References, divergence, measure
from tools.research.frontier.page import frontier_page
from tools.research.frontier.peers import Loss, kept_at_8_bits
from tools.research.frontier.plot import pareto, save_plot
from tools.research.frontier.rows import FLOAT_FILE, LITERT, STOCK, STOCK_FILE, TFMPQ, Row, Sweep, plan_jobs
from tools.research.frontier.subjects import Data, Subject, calibration_samples
from tools.research.frontier.tables import average_seeds, beaten_peers, markdown, read_csv, to_csv

STOCK_ROW = Row("net", STOCK, STOCK_FILE, 8, bytes=1000, score=70.0, agreement=95.0, minus_stock=0.0, latency=1.0)


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, conv_net_float: bytes, images: np.ndarray
) -> tuple[Path, list[str]]:
    """(directory, arguments) of a sweep over :func:`conv_net` in one process."""
    folder = tmp_path_factory.mktemp("frontier")
    (folder / "net.tflite").write_bytes(conv_net_float)
    np.savez(folder / "test.npz", x=images[:40], y=np.arange(40) % 10)
    np.save(folder / "calibration.npy", images[40:])
    arguments = ["--model", str(folder / "net.tflite"), "--data", str(folder / "test.npz")]
    arguments += ["--calibration-data", str(folder / "calibration.npy"), "--calibration", "16", "--jobs", "0"]
    return folder, arguments


@dataclasses.dataclass
class Calls:
    """How often the expensive steps ran."""

    prepared: int = 0
    finished: list[Any] = dataclasses.field(default_factory=list)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Counts conversions; the budget ``extra:0.3`` fails."""
    counted, prepare = Calls(), tfmpq.prepare

    class Prepared:
        def __init__(self, *args: Any, **options: Any) -> None:
            self.inner = prepare(*args, **options)
            self.network, self.seconds = self.inner.network, self.inner.seconds

        def finish(self, *, budget: Any) -> Any:
            counted.finished.append(budget)
            if budget == tfmpq.ExtraBits(0.3):
                raise DataError("thirty percent are too much")
            return self.inner.finish(budget=budget)

    def count(*args: Any, **options: Any) -> Prepared:
        counted.prepared += 1
        return Prepared(*args, **options)

    monkeypatch.setattr(tfmpq, "prepare", count, raising=False)
    return counted


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "frontier.csv", newline="") as file:
        return list(csv.DictReader(file))


# By day: what is made anew, what is measured, and failures, in the tests below.
@pytest.mark.slow
@pytest.mark.nightly
def test_sweep_is_complete_resumes_and_survives_a_failure(
    files: tuple[Path, list[str]], calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("matplotlib")
    published = tmp_path / "published.csv"
    published.write_text(
        "model,tool,configuration,bits,bytes,minus_stock,latency\nnet,MCT,W4A8,4,9000,-30,5\nother,MCT,W4A8,,,,\n"
    )
    arguments = [*files[1], "--output", str(tmp_path), "--lowerings", "fused", "--peers", "none"]
    arguments += ["--also", str(published)]
    assert frontier.main([*arguments, "--budgets", "extra:0", "extra:0.3", "--views", "1", "2"]) == 1

    rows = _rows(tmp_path)
    made = [(r["tool"], r["configuration"], r["bits"], r["budget"], r["views"]) for r in rows]
    assert made == [
        (STOCK, FLOAT_FILE, "32", "", "1"),
        (STOCK, STOCK_FILE, "8", "", "1"),
        (STOCK, STOCK_FILE, "8", "", "2"),
        (TFMPQ, "fused", "8", "extra:0", "1"),
        (TFMPQ, "fused", "8", "extra:0", "2"),
        (TFMPQ, "fused", "4", "extra:0", "1"),
        (TFMPQ, "fused", "4", "extra:0", "2"),
        ("MCT", "W4A8", "4", "", "1"),
    ]
    for row in rows[:-1]:
        measured = ("bytes", "deflated", "score", "score_error", "minus_stock", "agreement", "kl", "latency", "seconds")
        assert all(row[name] for name in measured), row
        assert (row["samples"], row["source"]) == ("40", "measured")
    assert float(rows[0]["agreement"]) == 100
    assert (float(rows[1]["minus_stock"]), float(rows[1]["latency"])) == (0, 1)
    assert (calls.prepared, len(calls.finished)) == (4, 6)
    assert capsys.readouterr().err.count("thirty percent are too much") == 2
    assert "<h2" in (tmp_path / "frontier.html").read_text()
    text = (tmp_path / "frontier.md").read_text()
    assert "* net, tfmpq fused 4 bits extra:0.3 2 views: thirty percent are too much" in text
    assert "MCT (not measured in this run: published.csv)" in text
    assert "![net_size_agreement.png](net_size_agreement.png)" in text
    assert str(tmp_path) not in text
    assert (tmp_path / "net_size_score.png").read_bytes().startswith(b"\x89PNG")

    # Again with one more budget: only that one is made, from one more preparation.
    more = [*arguments, "--budgets", "extra:0", "extra:0.1", "--views", "1"]
    assert frontier.main(more) == 0
    assert (calls.prepared, calls.finished[6:]) == (5, [tfmpq.ExtraBits(0.1)])
    assert len(_rows(tmp_path)) == 9
    assert frontier.main([*more, "--latency-anew"]) == 0
    assert calls.prepared == 5
    assert "Failed" not in (tmp_path / "frontier.md").read_text()


def test_rows_of_other_sources_are_made_anew_unless_told(
    files: tuple[Path, list[str]], calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = [*files[1], "--output", str(tmp_path), "--bits", "8", "--peers", "none"]
    arguments += ["--no-latency", "--plots", "none"]
    assert frontier.main(arguments) == 0
    monkeypatch.setattr("tools.research.frontier.store.sources_digest", lambda: "other")
    assert frontier.main([*arguments, "--any-sources"]) == 0
    assert calls.prepared == 1
    assert frontier.main(arguments) == 0
    assert calls.prepared == 2
    assert len(_rows(tmp_path)) == 3


def test_expanded_file_is_measured_and_the_compact_one_weighed(
    files: tuple[Path, list[str]], calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conv_net_int8: bytes
):
    compact: list[bytes] = []

    def expand(content: bytes) -> bytes:
        compact.append(content)
        return conv_net_int8

    monkeypatch.setattr(tfmpq, "expand", expand, raising=False)
    arguments = [*files[1], "--output", str(tmp_path), "--lowerings", "fused", "--expand", "--bits", "4"]
    assert frontier.main([*arguments, "--budgets", "extra:0.1", "--peers", "none", "--plots", "none"]) == 0
    row = next(r for r in _rows(tmp_path) if r["configuration"] == "expand")
    assert [len(content) for content in compact] == [int(row["bytes"])]
    expanded = next(tmp_path.glob("work/*.run.tflite"))
    assert expanded.read_bytes() == conv_net_int8
    assert row["agreement"]


def test_missing_peer_is_a_failure_that_says_what_to_install(
    files: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    arguments = [*files[1], "--output", str(tmp_path), "--bits", "8", "--no-latency", "--plots", "none"]
    assert frontier.main([*arguments, "--peers", "static int8"]) == 1
    assert "pip install 'tfmpq[peers]'" in capsys.readouterr().err
    assert len(_rows(tmp_path)) == 3


def test_peers_make_the_files_they_say(conv_net_float: bytes, images: np.ndarray):
    pytest.importorskip("litert_quantizer")
    files = {f.name: f for f in frontier_peers.convert_peers(conv_net_float, {"any": images[:8]}, frontier_peers.PEERS)}
    assert list(files) == list(frontier_peers.PEERS)
    assert [f.failure for f in files.values()] == [None] * len(files)
    types = {
        name: {
            op.name: op.input(1).type
            for op in load(file.content).graph.ops
            if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")
        }
        for name, file in files.items()
    }
    int8 = {"CONV_2D": TensorType.INT8, "DEPTHWISE_CONV_2D": TensorType.INT8}
    assert types["static int8"] == types["static int8, own ranges"] == int8
    # Never float: the package has no 4-bit depthwise convolution.
    assert types["a8w4 MIN_MAX"] == types["a8w4 OCTAV"] == {**int8, "CONV_2D": TensorType.INT4}
    sizes = [len(files[name].content) for name in ("a8w4 OCTAV", "mixed 4/8, 25 % int8", "static int8")]
    assert sizes == sorted(sizes)
    assert files["static int8, own ranges"].content != files["static int8"].content


def test_missing_matplotlib_costs_only_the_plots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"tfmpq\[plot\]"):
        save_plot([STOCK_ROW, STOCK_ROW], "size", "score", tmp_path / "plot.png")


def test_jobs_share_what_they_can():
    subject = Subject("net", None, "m", "d", "c", None, 8, None, "", "")
    jobs = plan_jobs(
        subject, Sweep([4, 8], ["extra:0", "extra:0.1"], ["auto", "expand"], [1, 4], [0, 1], ["static int8"])
    )
    assert [job.is_base for job in jobs].count(True) == 1
    rows = [settings for job in jobs for settings in job.settings]
    assert len(rows) == len(set(rows))
    count: Callable[[str], int] = lambda tool: sum(s.tool == tool for s in rows)  # noqa: E731
    assert count(TFMPQ) == 4 * (2 * 2 + 1)  # views x seeds, each 2 lowerings x 2 budgets at 4 bits and one file at 8
    assert count(STOCK) == 1 + 4  # the float file, and a stock file for all views and seeds
    assert count(LITERT) == 1
    assert len(jobs) == 1 + 4 * 3 + 1


def test_seeds_draw_calibration_samples():
    data = Data({"x": np.arange(100)[:, None]}, {}, None)
    first, second = (calibration_samples(data, 20, seed)["x"][:, 0] for seed in (0, 1))
    np.testing.assert_array_equal(first, np.arange(20))
    assert len(set(second)) == 20
    assert set(second) != set(first)


def test_classifier_measures():
    real = np.eye(4, dtype=np.float32)[[0, 1, 2, 3]] * 9
    outputs, stock = real.copy(), real.copy()
    outputs[0] = real[1]  # one of four wrong
    stock[0], stock[1] = real[1], real[0]
    found = measure([outputs], References([real], [stock], Data({}, {}, np.arange(4))))
    assert (found["score"], found["agreement"], found["minus_stock"]) == (75, 75, 25)
    # Hits minus stock's are 0, 1, 0, 0: standard deviation 1/2, over the root of 4 samples.
    assert found["minus_stock_error"] == pytest.approx(25)
    assert found["agreement_error"] == pytest.approx(25)


def test_own_score_has_jackknife_errors():
    @dataclasses.dataclass
    class Entry:
        def score(self, outputs: list[np.ndarray], truth: list[np.ndarray]) -> float:
            return float(np.mean([a[0] == b for a, b in zip(outputs[0], truth, strict=True)]))

    truth = [np.int64(i) for i in range(10)]
    real = np.arange(10, dtype=np.float32)[:, None]
    outputs = real.copy()
    outputs[:5] = -1
    found = measure([outputs], References([real], [real], Data({}, {}, truth, Entry())))
    assert found["score"] == 0.5
    # Leaving out one sample at a time gives a mean's usual standard error.
    assert found["score_error"] == pytest.approx(np.std(outputs >= 0, ddof=1) / np.sqrt(10))
    assert "agreement" not in found


def test_divergence_of_probabilities_and_of_logits():
    p = np.array([[0.5, 0.5], [0.9, 0.1]])
    q = np.array([[0.25, 0.75], [0.9, 0.1]])
    expected = 0.5 * (np.log(2) + np.log(2 / 3)) / 2
    assert divergence(p, q) == pytest.approx(expected)
    assert divergence(np.log(p), np.log(q) + 3) == pytest.approx(expected)
    rounded_away = divergence(np.array([[0.998, 0.002]]), np.array([[1.0, 0.0]]))
    assert 0 <= rounded_away < 1e-3  # half a step of int8 probabilities is what was there


def test_mixed_keeps_what_loses_most_for_its_weights():
    losses = [Loss("big", 70, 7.0), Loss("small", 10, 2.0), Loss("medium", 20, 3.0)]
    assert kept_at_8_bits(losses, 0.25) == ["small"]
    assert kept_at_8_bits(losses, 0.30) == ["small", "medium"]


def test_pareto_line():
    assert pareto([(3, 9), (1, 5), (2, 4), (2, 7), (4, 9)]) == [(1, 5), (2, 7), (3, 9)]


def test_rows_survive_csv(tmp_path: Path):
    rows = [STOCK_ROW, Row("net", TFMPQ, "auto", 4, "extra:0.1", "auto", 4, 2, bytes=600, kl=0.125)]
    path = tmp_path / "rows.csv"
    path.write_text(to_csv(rows))
    assert read_csv(path) == [dataclasses.replace(row, source="rows.csv") for row in rows]
    path.write_text("model,tool,weight\nnet,x,1\n")
    with pytest.raises(DataError, match="weight"):
        read_csv(path)


def test_tables_average_seeds_and_say_who_is_beaten():
    ours = Row("net", TFMPQ, "auto", 4, "extra:0.1", "auto", bytes=600, minus_stock=-1.0, latency=1.0, agreement=90.0)
    second = dataclasses.replace(ours, seed=1, agreement=92.0, bytes=602)
    beaten = Row("net", LITERT, "mixed", 4, bytes=700, minus_stock=-3.0, latency=2.0)
    smaller = dataclasses.replace(beaten, configuration="a8w4", bytes=500)
    groups = average_seeds([STOCK_ROW, ours, second, beaten, smaller])
    assert [(g.count, g.row.bytes, g.row.agreement) for g in groups[1:2]] == [(2, 601, 91.0)]
    found = dict(beaten_peers([g.row for g in groups]))
    assert [bool(by) for by in found.values()] == [True, False]
    text = markdown([STOCK_ROW, ours, second, beaten, smaller], heading=[], failures=[("net, x", "broke")])
    assert "| 0.6 | 0.601 |" in text
    assert "91.0; 2 seeds +- 1.41" in text
    assert "a8w4 (-3.00 points, 0.5 kB, latency 2.00): **by none**" in text
    assert "* net, x: broke" in text


def test_interrupt_keeps_what_is_done(
    files: tuple[Path, list[str]], calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = frontier_work._tfmpq_files

    def interrupted(*args: Any) -> Iterator[Any]:
        yield next(made(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(frontier_work, "_tfmpq_files", interrupted)
    arguments = [*files[1], "--output", str(tmp_path), "--lowerings", "fused", "--bits", "4", "--peers", "none"]
    arguments += ["--plots", "none"]
    assert frontier.main([*arguments, "--budgets", "extra:0", "extra:0.1"]) == 130
    assert [r["budget"] for r in _rows(tmp_path)] == ["", "", "extra:0"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--zoo", "zoo"], "there is no zoo.py"),
        (["--model", "m", "--data", "d", "--calibration-data", "c"], "'m' does not exist"),
        (["--zoo", "zoo", "--budgets", "much"], "extra:0.10"),
    ],
)
def test_wrong_arguments_are_explained(tmp_path: Path, arguments: list[str], message: str):
    with pytest.raises(SystemExit, match=message):
        frontier.main([*arguments, "--output", str(tmp_path)])


def test_the_page_has_every_file_and_draws_those_beside_stock():
    rows = [
        STOCK_ROW,
        dataclasses.replace(
            STOCK_ROW, tool=TFMPQ, configuration="auto", bits=4, bytes=600, agreement=94.0, samples=100
        ),
        dataclasses.replace(STOCK_ROW, tool=LITERT, configuration="a8w4", bits=4, bytes=560, agreement=40.0),
        dataclasses.replace(STOCK_ROW, configuration=FLOAT_FILE, bits=32, bytes=4000, agreement=100.0),
    ]
    tree = read_page(to_html(frontier_page(rows, ["how it was measured"])))
    tips = [str(point.attributes["data-tip"]).splitlines()[:2] for point in tree.all("a", class_="point")]
    drawn = [["full int8", "1.0 kB, 100.0 % of stock's"], ["tfmpq auto 4 bits", "600 B, 60.0 % of stock's"]]
    assert tips == drawn * 2  # over size and over latency
    assert "not drawn: 1 file, more than 25 points of agreement below stock" in tree.text()
    assert len(list(tree.all("th", scope="row"))) == 4
