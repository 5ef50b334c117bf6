"""tfmpq.convert from end to end on a small residual network."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import (
    BudgetError,
    DataError,
    LoweringError,
    ModelError,
    OptionError,
    RecipeError,
    ValidationError,
)
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tfmpq.emit import write as emission

SHAPE = (12, 12, 3)


def build() -> Any:
    """Stem, depthwise block, two projections into one residual sum, classifier; every layer but the stem is 1x1."""
    import keras

    keras.utils.set_random_seed(11)
    k = keras.layers
    source = keras.Input(SHAPE, name="image")
    x = k.ReLU(6.0)(k.Conv2D(16, 3, strides=2, padding="same", name="stem")(source))
    x = first = k.Conv2D(24, 1, name="project_1")(x)
    x = k.ReLU(6.0)(k.Conv2D(48, 1, name="expand")(x))
    x = k.ReLU(6.0)(k.DepthwiseConv2D(3, padding="same", name="depthwise")(x))
    x = k.Add(name="sum")([first, k.Conv2D(24, 1, name="project_2")(x)])
    x = k.ReLU(6.0)(k.Conv2D(64, 1, name="top")(x))
    x = k.Dense(10, activation="softmax", name="classifier")(k.GlobalAveragePooling2D()(x))
    return keras.Model(source, x, name="small")


@pytest.fixture(scope="module")
def keras_model() -> Any:
    return build()


@pytest.fixture(scope="module")
def model(keras_model: Any) -> FloatModel:
    """Converted to float once: that is a third of a conversion, and the same each time."""
    return load_model(keras_model)


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return np.random.default_rng(7).uniform(-1, 1, (40, *SHAPE)).astype(np.float32)


LOW = tfmpq.Recipe([tfmpq.Rule(match="project|expand|top", bits=4)])


def convert(model: Any, data: Any, **options: Any) -> Any:
    usual = {"progress": False, "recipe": LOW, "sensitivity": "energy", "budget": tfmpq.ExtraBits(0.1)}
    chosen: dict[str, Any] = {**usual, **options}
    return tfmpq.convert(model, data, **chosen)


def weight_types(content: bytes) -> list[tuple[str, int]]:
    """(op, weight type) of every op with a constant weight."""
    found = []
    for op in load(content).graph.ops:
        types = [t.type for t in op.inputs if t is not None and t.data is not None and len(t.shape) > 1]
        found += [(op.name, kind) for kind in types if kind in (TensorType.INT8, TensorType.INT4)]
    return found


@pytest.mark.parametrize("lowering", ["auto", "split", "parallel", "fused"])
def test_the_whole_way(model: Any, data: np.ndarray, lowering: str):
    result = convert(model, data, lowering=lowering, budget=tfmpq.ExtraBits(0.2), sensitivity="auto")
    # Names are the user's, first and last layers are at 8 bits, and some rows have two points. Where size is at stake,
    # the classifier, with 11 % of the weights, is not excepted.
    assert list(result.plan.layers) == ["stem", "project_1", "expand", "depthwise", "project_2", "top", "classifier"]
    bits = {name: plan.settings.bits for name, plan in result.plan.layers.items()}
    small = lowering in ("auto", "split")
    assert (bits["stem"], bits["depthwise"], bits["classifier"], bits["expand"]) == (8, 8, 4 if small else 8, 4)
    low = [plan for plan in result.plan.layers.values() if plan.settings.bits == 4]
    widths = {"project_1": 16, "expand": 24, "project_2": 48, "top": 24, **({"classifier": 64} if small else {})}
    first = sum(len(result.plan.layers[n].counts) * (d / 2 + 4) for n, d in widths.items())
    # Layers that auto leaves at int8 for speed have all their points: bytes that the budget does not count.
    counted = {
        n: d for n, d in widths.items() if lowering != "auto" or result.plan.layers[n].settings.lowering == "split"
    }
    extra = sum((result.plan.layers[n].counts - 1).sum() * (d / 2 + 4) for n, d in counted.items())
    assert (0 if lowering == "auto" else 0.1) * first <= extra <= 0.2 * first
    assert result.report.extra_bits == pytest.approx(extra / first)
    assert any(plan.counts.max() == 2 for plan in low)
    # Signature and interface are those of stock.
    ours, stock = load(result.tflite_model), load(result.stock_model)
    assert [s.key for s in ours.signatures] == [s.key for s in stock.signatures]
    assert ours.graph.inputs[0].scale == stock.graph.inputs[0].scale
    # Outputs stay near the float model's: probabilities within 0.1 (a model of random weights is nearly flat).
    reference, file = make_interpreter(result.float_model), make_interpreter(result.tflite_model)
    detail = outputs(file)[0]
    for image in data[:5]:
        expected = run(reference, {"image": image[None]})[0]
        raw = run(file, {"image": image[None]})[0].astype(np.float32)
        np.testing.assert_allclose((raw - detail.zero_point) * detail.scale, expected, atol=0.1)
    assert "integers as chosen" in str(result.report)


def test_one_preparation_serves_many_budgets(model: Any, data: np.ndarray):
    options: dict[str, Any] = {"progress": False, "recipe": LOW, "sensitivity": "energy"}
    prepared = tfmpq.prepare(model, data, **options)
    for budget in (tfmpq.ExtraBits(0.3), tfmpq.Epsilon(0.002), tfmpq.MaxBytes(14_000)):
        at_once = tfmpq.convert(model, data, budget=budget, **options)
        result = prepared.finish(budget=budget)
        assert result.tflite_model == at_once.tflite_model
        assert result.report.seconds["statistics"] == prepared.seconds["statistics"]
    assert len(result.tflite_model) <= 14_000
    message = r"weights='int4' is the compact storage .* give lowering='compact'"
    with pytest.warns(FutureWarning), pytest.raises(OptionError, match=message):
        prepared.finish(weights="int4")
    plain = prepared.finish(weights="int8")  # nothing is left to split
    assert {kind for _, kind in weight_types(plain.tflite_model)} == {TensorType.INT8}


def test_latency_budgets(model: Any, data: np.ndarray):
    """Predicted, so the same on every machine: the target's table decides."""
    prepared = tfmpq.prepare(model, data, progress=False, recipe=LOW, sensitivity="energy")
    budget = tfmpq.ExtraBits(0.3)
    free, tight = prepared.finish(budget=budget, max_latency_ratio=3.0), prepared.finish(budget=budget)
    costs = [{c.lowering: c for c in r.report.lowering_costs} for r in (free, tight)]
    assert costs[1]["as written"].latency_ratio <= 1.02 < costs[0]["as written"].latency_ratio
    spent = [result.report.extra_bits or 0.0 for result in (free, tight)]
    assert spent[0] > spent[1]  # time is what keeps points from being bought
    assert tight.report.unspent is not None
    assert "max_latency_ratio=" in tight.report.unspent
    assert costs[0]["parallel"].latency_ratio > costs[0]["split"].latency_ratio > 1.0
    assert costs[0]["fused"].latency_ratio == pytest.approx(1.0)
    with pytest.raises(BudgetError, match=r"max_latency_ratio=0\.3: .* predicted to take \d\.\d+ of stock's time"):
        prepared.finish(budget=budget, max_latency_ratio=0.3)
    explicit = tfmpq.prepare(model, data, progress=False, recipe=LOW, sensitivity="energy", lowering="parallel")
    slow, fast = explicit.finish(budget=budget), explicit.finish(budget=budget, max_latency_ratio=1.3)
    points = [sum(int(p.counts.sum()) for p in r.plan.layers.values()) for r in (slow, fast)]
    assert points[0] > points[1]
    assert {x.lowering for x in fast.report.layers} <= {"parallel", "fused"}


