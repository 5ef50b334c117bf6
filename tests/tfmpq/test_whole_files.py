"""Conversions with float activations of files with several signatures, shared weights and open sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import DataError, OptionError
from converters.tflite.graph import BuiltinOperator, Model, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.whole_files import (
    HIDDEN,
    UNSTEERED,
    WIDTH,
    activation,
    block,
    constant,
    decibels,
    entry,
    matrices,
    open_length,
    product,
    run_entry,
    two_entries,
)
from tfmpq.analysis.diff import diff
from tfmpq.analysis.evaluation import evaluate
from tfmpq.data.evaluation_set import Labelled

RNG = np.random.default_rng(7)
PREFILL = RNG.normal(size=(40, 8, WIDTH)).astype(np.float32)
DECODE = RNG.normal(size=(40, 1, WIDTH)).astype(np.float32)
OPTIONS: dict[str, Any] = {
    "activations": "float",
    "recipe": tfmpq.Recipe([tfmpq.Rule(".*", bits=4)]),  # the first layer and the last too
    "progress": False,
    "sensitivity": "energy",
    "validate": True,
}
# 4-bit rows of Gaussian weights make noise 21 dB below the output of one layer, three in a row about 5 dB more.
LEAST_DB = 14.0


def convert(content: bytes, data: object, **options: Any) -> tfmpq.ConversionResult:
    return tfmpq.convert(content, data, **{**OPTIONS, **options})


def weights(model: Model, number: int) -> dict[str, Tensor]:
    dense = (op for op in model.graphs[number].ops if op.code == BuiltinOperator.FULLY_CONNECTED)
    return {op.input(1).name: op.input(1) for op in dense}


@pytest.fixture(scope="module")
def both() -> tfmpq.ConversionResult:
    return convert(two_entries(), PREFILL, budget=tfmpq.ExtraBits(0.10))


def test_both_signatures_have_the_same_points_in_the_same_buffers(both: tfmpq.ConversionResult):
    model = load(both.tflite_model)
    assert [s.key for s in model.signatures] == ["prefill", "decode"]
    first, second = weights(model, 0), weights(model, 1)
    assert list(first) == list(second)
    assert TensorType.INT4 in [t.type for t in first.values()]
    assert all(first[name].data is second[name].data for name in first)
    assert any("signature 'decode' has the points of 3 of 3 layers too" in note for note in both.report.notes)


def test_both_signatures_compute_what_they_did(both: tfmpq.ConversionResult):
    for key, data in (("prefill", PREFILL), ("decode", DECODE)):
        right, made = (run_entry(content, key, x=data[:1]) for content in (two_entries(), both.tflite_model))
        assert decibels(right, made) > LEAST_DB


def test_the_rest_of_the_file_is_as_it_was(both: tfmpq.ConversionResult):
    model, before = load(both.tflite_model), load(two_entries())
    assert model.metadata.keys() == {UNSTEERED, "tfmpq"}
    assert [[name for name, _ in s.inputs] for s in model.signatures] == [["x"], ["x"]]
    assert [g.inputs[0].shape for g in model.graphs] == [g.inputs[0].shape for g in before.graphs]
    assert len(both.tflite_model) < len(both.stock_model) < len(both.float_model) / 2


def test_a_signature_that_is_not_first_is_calibrated_and_stays_second():
    result = convert(two_entries(), DECODE, signature="decode")
    model = load(result.tflite_model)
    assert [s.key for s in model.signatures] == ["prefill", "decode"]
    assert [g.name for g in model.graphs] == ["prefill", "decode"]
    assert any("'prefill' has the points of 3 of 3 layers too, although" in note for note in result.report.notes)
    right, made = (run_entry(content, "prefill", x=PREFILL[:1]) for content in (two_entries(), result.tflite_model))
    assert decibels(right, made) > LEAST_DB


def test_samples_choose_their_signature():
    pairs = [("decode", {"x": sample}) for sample in DECODE]
    for data in (DECODE, pairs):
        result = convert(two_entries(), data, signature=("prefill", "decode"))
        assert result.report.proxies is not None
        assert [s.key for s in load(result.tflite_model).signatures] == ["prefill", "decode"]


def test_samples_of_no_signature_are_refused():
    with pytest.raises(DataError, match="none of the signatures: 'prefill' takes"):
        convert(two_entries(), PREFILL[:, :5])


def test_several_signatures_need_float_activations():
    with pytest.raises(OptionError, match="activations='float'"):
        tfmpq.convert(two_entries(), PREFILL, signature=("prefill", "decode"))


def test_weights_of_other_signatures_alone_stay_int8():
    other = block("other", 4, [2 * m for m in matrices(seed=5)])
    graph = block("main", 8, matrices())
    result = convert(save(Model([graph, other], [entry("main", graph), entry("other", other)], {})), PREFILL)
    reasons = {s.name: s.reason for s in result.report.skipped}
    assert reasons == dict.fromkeys(
        ("up/kernel", "down/kernel", "head/kernel"), "it is in signature 'other' only, for which there are no data"
    )
    assert {t.type for t in weights(load(result.tflite_model), 1).values()} == {TensorType.INT8}


def test_signatures_that_are_not_named_stay_in_float():
    other = block("other", 4, [2 * m for m in matrices(seed=5)])
    graph = block("main", 8, matrices())
    content = save(Model([graph, other], [entry("main", graph), entry("other", other)], {}))
    result = convert(content, PREFILL, signature="main")
    x = PREFILL[:1, :4]
    assert np.array_equal(run_entry(content, "other", x=x), run_entry(result.tflite_model, "other", x=x))


def test_a_weight_that_another_graph_takes_in_float_only_stays():
    graph, x = block("main", 8, matrices()), activation("other/x", (HIDDEN, WIDTH))
    table = constant("up/kernel", matrices()[0])
    options: dict[str, int] = {"fusedActivationFunction": 0}
    summed = make_op(BuiltinOperator.ADD, [x, table], [activation("y", (HIDDEN, WIDTH))], 1, "AddOptions", **options)
    other = type(graph)([x], summed.outputs[:], [summed], "other")
    content = save(Model([graph, other], [entry("main", graph), entry("other", other)], {}))
    result = convert(content, PREFILL, signature="main")
    reasons = [s.reason for s in result.report.skipped]
    assert "ADD of signature 'other' reads it too, and takes it in float only" in reasons
    assert len(result.report.layers) == 2


def test_caches_are_inputs_like_others():
    """A step of attention: scores over a cache that is given, whose new state is another output."""
    weights_of = matrices()
    x, cache = activation("x", (1, 1, WIDTH)), activation("cache", (1, 64, WIDTH))
    down = product(x, "down", np.ascontiguousarray(weights_of[0][:WIDTH]))
    scores = make_op(
        BuiltinOperator.BATCH_MATMUL, [cache, down.outputs[0]], [activation("scores", (1, 64, 1))], 1,
        "BatchMatMulOptions", adjX=0, adjY=1,
    )  # fmt: skip
    graph = type(block("g", 1, weights_of))([x, cache], [scores.outputs[0], down.outputs[0]], [down, scores], "step")
    signature = entry("step", graph)
    signature.outputs.append(("state", graph.outputs[1]))
    shapes = {"x": (1, 1, WIDTH), "x_1": (1, 64, WIDTH)}
    samples = [{n: RNG.normal(size=shape).astype(np.float32) for n, shape in shapes.items()} for _ in range(34)]
    result = convert(save(Model([graph], [signature], {})), lambda: iter(samples))
    right, made = (run_entry(c, "step", **samples[0]) for c in (result.float_model, result.tflite_model))
    assert decibels(right, made) > LEAST_DB


# ---------------------------------------------------------------- open sizes


@pytest.mark.parametrize("varied", [False, True])
def test_open_sizes_stay_open(varied: bool):
    lengths = RNG.integers(2, 12, 40) if varied else np.full(40, 6)
    data = [RNG.normal(size=(1, n, WIDTH)).astype(np.float32) for n in lengths]
    result = convert(open_length(batch=-1), data, batch_size=None, sensitivity="auto")
    for shape in ((1, 6), (1, 1), (1, 30), (3, 7)):
        x = RNG.normal(size=(*shape, WIDTH)).astype(np.float32)
        right, made = (run_entry(c, "serving_default", x=x) for c in (open_length(batch=-1), result.tflite_model))
        assert made.shape == (*shape, HIDDEN)
        assert decibels(right, made) > LEAST_DB
    tensor = load(result.tflite_model).graph.inputs[0]
    assert (tensor.shape, tensor.shape_signature) == ((1, 1, WIDTH), (-1, -1, WIDTH))
    assert not any("the same outputs" in str(warning) for warning in result.report.warnings)


def test_the_report_counts_weights_below_8_bits(both: tfmpq.ConversionResult):
    share = both.report.weights
    assert share is not None
    assert share.total == 3 * HIDDEN * WIDTH  # those of both signatures are the same
    stored = weights(load(both.tflite_model), 0).values()
    assert share.below == sum(t.array().size for t in stored if t.type == TensorType.INT4)
    assert sum(holder.weights for holder in share.rest) == share.total - share.below


def test_compact_files_expand_in_all_graphs():
    result = convert(two_entries(), PREFILL, lowering="compact")
    model = load(tfmpq.expand(result.tflite_model))
    assert {t.type for number in (0, 1) for t in weights(model, number).values()} == {TensorType.INT8}
    first, second = weights(model, 0), weights(model, 1)
    assert all(first[name].data is second[name].data for name in first)
    compact, expanded = (run_entry(c, "decode", x=DECODE[:1]) for c in (result.tflite_model, save(model)))
    assert decibels(compact, expanded) > 50  # the same integers, in sums of another order


# ---------------------------------------------------------------- data of several signatures


def encoder_and_decoder() -> bytes:
    graphs = [block("encode", 8, matrices()), block("decode", 1, [2 * m for m in matrices(seed=5)])]
    return save(Model(graphs, [entry(g.name, g) for g in graphs], {UNSTEERED: b"true"}))


def test_signatures_with_weights_of_their_own_take_data_of_their_own():
    result = convert(encoder_and_decoder(), {"encode": PREFILL, "decode": DECODE})
    model = load(result.tflite_model)
    assert [g.name for g in model.graphs] == [s.key for s in model.signatures] == ["encode", "decode"]
    for number, (key, data) in enumerate((("encode", PREFILL), ("decode", DECODE))):
        assert TensorType.INT4 in {t.type for t in weights(model, number).values()}
        right, made = (run_entry(c, key, x=data[:1]) for c in (encoder_and_decoder(), result.tflite_model))
        assert decibels(right, made) > LEAST_DB
    assert len(result.report.layers) == 6
    assert result.report.skipped == ()
    assert result.report.file.bytes == len(result.tflite_model)
    assert [note.split(":")[0] for note in result.report.notes[:2]] == ["signature 'encode'", "signature 'decode'"]


def test_signatures_with_the_same_weights_take_the_first_ones_data():
    result = convert(two_entries(), {"decode": DECODE, "prefill": PREFILL})
    assert "signature 'prefill' has weights of 'decode', and so the points that its samples gave them" in (
        result.report.notes
    )
    alone = convert(two_entries(), DECODE, signature=("decode", "prefill"))
    assert result.tflite_model == alone.tflite_model


def test_data_of_signatures_that_are_left_out_are_refused():
    with pytest.raises(OptionError, match="data of the signature 'decode'"):
        convert(two_entries(), {"decode": DECODE}, signature="prefill")


def test_files_are_evaluated_and_compared_by_signature():
    result = evaluate(two_entries(), Labelled({"x": DECODE}, None), against=two_entries(), signature="decode")
    assert result.count == len(DECODE)
    feeds = [{"x": step[None]} for step in DECODE]
    found = diff(two_entries(), two_entries(), lambda: iter(feeds), progress=False, signature="decode")
    assert found.samples == len(DECODE)


def test_prepare_takes_data_of_one_signature():
    options = {name: value for name, value in OPTIONS.items() if name != "validate"}
    prepared = tfmpq.prepare(encoder_and_decoder(), {"decode": DECODE}, **options)
    model = load(prepared.finish(validate=False).tflite_model)
    assert [s.key for s in model.signatures] == ["encode", "decode"]
    assert TensorType.INT4 in {t.type for t in weights(model, 1).values()}
    with pytest.raises(OptionError, match="prepare takes data of one signature"):
        tfmpq.prepare(encoder_and_decoder(), {"encode": PREFILL, "decode": DECODE}, **options)


def test_layers_of_two_graphs_may_be_namesakes():
    graphs = [block("prefill", 8, matrices()), block("decode", 1, matrices(seed=5))]
    content = save(Model(graphs, [entry(graph.name, graph) for graph in graphs], {}))
    made = convert(content, {"prefill": PREFILL, "decode": DECODE}, lowering="compact").tflite_model
    expanded = tfmpq.expand(made)
    assert expanded != made
    for key, data in (("prefill", PREFILL), ("decode", DECODE)):
        right, compact, fast = (run_entry(file, key, x=data[:1]) for file in (content, made, expanded))
        assert decibels(right, compact) > LEAST_DB
        # The same integers; where kernels of both types round differently, single 8-bit inputs are a step apart.
        assert decibels(compact, fast) > 40
