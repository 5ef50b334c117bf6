"""The bundled network and data, and the demo from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.frontend.load import load_model
from tfmpq.analysis.evaluation import evaluate
from tfmpq.benchmark.device import describe_device
from tfmpq.benchmark.result import BenchmarkResult, Noise, Run
from tfmpq.data.evaluation_set import load_labelled
from tfmpq.demo import demo
from tfmpq.demo.demo import DemoRow
from tfmpq.files import read_npz


def test_bundled_files_are_small():
    sizes = [path.stat().st_size for path in (demo.MODEL, demo.CALIBRATION, demo.TEST)]
    assert sizes[0] < 500_000
    assert sum(sizes) < 700_000


def test_float_accuracy_is_as_claimed():
    floats = load_model(demo.MODEL)
    result = evaluate(floats.flatbuffer, load_labelled(demo.TEST))
    assert result.top1 is not None
    assert result.top1 >= 0.97


def test_calibration_images_are_not_test_images():
    test = {image.tobytes() for image in read_npz(demo.TEST)["x"]}
    calibration = read_npz(demo.CALIBRATION)
    assert set(calibration) == {"x"}
    assert len(calibration["x"]) == 200
    assert not any(image.tobytes() in test for image in calibration["x"])


def test_calibration_can_be_read_again():
    first, second = list(demo.calibration()), list(demo.calibration())
    assert [x.shape for (x,) in first] == [(1, 32, 32, 1)] * 200
    np.testing.assert_array_equal(first, second)


def timed(files: list[Path]) -> BenchmarkResult:
    """The first file as the fastest, a quarter in front of all others."""
    runs = [Run(str(path), 1, ratio=1.25 if number else 1.0) for number, path in enumerate(files)]
    return BenchmarkResult(describe_device(), Noise(0.7, (), ("the machine is busy",)), tuple(runs))


@pytest.mark.slow
def test_measure_is_relative_to_the_stock_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked = []

    def benchmark(files: list[Path], *, progress: bool) -> BenchmarkResult:
        asked.append([path.name for path in files])
        return timed(files)

    monkeypatch.setattr(demo, "benchmark", benchmark)
    content = load_model(demo.MODEL).flatbuffer
    for name in ("stock", "twin"):
        (tmp_path / name).write_bytes(content)
    (second, first), times = demo.measure({"twin": tmp_path / "twin", demo.STOCK: tmp_path / "stock"})
    assert asked == [["stock", "twin"]]
    assert (first.label, first.latency, second.latency) == (demo.STOCK, 1.0, 1.25)
    assert (first.top1, first.bytes, first.deflated) == (second.top1, second.bytes, second.deflated)
    assert first.deflated < first.bytes == len(content)
    words = demo.trust(times)
    assert "below 0.7 % mean nothing" in words[1]
    assert words[2:] == ["warning: the machine is busy"]


def test_table_and_plot_show_every_row(tmp_path: Path):
    pytest.importorskip("matplotlib")
    rows = [DemoRow("float", 0.981, 4000, 3000, 1.5), DemoRow(demo.STOCK, 0.979, 1000, 900, None)]
    table = demo.format_table(rows).splitlines()
    assert table[1].split() == ["float", "98.1%", "4,000", "3,000", "1.50x"]
    assert len({len(line) for line in table}) == 1  # columns line up
    assert demo.save_plot(rows, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_plot(tmp_path: Path, run_python):
    code = """
        import sys
        from pathlib import Path
        from tfmpq.demo import demo
        rows = [demo.DemoRow("float", 0.5, 2, 1, 1.0)]
        assert not demo.save_plot(rows, Path(sys.argv[1]))
    """
    result = run_python(code, tmp_path / "demo.png", blocked=("matplotlib",))
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "demo.png").exists()


@pytest.mark.slow
def test_a_short_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Few images, four of its files, and no benchmark."""
    images = list(demo.calibration())[:48]
    monkeypatch.setattr(demo, "calibration", lambda: iter(images))
    wanted = (demo.PLAIN, "float", demo.STOCK, "tfmpq auto")
    chosen = [(label, produce) for label, produce in demo.variants() if label in wanted]
    monkeypatch.setattr(demo, "variants", lambda *, progress: chosen)
    monkeypatch.setattr(demo, "benchmark", lambda files, *, progress: timed(files))
    rows = {row.label: row for row in demo.run_demo(tmp_path, progress=False)}
    accuracy = {label: row.top1 for label, row in rows.items()}
    assert accuracy[demo.PLAIN] < accuracy["float"] - 0.1
    assert accuracy["tfmpq auto"] > accuracy["float"] - 0.02  # as below
    assert rows["tfmpq auto"].deflated < 0.8 * rows[demo.STOCK].deflated
    assert len(list(tmp_path.glob("*.tflite"))) == len(rows) == len(wanted)
    assert (rows[demo.STOCK].latency, rows[demo.PLAIN].latency) == (1.0, 1.25)
    printed = capsys.readouterr().out
    assert all(label in printed for label in rows)


@pytest.mark.slow
@pytest.mark.nightly  # by day: test_a_short_demo
def test_the_demo_shows_what_it_is_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = {row.label: row for row in demo.run_demo(tmp_path, progress=False)}
    accuracy = {label: row.top1 for label, row in rows.items()}
    assert accuracy[demo.PLAIN] < accuracy["float"] - 0.1
    for label in (demo.SAME_BITS, "tfmpq auto", "tfmpq parallel", "tfmpq fused"):
        # 14 of 700 images; measured: 2 change. Float kernels of other processors may turn a few more.
        assert accuracy[label] > accuracy["float"] - 0.02
        assert rows[label].deflated < 0.8 * rows[demo.STOCK].deflated
    assert len(list(tmp_path.glob("*.tflite"))) == len(rows) == 7
    printed = capsys.readouterr().out
    assert all(label in printed for label in rows)
    assert "mean nothing" in printed