def test_low_bits_that_save_no_bytes_are_said(model: Any, data: np.ndarray):
    eight = tfmpq.Rule(match="", bits=8)
    for name, said in (("stem", True), ("top", False)):  # 3x3 and 1x1
        recipe = tfmpq.Recipe([eight, tfmpq.Rule(match=name, bits=4)])
        options: dict[str, Any] = {"budget": tfmpq.ExtraBits(0), "max_latency_ratio": 3.0, "validate": False}
        notes = " ".join(convert(model, data, recipe=recipe, **options).report.notes)
        assert ("100% of the low-bit weights stand in the file as int8" in notes) == said
    fused = convert(model, data, recipe=recipe, lowering="fused", validate=False)  # as asked for
    assert fused.report.notes == ()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"recipe": tfmpq.Recipe([tfmpq.Rule("stem", bits=4, lowering="split")])},
            RecipeError,
            r"rule 'stem': lowering='split' for layer 'stem' \(CONV_2D\) is impossible on target 'xnnpack': INT4",
        ),
        (
            {"recipe": tfmpq.Recipe([tfmpq.Rule("top", bits=4, lowering="fused", algorithm="greedy")])},
            LoweringError,
            r"rule 'top': .*2 points of 4 bits by algorithm 'greedy' do not merge",
        ),
        (
            {"lowering": "split", "max_points": 3},
            LoweringError,
            r"3 points of 4 bits by algorithm 'radix' do not merge",
        ),
        ({"target": "tpu"}, OptionError, r"target 'tpu' .*xnnpack"),
        ({"max_latency_ratio": 0}, OptionError, r"max_latency_ratio=0 is out of range"),
    ],
)
def test_impossible_plans_are_refused_before_any_work(
    model: Any, data: np.ndarray, options: dict[str, Any], error: type, text: str, monkeypatch
):
    def late(*_: Any, **__: Any) -> Any:
        raise AssertionError("statistics were already being gathered")

    monkeypatch.setattr("tfmpq.pipeline.measure_or_merge", late)
    with pytest.raises(error, match=text):
        convert(model, data, **options)


