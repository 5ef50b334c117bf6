"""im2col: the rows of numbers a layer's weight is multiplied with."""

from __future__ import annotations

import numpy as np

from converters.layers.layer import Geometry, Kind


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


def _transposed_input(
    x: np.ndarray, geometry: Geometry, fill: float, out_shape: tuple[int, int]
) -> tuple[np.ndarray, Geometry]:
    """A transposed convolution as a plain one: spread the input by the stride and pad it."""
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
        assert size == pad_amounts(out, kernel, stride, 1, geometry.padding)[2]
    cropped = spread[:, max(0, -pads[0][0]) :, max(0, -pads[1][0]) :]
    (top, bottom), (left, right) = [(max(0, a), b) for a, b in pads]
    cropped = cropped[:, : cropped.shape[1] + min(0, bottom), : cropped.shape[2] + min(0, right)]
    padded = np.pad(cropped, ((0, 0), (top, max(0, bottom)), (left, max(0, right)), (0, 0)), constant_values=fill)
    return padded, Geometry(geometry.kernel, (1, 1), (1, 1), "VALID")


def patches(
    x: np.ndarray,
    kind: Kind,
    geometry: Geometry,
    *,
    groups: int = 1,
    fill: float = 0,
    out_shape: tuple[int, int] | None = None,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    """Input patches of a layer.

    Args:
        x: activation, (N, H, W, Cin), or (..., d) for dense layers.
        kind, geometry, groups: of the layer.
        fill: what padding adds (0, or the zero point for integers).
        out_shape: output height and width, needed for transposed convolutions only.
        positions: indices of the output positions (row-major over N, H, W) to return; None for all.

    Returns:
        (G, P, d): ``patches[g] @ rows_of_group_g.T`` is the layer's output before bias. Dense, plain and transposed
        convolutions have G = 1, grouped ones their groups, depthwise ones the input channels.
    """
    if kind == "dense":
        flat = x.reshape(1, -1, x.shape[-1])
        return flat if positions is None else flat[:, positions]
    flip = kind == "transpose_conv"
    if flip:
        assert out_shape is not None
        x, geometry = _transposed_input(x, geometry, fill, out_shape)
    n, height, width, channels = x.shape
    (kh, kw), (sh, sw), (dh, dw) = geometry.kernel, geometry.stride, geometry.dilation
    top, bottom, out_h = pad_amounts(height, kh, sh, dh, geometry.padding)
    left, right, out_w = pad_amounts(width, kw, sw, dw, geometry.padding)
    if top or bottom or left or right:
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    index = np.arange(n * out_h * out_w) if positions is None else positions
    image, row, column = np.unravel_index(index, (n, out_h, out_w))
    steps_h, steps_w = np.arange(kh) * dh, np.arange(kw) * dw
    if flip:
        steps_h, steps_w = steps_h[::-1], steps_w[::-1]
    if kh == kw == 1:
        taken = x[image, row * sh, column * sw][:, None, None, :]
    else:
        rows = row[:, None, None] * sh + steps_h[:, None]
        columns = column[:, None, None] * sw + steps_w[None, :]
        taken = x[image[:, None, None], rows, columns]  # (P, kh, kw, C)
    if kind == "depthwise":
        return np.ascontiguousarray(taken.reshape(len(index), kh * kw, channels).transpose(2, 0, 1))
    if groups == 1:
        return taken.reshape(1, len(index), -1)
    split = taken.reshape(len(index), kh, kw, groups, channels // groups)
    return np.ascontiguousarray(split.transpose(3, 0, 1, 2, 4).reshape(groups, len(index), -1))


def position_count(x: np.ndarray, kind: Kind, geometry: Geometry, out_shape: tuple[int, int] | None = None) -> int:
    """Number of output positions of activation ``x``: P of :func:`patches`."""
    if kind == "dense":
        return x.size // x.shape[-1]
    if kind == "transpose_conv":
        assert out_shape is not None
        return x.shape[0] * out_shape[0] * out_shape[1]
    out_h, out_w = output_size(geometry, x.shape[1], x.shape[2])
    return x.shape[0] * out_h * out_w
