from __future__ import annotations

import json

import numpy as np
import pytest

from converters.errors import DataError, OptionError
from converters.tflite import graph
from converters.tflite.writer import save
from tfmpq.analysis.evaluation import evaluate
from tfmpq.analysis.metrics import Tally, find_metric, paired_difference
from tfmpq.data.evaluation_set import Labelled, load_labelled

COUNT, LENGTH, SIZE = 20, 5, 8


def rounding_file(scale: float, shape: tuple[int, ...] = (LENGTH, SIZE)) -> bytes:
    """A file whose int8 output is its float input rounded to multiples of ``scale``."""
    real = graph.Tensor("x", (1, *shape), graph.TensorType.FLOAT32)
    scaling = graph.Quantization(np.array([scale], np.float32), np.array([0], np.int64))
    integer = graph.Tensor("q", (1, *shape), graph.TensorType.INT8, quantization=scaling)
    op = graph.Op(graph.BuiltinOperator.QUANTIZE, [real], [integer])
    return save(graph.Model([graph.Graph([real], [integer], [op])], [], {}))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Inputs of the file, which are its outputs but for the rounding; they are within -4..4."""
    return np.random.default_rng(0).uniform(-4, 4, (COUNT, LENGTH, SIZE)).astype(np.float32)


def tokens() -> np.ndarray:
    """Next tokens; the last ones of some samples, and all of one, do not count."""
    labels = np.random.default_rng(1).integers(0, SIZE, (COUNT, LENGTH))
    labels[::3, 3:] = -1
    labels[4] = -1
    return labels


def likelihoods(logits: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of every token, by the definition."""
    powers = np.exp(logits.astype(np.float64))
    return -np.log(powers / powers.sum(-1, keepdims=True))


def rounded(x: np.ndarray, scale: float) -> np.ndarray:
    return (np.rint(x / np.float32(scale)) * np.float32(scale)).astype(np.float64)


def test_perplexity_of_logits(x):
    labels = tokens()
    result = evaluate(rounding_file(1 / 16), Labelled({"x": x}, labels), metric="perplexity").metric
    losses = np.take_along_axis(likelihoods(rounded(x, 1 / 16)), np.maximum(labels, 0)[..., None], -1)[..., 0]
    assert result is not None
    assert result.value == pytest.approx(np.exp(losses[labels >= 0].mean()))
    single = [np.exp(row[given >= 0].mean()) for row, given in zip(losses, labels, strict=True) if (given >= 0).any()]
    assert (result.smallest, result.largest) == pytest.approx((min(single), max(single)))


def test_perplexity_of_probabilities_is_that_of_their_logits(x):
    powers = np.exp(x)
    probabilities = powers / powers.sum(-1, keepdims=True)
    metric = find_metric("perplexity")
    assert metric
    for sample, labels in zip(range(COUNT), tokens(), strict=True):
        expected = metric.terms((x[sample],), labels)
        # The probabilities were rounded to float32: 1e-7 of the largest; logs of them lose up to 1e-6.
        assert metric.terms((probabilities[sample],), labels) == pytest.approx(expected, abs=1e-5)


def test_logits_that_are_large_do_not_overflow():
    metric = find_metric("perplexity")
    assert metric
    logits = np.array([[1e4, 0.0], [-1e4, 1e4]])
    assert metric.terms((logits,), np.array([0, 1])) == (0.0, 2.0)
    assert metric.terms((logits[:1],), np.array([1])) == (1e4, 1.0)


def test_a_classifier_has_a_perplexity_too():
    data = Labelled({"x": np.zeros((3, SIZE), np.float32)}, np.array([0, 5, 7]))
    result = evaluate(rounding_file(1.0, (SIZE,)), data, metric="perplexity").metric
    assert result is not None
    # All logits are 0: each class has 1/8. They are no probabilities of 0.
    assert (result.value, result.error) == pytest.approx((8, 0), abs=1e-12)