def test_storage_of_the_parallel_form(model: Any, data: np.ndarray):
    auto = convert(model, data, lowering="parallel")
    plain = convert(model, data, lowering="parallel", weights="int8")
    assert ("FULLY_CONNECTED", TensorType.INT4) in weight_types(auto.tflite_model)
    assert all(kind == TensorType.INT8 for _, kind in weight_types(plain.tflite_model))
    # The same points: the stored form changes no integer of the computation.
    for name, layer in auto.plan.layers.items():
        np.testing.assert_array_equal(layer.counts, plain.plan.layers[name].counts)
    first, second = (make_interpreter(r.tflite_model, kernels="builtin") for r in (auto, plain))
    for image in data[:5]:
        a, b = (run(i, {"image": image[None]})[0].astype(int) for i in (first, second))
        # INT4 dense and int8 convolution kernels round half-way cases differently: a step here and there, which
        # softmax can stretch to a few.
        assert np.abs(a - b).max() <= 4
    assert len(auto.tflite_model) < len(plain.tflite_model)


# Keras 3.15 saves a model through an array protocol that NumPy 2 deprecates.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_same_bytes_every_time(keras_model: Any, data: np.ndarray, tmp_path: Path, run_python: Any):
    """In another process; in this one it is part of test_one_preparation_serves_many_budgets."""
    path = tmp_path / "model.keras"
    keras_model.save(path)
    np.save(tmp_path / "data.npy", data)
    first = convert(path, data, sensitivity="auto").tflite_model
    code = f"""
        import hashlib, numpy as np, tfmpq
        recipe = tfmpq.Recipe([tfmpq.Rule(match="project|expand|top", bits=4)])
        data, budget = np.load({str(tmp_path / "data.npy")!r}), tfmpq.ExtraBits(0.10)
        result = tfmpq.convert({str(path)!r}, data, recipe=recipe, budget=budget, progress=False)
        print(hashlib.sha256(result.tflite_model).hexdigest())
    """
    assert run_python(code).stdout.split()[-1] == hashlib.sha256(first).hexdigest()


@pytest.mark.parametrize(("io_dtype", "kind"), [("int8", np.int8), ("uint8", np.uint8), ("float32", np.float32)])
def test_io_types(model: Any, data: np.ndarray, io_dtype: Any, kind: type):
    result = convert(model, data, io_dtype=io_dtype)
    interpreter = make_interpreter(result.tflite_model)
    assert interpreter.get_input_details()[0]["dtype"] is kind
    assert interpreter.get_output_details()[0]["dtype"] is kind


