"""The operators a cost table is measured on: layers of common networks, and the narrow pieces lowerings make."""

from __future__ import annotations

from tfmpq.target.models import Case, as_float, layer, table
from tfmpq.target.operators import FLOATING, PLAIN, mask, plain, product

# (height = width, input channels, output channels)
_POINTWISE = (
    (112, 16, 96), (112, 24, 48), (112, 24, 12), (112, 32, 16), (112, 16, 6), (56, 24, 144), (56, 96, 96),
    (56, 144, 24), (56, 96, 10), (56, 48, 29), (28, 192, 32), (28, 192, 192), (28, 32, 192), (28, 192, 20),
    (28, 96, 75), (28, 192, 144), (14, 384, 384), (14, 96, 576), (14, 576, 96), (14, 384, 20), (14, 384, 97),
    (14, 64, 384), (14, 96, 143), (14, 192, 300), (14, 576, 5), (7, 768, 768), (7, 960, 320), (7, 160, 960),
    (7, 768, 39), (7, 960, 16), (7, 576, 160), (7, 320, 1280), (7, 960, 81), (4, 256, 256), (4, 64, 128),
    (4, 512, 512), (4, 128, 10), (2, 512, 128), (2, 96, 40),
)  # fmt: skip
_DENSE = (
    (0, 1280, 1000), (0, 768, 1000), (0, 768, 50), (0, 768, 250), (0, 768, 500), (0, 1280, 950), (0, 64, 10),
    (0, 256, 256), (0, 512, 128), (0, 1024, 37), (0, 2048, 1000), (0, 96, 640), (0, 400, 120), (0, 1280, 320),
    (0, 128, 2),
)  # fmt: skip
# ... and the kernel
_KXK = (
    (56, 64, 64, 3), (28, 128, 128, 3), (14, 256, 256, 3), (7, 512, 512, 3), (32, 16, 16, 3), (16, 32, 32, 3),
    (8, 64, 64, 3), (28, 32, 32, 5), (28, 16, 24, 3), (14, 96, 20, 3), (14, 64, 5, 3), (7, 320, 256, 3),
    (32, 16, 4, 3), (32, 3, 16, 3), (64, 16, 16, 3), (32, 32, 32, 3), (56, 24, 24, 3),
)  # fmt: skip
_STRIDED = (
    (224, 3, 32, 3), (224, 3, 24, 3), (320, 3, 8, 3), (56, 64, 128, 3), (28, 128, 256, 3), (14, 256, 512, 3),
    (32, 16, 32, 1), (16, 32, 64, 1), (32, 16, 32, 3), (16, 32, 64, 3), (56, 64, 128, 1), (28, 128, 20, 3),
    (32, 3, 16, 3), (96, 3, 8, 3), (14, 96, 10, 3), (56, 32, 64, 3), (112, 16, 32, 3), (14, 256, 512, 1),
)  # fmt: skip
_DEPTHWISE = (
    (112, 32, 32, 3), (112, 16, 16, 3), (56, 144, 144, 3), (56, 24, 24, 3), (28, 192, 192, 3), (28, 20, 20, 3),
    (14, 384, 384, 3), (14, 100, 100, 3), (7, 960, 960, 3), (7, 40, 40, 3), (14, 576, 576, 5), (28, 96, 96, 5),
)  # fmt: skip
_TRANSPOSED = (
    (14, 64, 32, 2), (28, 32, 16, 2), (14, 64, 64, 3), (7, 128, 64, 4), (28, 16, 16, 3), (14, 64, 10, 2),
    (7, 32, 32, 3),
)  # fmt: skip
_GROUPED = ((28, 64, 64, 3, 4), (14, 128, 128, 3, 8), (28, 64, 128, 1, 4), (14, 256, 256, 1, 2), (7, 64, 64, 3, 2))
# (heads, rows, depth, columns): scores of attention, and what they select
_PRODUCTS = (
    (4, 64, 16, 64), (4, 64, 64, 16), (3, 196, 64, 196), (3, 196, 196, 64), (8, 49, 32, 49), (8, 49, 49, 32),
    (2, 16, 32, 16), (2, 16, 16, 32), (1, 256, 64, 256), (1, 256, 256, 64), (12, 128, 64, 128), (12, 128, 128, 64),
    (4, 1, 64, 32), (1, 20, 8, 20), (1, 20, 20, 8),
)  # fmt: skip
_LOOKUPS = ((1, 32), (16, 32), (256, 32), (1, 128), (64, 128), (16, 384), (128, 384), (64, 768))  # (ids, columns)
_MAPS = (
    (112, 16), (112, 96), (56, 24), (56, 144), (28, 32), (28, 192), (14, 10), (14, 96), (14, 576), (7, 320), (7, 960),
    (0, 64), (0, 1000),
)  # fmt: skip
_MAPS_ONLY = {"TRANSPOSE", "MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}
ANY = ("NEG", "ABS", "RELU", "SUB")  # operators that stand for those without a row
_ANY_MAPS = ((28, 32), (14, 96), (7, 320))
_FLOAT = (
    "ADD", "MUL", "CONCATENATION", "PAD", "MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "SOFTMAX", "LOGISTIC", "LEAKY_RELU",
    "RESHAPE", "NEG", "ABS",
)  # fmt: skip
# With float activations only: layers of transformers (positions = side squared), and operators around them
_SEQUENCES = (
    (1, 64, 64), (4, 64, 256), (4, 256, 64), (8, 128, 128), (8, 128, 512), (8, 512, 128), (14, 192, 192),
    (14, 192, 768), (14, 768, 192), (11, 384, 384), (11, 384, 1536), (11, 1536, 384), (16, 768, 768), (16, 96, 40),
    (3, 312, 1200),
)  # fmt: skip
_MOVED = ("GATHER", "SLICE", "STRIDED_SLICE", "SPLIT", "TRANSPOSE", "SUB", "TANH", "HARD_SWISH", "RELU6", *FLOATING)
_WIDTHS = ((1, 64), (4, 64), (8, 128), (14, 192), (14, 768), (11, 384), (28, 32))


def cases() -> list[Case]:
    """All of them."""
    return [*_int8(), *_int4(), *_float(), *_plain(), *_products(), *tables(), *_masks(), *floating()]


def tables() -> list[Case]:
    """Lookups of rows, and of single numbers."""
    rows = [table(ids, columns, bits=bits) for bits in (4, 8, 32) for ids, columns in _LOOKUPS]
    return [*rows, *(table(ids, 1, bits=32) for ids in (1, 16, 64, 256))]


def _kernels(kind: str, table: tuple[tuple[int, int, int, int], ...], *, stride: int = 1, bits: int = 8) -> list[Case]:
    return [layer(kind, s, c, r, kernel=k, stride=stride, bits=bits) for s, c, r, k in table]


def _points(kind: str, table: tuple[tuple[int, int, int], ...], *, bits: int = 8) -> list[Case]:
    return [layer(kind, max(s, 1) if kind == "conv" else s, c, r, bits=bits) for s, c, r in table]


def _int8() -> list[Case]:
    return [
        *_points("conv", _POINTWISE + _DENSE),
        *_points("dense", _POINTWISE + _DENSE),
        *_kernels("conv", _KXK),
        *_kernels("conv", _STRIDED, stride=2),
        *[layer("conv", s, c, r, kernel=k, groups=g) for s, c, r, k, g in _GROUPED],
        *_kernels("depthwise", _DEPTHWISE),
        *_kernels("depthwise", _DEPTHWISE, stride=2),
        *_kernels("transpose_conv", _TRANSPOSED, stride=2),
        *_kernels("transpose_conv", tuple(t for t in _TRANSPOSED if t[3] == 3)),
    ]


def _int4() -> list[Case]:
    odd = tuple((s, c - 1, r) for s, c, r in _POINTWISE[6::6] + _DENSE[::4])
    return [
        *_points("dense", _POINTWISE + _DENSE + odd, bits=4),
        *_points("conv", _POINTWISE[1::5] + _DENSE[::4], bits=4),
        *_kernels("conv", _KXK[1::2], bits=4),
        *_kernels("conv", _STRIDED[1::2], stride=2, bits=4),
        *_kernels("depthwise", _DEPTHWISE[::2], bits=4),
        *_kernels("depthwise", _DEPTHWISE[::2], stride=2, bits=4),
    ]


def _float() -> list[Case]:
    return [
        *_points("conv", _POINTWISE[1::4] + _DENSE[::4], bits=32),
        *_points("dense", _POINTWISE[3::6] + _DENSE[::3], bits=32),
        *_kernels("conv", _KXK[1::2], bits=32),
        *_kernels("conv", _STRIDED[1::2], stride=2, bits=32),
        *_kernels("depthwise", _DEPTHWISE[::2], bits=32),
        *_kernels("depthwise", _DEPTHWISE[::2], stride=2, bits=32),
    ]


def _plain() -> list[Case]:
    result = []
    for name in PLAIN:
        for size, channels in _ANY_MAPS if name in ANY else _MAPS:
            if size or name not in _MAPS_ONLY:
                result.append(plain(name, size, channels))
    for size, channels in _MAPS[::3]:
        result += [plain("CONCATENATION", size, max(channels, 32), pieces=n) for n in (3, 5, 6, 8)]
    for name in _FLOAT:
        result += [as_float(plain(name, size, channels)) for size, channels in _ANY_MAPS]
    return result


def _products() -> list[Case]:
    """With right sides that XNNPACK takes, and others."""
    return [product(*sizes, zero_point=zero_point) for zero_point in (0, 3) for sizes in _PRODUCTS]


def _masks() -> list[Case]:
    sizes = ((4, 32), (4, 64), (12, 64), (8, 128), (12, 128), (4, 16))
    return [mask(name, heads, length) for name in ("SELECT_V2", "LOGICAL_AND") for heads, length in sizes]


def floating() -> list[Case]:
    """Integer weights beside float activations, and what else there is in float only."""
    dense = [(bits, sizes) for bits in (8, 4) for sizes in _SEQUENCES + _POINTWISE[6::3] + _DENSE]
    odd = [(4, (size, columns - 1, rows)) for size, columns, rows in _SEQUENCES[::2] + _DENSE[::3]]
    kernels = [
        ("conv", _KXK, 1, 8),
        ("conv", _STRIDED, 2, 8),
        ("conv", _KXK[1::2], 1, 4),
        ("conv", _STRIDED[1::2], 2, 4),
    ]
    kernels += [("depthwise", _DEPTHWISE, 1, 8), ("depthwise", _DEPTHWISE, 2, 8), ("transpose_conv", _TRANSPOSED, 2, 8)]
    points = [(bits, sizes) for bits, step in ((8, 2), (4, 5)) for sizes in _POINTWISE[::step] + _DENSE[::3]]
    return [
        *[layer("dense", s, c, r, bits=bits, floating=True) for bits, (s, c, r) in dense + odd],
        *[layer("conv", max(s, 1), c, r, bits=bits, floating=True) for bits, (s, c, r) in points],
        *[
            layer(kind, s, c, r, kernel=k, stride=stride, bits=bits, floating=True)
            for kind, table, stride, bits in kernels
            for s, c, r, k in table
        ],
        *[layer("conv", s, c, r, kernel=k, groups=g, floating=True) for s, c, r, k, g in _GROUPED],
        *[as_float(plain(name, size, channels)) for name in _MOVED for size, channels in _WIDTHS],
        *[as_float(product(*sizes)) for sizes in _PRODUCTS],
    ]