def test_cosine_to_a_second_file_leaves_labels_alone(x):
    labels = np.zeros(COUNT, int)  # class numbers, as such files often have
    coarse, fine = rounded(x, 1.0), rounded(x, 1 / 16)
    result = evaluate(rounding_file(1.0), Labelled({"x": x}, labels), against=rounding_file(1 / 16), metric="cosine")
    cosines = (coarse * fine).sum(-1) / (np.linalg.norm(coarse, axis=-1) * np.linalg.norm(fine, axis=-1))
    assert result.metric is not None
    assert result.metric.value == pytest.approx(cosines.mean())
    means = cosines.mean(-1)  # every sample has as many vectors: the ratio's error is that of a mean
    assert result.metric.error == pytest.approx(means.std(ddof=1) / np.sqrt(COUNT))
    assert (result.metric.smallest, result.metric.largest) == pytest.approx((means.min(), means.max()))
    assert result.against is not None
    assert result.against.metric is result.against.metric_difference is result.top1 is None


def test_cosine_to_outputs_given_as_labels(x):
    given = Labelled({"x": x}, 3 * x)  # lengths do not matter
    fine, coarse = (evaluate(rounding_file(scale), given, metric="cosine").metric for scale in (1 / 16, 1.0))
    assert fine is not None
    assert coarse is not None
    assert 1 > fine.value > 0.9999 > coarse.value > 0.95  # rounding to 1/16 is 1 % of values of up to 4, to 1 17 %


def test_cosine_of_zero_vectors():
    metric = find_metric("cosine")
    assert metric
    outputs = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert metric.terms((outputs,), np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])) == (1.0, 3.0)


def test_a_function_gets_all_outputs_and_the_label(x):
    calls = []

    def first_value(outputs, label):
        calls.append((outputs, label))
        return outputs[0][0, 0] + label["offset"]

    labels = np.array([{"offset": i} for i in range(COUNT)])  # whatever the user has
    result = evaluate(rounding_file(1 / 16), Labelled({"x": x}, labels), metric=first_value).metric
    expected = rounded(x, 1 / 16)[:, 0, 0] + np.arange(COUNT)
    assert result is not None
    assert (result.name, result.value) == ("first_value", pytest.approx(expected.mean()))
    assert result.error == pytest.approx(expected.std(ddof=1) / np.sqrt(COUNT))
    assert [label["offset"] for _, label in calls] == list(range(COUNT))
    assert {len(outputs) for outputs, _ in calls} == {1}
    assert calls[3][0][0].shape == (LENGTH, SIZE)


def test_a_function_without_labels_gets_the_second_files_outputs(x):
    def error(outputs, reference):
        return np.abs(outputs[0] - reference[0]).max()

    result = evaluate(rounding_file(1.0), Labelled({"x": x}, None), against=rounding_file(1 / 16), metric=error)
    assert result.metric is not None
    assert result.against is not None
    assert result.metric.largest == result.against.largest_difference > 0.4


def test_two_files_are_compared_by_pairs(x):
    """The standard error of a difference of perplexities is that of resampling: here the jackknife."""
    labels = tokens()
    result = evaluate(
        rounding_file(1.0), Labelled({"x": x}, labels), against=rounding_file(1 / 16), metric="perplexity"
    )
    assert result.metric is not None
    assert result.against is not None
    assert result.against.metric is not None
    difference = result.metric.value - result.against.metric.value
    assert result.against.metric_difference == pytest.approx(difference)

    losses = [np.take_along_axis(likelihoods(rounded(x, s)), labels[..., None], -1)[..., 0] for s in (1.0, 1 / 16)]
    counted = labels >= 0

    def without(sample: int) -> float:
        keep = np.arange(COUNT) != sample
        a, b = (np.exp(loss[keep][counted[keep]].mean()) for loss in losses)
        return a - b

    left = np.array([without(i) for i in range(COUNT)])
    jackknife = np.sqrt((COUNT - 1) * left.var())
    # To first order both are the same; with 20 samples that leaves several percent.
    assert result.against.metric_difference_error == pytest.approx(jackknife, rel=0.15)


def test_results_are_the_same_each_time_and_plain_json(x):
    data = Labelled({"x": x}, tokens())
    first, second = (
        evaluate(rounding_file(1.0), data, against=rounding_file(0.5), metric="perplexity") for _ in range(2)
    )
    assert first == second
    assert first.metric is not None
    assert first.against is not None
    plain = json.loads(json.dumps(first.to_dict(), allow_nan=False))
    assert plain["metric"]["name"] == "perplexity"
    assert plain["against"]["metric_difference"] == first.against.metric_difference
    assert f"perplexity            {first.metric.value:.5g}  +- " in str(first)
    assert "(paired)" in str(first)