def test_dynamic_batch(keras_model: Any, data: np.ndarray):
    result = convert(keras_model, data, batch_size=None, lowering="parallel")
    interpreter = make_interpreter(result.tflite_model)
    three = run(interpreter, {"image": data[:3]})[0]
    assert three.shape == (3, 10)
    one = make_interpreter(result.tflite_model)
    for i in range(3):
        np.testing.assert_array_equal(run(one, {"image": data[i : i + 1]})[0][0], three[i])


@pytest.mark.slow
def test_max_bytes(model: Any, data: np.ndarray):
    prepared = tfmpq.prepare(model, data, progress=False, recipe=LOW, sensitivity="energy")
    free: dict[str, Any] = {"max_latency_ratio": 3.0}  # so small a net has few files at the default
    smallest = len(prepared.finish(budget=tfmpq.ExtraBits(0), **free).tflite_model)
    largest = len(prepared.finish(budget=tfmpq.ExtraBits(3), **free).tflite_model)
    middle = (smallest + largest) // 2
    result = prepared.finish(budget=tfmpq.MaxBytes(middle), **free)
    assert smallest < len(result.tflite_model) <= middle
    with pytest.raises(BudgetError, match=f"has {smallest} bytes"):
        prepared.finish(budget=tfmpq.MaxBytes(smallest - 1), **free)
    with pytest.raises(BudgetError, match="raise max_latency_ratio"):  # not at stock's speed
        prepared.finish(budget=tfmpq.MaxBytes(middle))


@pytest.mark.slow
def test_max_drop(model: Any, data: np.ndarray):
    def likeness(content: bytes) -> float:
        """100 for the float file, less for outputs far from its own."""
        interpreter, reference = make_interpreter(content), make_interpreter(base.float_model)
        detail = outputs(interpreter)[0]
        total = 0.0
        for image in data[:8]:
            raw = run(interpreter, {"image": image[None]})[0].astype(np.float32)
            real = (raw - detail.zero_point) * detail.scale if detail.scale else raw
            total += float(np.abs(real - run(reference, {"image": image[None]})[0]).sum())
        return 100 - 100 * total / 8

    # At stock's speed layers of this size stand as int8, with all their points, whatever the budget.
    # With int8 activations their noise is nearly all of the distance, and eight images do not tell points apart.
    free: dict[str, Any] = {"max_latency_ratio": 3.0}
    prepared = tfmpq.prepare(model, data, progress=False, recipe=LOW, sensitivity="energy", activations="float")
    base, half, full = (prepared.finish(budget=tfmpq.ExtraBits(extra), **free) for extra in (0, 0.5, 3))
    least, more, most = (likeness(result.tflite_model) for result in (base, half, full))
    assert least < more < most
    wanted = 100 - (least + more) / 2
    result = prepared.finish(budget=tfmpq.MaxDrop(wanted, likeness), **free)
    assert likeness(result.tflite_model) >= 100 - wanted
    assert len(result.tflite_model) < len(full.tflite_model)
    with pytest.raises(BudgetError, match="float model scores 100"):
        prepared.finish(budget=tfmpq.MaxDrop(0.0, likeness), **free)


def test_epsilon_is_the_papers_rule(model: Any, data: np.ndarray):
    usual: dict[str, Any] = {"progress": False, "recipe": LOW, "sensitivity": "energy"}
    prepared = tfmpq.prepare(model, data, algorithm="greedy", max_points=3, **usual)
    strict, loose = (prepared.finish(budget=tfmpq.Epsilon(epsilon)) for epsilon in (1e-6, 0.2))
    total = {r: sum(int(p.counts.sum()) for p in r.plan.layers.values()) for r in (strict, loose)}
    assert total[strict] > total[loose]
    assert max(int(p.counts.max()) for p in strict.plan.layers.values()) == 3


