"""A kind of layer: where an operator keeps a weight matrix, what its rows are, and how it computes with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from converters.layers.im2col import Geometry, Reading, convolution_patches, output_size
from converters.tflite.graph import Op, Tensor

_PADDING = {0: "SAME", 1: "VALID"}
LEAST_DYNAMIC = 1024  # numbers of a weight that TensorFlow's converter stores as int8 beside float activations
_CHUNK = 1 << 21  # numbers of im2col held at a time (16 MB)


class Site(NamedTuple):
    """Places of one weight matrix and what belongs to it among an operator's inputs.

    ``bias`` is None for kinds that have none; an operator of a kind that has one may still leave it out.
    """

    activation: int
    weight: int
    bias: int | None


@dataclass(frozen=True)
class SpatialWork:
    """How much of its weight an operator uses.

    Attributes:
        shape: shape class of cost tables, see :class:`converters.targets.work.Work`.
        positions: positions at which the whole weight is used once.
    """

    shape: str
    positions: int


class WeightKind(ABC):
    """One kind of operator with weights. A weight is a matrix (C, d): C rows, one an output channel.

    Attributes:
        name: how layers of the kind are called in names and tables.
        code: operator code of the schema.
        sites: the weight matrices of one operator; recurrent layers have several.
        row_axis: axis of the weight tensor along which rows, and scales, are counted.
        scaled_input: whether the activation has a scale of its own; the indices of a table have none.
        needs_bias: whether int8 kernels refuse the operator without a bias, or crash.
        per_channel: whether a row reads one input channel only, so that rows are tied to channels.
        table: whether rows are looked up: then its columns are the output's channels, and its rows those of the ids.
        has_int4: whether the runtimes' plain kernels take INT4 weights.
        stays_float: why its weights are better left in float where activations are; None: int8 ones are as fast.
        dynamic_version: operator version of int8 weights beside float activations that all runtimes take.
    """

    name: ClassVar[str]
    code: ClassVar[int]
    sites: ClassVar[tuple[Site, ...]] = (Site(0, 1, 2),)
    row_axis: ClassVar[int] = 0
    scaled_input: ClassVar[bool] = True
    needs_bias: ClassVar[bool] = False
    per_channel: ClassVar[bool] = False
    table: ClassVar[bool] = False
    has_int4: ClassVar[bool] = True
    stays_float: ClassVar[str | None] = None
    dynamic_version: ClassVar[int] = 1

    @property
    def site(self) -> Site:
        """Place of the first weight matrix; the only one of most kinds."""
        return self.sites[0]

    def __repr__(self) -> str:
        return self.name

    # ------------------------------------------------------------ the weight

    def rows(self, array: np.ndarray) -> np.ndarray:
        """Weight tensor in the file's layout -> (C, d)."""
        return np.moveaxis(array, self.row_axis, 0).reshape(array.shape[self.row_axis], -1)

    def tensor(self, rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """(C', d) -> the file's layout; ``shape`` is the original layout, its channel count may differ."""
        rest = [n for i, n in enumerate(shape) if i != self.row_axis]
        return np.ascontiguousarray(np.moveaxis(rows.reshape([rows.shape[0], *rest]), 0, self.row_axis))

    def groups(self, channels: int, shape: Sequence[int]) -> int:
        """Number of input groups, given the input's channels and the weight's shape; each row reads one group."""
        return 1

    def geometry(self, op: Op, shape: Sequence[int]) -> Geometry:
        """Kernel, stride, dilation and padding of an operator whose weight has ``shape``."""
        options = op.options
        stride = (options.strideH, options.strideW)
        return Geometry((shape[1], shape[2]), stride, self._dilation(op), _PADDING[options.padding])

    def _dilation(self, op: Op) -> tuple[int, int]:
        return op.options.dilationHFactor, op.options.dilationWFactor

    # ------------------------------------------------------------ what limits its rows

    def mixed_order(self, op: Op, x: Tensor, shape: Sequence[int]) -> str | None:
        """Why rows and columns of the matrix cannot be reordered independently; None if they can."""
        return None

    def fixed_columns(self, op: Op, x: Tensor, shape: Sequence[int]) -> str | None:
        """Why the order of the input's channels must stay although the columns could follow; None if it may change."""
        return None

    def full_width(self, ops: Sequence[Op], *, groups: int, channels: int) -> str | None:
        """Why a layer's rows cannot be computed by several operators, some rows each; None if they can."""
        return None

    def is_product(self, geometry: Geometry, groups: int) -> bool:
        """Whether a layer is a plain matrix product at every position, which FULLY_CONNECTED computes too."""
        return False

    def keeps_dims(self, op: Op) -> bool:
        """Whether a FULLY_CONNECTED in the place of ``op`` must keep the dimensions of its input."""
        return True

    # ------------------------------------------------------------ its operators

    def inputs(self, source: Tensor, weight: Tensor, bias: Tensor, *, shape: Tensor | None) -> list[Tensor | None]:
        """Inputs of an operator of the kind; ``shape``: of its output, where the kind takes that."""
        return [source, weight, bias]

    def output_shape(self, op: Op) -> Tensor | None:
        """The input that says which shape the output has; None where the kind has no such input."""
        return None

    def version(self, version: int) -> int:
        """Operator version once the operator has a bias, which stock leaves out where the float model has none."""
        return version

    # ------------------------------------------------------------ what it computes

    def out_shape(self, op: Op) -> tuple[int, int] | None:
        """Height and width of the output where they do not follow from the input's, for :meth:`patches`."""
        return None

    def patches(
        self, x: np.ndarray, reading: Reading, *, fill: float = 0, positions: np.ndarray | None = None
    ) -> np.ndarray:
        """What the rows are multiplied with: the statistic of a layer is the moment of these.

        Args:
            x: activation, (N, H, W, Cin), or (..., d) for dense layers.
            reading: of the layer.
            fill: what padding adds (0, or the zero point for integers).
            positions: indices of the output positions (row-major over N, H, W) to return; None for all.

        Returns:
            (G, P, d): ``patches[g] @ rows_of_group_g.T`` is the layer's output before bias. Dense, plain and transposed
            convolutions have G = 1, grouped ones their groups, depthwise ones the input channels.
        """
        taken = convolution_patches(x, reading.geometry, fill=fill, positions=positions)
        count, height, width, channels = taken.shape
        groups = reading.groups
        if groups == 1:
            return taken.reshape(1, count, -1)
        split = taken.reshape(count, height, width, groups, channels // groups)
        return np.ascontiguousarray(split.transpose(3, 0, 1, 2, 4).reshape(groups, count, -1))

    def position_count(self, x: np.ndarray, reading: Reading) -> int:
        """Number of output positions of activation ``x``: P of :meth:`patches`."""
        height, width = output_size(reading.geometry, x.shape[1], x.shape[2])
        return x.shape[0] * height * width

    def sums(self, op: Op, x: np.ndarray, rows: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, list[int]]:
        """What the operator adds up, before bias: the reference that kernels are held against.

        Args:
            op: the operator.
            x: its activation, the zero point taken off.
            rows: (C, d), the zero point taken off.
            shape: of the weight tensor.

        Returns:
            (positions, C), and the shape of the output.
        """
        channels, columns = rows.shape
        groups = self.groups(x.shape[-1], shape)
        reading = Reading(self.geometry(op, shape), columns, groups, self.out_shape(op))
        total = self.position_count(x, reading)
        by_group = rows.reshape(groups, channels // groups, columns).transpose(0, 2, 1)
        result = np.empty((total, channels))
        step = max(1, _CHUNK // (groups * columns))
        for start in range(0, total, step):
            positions = np.arange(start, min(start + step, total))
            taken = self.patches(x, reading, positions=positions)
            result[positions] = (taken @ by_group).transpose(1, 0, 2).reshape(len(positions), channels)
        return result, self.result_shape(op, x, channels, columns)

    def result_shape(self, op: Op, x: np.ndarray, channels: int, columns: int) -> list[int]:
        """Shape of the output for activation ``x``."""
        return [x.shape[0], *op.outputs[0].shape[1:3], channels]

    # ------------------------------------------------------------ its work

    @abstractmethod
    def work(self, op: Op, shape: Sequence[int], source: Tensor, positions: int) -> SpatialWork:
        """How an operator with a weight of ``shape`` uses it at ``positions`` output positions, batch included."""


def spatial_class(op: Op) -> str:
    """Shape class of a convolution that is not pointwise."""
    return "strided" if max(op.options.strideH, op.options.strideW) > 1 else "kxk"
