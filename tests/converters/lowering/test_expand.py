"""Expansion of compact files: the fused file's integers and outputs, and nothing else touched."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import FileFormatError
from converters.layers.kinds import kind_of, weights_of
from converters.lowering.expand import expand
from converters.lowering.fused import lower_fused
from converters.lowering.parallel import lower_parallel
from converters.lowering.quantized_layer import QuantizedLayer
from converters.runtime.interpreter import Kernels, make_interpreter, run
from converters.tflite.graph import Graph, Model, Op, TensorType
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save
from tests.converters.lowering.test_parallel import ranges, single
from tests.converters.lowering.test_split import mergeable
from tests.support.op_models import KERNELS, activation, bias, file_of, layer_op, weight
from tests.support.pipeline import Converted, Feed, Rows, convert_once, image_feeds, on_grid, random_vectors, residual
from tests.tfmpq.test_matrix import NETS, check, feeds, half_at_night, merges, net, points
from tfmpq.recipe.rules import LayerSettings

POINTS = [(4, 1), (4, 2), (3, 2), (2, 3)]  # (bits, most points of a row), all of which merge


def with_record(content: bytes, **record: object) -> bytes:
    """The file with tfmpq's record, which tiny files have no room for."""
    model = load(content)
    if record or METADATA_NAME not in model.metadata:
        model.metadata[METADATA_NAME] = pack_record({"version": "test", **record})
    return save(model)


def without_record(content: bytes) -> bytes:
    model = load(content)
    model.metadata.pop(METADATA_NAME, None)
    return save(model)


def outputs(content: bytes, tests: list[Feed], kernels: Kernels = "xnnpack") -> list[np.ndarray]:
    interpreter = make_interpreter(content, kernels=kernels)
    return [value for feed in tests for value in run(interpreter, feed)]


def assert_same_outputs(first: bytes, second: bytes, tests: list[Feed], *, steps: int = 0) -> None:
    for kernels in KERNELS:
        for ours, theirs in zip(outputs(first, tests, kernels), outputs(second, tests, kernels), strict=True):
            allowed = steps if kernels == "builtin" else 0
            assert np.abs(ours.astype(int) - theirs).max() <= allowed, kernels
            assert ours.std() > 3  # else anything would be equal


def weight_types(content: bytes) -> set[int]:
    ops = [op for op in load(content).graph.ops if kind_of(op) is not None]
    return {weights_of(op)[0].type for op in ops}


def names(content: bytes) -> list[str]:
    return [op.name for op in load(content).graph.ops]


def integers(op: Op) -> list[tuple[bytes, float, int]]:
    """Every row's codes without their order, scale and bias, sorted: what permutations leave."""
    kind = kind_of(op)
    assert kind is not None
    _, slot, bias = kind.site
    assert bias is not None
    weight, scaling = op.input(slot), op.input(slot).quantization
    assert scaling is not None
    rows = np.sort(kind.rows(weight.array()), axis=1)
    return sorted(zip(map(bytes, rows), scaling.scale.tolist(), op.input(bias).array().tolist(), strict=True))


# ---------------------------------------------------------------- against the fused form


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # A process of its own for the first run would take most of the time here; test_validation.py has it.
    monkeypatch.setattr("tfmpq.emit.validation.refusals", lambda *_: {})
    # The layers here are so small that further operators do not pay: test_compact.py has what pays.
    monkeypatch.setattr("converters.lowering.compact.OP_BYTES", 0)