def test_keep_leaves_stock_integers(model: Any, data: np.ndarray):
    recipe = tfmpq.Recipe([*LOW.rules, tfmpq.Rule(match="^top$", keep="int8")])
    result = convert(model, data, recipe=recipe, lowering="fused")
    assert "top" not in result.plan.layers

    def weights(content: bytes, channels: int) -> set[bytes]:
        tensors = [t for op in load(content).graph.ops for t in op.inputs if t is not None and t.data is not None]
        return {t.data for t in tensors if t.shape[:1] == (channels,) and t.type == TensorType.INT8 and t.data}

    assert weights(result.tflite_model, 64) == weights(result.stock_model, 64)
    assert weights(result.tflite_model, 48) != weights(result.stock_model, 48)


@pytest.mark.slow
def test_metadata_is_small_and_readable(model: Any, data: np.ndarray):
    result = convert(model, data, lowering="fused")
    entry = load(result.tflite_model).metadata.get("tfmpq")
    assert entry is None or len(entry) <= 0.005 * len(result.tflite_model)
    import keras

    k = keras.layers
    big = keras.Sequential(
        [keras.Input((8, 8, 16)), k.Conv2D(256, 1), k.Conv2D(256, 3, name="wide"), k.Flatten(), k.Dense(8)]
    )
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 16)).astype(np.float32)
    # As a 3x3 convolution it is int8 in the file, and has 8 bits unless the download counts.
    content = tfmpq.convert(big, images, progress=False, sensitivity="energy", optimize="download").tflite_model
    packed = load(content).metadata["tfmpq"]
    assert len(packed) <= 0.005 * len(content)
    read = tfmpq.inspect(content).metadata
    assert read is not None
    assert read["version"] == tfmpq.__version__
    assert read["layers"]["wide"][0] == 4


def test_save_is_the_file(keras_model: Any, data: np.ndarray, tmp_path: Path):
    result = convert(keras_model, data)
    result.save(tmp_path / "m.tflite")
    assert (tmp_path / "m.tflite").read_bytes() == result.tflite_model
    assert [p.name for p in tmp_path.iterdir()] == ["m.tflite"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"bits": 9}, "bits=9 is out of range"),
        ({"bits": 4.0}, "bits=4.0 is out of range"),
        ({"max_points": 5}, "max_points=5"),
        ({"lowering": "merged"}, "lowering='merged' is not known; choose one of 'auto', 'split', 'fused', 'parallel'"),
        ({"algorithm": "magic"}, "algorithm='magic'"),
        ({"sensitivity": "none"}, "sensitivity='none'"),
        ({"weights": "int2"}, "weights='int2'"),
        ({"io_dtype": "int16"}, "io_dtype='int16'"),
        ({"batch_size": 4}, "batch_size=4"),
        ({"seed": -1}, "seed=-1"),
        ({"budget": 0.1}, "is no budget"),
        ({"recipe": [("a", 4)]}, "is no Recipe"),
    ],
)
def test_bad_options(options: dict[str, Any], text: str):
    with pytest.raises(OptionError, match=text.replace("(", r"\(")):
        tfmpq.convert(object(), [], **options)


def test_a_rule_that_matches_nothing(model: Any, data: np.ndarray):
    with pytest.raises(RecipeError, match=r"projekt.*project"):
        convert(model, data, recipe=tfmpq.Recipe([tfmpq.Rule(match="projekt_1", bits=4)]))


def test_a_model_without_layers(data: np.ndarray):
    import keras

    model = keras.Sequential([keras.Input(SHAPE), keras.layers.AveragePooling2D(2), keras.layers.ReLU()])
    with pytest.raises(ModelError, match=r"no layer that tfmpq can quantize \(convolution, depthwise convolution"):
        tfmpq.convert(model, data, progress=False)


def test_tables_alone_are_layers_with_float_activations_only():
    import keras

    def only_a_table(rows: int) -> Any:
        ids = keras.Input((4,), dtype="int32")
        return keras.Model(ids, keras.layers.ReLU()(keras.layers.Embedding(rows, 16, name="token")(ids)))

    ids = np.random.default_rng(0).integers(0, 20, (40, 4)).astype(np.int32)
    with pytest.raises(ModelError, match=r"token \(GATHER\).*activations='float' looks up rows"):
        tfmpq.convert(only_a_table(100), ids, progress=False)
    with pytest.raises(ModelError, match=r"table of 1,024 .*token \(GATHER\).*fewer than 1,024") as caught:
        tfmpq.convert(only_a_table(20), ids, activations="float", progress=False)
    assert "activations=" not in str(caught.value)  # they are float already


