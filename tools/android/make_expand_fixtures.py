"""Compact files of small networks and what ``tfmpq.expand`` makes of them: tests of the app read both.

    python -m tools.android.make_expand_fixtures    # two minutes; writes android_demo/app/src/test/resources/expand

``index.json`` has the size and SHA-256 of every expanded file. What counts is that each kind of layer
(:mod:`tools.android.expand_networks`), each form and each part of a file occurs.
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
from tools.android import expand_networks as networks

FOLDER = Path(__file__).parents[2] / "android_demo" / "app" / "src" / "test" / "resources" / "expand"


def fixtures() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name, what makes the file)."""
    yield from _integer_fixtures()
    yield from _float_fixtures()


def _convert(model: Any, data: Any, **options: Any) -> bytes:
    settings: dict[str, Any] = {"lowering": "compact", "recipe": _rows_of(4), "budget": tfmpq.ExtraBits(0.35)}
    return tfmpq.convert(model, data, progress=False, validate=False, **settings | options).tflite_model


def _rows_of(bits: int) -> tfmpq.Recipe:
    return tfmpq.Recipe([tfmpq.Rule(match=".*", bits=bits)])


def _integer_fixtures() -> Iterator[tuple[str, Callable[[], bytes]]]:
    shapes = {"convolutions": (12, 12, 3), "residual": (8, 8, 3), "upward": (8, 8, 3), "sequence": (6, 16)}

    def compact(network: str, *, record: bool = False, **options: Any) -> Callable[[], bytes]:
        def convert() -> bytes:
            model = networks.image_net(getattr(networks, network), shapes[network])
            content = _convert(model, networks.images(shapes[network]), **options)
            return _with_record(content) if record else content

        return convert

    yield "convolutions", compact("convolutions", record=True)
    yield "convolutions_lean", compact("convolutions", names="strip", bias_scales="shared")
    yield "convolutions_dynamic", compact("convolutions", batch_size=None, io_dtype="float32")
    yield "convolutions_split", compact("convolutions", lowering="split")
    yield "convolutions_defaults", compact("convolutions", recipe=None)
    yield "convolutions_fused", compact("convolutions", lowering="fused")
    yield "convolutions_unmerged", compact("convolutions", algorithm="greedy")
    yield "convolutions_sliced", compact("convolutions", budget=tfmpq.ExtraBits(0.1))
    yield "residual", compact("residual", lowering="parallel")
    yield "residual_3_points", compact("residual", max_points=3, recipe=_rows_of(2), lowering="parallel")
    yield "upward", compact("upward", record=True, lowering="parallel")
    yield "sequence", compact("sequence")


def _float_fixtures() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Files with float activations."""

    def convert(model: Callable[[], Any], data: Any, **options: Any) -> Callable[[], bytes]:
        return lambda: _convert(model(), data, activations="float", **options)

    def convolutions() -> Any:
        return networks.image_net(networks.wide_convolutions, pixels)

    def two_graphs(*, shared: bool) -> Callable[[], Any]:
        return lambda: networks.with_a_second_graph(networks.image_net(networks.two_dense, rows), shared=shared)

    few = tfmpq.ExtraBits(0.1)  # more, and layers as small as these become int8
    pixels, rows = (8, 8, 16), (networks.LENGTH, networks.WIDTH)
    images, vectors = networks.images(pixels), networks.images(rows)
    sentences = {"ids": networks.token_ids(networks.WORDS), "mask": np.ones((64, networks.LENGTH), np.int32)}
    tied = {"ids": networks.token_ids(networks.TIED_WORDS)}
    yield "float_convolutions", convert(convolutions, images)
    yield "float_convolutions_parallel", convert(convolutions, images, lowering="parallel")
    yield "float_convolutions_unmerged", convert(convolutions, images, algorithm="greedy")
    yield "float_encoder", convert(networks.encoder, sentences, budget=few)
    yield "float_encoder_dynamic", convert(networks.encoder, sentences, batch_size=None, lowering="split", budget=few)
    yield "float_tied", convert(networks.language_model, tied, budget=tfmpq.ExtraBits(0.0))
    yield "float_signatures", convert(two_graphs(shared=True), vectors, lowering="split")
    both = {"serving_default": vectors, "again": vectors}
    yield "float_namesakes", convert(two_graphs(shared=False), both, lowering="parallel")


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
