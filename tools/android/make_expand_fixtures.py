"""Compact files of small networks and what ``tfmpq.expand`` makes of them: tests of the app read both.

    python -m tools.android.make_expand_fixtures    # one minute; writes android_demo/app/src/test/resources/expand

``index.json`` has the size and SHA-256 of every expanded file. The networks are untrained: what counts is that each
kind of layer, each form and each part of a file occurs.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from converters.tflite.graph import Model, Op, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record
from converters.tflite.writer import save
from tfmpq.files import write_atomic

FOLDER = Path(__file__).parents[2] / "android_demo" / "app" / "src" / "test" / "resources" / "expand"


def _images(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)


def _model(build: Callable[[Any, Any], Any], shape: tuple[int, ...]) -> Any:
    """The network that ``build(keras.layers, input)`` describes, with random weights: rows of very different size."""
    import keras

    keras.backend.clear_session()  # else names, and so sizes, depend on what was built before
    keras.utils.set_random_seed(1)
    x = keras.Input(shape, name="x")
    model = keras.Model(x, build(keras.layers, x))
    rng, weights = np.random.default_rng(2), model.get_weights()
    model.set_weights([w * np.exp(rng.normal(size=w.shape[-1])) + 0.1 * rng.normal(size=w.shape) for w in weights])
    return model


def _convolutions(k: Any, x: Any) -> Any:
    y = k.Conv2D(32, 3, padding="same", activation="relu", name="stem")(x)
    y = k.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6", name="depthwise")(y)
    y = k.Conv2D(64, 1, activation="relu6", name="pointwise")(y)
    y = k.Conv2D(4, 3, padding="valid", name="large")(y)
    return k.Dense(10, activation="softmax", name="head")(k.Flatten()(y))


def _residual(k: Any, x: Any) -> Any:
    trunk = k.Conv2D(16, 3, padding="same", activation="relu", name="stem")(x)
    for i in range(2):
        y = k.Conv2D(16, 3, padding="same", activation="relu", name=f"block{i}_a")(trunk)
        y = k.Conv2D(16, 3, padding="same", name=f"block{i}_b")(y)
        trunk = k.ReLU()(k.Add()([trunk, y]))
    return k.Dense(10, name="head")(k.Flatten()(k.MaxPooling2D(4)(trunk)))


def _upward(k: Any, x: Any) -> Any:
    """Transposed and grouped convolutions, and branches of the user's own that join as points do."""
    y = k.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="down")(x)
    y = k.Conv2D(8, 3, padding="same", groups=2, activation="relu", name="grouped")(y)
    left = k.Conv2D(4, 1, name="points1")(y)
    y = k.Concatenate(name="points2")([left, k.Conv2D(4, 3, padding="same", name="out")(y)])
    y = k.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu", name="up")(y)
    return k.Conv2D(10, 3, name="last")(k.UpSampling2D(2, interpolation="bilinear")(k.LeakyReLU()(y)))


def _sequence(k: Any, x: Any) -> Any:
    """Dense layers of rank 3, one of them shared, and ops whose options hold more than numbers."""
    shared = k.Dense(16, activation="relu", name="shared")
    y = shared(k.Dense(16, name="embed")(x))
    z = shared(k.Permute((2, 1))(k.Reshape((16, -1))(k.Permute((2, 1))(y))))
    y = k.Softmax()(k.Dot(axes=(2, 2))([y, z]))
    y = k.ZeroPadding1D(1)(k.LayerNormalization()(k.Dense(16, name="mix")(y)))
    return k.Dense(5, activation="sigmoid", name="head")(k.GlobalMaxPooling1D()(y[:, 1:-1:2]))