def test_tables_are_named_first_of_what_is_no_layer():
    import keras
    from keras import layers, ops

    rng = np.random.default_rng(0)
    x, ids = keras.Input((64, 64), name="x"), keras.Input((4,), dtype="int32", name="ids")
    y: Any = x
    for _ in range(6):
        y = ops.tanh(y * ops.convert_to_tensor(rng.normal(size=(1, 64, 64)).astype(np.float32)))
    model = keras.Model([x, ids], [y, layers.ReLU()(layers.Embedding(100, 16, name="token")(ids))])
    data = [{"x": rng.normal(size=(64, 64)).astype(np.float32), "ids": np.arange(4, dtype=np.int32)}]
    with pytest.raises(
        ModelError, match=r"weights\)\. token \(GATHER\): the table's.*Not listed: 2 further op"
    ) as caught:
        tfmpq.convert(model, data, progress=False)
    assert str(caught.value).count("(MUL)") == 4


def test_points_that_cannot_be_fused(model: Any, data: np.ndarray):
    with pytest.raises(tfmpq.ConversionError, match="do not merge"):
        convert(model, data, lowering="fused", max_points=3, budget=tfmpq.ExtraBits(2))


def test_other_layers_stay_stock_and_are_listed():
    """What tfmpq has no form for is in the report with its reason, and the rest is converted."""
    import keras

    keras.utils.set_random_seed(0)
    k = keras.layers
    source = keras.Input((6, 8), name="tokens")
    table = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32))
    x = k.Dense(16, activation="relu", name="before")(source)
    x = k.Lambda(lambda v: keras.ops.matmul(table, v), name="mix")(x)
    model = keras.Model(source, k.Dense(4, name="after")(x))
    images = np.random.default_rng(1).normal(size=(8, 6, 8)).astype(np.float32)
    result = tfmpq.convert(model, images, progress=False, sensitivity="energy")
    assert set(result.plan.layers) <= {"before", "after", "mix"}
    assert {"before", "after"} <= set(result.plan.layers)
    if "mix" not in result.plan.layers:
        assert "BATCH_MATMUL" in str(result.report)


def test_files_keep_their_card_their_attachments_and_their_signature(model: Any, data: np.ndarray):
    source = load(load_model(model).flatbuffer)
    source.metadata["TFLITE_METADATA"] = b"a model card"
    source.attachments = [(zipfile.ZipInfo("labels.txt"), b"cat\ndog\n")]
    source.signatures[0].key = "classify"
    result = tfmpq.convert(save(source), data, progress=False, sensitivity="energy")
    written = load(result.tflite_model)
    assert written.metadata["TFLITE_METADATA"] == b"a model card"
    assert [(info.filename, content) for info, content in written.attachments] == [("labels.txt", b"cat\ndog\n")]
    assert [(s.key, [name for name, _ in s.inputs]) for s in written.signatures] == [("classify", ["image"])]
    assert next(iter(result.plan.layers)) == "small_1/stem_1"  # as the file calls it


def test_everything_kept_is_the_stock_file(model: Any, data: np.ndarray):
    recipe = tfmpq.Recipe([tfmpq.Rule(match="", keep="int8")])
    result = tfmpq.convert(model, data, recipe=recipe, progress=False)
    assert result.plan.layers == {}
    ours, stock = (make_interpreter(c) for c in (result.tflite_model, result.stock_model))
    np.testing.assert_array_equal(run(ours, {"image": data[:1]})[0], run(stock, {"image": data[:1]})[0])
    assert {layer.lowering for layer in result.report.layers} == {"stock"}


