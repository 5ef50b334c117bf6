"""The files that mutations start from: small networks in every form, converted once and kept in a folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_SAMPLES = 12
_FORMS_OF = {
    "image": ("stock", "auto", "split", "parallel", "compact", "floatio", "opensize", "dynamic", "half"),
    "pair": ("stock", "compact"),
    "steps": (),
}
_EXTRA = 0.5  # second points, as a share of the weights: enough that every form has rows with two


@dataclass(frozen=True)
class Seeds:
    """Seed files and the data that fit them.

    Attributes:
        files: name, such as ``"image_compact"``, -> content.
        data: name -> path of an .npz with samples of the network under the names of its inputs.
        labelled: name -> path of an .npz with samples and classes.
        paths: name -> path of the file itself.
    """

    files: Mapping[str, bytes]
    data: Mapping[str, Path]
    labelled: Mapping[str, Path]
    paths: Mapping[str, Path]


def load_seeds(folder: Path) -> Seeds:
    """The seed files in ``folder``, which are made first if it holds none of this version."""
    marker = folder / f"made-by-{_version()}"
    if not marker.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: one in which TensorFlow has run cannot be forked.
        made = subprocess.run([sys.executable, "-m", "tests.fuzz.seeds", str(folder)], capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(f"the seed files cannot be made: {made.stderr[-3000:]}")
        marker.touch()
    paths = {path.stem: path for path in sorted(folder.glob("*.tflite"))}
    network = {name: name.partition("_")[0] for name in paths}
    return Seeds(
        {name: path.read_bytes() for name, path in paths.items()},
        {name: folder / f"{network[name]}_data.npz" for name in paths},
        {name: folder / f"{network[name]}_labelled.npz" for name in paths},
        paths,
    )


def _version() -> str:
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


def _make(folder: Path) -> None:
    import keras

    for name, build in (("image", _image_net), ("pair", _pair_net), ("steps", _steps_net)):
        keras.utils.set_random_seed(0)
        model = build(keras)
        shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in model.inputs}
        rng = np.random.default_rng(0)
        arrays = {n: rng.uniform(-1, 1, (_SAMPLES, *shape)).astype(np.float32) for n, shape in shapes.items()}
        named: dict[str, Any] = dict(arrays)
        np.savez(folder / f"{name}_data.npz", **named)
        only: dict[str, Any] = {"x": next(iter(arrays.values()))} if len(arrays) == 1 else named
        np.savez(folder / f"{name}_labelled.npz", y=np.arange(_SAMPLES) % 4, **only)
        for form, content in _forms(model, arrays, _FORMS_OF[name]):
            (folder / f"{name}_{form}.tflite").write_bytes(content)


def _image_net(keras: Any) -> Any:
    """Every kind of layer once, with a residual sum, two branches that are joined and a softmax.

    The widest layer has as many weights as TensorFlow's converter wants before it stores integers for them.
    """
    layers = keras.layers
    image = layers.Input((6, 6, 3), name="image")
    x = trunk = layers.Conv2D(8, 3, padding="same", activation="relu6", name="stem")(image)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Add(name="sum")([layers.Conv2D(8, 1, name="project")(x), trunk])
    x = layers.Conv2DTranspose(4, 2, strides=2, activation="relu", name="up")(x)
    x = layers.Concatenate(name="joined")([layers.AveragePooling2D(2, name="pool")(x), trunk])
    x = layers.Conv2D(96, 1, activation="relu", name="wide")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(image, layers.Dense(6, activation="softmax", name="classifier")(x))


def _pair_net(keras: Any) -> Any:
    """Two inputs, a layer that is used twice, dense layers only."""
    layers = keras.layers
    first, second = layers.Input((8,), name="first"), layers.Input((8,), name="second")
    shared = layers.Dense(12, activation="relu", name="shared")
    x = layers.Add(name="both")([shared(first), shared(second)])
    return keras.Model([first, second], layers.Dense(4, name="head")(x))


def _steps_net(keras: Any) -> Any:
    """A loop, whose steps and condition are graphs of their own, and a fused recurrent layer."""
    layers = keras.layers
    steps = layers.Input((4, 6), name="steps")
    x = layers.LSTM(5, return_sequences=True, name="memory")(layers.GRU(6, return_sequences=True, name="loop")(steps))
    return keras.Model(steps, layers.Dense(4, name="head")(layers.Flatten(name="flat")(x)))


def _forms(model: Any, arrays: Mapping[str, np.ndarray], forms: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(form, file) of a network: the float file, what stock makes of it, and what tfmpq does."""
    import tfmpq
    from converters.frontend.load import load_model
    from converters.frontend.tf_converter import int8_twin

    def samples() -> Iterator[dict[str, np.ndarray]]:
        return ({name: values[i : i + 1] for name, values in arrays.items()} for i in range(_SAMPLES))

    def converted(lowering: str, **options: Any) -> bytes:
        with warnings.catch_warnings():  # noise for data and untrained weights
            warnings.simplefilter("ignore")
            result = tfmpq.convert(
                model,
                samples,
                lowering=lowering,
                budget=tfmpq.ExtraBits(_EXTRA),
                recipe=_low_bits(tfmpq),
                progress=False,
                validate=False,
                **options,
            )
        return result.tflite_model

    loaded = load_model(model)
    make: dict[str, Callable[[], bytes]] = {
        "stock": lambda: int8_twin(loaded, samples),
        "floatio": lambda: converted("auto", io_dtype="float32"),
        "opensize": lambda: converted("parallel", batch_size=None),
        "dynamic": lambda: _by_stock(model, ()),
        "half": lambda: _by_stock(model, ("float16",)),
    }
    yield "float", loaded.flatbuffer
    for form in forms:
        yield form, make[form]() if form in make else converted(form)


def _low_bits(tfmpq: Any) -> Any:
    """Four bits in every layer: small networks would keep eight in most."""
    return tfmpq.Recipe([tfmpq.Rule(".*", bits=4, max_points=2)])


def _by_stock(model: Any, types: tuple[str, ...]) -> bytes:
    """Integer weights and float activations, or weights of another type, as TensorFlow's converter writes them."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [getattr(tf, name) for name in types]
    return converter.convert()


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