@pytest.mark.parametrize(("name", "bits", "most"), half_at_night((name, *point) for name in NETS for point in POINTS))
def test_a_compact_file_becomes_the_fused_one(name: str, bits: int, most: int):
    converted = net(name)
    rows = points(converted, bits, most)
    compact = converted.emit(rows, "compact")
    check(converted, rows, compact)  # it is a valid file by itself
    content, fused = with_record(compact.content), with_record(converted.emit(rows, "fused").content)
    expanded = expand(content)
    assert weight_types(expanded) == {TensorType.INT8}
    assert names(expanded) == names(fused)
    tests = on_grid(fused, feeds(converted.samples[0]["x"].shape[1:], 3, 1.0))
    # The built-in transposed convolution rounds the first channels in vectors and the last ones singly, with another
    # rule for ties: there the order of the channels is worth a step.
    assert_same_outputs(expanded, fused, tests, steps=1 if name.startswith("transposed") and most > 1 else 0)
    ours, theirs = ([op for op in load(c).graph.ops if kind_of(op) is not None] for c in (expanded, fused))
    for op, twin in zip(ours, theirs, strict=True):
        assert op.outputs[0].name == twin.outputs[0].name
        assert op.version <= twin.version  # dense layers: the version that every runtime loads
        assert integers(op) == integers(twin)


@pytest.mark.parametrize("name", ["conv, SAME, stride 2, RELU", "grouped", "depthwise, RELU6", "dense", "shared"])
def test_where_no_row_moves_the_file_is_the_fused_one_byte_for_byte(name: str):
    converted = net(name)
    rows = points(converted, 4, 1)
    fused = converted.emit(rows, "fused").content
    compact = converted.emit(rows, "compact").content
    assert without_record(expand(with_record(compact))) == without_record(fused)


@pytest.mark.parametrize("lowering", ["parallel", "split"])
@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("name", ["pointwise", "dense", "dense of rank 3", "separable", "depthwise, RELU6"])
def test_the_other_forms_expand_too(name: str, most: int, lowering: str):
    converted = net(name)
    rows = points(converted, 4, most)
    content, fused = (with_record(converted.emit(rows, form).content) for form in (lowering, "fused"))
    expanded = expand(content)
    assert names(expanded) == names(fused)
    assert_same_outputs(expanded, fused, on_grid(fused, feeds(converted.samples[0]["x"].shape[1:], 3, 1.0)))


def test_points_that_do_not_merge_stay_ops_of_their_own():
    converted = net("conv, VALID, RELU6")
    rows = points(converted, 4, 3)
    assert not merges(4, 3)
    compact = converted.emit(rows, "compact").content
    twin = converted.emit(rows, "parallel", storage="int8").content
    expanded = expand(with_record(compact))
    assert TensorType.INT4 in weight_types(compact)
    assert without_record(expanded) == without_record(twin)


