"""Random Keras networks of all kinds of layers that may occur."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

_WIDTHS = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 33, 48)
_ACTIVATIONS = ("relu", "relu6", "tanh", "hard_swish", "sigmoid", "linear", "leaky_relu", "silu", "elu")
_RANGES = (1e-3, 0.1, 1.0, 1.0, 1.0, 1.0, 1.0, 20.0, 255.0, 1e4)  # of inputs


class Net:
    """Draws layers one after the other; tensors are images (4-D), signals (3-D) or vectors (2-D)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.inputs: list[Any] = []
        self.ranges: dict[str, float] = {}
        self.extra: list[Any] = []  # further outputs
        self.count = 0

    def build(self, name: str) -> Any:
        """The whole model."""
        rank = int(self.pick((4, 4, 4, 3, 2)))
        x = self.input(
            {4: (*self.sides(2), self.pick((1, 3, 4, 8))), 3: (*self.sides(1), self.pick((1, 4, 6))), 2: (16,)}[rank]
        )
        steps: Sequence[Callable[[Any], Any]] = {4: self.image_steps(), 3: self.signal_steps(), 2: self.vector_steps()}[
            rank
        ]
        for _ in range(self.rng.integers(2, 7)):
            x = self.pick(steps)(x)
            if self.chance(0.08):
                self.extra.append(x)
        outputs = [self.head(x), *self.extra[:2]]
        return keras.Model(self.inputs, outputs if len(outputs) > 1 else outputs[0], name=name)

    # ------------------------------------------------------------ drawing

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def sides(self, count: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.rng.integers(5, 13, count))

    def width(self) -> int:
        return int(self.pick(_WIDTHS))

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def input(self, shape: Sequence[int]) -> Any:
        name = f"input{len(self.inputs)}"
        self.ranges[name] = float(self.pick(_RANGES))
        self.inputs.append(keras.Input(tuple(shape), name=name))
        return self.inputs[-1]

    # ------------------------------------------------------------ steps of every rank

    def finish(self, x: Any) -> Any:
        """What often follows a layer with weights."""
        if self.chance(0.5):
            x = layers.BatchNormalization(name=self.name("bn"))(x)
        if self.chance(0.7):
            x = layers.Activation(str(self.pick(_ACTIVATIONS)), name=self.name("act"))(x)
        return x

    def dense(self, x: Any) -> Any:
        return self.finish(layers.Dense(self.width(), use_bias=self.chance(0.7), name=self.name("dense"))(x))

    def mix(self, x: Any) -> Any:
        """Two branches of one layer each, added, multiplied or concatenated."""
        channels = x.shape[-1]
        first, second = (layers.Dense(channels, name=self.name("branch"))(x) for _ in range(2))
        kind = self.pick((layers.Add, layers.Multiply, layers.Concatenate, layers.Maximum, layers.Subtract))
        return kind(name=self.name("mix"))([first, self.pick((second, x))])

    def halves(self, x: Any) -> Any:
        """Channels split, one part computed on, joined again."""
        at = x.shape[-1] // 2
        if not at:
            return self.dense(x)
        first, second = x[..., :at], x[..., at:]
        return layers.Concatenate(name=self.name("join"))([second, layers.Dense(5, name=self.name("half"))(first)])

    def twice(self, x: Any) -> Any:
        """One layer used twice."""
        layer = layers.Dense(x.shape[-1], activation=self.pick(("relu", None)), name=self.name("twice"))
        return layer(layer(x))

    def guided(self, x: Any) -> Any:
        """A further input, of vectors, that scales or shifts the channels."""
        if len(self.inputs) > 2:
            return self.dense(x)
        scales = layers.Dense(x.shape[-1], activation="sigmoid", name=self.name("guide"))(self.input((6,)))
        scales = layers.Reshape((*(1,) * (len(x.shape) - 2), x.shape[-1]), name=self.name("spread"))(scales)
        return self.pick((layers.Multiply, layers.Add))(name=self.name("guided"))([x, scales])

    def head(self, x: Any) -> Any:
        if len(x.shape) > 2 and self.chance(0.8):
            pools = {4: layers.GlobalAveragePooling2D, 3: layers.GlobalAveragePooling1D}
            x = (pools[len(x.shape)] if self.chance(0.6) else layers.Flatten)(name=self.name("pool"))(x)
        units = int(self.pick((1, 2, 4, 10)))
        activation = self.pick(("softmax" if units > 1 else "sigmoid", "sigmoid", None, None))
        return layers.Dense(units, activation=activation, name="head")(x)

    # ------------------------------------------------------------ images

    def image_steps(self) -> Sequence[Callable[[Any], Any]]:
        return (
            *(self.convolution,) * 4,
            *(self.depthwise,) * 2,
            self.separable,
            self.transposed,
            self.pooled,
            self.excited,
            self.residual,
            self.resized,
            self.dense,
            self.mix,
            self.halves,
            self.shared_block,
            self.guided,
        )

    def kernel(self, x: Any, sizes: Sequence[int] = (1, 2, 3, 5)) -> tuple[int, str]:
        """A kernel size and a padding that fit."""
        size = int(self.pick(sizes))
        fits = min(x.shape[1:-1]) >= size
        return size, str(self.pick(("same", "valid")) if fits else "same")

    def convolution(self, x: Any) -> Any:
        size, padding = self.kernel(x)
        strides, dilation = self.pick(((1, 1), (1, 1), (2, 1), (1, 2)))
        if dilation > 1:
            padding = "same"
        groups = 2 if x.shape[-1] % 2 == 0 and self.chance(0.15) else 1
        y = layers.Conv2D(
            self.width() * groups,
            (size, self.pick((size, 1))),
            strides=strides,
            padding=padding,
            dilation_rate=dilation,
            groups=groups,
            use_bias=self.chance(0.6),
            name=self.name("conv"),
        )(x)
        return self.finish(y)

    def depthwise(self, x: Any) -> Any:
        size, padding = self.kernel(x, (2, 3, 5))
        strides, dilation = self.pick(((1, 1), (2, 1), (1, 2)))
        y = layers.DepthwiseConv2D(
            size,
            strides=strides,
            padding="same" if dilation > 1 else padding,
            dilation_rate=dilation,
            depth_multiplier=self.pick((1, 1, 2)),
            name=self.name("depthwise"),
        )(x)
        return self.finish(y)

    def separable(self, x: Any) -> Any:
        return self.finish(layers.SeparableConv2D(self.width(), 3, padding="same", name=self.name("separable"))(x))

    def transposed(self, x: Any) -> Any:
        y = layers.Conv2DTranspose(
            self.width(),
            self.pick((2, 3, 4)),
            strides=self.pick((1, 2)),
            padding=self.pick(("same", "valid")),
            name=self.name("up"),
        )
        return self.finish(y(x)) if max(x.shape[1:3]) < 16 else self.convolution(x)

    def pooled(self, x: Any) -> Any:
        kind = self.pick((layers.MaxPooling2D, layers.AveragePooling2D))
        return kind(2, padding="same", strides=self.pick((1, 2)), name=self.name("pool"))(x)

    def excited(self, x: Any) -> Any:
        """Squeeze and excitation."""
        s = layers.GlobalAveragePooling2D(keepdims=True, name=self.name("squeeze"))(x)
        s = layers.Conv2D(max(x.shape[-1] // 4, 1), 1, activation="relu", name=self.name("reduce"))(s)
        gate = self.pick(("sigmoid", "hard_sigmoid"))
        s = layers.Conv2D(x.shape[-1], 1, activation=gate, name=self.name("excite"))(s)
        return layers.Multiply(name=self.name("scale"))([x, s])

    def residual(self, x: Any) -> Any:
        y = layers.Conv2D(x.shape[-1], 3, padding="same", name=self.name("residual"))(self.finish(x))
        return self.finish(layers.Add(name=self.name("add"))([x, y]))

    def resized(self, x: Any) -> Any:
        if max(x.shape[1:3]) > 12:
            return self.pooled(x)
        how = self.pick(("nearest", "bilinear"))
        return layers.UpSampling2D(2, interpolation=how, name=self.name("resize"))(x)

    def shared_block(self, x: Any) -> Any:
        """A block with a normalization in it, used twice."""
        block = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                layers.Conv2D(x.shape[-1], 3, padding="same", name="conv"),
                layers.BatchNormalization(name="bn"),
                layers.Activation(self.pick(("relu", "relu6", "tanh")), name="act"),
            ],
            name=self.name("block"),
        )
        return block(block(x))

    # ------------------------------------------------------------ signals and vectors

    def signal_steps(self) -> Sequence[Callable[[Any], Any]]:
        return (self.signal, self.signal, self.signal_parts, self.signal_pool, self.dense, self.mix, self.guided)

    def signal(self, x: Any) -> Any:
        size, padding = self.kernel(x)
        strides, dilation = self.pick(((1, 1), (2, 1), (1, 2)))
        padding = self.pick(("same", "causal")) if dilation > 1 else padding
        name = self.name("conv")
        return self.finish(
            layers.Conv1D(self.width(), size, strides, padding=padding, dilation_rate=dilation, name=name)(x)
        )

    def signal_parts(self, x: Any) -> Any:
        kind = self.pick(("depthwise", "separable", "transposed"))
        name = self.name(kind)
        if kind == "depthwise":
            return self.finish(layers.DepthwiseConv1D(3, padding="same", name=name)(x))
        if kind == "separable":
            return self.finish(layers.SeparableConv1D(self.width(), 3, padding="same", name=name)(x))
        return self.finish(layers.Conv1DTranspose(self.width(), 2, strides=self.pick((1, 2)), name=name)(x))

    def signal_pool(self, x: Any) -> Any:
        if self.chance(0.3) and x.shape[1] < 16:
            return layers.UpSampling1D(2, name=self.name("resize"))(x)
        kind = self.pick((layers.MaxPooling1D, layers.AveragePooling1D))
        return kind(2, padding="same", name=self.name("pool"))(x)

    def vector_steps(self) -> Sequence[Callable[[Any], Any]]:
        return (self.dense, self.dense, self.mix, self.halves, self.twice, self.guided)