def test_recurrent_layers_keep_their_scales_with_the_reason():
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    k = tf_keras.layers
    source = tf_keras.Input((4, 12), name="steps")
    outputs = k.Dense(3, name="head")(k.Dense(16, name="inner")(k.LSTM(6, name="memory")(source)))
    steps = np.random.default_rng(0).normal(size=(8, 4, 12)).astype(np.float32)
    result = tfmpq.convert(tf_keras.Model(source, outputs), steps, progress=False)
    assert list(result.plan.layers) == ["inner", "head"]
    (skipped,) = result.report.skipped
    assert (skipped.name, skipped.op) == ("memory/lstm_cell", "UNIDIRECTIONAL_SEQUENCE_LSTM")
    text = " ".join(str(result.report).split())
    assert "its kernels take one scale a matrix and 8 bits only; codes are chosen by output error" in text
    assert "codes of LSTMs memory/lstm_cell" in text
    # Its types and the scales of its matrices are stock's, and few codes are further off than the next.
    ours, stock = (load(c).graph for c in (result.tflite_model, result.stock_model))
    lstm = [next(op for op in graph.ops if op.name == skipped.op) for graph in (ours, stock)]
    moved = 0
    for slot in range(1, 9):
        mine, theirs = (op.input(slot) for op in lstm)
        assert (mine.type, mine.shape, mine.scale) == (theirs.type, theirs.shape, theirs.scale)
        off = np.abs(mine.array().astype(int) - theirs.array())
        assert off.max() <= 8
        moved += np.count_nonzero(off)
    assert moved > 0


def test_several_inputs_and_outputs():
    import keras

    keras.utils.set_random_seed(0)
    k = keras.layers
    left, right = keras.Input((6, 6, 4), name="left"), keras.Input((3,), name="right")
    x = k.Conv2D(16, 1, activation="relu", name="wide")(k.Conv2D(16, 3, name="stem")(left))
    scores = k.Dense(5, name="scores")(k.Concatenate()([k.GlobalAveragePooling2D()(x), k.Dense(8, name="side")(right)]))
    net = keras.Model([left, right], [scores, k.Conv2D(2, 1, name="map")(x)])
    rng = np.random.default_rng(2)
    samples = [(rng.normal(size=(6, 6, 4)).astype(np.float32), 100 * rng.normal(size=3)) for _ in range(12)]
    result = tfmpq.convert(net, samples, progress=False, budget=tfmpq.ExtraBits(0.5), lowering="parallel")
    assert {name for name, p in result.plan.layers.items() if p.settings.bits == 4} == {"wide"}
    assert 1 < result.plan.layers["wide"].counts.mean() <= 1.5
    reference, file = make_interpreter(result.float_model), make_interpreter(result.tflite_model)
    feeds = [{"left": a[None], "right": b[None].astype(np.float32)} for a, b in samples]
    for expected, found, detail in zip(
        *(zip(*(run(i, f) for f in feeds), strict=True) for i in (reference, file)), outputs(file), strict=True
    ):
        real = (np.array(found, np.float32) - detail.zero_point) * detail.scale
        # 4-bit rows, half of them with a second point: 20 dB and more of signal to noise.
        assert 10 * ((real - expected) ** 2).mean() < np.var(expected) / 10


def test_frozen_layers_fall_back_in_the_report(model: Any, data: np.ndarray):
    """Points that are given stay with their rows, so that rows with two points may lie between others."""
    recipe = tfmpq.Recipe([tfmpq.Rule(match="", bits=8), tfmpq.Rule(match="classifier", bits=4)])
    options: dict[str, Any] = {"recipe": recipe, "budget": tfmpq.ExtraBits(0.5), "lowering": "parallel"}
    result = convert(model, data, **options)
    assert result.report.fallbacks == ()  # chosen points lie where no row has to move
    whole = tfmpq.prepare(model, data, progress=False, sensitivity="energy", recipe=recipe, lowering="parallel")
    layer = next(entry for entry in whole.weighed if entry.name == "classifier")
    scattered = layer.weight(1 + np.arange(10) % 2)
    (fallback,) = convert(model, data, **options, points={"classifier": scattered}).report.fallbacks
    assert (fallback.layer, fallback.used) == ("classifier", "one int8 op")
    assert "SOFTMAX adds up channels" in fallback.reason


def test_rows_of_the_papers_rule_that_stand_as_int8_have_all_points(model: Any, data: np.ndarray):
    result = convert(model, data, budget=tfmpq.Epsilon(0.02))
    fused = [entry.name for entry in result.report.layers if entry.lowering == "fused" and entry.bits == 4]
    assert fused
    assert all((result.plan.layers[name].counts == 2).all() for name in fused)