@functools.cache
def small_residual() -> tuple[Converted, dict[str, Rows], dict[str, np.ndarray]]:
    """Points of a network with residual blocks; what adds up shares one channel order."""
    converted = residual()
    rng = np.random.default_rng(3)
    settings = LayerSettings(4, 2, "radix", "")
    gains = {name: rng.random((layer.channels, 1)) for name, layer in converted.layers.items()}
    orders = converted.orders(list(gains), {name: gain[:, 0] for name, gain in gains.items()})
    rows = {}
    for name, layer in converted.layers.items():
        order = orders.get(name, np.argsort(-gains[name][:, 0]))
        counts = np.ones(layer.channels, np.int64)
        counts[order[: layer.channels // 3]] = 2
        rows[name] = converted.rows(name, settings, counts)
    return converted, rows, orders


@functools.cache
def residual_files(form: str = "compact") -> tuple[bytes, bytes]:
    """(compact or another form that expands, fused)."""
    converted, rows, orders = small_residual()
    with pytest.MonkeyPatch.context() as patch:  # other test files call this too
        patch.setattr("converters.lowering.compact.OP_BYTES", 0)
        compact = converted.emit(rows, form, orders=orders).content
    return with_record(compact), with_record(converted.emit(rows, "fused", orders=orders).content)


@pytest.mark.parametrize("form", ["compact", "parallel"])
def test_a_whole_network(form: str):
    compact, fused = residual_files(form)
    expanded = expand(compact)
    assert weight_types(compact) == {TensorType.INT4, TensorType.INT8}
    # Two points are one int8 row in the compact form; the one ADD is the network's own.
    assert (names(compact).count("ADD") == names(fused).count("ADD")) == (form == "compact")
    assert names(compact).count("CONCATENATION") > 3
    assert weight_types(expanded) == {TensorType.INT8}
    assert names(expanded) == names(fused)
    for kernels in KERNELS:
        tests = image_feeds(3, seed=5)
        for ours, theirs in zip(outputs(expanded, tests, kernels), outputs(fused, tests, kernels), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_rows_put_back_in_order_by_a_gather():
    layers: list[tuple[str, int]] = [("conv", 3), ("conv", 1), ("dense", 1)]
    for kind, kernel in layers:
        files = []
        for form in ("parallel", "fused"):
            graph, layer = single(kind, kernel=kernel, fused="RELU")
            quantized = mergeable(layer, [2, 2, 2, 1, 1, 1, 1, 1])
            wanted = np.array([3, 0, 7, 1, 2, 6, 5, 4])
            if form == "parallel":
                lower_parallel(graph, quantized, ranges([2]), storage="int4", restore=wanted)
                assert graph.ops[-1].name == "GATHER"
            else:
                (bias,) = quantized.biases
                moved = QuantizedLayer(layer, quantized.weight.permuted(wanted, None), (bias[wanted],))
                lower_fused(graph, moved)
            files.append(with_record(save(Model([graph], [], {}))))
        expanded = expand(files[0])
        assert names(expanded) == names(files[1])
        shape = load(expanded).graph.inputs[0].shape
        x = np.random.default_rng(4).integers(-128, 128, shape).astype(np.int8)
        assert_same_outputs(expanded, files[1], [{"x": x}])


def test_the_users_own_branches_stay():
    """Branches that add up and join as points do: two convolutions of one input, ADD, CONCATENATION."""
    import keras

    k = keras.layers
    keras.utils.set_random_seed(5)
    x = keras.Input((8, 8, 3), name="image")
    trunk = k.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    twins = [k.Conv2D(8, 3, padding="same", name=f"point{i}")(trunk) for i in range(2)]
    single_branch = k.Conv2D(8, 1, activation="relu", name="points1")(trunk)
    y = k.Concatenate(name="points2")([k.ReLU()(k.Add(name="out")(twins)), single_branch])
    model = random_vectors(keras.Model(x, k.Conv2D(4, 1, name="head")(y)))
    converted = convert_once(model, image_feeds(8))
    plan = LayerSettings(4, 2, "radix", "")
    rows = {
        name: converted.rows(name, plan, 1 + (np.arange(layer.channels) % 3 == 0))
        for name, layer in converted.layers.items()
    }
    parallel = with_record(converted.emit(rows, "parallel").content)
    fused = with_record(converted.emit(rows, "fused").content)
    assert names(parallel).count("ADD") > 1
    expanded = expand(parallel)
    assert names(expanded) == names(fused)
    assert names(expanded).count("ADD") == names(expanded).count("CONCATENATION") == 1
    assert_same_outputs(expanded, fused, image_feeds(3, seed=1))


# ---------------------------------------------------------------- what else the file holds


def test_a_file_without_anything_to_expand_comes_back_as_it_is():
    compact, fused = residual_files()
    assert expand(fused) == fused
    expanded = expand(compact)
    assert expand(expanded) == expanded
    assert expand(bytearray(compact)) == expanded  # type: ignore[arg-type]


def test_names_signatures_and_the_record_are_kept():
    compact, _ = residual_files()
    layers = {"stem": [4, "radix", "parallel", 11, 5], "other": [8, "radix", "fused", 3], "odd": "?"}
    compact = with_record(compact, layers=layers, recipe=[])
    before, after = load(compact), load(expand(compact))
    assert [(s.key, [n for n, _ in s.inputs]) for s in after.signatures] == [
        (s.key, [n for n, _ in s.inputs]) for s in before.signatures
    ]
    assert [(t.name, t.shape, t.scale) for t in after.graph.outputs] == [
        (t.name, t.shape, t.scale) for t in before.graph.outputs
    ]
    assert set(after.metadata) == set(before.metadata)
    record = unpack_record(after.metadata[METADATA_NAME])
    assert record["layers"] == {**layers, "stem": [4, "radix", "fused", 11, 5]}
    assert record["recipe"] == []


# ---------------------------------------------------------------- refusals


def test_other_files_are_refused(conv_net_int8: bytes, conv_net_float: bytes):
    with pytest.raises(FileFormatError, match=r"not a file of tfmpq's: the metadata entry 'tfmpq' is missing.*run as"):
        expand(conv_net_int8)
    with pytest.raises(FileFormatError, match=r"a float model, .*expand takes what tfmpq\.convert"):
        expand(conv_net_float)
    with pytest.raises(FileFormatError, match="TFL3"):
        expand(b"PK\x03\x04 something else")
    compact, _ = residual_files()
    for size in (0, 100, len(compact) // 2, len(compact) - 40):
        with pytest.raises(FileFormatError):
            expand(compact[:size])


def damaged(change: Callable[[Graph, dict[str, Op]], Any]) -> bytes:
    """A convolution whose points are ops of their own, changed after it was written."""
    graph, layer = single("conv", kernel=3)
    counts = [2, 2, 2, 1, 1, 1, 1, 1]
    lower_parallel(graph, mergeable(layer, counts), ranges(counts))
    change(graph, {op.outputs[0].name: op for op in graph.ops})
    return with_record(save(Model([graph], [], {})))


def test_changed_files_are_refused_with_the_layer_and_the_reason():
    assert len(names(expand(damaged(lambda *_: None)))) == 1

    def reads_elsewhere(graph: Graph, _: dict[str, Op]) -> None:
        graph.outputs.append(graph.ops[0].outputs[0])

    def loses_a_bias(_: Graph, ops: dict[str, Op]) -> None:
        del ops["layer/points1/out"].inputs[2]

    def joins_the_wrong_way(_: Graph, ops: dict[str, Op]) -> None:
        ops["y"].code, ops["y"].options, ops["y"].options_type = 150, None, 0

    def loses_a_part(graph: Graph, ops: dict[str, Op]) -> None:
        graph.ops.remove(ops["layer/points1/out"])
        graph.inputs.append(ops["layer/points1/out"].outputs[0])

    def mixes_activations(_: Graph, ops: dict[str, Op]) -> None:
        ops["layer/points1/out"].options.fusedActivationFunction = 1

    for change, reason in (
        (reads_elsewhere, "its parts are read elsewhere"),
        (loses_a_bias, "a CONV_2D lacks its weight, scales or bias"),
        (joins_the_wrong_way, "stands among its ops"),
        (loses_a_part, "one of its parts is missing"),
        (mixes_activations, "its parts do not fit together"),
    ):
        with pytest.raises(
            FileFormatError, match=rf"layer '\S+' cannot be expanded: .*{reason}.*convert the model again"
        ):
            expand(damaged(change))


@pytest.mark.parametrize("chain", [2, 8, 60, 1000])
def test_a_part_that_is_added_to_itself_is_refused_at_once(chain: int):
    """Points double with every such op: 60 of them would be 10^18."""

    def doubles(graph: Graph, ops: dict[str, Op]) -> None:
        end = ops["layer/points2/out"]
        last, at = end.inputs[0], graph.ops.index(end)
        for i in range(chain):
            assert last is not None
            sum_of_two = dataclasses.replace(last, name=f"layer/points2/sum{1000 + i}")
            graph.ops.insert(at + i, dataclasses.replace(end, inputs=[last, last], outputs=[sum_of_two]))
            last = sum_of_two
        end.inputs = [last, last]

    with pytest.raises(
        FileFormatError, match=rf"layer 'layer/points2/sum{999 + chain}'.* its parts are read elsewhere"
    ):
        expand(damaged(doubles))


def test_a_layer_is_no_deeper_than_a_lowering_makes_it():
    def grows(graph: Graph, ops: dict[str, Op]) -> None:
        end = ops["layer/points2/out"]
        last, at = end.inputs[0], graph.ops.index(end)
        for i in range(100):
            assert last is not None
            larger = dataclasses.replace(last, name=f"layer/points2/sum{1000 + i}")
            point = ops["layer/points2/point0"]
            another = dataclasses.replace(point.outputs[0], name=f"layer/points2/point{1000 + i}")
            graph.ops.insert(at, dataclasses.replace(point, outputs=[another]))
            graph.ops.insert(at + 2 * i + 1, dataclasses.replace(end, inputs=[last, another], outputs=[larger]))
            last = larger
        end.inputs[0] = last

    with pytest.raises(FileFormatError, match="its ops go in a circle"):
        expand(damaged(grows))


def shared_weight(layers: int) -> bytes:
    """Dense layers that read one 4-bit weight of 64 kB: 200 bytes each."""
    x = activation("x", (1, 1024), 0.1, 0)
    kernel = weight("layer/int4/weight", "dense", np.ones((128, 1024)), np.full(128, 0.01), int4=True)
    biases = bias("layer/int4/bias", np.zeros(128), x, kernel)
    outputs = [activation(f"y{i}", (1, 128), 1.0, 0) for i in range(layers)]
    return with_record(file_of([layer_op("dense", x, kernel, biases, y) for y in outputs], [x], outputs))


def test_one_weight_of_many_layers_is_not_read_without_end():
    expand(shared_weight(20))
    with pytest.raises(FileFormatError, match="its weights are read without end"):
        expand(shared_weight(200))


def test_changed_graphs_are_refused():
    def goes_in_a_circle(graph: Graph, ops: dict[str, Op]) -> None:
        add = ops["layer/points2/out"]
        again = dataclasses.replace(add.outputs[0], name="layer/points2/sum7")
        add.inputs[0] = again
        add.outputs.append(again)

    def loses_its_options(_: Graph, ops: dict[str, Op]) -> None:
        op = ops["layer/points2/point1"]
        op.options, op.options_type = None, 0

    for change, reason in ((goes_in_a_circle, "its ops go in a circle"), (loses_its_options, "no options of its kind")):
        with pytest.raises(FileFormatError, match=rf"cannot be expanded: .*{reason}.*onvert the model again"):
            expand(damaged(change))
    model = load(residual_files()[0])
    part = next(t for op in model.graph.ops for t in op.outputs if t.name.endswith("/points1/out"))
    model.signatures[0].outputs.append(("more", part))  # merging its layer leaves nothing that computes it
    with pytest.raises(FileFormatError, match=r"cannot be expanded: .*Convert the model again"):
        expand(save(model))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damage_is_an_error_or_harmless(data: st.DataObject):
    content = bytearray(residual_files()[0])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FileFormatError):
        expand(bytes(content))


# ---------------------------------------------------------------- use at load


def test_threads_and_repetitions_give_the_same_bytes():
    compact, _ = residual_files()
    first = expand(compact)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(expand, [compact] * 32)) == {first}


def test_needs_no_tensorflow(run_python: Callable[..., CompletedProcess[str]], tmp_path: Path):
    path = tmp_path / "compact.tflite"
    compact, _ = residual_files()
    path.write_bytes(compact)
    code = """
        import hashlib, pathlib, sys
        import tfmpq
        print(hashlib.sha256(tfmpq.expand(pathlib.Path(sys.argv[1]).read_bytes())).hexdigest())
    """
    result = run_python(code, path, blocked=("tensorflow", "keras", "tf_keras", "jax", "sklearn"))
    assert result.stdout.strip() == hashlib.sha256(expand(compact)).hexdigest(), result.stderr
