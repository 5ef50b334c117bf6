"""Points: a quantized weight row is a sum of low-bit integer rows, each with its own scale.

Source: Liu, Ye, Zhou, Liu, "Post-training Quantization with Multiple Points", AAAI 2021 (arXiv 2002.09049), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.errors import OptionError
from converters.printable import shown

INT8_LIMIT = 127  # the TFLite specification keeps int8 weights within +-127
MIN_BITS, MAX_BITS, MAX_POINTS = 2, 8, 4
_EXACT = 2.0**40  # float64 adds products of int8 codes and such ratios without rounding
_MOST_NUMBERS = 1 << 22  # of rows that are worked on at a time; a dozen float64 arrays of that size at once


def code_range(bits: int) -> tuple[int, int]:
    """Smallest and largest code a point of ``bits`` bits may hold: two's complement, but +-127 at 8 bits."""
    high = 2 ** (bits - 1) - 1
    return (-high, high) if bits == 8 else (-high - 1, high)


@dataclass(frozen=True)
class Point:
    """One low-bit integer matrix with one scale per row.

    Attributes:
        codes: int8, shape (C, d).
        scale: float32, shape (C,), > 0; real value = scale * code (zero point 0).
    """

    codes: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class MultipointWeight:
    """A weight matrix as a sum of points.

    Attributes:
        points: the points; row c uses the first ``counts[c]`` of them, its codes in the others are 0.
        counts: int, shape (C,), points per row, 1..len(points).
        bits: bits of every code.

    Raises:
        OptionError: These contradict one another, or are of another type.
    """

    points: tuple[Point, ...]
    counts: np.ndarray
    bits: int

    def __post_init__(self) -> None:
        self._check_types()
        low, high = code_range(self.bits)
        shape = self.points[0].codes.shape
        if self.counts.shape != shape[:1] or self.counts.min() < 1 or self.counts.max() > len(self.points):
            raise OptionError(f"counts must lie in 1..{len(self.points)}, one a row")
        for i, point in enumerate(self.points):
            if point.codes.dtype != np.int8 or point.codes.shape != shape or point.scale.shape != shape[:1]:
                raise OptionError(f"point {i}: codes must be int8 {shape} with one scale a row")
            if not (np.isfinite(point.scale).all() and (point.scale > 0).all()):
                raise OptionError(f"point {i}: scales must be finite and positive")
            if point.codes.size and (point.codes.min() < low or point.codes.max() > high):
                raise OptionError(f"point {i}: codes leave {low}..{high}")
            if point.codes[self.counts <= i].any():
                raise OptionError(f"point {i}: a row that has fewer points holds codes")

    def _check_types(self) -> None:
        whole = isinstance(self.bits, (int, np.integer)) and not isinstance(self.bits, bool)
        if not whole or not MIN_BITS <= self.bits <= MAX_BITS:
            raise OptionError(f"bits={shown(self.bits)} must be a whole number from {MIN_BITS} to {MAX_BITS}")
        if not isinstance(self.points, tuple) or not self.points or not all(isinstance(p, Point) for p in self.points):
            raise OptionError("points must be a tuple of Point objects")
        arrays = [array for point in self.points for array in (point.codes, point.scale)]
        if not all(isinstance(array, np.ndarray) for array in arrays) or self.points[0].codes.ndim != 2:
            raise OptionError("codes must be a NumPy array (rows, columns), and scales one a row")
        if not isinstance(self.counts, np.ndarray) or self.counts.dtype.kind not in "iu" or not self.counts.size:
            raise OptionError("counts must be a NumPy array of whole numbers, one a row")

    @property
    def shape(self) -> tuple[int, int]:
        """(C, d)."""
        rows, columns = self.points[0].codes.shape
        return rows, columns

    def reconstruct(self, dtype: type[np.floating] = np.float64) -> np.ndarray:
        """The real weight, (C, d): the sum over points of scale * codes, in float64, as ``dtype``."""
        total = np.empty(self.shape, dtype)
        for part in row_parts(*self.shape):
            total[part] = self.rows(part)
        return total

    def rows(self, part: slice) -> np.ndarray:
        """Some rows of the real weight, float64."""
        total = np.zeros((len(self.counts[part]), self.shape[1]))
        for point in self.points:
            total += point.scale[part].astype(np.float64)[:, None] * point.codes[part]
        return total

    def stored_bytes(self) -> int:
        """Bytes of all codes at ``bits`` bits plus 4 for every scale."""
        rows = int(self.counts.sum())
        return (rows * self.shape[1] * self.bits + 7) // 8 + 4 * rows

    def permuted(self, rows: np.ndarray | None, columns: np.ndarray | None) -> MultipointWeight:
        """The same weight with rows and columns taken in another order; None keeps an order."""
        row_index = slice(None) if rows is None else rows
        column_index = slice(None) if columns is None else columns
        points = tuple(
            Point(np.ascontiguousarray(p.codes[row_index][:, column_index]), p.scale[row_index]) for p in self.points
        )
        return MultipointWeight(points, self.counts[row_index], self.bits)