def test_validation_can_be_left_out_and_finds_what_is_wrong(model: Any, data: np.ndarray, monkeypatch):
    assert convert(model, data, validate=False).report.validation is None
    written = emission.emit

    def damaged(*args: Any, **options: Any) -> Any:
        result = written(*args, **options)
        result.lowered[0].weights[0].codes[0, 0] ^= 1  # said differently from what stands in the file
        return result

    monkeypatch.setattr("tfmpq.preparation.emit", damaged)
    with pytest.raises(ValidationError, match=r"layer 'stem': weight 'stem/weight' of CONV_2D: 1 of"):
        convert(model, data)


def test_few_samples_serve_twice_and_many_are_held_back(model: Any, data: np.ndarray):
    few, many = (convert(model, data[:n], validate=False).report.proxies for n in (31, 40))
    assert (few.samples, few.held_back) == (31, False)
    assert (many.samples, many.held_back) == (5, True)  # every eighth


def test_wrong_data_are_said_at_once_and_in_the_report(model: Any, data: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    with pytest.warns(tfmpq.DataWarning, match="are the same: input 'image' is 0 everywhere") as seen:
        result = convert(model, data * 0)
    assert seen[0].filename == __file__
    assert [w.sign for w in result.report.warnings] == ["constant inputs"]
    assert str(result.report).startswith("warning ")
    assert result.report.to_dict()["warnings"][0]["about"] == "data"
    monkeypatch.setattr("tfmpq.twin.measured_twin", None)  # no work is begun
    for function in (convert, lambda *args, **options: tfmpq.prepare(*args, progress=False, **options)):
        with pytest.raises(DataError, match=r"is 0 everywhere.*strict=True"):
            function(model, data * 0, strict=True)


def test_strict_lets_right_data_pass_and_labels_are_noted(model: Any):
    # Seed 3: the untrained network puts these samples into several classes.
    data = np.random.default_rng(3).uniform(-1, 1, (40, *SHAPE)).astype(np.float32)
    data += np.linspace(-3, 3, 40, dtype=np.float32)[:, None, None, None] * np.sign(np.arange(3) - 0.5)
    result = convert(model, [(image, 3) for image in data], strict=True)
    assert result.report.warnings == ()
    assert any("labels" in note for note in result.report.notes)


def test_open_batches_that_cannot_be_differentiated_are_weighed_without_gradients():
    """Enlarging writes the file's batch into shapes that the gradient of a larger batch does not fit."""
    import keras

    source = keras.Input((6, 6, 8))
    enlarged = keras.layers.UpSampling2D(2)(keras.layers.Conv2D(16, 1)(source))
    x = np.random.default_rng(0).normal(size=(40, 6, 6, 8)).astype(np.float32)
    result = tfmpq.convert(keras.Model(source, enlarged), x, batch_size=None, progress=False)
    assert any("weighted equally within a layer: backpropagation" in note for note in result.report.notes)


@pytest.mark.parametrize(
    "lowering", ["auto", "split", "parallel"]
)  # compact files put rows back: expanded they need not
def test_maps_that_are_outputs_mix_rows_too(lowering: str):
    """Nobody may reorder a detector's maps, and a GATHER there is slow: the first rows have the second points."""
    import keras

    keras.utils.set_random_seed(0)
    source = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(source)
    network = keras.Model(source, keras.layers.Conv2D(256, 1, name="head")(x))
    x = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    recipe = tfmpq.Recipe([tfmpq.Rule(match="head", bits=4)])
    limits: dict[str, Any] = {"budget": tfmpq.ExtraBits(0.5), "max_latency_ratio": 3.0}
    result = convert(network, x, recipe=recipe, lowering=lowering, **limits)
    counts = result.plan.layers["head"].counts
    assert 0.4 < np.mean(counts == 2) <= 0.5
    assert (np.diff(counts) <= 0).all()
    (head,) = (entry for entry in result.report.layers if entry.name == "head")
    assert head.lowering == ("split" if lowering == "auto" else lowering)
    assert "GATHER" not in result.report.ops_added()
    assert result.report.fallbacks == ()