def fixtures() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name, what makes the file)."""
    shapes = {"convolutions": (12, 12, 3), "residual": (8, 8, 3), "upward": (8, 8, 3), "sequence": (6, 16)}
    builders = {"convolutions": _convolutions, "residual": _residual, "upward": _upward, "sequence": _sequence}

    def compact(network: str, *, record: bool = False, **options: Any) -> Callable[[], bytes]:
        settings: dict[str, Any] = {"lowering": "compact", "recipe": four_bits, "budget": third}

        def convert() -> bytes:
            model, data = _model(builders[network], shapes[network]), _images(shapes[network])
            content = tfmpq.convert(model, data, progress=False, validate=False, **settings | options).tflite_model
            return _with_record(content) if record else content

        return convert

    four_bits = tfmpq.Recipe([tfmpq.Rule(match=".*", bits=4)])
    third = tfmpq.ExtraBits(0.35)
    yield "convolutions", compact("convolutions", record=True)
    yield "convolutions_dynamic", compact("convolutions", batch_size=None, io_dtype="float32")
    yield "convolutions_split", compact("convolutions", lowering="split")
    yield "convolutions_defaults", compact("convolutions", recipe=None)
    yield "convolutions_fused", compact("convolutions", lowering="fused")
    yield "convolutions_unmerged", compact("convolutions", algorithm="greedy")
    yield "convolutions_sliced", compact("convolutions", budget=tfmpq.ExtraBits(0.1))
    yield "residual", compact("residual")
    two_bits = tfmpq.Recipe([tfmpq.Rule(match=".*", bits=2)])
    yield "residual_3_points", compact("residual", max_points=3, recipe=two_bits)
    yield "upward", compact("upward", record=True)
    yield "sequence", compact("sequence")


def hostile(content: bytes) -> Iterator[tuple[str, str, bytes]]:
    """(name, words of the reason for which it is refused, file): compact files that were changed for the worse."""

    def changed(change: Callable[[Model, dict[str, Op]], object]) -> bytes:
        model = load(content)
        change(model, {op.outputs[0].name: op for op in model.graph.ops})
        return save(model)

    def read_elsewhere(model: Model, ops: dict[str, Op]) -> None:
        model.graph.outputs.append(ops["block0_a/points1/out"].outputs[0])

    def circle(model: Model, ops: dict[str, Op]) -> None:
        add = ops["block0_a/points2/out"]
        again = Tensor(
            "block0_a/points2/sum7", add.outputs[0].shape, TensorType.INT8, None, add.outputs[0].quantization
        )
        add.inputs[0] = again
        add.outputs.append(again)

    def added_twice(model: Model, ops: dict[str, Op]) -> None:
        add = ops["block0_a/points2/out"]
        again = Tensor(
            "block0_a/points2/sum7", add.outputs[0].shape, TensorType.INT8, None, add.outputs[0].quantization
        )
        model.graph.ops.insert(model.graph.ops.index(add), dataclasses.replace(add, outputs=[again]))
        add.inputs = [again, again]

    def unused_name(model: Model, ops: dict[str, Op]) -> None:
        model.signatures[0].outputs.append(("more", ops["block0_a/points2/out"].outputs[0]))

    def large_bias(model: Model, ops: dict[str, Op]) -> None:
        for name in ("block0_a/points2/point0", "block0_a/points2/point1"):
            bias = ops[name].input(2)
            bias.data = np.full(bias.shape, 2**31 - 1, np.int32).tobytes()

    def no_activation(model: Model, ops: dict[str, Op]) -> None:
        op = ops["block0_a/points2/point1"]
        op.options, op.options_type = None, 0

    def another_type(model: Model, ops: dict[str, Op]) -> None:
        weight = ops["block0_a/points2/point1"].input(1)
        weight.type, weight.shape, weight.data = TensorType.INT16, (1, 1, 1, 1), b"\1\0"

    def large_record(model: Model, ops: dict[str, Op]) -> None:
        model.metadata[METADATA_NAME] = zlib.compress(b" " * (20 << 20), 9)

    def no_object(model: Model, ops: dict[str, Op]) -> None:
        model.metadata[METADATA_NAME] = zlib.compress(b"[" * 10000)

    yield "read_elsewhere", "its parts are read elsewhere", changed(read_elsewhere)
    yield "circle", "go in a circle", changed(circle)
    yield "added_twice", "its parts are read elsewhere", changed(added_twice)
    yield "unused_name", "which no operator uses", changed(unused_name)
    yield "large_bias", "its biases leave int32", changed(large_bias)
    yield "no_activation", "has no options of its kind", changed(no_activation)
    yield "another_type", "wrong type or size", changed(another_type)
    yield "large_record", "it is larger than", changed(large_record)
    yield "no_object", "nested too deeply", changed(no_object)


def _with_record(content: bytes) -> bytes:
    """The file with a record of its layers, for which files as small as these have no room."""
    model = load(content)
    layers = {"stem": [4, "radix", "parallel", 11, 5], "gone": [8, "radix", "fused", 3], "ödd\n\U0001f642": ["?"]}
    record = {"version": "0.1.0", "layers": layers, "recipe": [], "budget": {"share": 0.1, "small": 1e-07}}
    model.metadata["before"], model.metadata[METADATA_NAME] = b"some other entry", pack_record(record)
    return save(model)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the files and their index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, default=FOLDER, help="where the files go")
    folder = parser.parse_args(arguments).output_dir
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for name, make in fixtures():
        content = make()
        expanded = tfmpq.expand(content)
        write_atomic(folder / f"{name}.tflite", content)
        changed = expanded != content
        index[name] = {"bytes": len(expanded), "sha256": hashlib.sha256(expanded).hexdigest(), "changed": changed}
        print(f"{name}: {len(content)} -> {len(expanded)} bytes")
    write_atomic(folder / "index.json", json.dumps(index, indent=2).encode() + b"\n")
    reasons = {}
    (folder / "hostile").mkdir(exist_ok=True)
    for name, reason, content in hostile((folder / "residual.tflite").read_bytes()):
        write_atomic(folder / "hostile" / f"{name}.tflite", content)
        reasons[name] = reason
    write_atomic(folder / "hostile.json", json.dumps(reasons, indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
