"""A file beside its base, run and judged."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

import tfmpq
from converters.errors import DataError, FileFormatError, OptionError
from tests.support.rounding_files import rounding_file
from tfmpq.analysis.divergence import divergence
from tfmpq.benchmark.result import Noise
from tfmpq.benchmark.run import benchmark
from tfmpq.gate.judge import judge
from tfmpq.gate.limits import Limits
from tfmpq.gate.measured import Estimate, Measured

COARSE, FINE = rounding_file(1.0), rounding_file(1 / 16)
COUNT = 400


@pytest.fixture(scope="module")
def data() -> tfmpq.Labelled:
    """Scores, and labels that the fine file mostly gives."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-4, 4, (COUNT, 8)).astype(np.float32)
    labels = np.where(rng.random(COUNT) < 0.9, x.argmax(1), rng.integers(0, 8, COUNT))
    return tfmpq.Labelled({"x": x}, labels)


def test_figures_are_those_of_the_samples(data):
    result = tfmpq.check(COARSE, FINE, data, Limits(max_drop=50, min_agreement=0.5, max_kl=0.5, max_bytes_ratio=1.0))
    assert result.held
    coarse, fine = (np.rint(data.inputs["x"] / scale) * scale for scale in (1.0, 1 / 16))
    right = [scores.argmax(1) == data.labels for scores in (coarse, fine)]
    measured = result.measured
    assert measured.lost == np.count_nonzero(~right[0] & right[1])
    assert measured.gained == np.count_nonzero(right[0] & ~right[1])
    assert measured.agreeing == np.count_nonzero(coarse.argmax(1) == fine.argmax(1))
    assert measured.samples == COUNT
    assert measured.kl is not None
    assert measured.kl.value == pytest.approx(divergence(fine, coarse))
    assert 0 < measured.kl.low < measured.kl.value < measured.kl.high
    assert result.metric == "top1"
    # A row of figures that was kept is judged again, by the same functions.
    kept = json.loads(json.dumps(result.to_dict()))["measured"]
    again = Measured(**{**kept, "kl": Estimate(**kept["kl"])})
    assert judge(again, Limits(max_drop=50, min_agreement=0.5, max_kl=0.5, max_bytes_ratio=1.0)) == result.judgements


def test_a_file_like_its_base_is_held_where_the_samples_are_enough(data):
    few, enough = (tfmpq.check(FINE, FINE, data, Limits(max_drop=drop)) for drop in (0.5, 1.0))
    # Not a sample was lost; of 0.5 points that takes 1.645^2 (1 - 0.005) / 0.005 of them.
    assert (few.verdict, few.judgements[0].needed) == ("cannot be told", 539)
    assert "400 samples are too few, about 539 are needed" in str(few)
    assert enough.verdict == "held"
    worse = tfmpq.check(rounding_file(4.0), FINE, data, Limits(max_drop=10, max_bytes=10**6))
    assert [judgement.verdict for judgement in worse.judgements] == ["failed", "held"]
    assert worse.verdict == "failed"


def test_divergences_that_are_all_alike_tell_nothing_unless_outputs_are_the_same(data):
    bare = tfmpq.Labelled({"x": np.repeat(data.inputs["x"][:1], 100, axis=0)}, None)
    (alike,) = tfmpq.check(COARSE, FINE, bare, Limits(max_kl=5)).judgements
    assert (alike.verdict, "all samples have the same" in alike.message) == ("cannot be told", True)
    assert tfmpq.check(FINE, FINE, bare, Limits(max_kl=0)).held
    text = str(tfmpq.check(COARSE, FINE, data, Limits(max_kl=1)))
    assert f"up to 3 in {COUNT} may be like none of them" in text


def test_without_labels(data):
    bare = tfmpq.Labelled(data.inputs, None)
    result = tfmpq.check(COARSE, FINE, bare, Limits(min_agreement=0.99, max_kl=1))
    assert [judgement.verdict for judgement in result.judgements] == ["failed", "held"]
    for metric in ("top1", "perplexity", lambda outputs, label: 0.0):
        with pytest.raises(DataError, match="max_drop needs labels 'y'"):
            tfmpq.check(COARSE, FINE, bare, Limits(max_drop=1), metric=metric)
    cosine = tfmpq.check(COARSE, FINE, bare, Limits(max_drop=0.05), metric="cosine")
    assert cosine.held
    assert cosine.measured.drop is not None
    assert 0.001 < cosine.measured.drop.value < 0.05  # rounding errors of 1 / sqrt(12) beside values of 8 / sqrt(12)


