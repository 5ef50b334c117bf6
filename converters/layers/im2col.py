"""im2col: the rows of numbers a layer's weight is multiplied with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError


@dataclass(frozen=True)
class Geometry:
    """How a layer's input becomes rows of ``d`` numbers. Pairs are (height, width).

    Attributes:
        kernel, stride, dilation: of a convolution.
        padding: ``SAME`` or ``VALID``.
        turned: whether the kernel is read from its end, as in a transposed convolution.
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "VALID"
    turned: bool = False


@dataclass(frozen=True)
class Reading:
    """How a layer reads an activation.

    Attributes:
        geometry: of the layer.
        columns: length d of its rows.
        groups: number of input groups.
        out_shape: height and width of the output where they do not follow from the input's.
    """

    geometry: Geometry
    columns: int
    groups: int = 1
    out_shape: tuple[int, int] | None = None


def pad_amounts(size: int, kernel: int, stride: int, dilation: int, padding: str) -> tuple[int, int, int]:
    """(before, after, output size) along one axis, as TensorFlow pads a convolution."""
    reach = (kernel - 1) * dilation + 1
    if padding == "VALID":
        return 0, 0, (size - reach) // stride + 1
    out = -(-size // stride)
    total = max((out - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2, out


def output_size(geometry: Geometry, height: int, width: int) -> tuple[int, int]:
    """Output height and width of a (not transposed) convolution."""
    sizes = [
        pad_amounts(n, k, s, r, geometry.padding)[2]
        for n, k, s, r in zip((height, width), geometry.kernel, geometry.stride, geometry.dilation, strict=True)
    ]
    return sizes[0], sizes[1]


def transposed_input(
    x: np.ndarray, geometry: Geometry, fill: float, out_shape: tuple[int, int]
) -> tuple[np.ndarray, Geometry]:
    """A transposed convolution as a plain one: spread the input by the stride and pad it.

    Raises:
        FileFormatError: A convolution of this geometry does not lead from ``out_shape`` to the size of the input.
    """
    n, height, width, channels = x.shape
    spread = np.full(
        (n, (height - 1) * geometry.stride[0] + 1, (width - 1) * geometry.stride[1] + 1, channels), fill, x.dtype
    )
    spread[:, :: geometry.stride[0], :: geometry.stride[1]] = x
    pads = []
    for size, out, kernel, stride, inner in zip(
        (height, width), out_shape, geometry.kernel, geometry.stride, spread.shape[1:3], strict=True
    ):
        # TensorFlow's transposed convolution is the gradient of the convolution out -> in.
        before_forward = pad_amounts(out, kernel, stride, 1, geometry.padding)[0] if geometry.padding == "SAME" else 0
        before = kernel - 1 - before_forward
        pads.append((before, out + kernel - 1 - before - inner))
        if size != pad_amounts(out, kernel, stride, 1, geometry.padding)[2]:
            raise FileFormatError(
                f"a TRANSPOSE_CONV with stride {stride} and {geometry.padding} padding makes {out} rows or columns of "
                f"{size}, which no convolution undoes: the file is corrupt, or its output shape is wrong"
            )
    cropped = spread[:, max(0, -pads[0][0]) :, max(0, -pads[1][0]) :]
    (top, bottom), (left, right) = [(max(0, a), b) for a, b in pads]
    cropped = cropped[:, : cropped.shape[1] + min(0, bottom), : cropped.shape[2] + min(0, right)]
    padded = np.pad(cropped, ((0, 0), (top, max(0, bottom)), (left, max(0, right)), (0, 0)), constant_values=fill)
    return padded, Geometry(geometry.kernel, (1, 1), (1, 1), "VALID", turned=True)


def convolution_patches(
    x: np.ndarray, geometry: Geometry, *, fill: float = 0, positions: np.ndarray | None = None
) -> np.ndarray:
    """Windows of an activation (N, H, W, C) that a convolution multiplies its kernel with.

    Args:
        x: activation.
        geometry: of the layer; ``turned`` kernels are read from the end.
        fill: what padding adds.
        positions: indices of the output positions (row-major over N, H, W) to return; None for all.

    Returns:
        (P, kh, kw, C).
    """
    n, height, width, _ = x.shape
    (kh, kw), (sh, sw), (dh, dw) = geometry.kernel, geometry.stride, geometry.dilation
    top, bottom, out_h = pad_amounts(height, kh, sh, dh, geometry.padding)
    left, right, out_w = pad_amounts(width, kw, sw, dw, geometry.padding)
    if top or bottom or left or right:
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    index = np.arange(n * out_h * out_w) if positions is None else positions
    image, row, column = np.unravel_index(index, (n, out_h, out_w))
    if kh == kw == 1:
        return x[image, row * sh, column * sw][:, None, None, :]
    steps_h, steps_w = np.arange(kh) * dh, np.arange(kw) * dw
    if geometry.turned:
        steps_h, steps_w = steps_h[::-1], steps_w[::-1]
    rows = row[:, None, None] * sh + steps_h[:, None]
    columns = column[:, None, None] * sw + steps_w[None, :]
    return x[image[:, None, None], rows, columns]
