"""How close a file's outputs are to the float model's on a few samples without labels: proxies for its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from converters.runtime import interpreter as runtime
from converters.runtime.values import dequantize
from tfmpq.activations.values.cosines import cosines
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.report.output_channels import ChannelSums, OutputChannels

if TYPE_CHECKING:
    from converters.layers.output_kind import OutputKind

Feed: TypeAlias = dict[str, np.ndarray]


@dataclass(frozen=True)
class Closeness:
    """One quantized file against the float model.

    Attributes:
        agreeing: predictions with the float model's class; None if the model is no classifier.
        cosine: mean cosine to the float model's vectors; None if they are no embedding.
        sqnr_db: signal to noise of every output in dB, the float output being the signal; inf: identical.
    """

    agreeing: int | None
    sqnr_db: tuple[float, ...]
    cosine: float | None = None


@dataclass(frozen=True)
class Proxies:
    """Stock int8 and tfmpq's file against the float model on the same samples.

    Attributes:
        samples: number of samples.
        held_back: whether they are others than those the weights were fitted to.
        predictions: number of predicted classes compared; None if the model is no classifier, as
            :func:`converters.layers.output_kind.output_kind` tells them.
        outputs: output names, in the order of ``sqnr_db``.
        stock: the stock int8 file.
        file: tfmpq's file.
        activations: tfmpq's file with one 8-bit point in every row: what is lost in it is lost in activations, and the
            rest of what ``file`` loses in points. None: not measured.
        channels: what tfmpq's file leaves of the single channels of every output.
    """

    samples: int
    held_back: bool
    predictions: int | None
    outputs: tuple[str, ...]
    stock: Closeness
    file: Closeness
    activations: Closeness | None = None
    channels: tuple[OutputChannels, ...] = ()


def measure_proxies(
    float_file: bytes,
    stock: Any,
    file: Any,
    samples: Sequence[dict[str, np.ndarray]],
    *,
    kind: OutputKind,
    held_back: bool,
    activations: Any = None,
) -> Proxies | None:
    """Runs the models sample by sample; nothing but sums is kept.

    Args:
        float_file: the float model.
        stock, file: interpreters of the stock int8 file and of tfmpq's.
        samples: float feeds by signature input name, with batch dimension.
        kind: of the model's output.
        held_back: whether the weights were fitted without these samples.
        activations: interpreter of tfmpq's file with 8-bit rows.

    Returns:
        None if there are no samples.
    """
    if not samples:
        return None
    reference = runtime.make_interpreter(float_file, label="the float file")
    files = {"stock": stock, "file": file} | ({} if activations is None else {"activations": activations})
    sums = {key: _Sums(kind) for key in files}
    channels: list[ChannelSums] = []
    names: tuple[str, ...] = ()
    for feeds in samples:
        expected = _outputs(reference, feeds)
        names = tuple(expected)
        channels = channels or [ChannelSums() for _ in names]
        for key, interpreter in files.items():
            found = _matched(names, _outputs(interpreter, feeds))
            sums[key].add(list(expected.values()), found)
            if key == "file":
                for known, real, made in zip(channels, expected.values(), found, strict=True):
                    known.add(real, made)
    predictions = sums["file"].predictions or None
    return Proxies(
        samples=len(samples),
        held_back=held_back,
        predictions=predictions,
        outputs=names,
        stock=sums["stock"].closeness(),
        file=sums["file"].closeness(),
        activations=sums["activations"].closeness() if "activations" in sums else None,
        channels=tuple(known.result() for known in channels),
    )


def _outputs(interpreter: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Real-valued outputs by name."""
    raw = runtime.run(interpreter, feeds)
    # Details are read after the run: the interpreter learns some shapes only then.
    return {d.name: dequantize(r, d) for r, d in zip(raw, runtime.outputs(interpreter), strict=True)}


def _matched(names: Sequence[str], values: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Values in the float model's order: by name, or by position where quantization renamed the outputs."""
    return [values[name] for name in names] if set(names) == set(values) else list(values.values())


class _Sums:
    """Running sums for one file."""

    def __init__(self, kind: OutputKind) -> None:
        self.kind = kind
        self.signal: list[float] = []
        self.noise: list[float] = []
        self.predictions = 0
        self.agreeing = 0
        self.vectors = 0
        self.cosines = 0.0

    def add(self, expected: list[np.ndarray], values: list[np.ndarray]) -> None:
        wide = [a.astype(np.float64) for a in expected]
        errors = [a - b.astype(np.float64) for a, b in zip(wide, values, strict=True)]
        self.signal = [s + float((a**2).sum()) for s, a in zip(self.signal or [0.0] * len(wide), wide, strict=True)]
        self.noise = [n + float((e**2).sum()) for n, e in zip(self.noise or [0.0] * len(wide), errors, strict=True)]
        if self.kind == "embedding":
            self.vectors += len(wide[0])
            self.cosines += float(cosines(wide[0], values[0]).sum())
        if self.kind == "classes":
            self.predictions += len(expected[0])
            self.agreeing += int((expected[0].argmax(axis=1) == values[0].argmax(axis=1)).sum())

    def closeness(self) -> Closeness:
        ratios = tuple(sqnr_db(s, n) for s, n in zip(self.signal, self.noise, strict=True))
        cosine = self.cosines / self.vectors if self.vectors else None
        return Closeness(self.agreeing if self.predictions else None, ratios, cosine)