def test_nothing_of_a_metric_without_one(x):
    flat = Labelled({"x": x[:, 0]}, np.zeros(COUNT, int))
    files = {scale: rounding_file(scale, (SIZE,)) for scale in (1.0, 0.5)}
    named = evaluate(files[1.0], flat, against=files[0.5], metric="top1")
    assert named == evaluate(files[1.0], flat, against=files[0.5])
    assert named.metric is None
    plain = named.to_dict()
    of_metric = [part[name] for part in (plain, plain["against"]) for name in part if name.startswith("metric")]
    assert of_metric == [None] * 4


def test_a_single_sample_has_no_spread():
    metric = find_metric(lambda outputs, label: 2.0)
    assert metric
    tally = Tally(metric)
    tally.add([np.zeros((1, 2))], 0)
    assert (tally.measured().value, tally.measured().error) == (2.0, 0.0)
    assert paired_difference(tally, tally) == (0.0, 0.0)


@pytest.mark.parametrize("metric", ["top2", "", None, 3])
def test_unknown_metrics(metric, x):
    with pytest.raises(OptionError, match="choose one of top1, cosine, perplexity, or give a function"):
        evaluate(rounding_file(1.0), Labelled({"x": x}, tokens()), metric=metric)


@pytest.mark.parametrize(
    ("metric", "labels", "message"),
    [
        (
            "cosine",
            np.zeros(COUNT, int),
            r"sample 0: cosine compares outputs of shape \(5, 8\) with .* of shape \(\)",
        ),
        ("cosine", np.zeros((COUNT, SIZE, LENGTH)), r"\(5, 8\) with references of shape \(8, 5\)"),
        ("cosine", np.full((COUNT, LENGTH, SIZE), np.nan), "'y' has NaN or infinite values, first in sample 0"),
        ("perplexity", np.zeros((COUNT, LENGTH)), r"one token number for each row .* \(5,\) \(float64\)"),
        ("perplexity", np.zeros((COUNT, SIZE), int), r"shape \(5, 8\) and the labels have shape \(8,\)"),
        ("perplexity", np.full((COUNT, LENGTH), SIZE), r"sample 0: label 8 is no token: the output has 8, 0\.\.7"),
        ("perplexity", np.full((COUNT, LENGTH), -1), "'perplexity': no sample counts, all of its labels are negative"),
        ("perplexity", np.zeros((COUNT - 1, LENGTH), int), "19 labels for 20 samples"),
        ("perplexity", None, "neither labels 'y' nor a second file"),
        (lambda outputs, label: float("nan"), tokens(), "metric '<lambda>' is nan for sample 0"),
        (lambda outputs, label: outputs[0], tokens(), "'<lambda>' returned .*must return one number for each sample"),
        (lambda outputs, label: None, tokens(), "'<lambda>' returned .*must return one number for each sample"),
    ],
)
def test_data_that_do_not_fit_a_metric(metric, labels, message, x):
    with pytest.raises(DataError, match=message):
        evaluate(rounding_file(1.0), Labelled({"x": x}, labels), metric=metric)


def test_perplexity_needs_labels_beside_a_second_file(x):
    with pytest.raises(DataError, match="perplexity needs labels 'y'"):
        evaluate(rounding_file(1.0), Labelled({"x": x}, None), against=rounding_file(1.0), metric="perplexity")


def test_a_token_of_probability_zero():
    data = Labelled({"x": np.eye(SIZE, dtype=np.float32)[None, :2].repeat(2, 0)}, np.array([[0, 1], [0, 3]]))
    with pytest.raises(DataError, match=r"sample 1: token 3 was next and has probability 0.*end in logits"):
        evaluate(rounding_file(1 / 64, (2, SIZE)), data, metric="perplexity")


def test_labels_of_any_form_are_read_when_asked_for(tmp_path, x):
    np.savez(tmp_path / "lm.npz", x=x, y=tokens())
    data = load_labelled(tmp_path / "lm.npz", class_labels=False)
    np.testing.assert_array_equal(data.labels, tokens())
    with pytest.raises(DataError, match=r"'y' has shape \(20, 5\), but one class number a sample is needed"):
        load_labelled(tmp_path / "lm.npz")