def test_other_scores_are_judged_by_drawing_samples(data):
    fall = tfmpq.check(COARSE, FINE, data, Limits(max_drop=1), metric="perplexity")
    assert fall.measured.drop is not None

    def likelihood(outputs, label):
        scores = outputs[0].astype(float)
        return scores[label] - np.log(np.exp(scores).sum())

    gain = tfmpq.check(COARSE, FINE, data, Limits(max_drop=1), metric=likelihood)
    assert gain.measured.drop is not None
    assert gain.metric == "likelihood"
    # Perplexity is better when lower: both files lose in the same direction.
    assert fall.measured.drop.value > 0
    assert gain.measured.drop.value > 0
    evaluation = tfmpq.evaluate(COARSE, data, against=FINE, metric="perplexity").against
    assert evaluation is not None
    assert fall.measured.drop.value == pytest.approx(evaluation.metric_difference)
    assert evaluation.metric_difference_error is not None
    half = (fall.measured.drop.high - fall.measured.drop.low) / 2
    assert half == pytest.approx(1.645 * evaluation.metric_difference_error, rel=0.1)  # 2,000 draws place it so well


def test_several_inputs_and_outputs(data):
    two = {"left": data.inputs["x"], "right": data.inputs["x"][::-1].copy()}
    files = [rounding_file(scale, inputs=("left", "right")) for scale in (1.0, 1 / 16)]
    limits = Limits(max_drop=50, max_kl=1)
    both = tfmpq.check(files[0], files[1], tfmpq.Labelled(two, data.labels), limits)  # the first output is judged
    one = tfmpq.check(COARSE, FINE, data, limits)
    assert (both.measured.lost, both.measured.kl) == (one.measured.lost, one.measured.kl)
    with pytest.raises(DataError, match=r"inputs are \['left', 'right'\]"):
        tfmpq.check(files[0], files[1], data, limits)


def test_time_is_that_of_the_base_and_in_doubt_as_it_is(data, monkeypatch):
    def quick(files, **options):
        result = benchmark(files, min_runs=6, min_seconds=0, warmup=0, **{**options, "rounds": 6, "progress": False})
        return type(result)(result.device, Noise(5.0, result.noise.pairs, ("it is busy",)), result.runs)

    monkeypatch.setattr("tfmpq.gate.figures.benchmark", quick)
    result = tfmpq.check(COARSE, FINE, None, Limits(max_latency_ratio=1000.0))
    (found,) = result.judgements
    assert (found.verdict, result.notes) == ("held", ("it is busy",))
    latency = result.measured.latency
    assert latency is not None
    assert latency.high is not None
    assert found.high == pytest.approx(latency.high * 1.05)
    assert "warning: it is busy" in str(result)
    with pytest.raises(FileFormatError, match="TensorFlow Lite"):
        tfmpq.check(b"no model", FINE, None, Limits(max_latency_ratio=1.0))


@pytest.mark.parametrize("content", [b"", bytes(50), FINE[: len(FINE) // 2]])
def test_what_is_no_model_has_no_size_to_hold(content):
    for files in ((content, FINE), (FINE, content)):
        with pytest.raises(FileFormatError):
            tfmpq.check(*files, None, Limits(max_bytes_ratio=1.0))


@pytest.mark.parametrize(
    ("limits", "options", "message"),
    [
        (Limits(), {}, "no limit is set"),
        ({"max_drop": 1}, {}, "no limit is set"),
        (Limits(max_drop=1), {"data": None}, "judged on samples"),
        (Limits(max_drop=1), {"metric": "recall"}, "metric='recall' is unknown"),
        (Limits(max_latency_ratio=1), {"kernels": "reference"}, "xnnpack or builtin kernels"),
        (Limits(max_drop=1), {"seed": -1}, "seed=-1"),
    ],
)
def test_requests_that_make_no_sense(data, limits, options, message):
    with pytest.raises(OptionError, match=message):
        tfmpq.check(COARSE, FINE, limits=limits, **{"data": data, **options})


def test_memory_hardly_grows_with_the_samples():
    class Made:
        """An array of samples that are made when they are asked for, as images are read."""

        dtype, ndim = np.dtype(np.float32), 2

        def __init__(self, count: int) -> None:
            self.shape = (count, 1000)

        def __len__(self) -> int:
            return self.shape[0]

        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            return np.random.default_rng(rows).uniform(-4, 4, (len(rows), 1000)).astype(np.float32)

    peaks = []
    files = [rounding_file(scale, classes=1000) for scale in (1.0, 1 / 16)]
    for count in (40, 100, 700):  # what is loaded or made once counts in the first
        samples = tfmpq.Labelled({"x": Made(count)}, np.zeros(count, int))  # type: ignore[dict-item]
        tracemalloc.start()
        tfmpq.check(files[0], files[1], samples, Limits(max_drop=1))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Of 600 samples more some ten numbers each; outputs of both files, 4 kB each and more, would be 5 MB.
    assert peaks[2] - peaks[1] < 1e6