def row_parts(rows: int, columns: int) -> list[slice]:
    """Parts of a matrix's rows that are worked on at a time: at most 32 MB of float64 each, but a row at least."""
    step = max(1, _MOST_NUMBERS // max(columns, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def merge(weight: MultipointWeight) -> Point | None:
    """The single int8 point equal to ``weight``, or None where there is none.

    A row merges when each of its scales is an integer multiple of its last one and the integer sum stays
    within +-127 (methods: "radix"); the merged row is exact, with the last point's scale.
    """
    last = np.stack([p.scale for p in weight.points])[weight.counts - 1, np.arange(weight.shape[0])]
    ratios = []
    for i, point in enumerate(weight.points):
        ratio = np.where(weight.counts > i, point.scale.astype(np.float64) / last, 0.0)
        if (ratio != np.rint(ratio)).any() or ratio.max(initial=0) > _EXACT:
            return None
        ratios.append(ratio)
    merged = np.empty(weight.shape, np.int8)
    for part in row_parts(*weight.shape):
        codes = np.zeros(merged[part].shape)
        for ratio, point in zip(ratios, weight.points, strict=True):
            codes += ratio[part, None] * point.codes[part]
        if np.abs(codes).max(initial=0) > INT8_LIMIT:
            return None
        merged[part] = codes
    return Point(merged, last.astype(np.float32))


def turned(weight: MultipointWeight, rows: np.ndarray) -> MultipointWeight:
    """The same weight with some rows times -1.

    Radix rows are cut into digits again, as low-bit codes reach one further down than up. A row that is at the lower
    end of what its points hold, of which there is no opposite, ends at the upper one.

    Args:
        weight: any.
        rows: bool (C,), those to be turned around.
    """
    low, high = code_range(weight.bits)
    codes = np.stack([point.codes for point in weight.points]).astype(np.int64)
    codes[:, rows] *= -1
    for row in np.flatnonzero((codes > high).any(axis=(0, 2))):
        used = int(weight.counts[row])
        scales = np.array([point.scale[row] for point in weight.points[:used]], np.float64)
        ratios = radix(weight.bits, used) ** np.arange(used - 1, -1, -1)
        if used > 1 and (np.rint(scales / scales[-1]) == ratios).all():
            whole = np.clip(ratios @ codes[:used, row], *grid_limits(weight.bits, used))
            codes[:used, row] = split_digits(whole, bits=weight.bits, points=used)
    points = zip(np.clip(codes, low, high).astype(np.int8), weight.points, strict=True)
    return MultipointWeight(tuple(Point(c, p.scale) for c, p in points), weight.counts, weight.bits)


def radix(bits: int, points: int) -> int:
    """Ratio between the scales of neighbouring points on a radix grid.

    The number of codes of a point makes neighbouring digits tile without gap or overlap. For two points of 5-7
    bits a smaller ratio keeps the sum within int8 (an 8-bit row cut into two digits): 8-bit activations could
    not use more.
    """
    if points == 2 and 5 <= bits <= 7:
        return 2 ** (8 - bits)
    low, high = code_range(bits)
    return high - low + 1


def grid_limits(bits: int, points: int) -> tuple[int, int]:
    """Smallest and largest integer a radix row of ``points`` points holds, in units of its last scale.

    The first digit is symmetric (+-(2^(bits-1) - 1)), which keeps two 4-bit points (-120..119) within int8.
    """
    low, high = code_range(bits)
    if points == 1:
        return low, high
    if points == 2 and 5 <= bits <= 7:
        return -INT8_LIMIT, INT8_LIMIT
    ratio = radix(bits, points)
    first, lower = ratio ** (points - 1), sum(ratio**k for k in range(points - 1))
    return low * lower - high * first, high * lower + high * first


def split_digits(values: np.ndarray, *, bits: int, points: int) -> list[np.ndarray]:
    """Integers of :func:`grid_limits` as int8 digits, most significant first: v = sum_i radix^(points-1-i) q_i."""
    low, high = code_range(bits)
    ratio = radix(bits, points)
    digits: list[np.ndarray] = []
    rest = values.astype(np.int64)
    for i in range(points - 1):
        place = ratio ** (points - 1 - i)
        if ratio < high - low + 1:  # overlapping digits: keep the remainder small
            digit = np.rint(rest / place).astype(np.int64)
        else:  # tiling digits: the one choice whose remainder the lower digits can hold
            digit = -((sum(ratio**k for k in range(points - 1 - i)) * high - rest) // place)
        digit = np.clip(digit, -high if i == 0 else low, high)
        digits.append(digit.astype(np.int8))
        rest = rest - digit * place
    return [*digits, rest.astype(np.int8)]
