"""The file whose weights lose next to nothing: what is missing in its outputs is missing in activations.

Float weights with int8 activations run nowhere. The nearest thing that does is the int8 file that layers are replaced
in, with its own 8-bit rows and the biases of rounded layers: those make up for the mean error of rows and of the
rounded input, as they do in the file that is written. No data are needed beyond the moments that are known already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.layers.layer import Layer
from converters.lowering.quantized_layer import scale_floor
from tfmpq.algorithms import Candidate
from tfmpq.emit.write import emit
from tfmpq.progress import Progress
from tfmpq.stages import Network, Planned, Weighed, advance
from tfmpq.version import __version__

_LARGEST = 127  # of codes that one int8 row may have in every form


def eight_bit_file(network: Network, layers: Sequence[Weighed]) -> bytes:
    """The int8 file with one 8-bit point in every row, and biases that make up for the mean error.

    Args:
        network: float model and its int8 file.
        layers: those that are rounded; others, and those whose points were given, stay as the int8 file has them.
    """
    free = [layer for layer in layers if layer.given is None and not layer.layer.kind.table and not layer.layer.lookups]
    plan = [found for layer in free if (found := _planned(layer)) is not None]
    metadata, silent = {"version": __version__}, Progress(shown=False)
    return emit(network, plan, storage="int8", samples=None, count=0, metadata=metadata, progress=silent).content


def _planned(layer: Weighed) -> Planned | None:
    """The rows as the int8 file has them; None where they leave no room for another bias, or are not symmetric."""
    codes, scales = int8_rows(layer.layer)
    if (scales < scale_floor(layer.layer)).any() or codes.min() < -_LARGEST:
        return None
    once = np.ones(len(codes), np.int64)
    settings = replace(layer.settings, bits=8, max_points=1, lowering="fused")
    return advance(
        Planned,
        layer,
        settings=settings,
        candidates=(Candidate(codes[None], scales[None], np.zeros(len(codes))),),
        gains=np.zeros((len(codes), 0)),
        order=None,
        lowering="fused",
        counts=once,
    )


def int8_rows(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """A layer's weight in the int8 file: int8 (C, d), and float32 scales (C,)."""
    tensor = layer.uses[0].int8_op.input(layer.site.weight)
    assert tensor.quantization is not None, tensor.name
    codes = layer.kind.rows(tensor.array())
    return codes, np.broadcast_to(tensor.quantization.scale, len(codes))
