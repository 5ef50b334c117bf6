"""Which channels of a float graph may be scaled so that it computes the same: y_c -> f_c y_c with f_c > 0.

A layer with weights takes a factor back with its columns and gives one with its rows, so each of its channels is a
variable of its own. Operators m with m(f y) = f m(y) pass factors on: what they join has one factor (Nagel et al.,
"Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1, for pairs of layers
with RELU between them; here for whole graphs).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.layers.channel_rules import joined_inputs, joins_channels, unreadable, width
from converters.layers.kinds import WeightKind, kind_of
from converters.rewriting.channel_moves import moved_channels
from converters.rewriting.union import Union
from converters.tflite.graph import Graph, Op, Tensor, TensorType, schema

FIXED = 0  # the variable of all channels that must stay as they are
_ACTIVATION = schema.ActivationFunctionType
_HOMOGENEOUS = """
    RELU LEAKY_RELU PRELU ABS NEG MAX_POOL_2D AVERAGE_POOL_2D L2_POOL_2D RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR PAD
    MIRROR_PAD RESHAPE SQUEEZE EXPAND_DIMS SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND MEAN SUM REDUCE_MAX REDUCE_MIN TILE
    TRANSPOSE SLICE STRIDED_SLICE ADD SUB MAXIMUM MINIMUM ADD_N
"""
_CAPPED = {"RELU6", "RELU_0_TO_1"}  # homogeneous below their cap
_PASSING = {*_HOMOGENEOUS.split(), *_CAPPED}
CAPS = {_ACTIVATION.RELU6: 6.0, "RELU6": 6.0, "RELU_0_TO_1": 1.0}
WITH_CONSTANT = {"ADD", "SUB", "MAXIMUM", "MINIMUM"}  # a constant operand takes the factor of the other one
PRODUCTS = {"MUL", "DIV"}  # by a constant: it can give its channels any factor


@dataclass(frozen=True, eq=False)
class ChannelScales:
    """The variables of a graph.

    Attributes:
        variables: activation -> (channels,) number of the variable that scales each channel; ``FIXED``: none does.
        count: how many there are, ``FIXED`` included.
        caps: activations behind a RELU6 or the like -> its cap, which their scaled values must not reach.
        reasons: why activations are fixed, for those that are fixed at their own operators.
    """

    variables: Mapping[Tensor, np.ndarray]
    count: int
    caps: Mapping[Tensor, float]
    reasons: Mapping[Tensor, str]

    def factors(self, tensor: Tensor, values: np.ndarray) -> np.ndarray:
        """(channels,) factors of an activation, given those of all variables."""
        found = self.variables.get(tensor)
        return np.ones(width(tensor)) if found is None else values[found]


def channel_scales(graph: Graph, *, fixed: frozenset[str] = frozenset()) -> ChannelScales:
    """Finds the variables of a graph's activations.

    Args:
        graph: float.
        fixed: names of activations whose channels must stay as they are.
    """
    return _Analysis(graph, fixed).result()


class _Analysis:
    """One pass over the operators in execution order."""

    def __init__(self, graph: Graph, fixed: frozenset[str]) -> None:
        self.graph = graph
        self.fixed = fixed
        self.union = Union()
        self.found: dict[Tensor, np.ndarray] = {}
        self.caps: dict[Tensor, float] = {}
        self.reasons: dict[Tensor, str] = {}
        self.weights: dict[Tensor, tuple[WeightKind, np.ndarray, np.ndarray]] = {}
        self.other_uses = {
            tensor
            for op in graph.ops
            for i, tensor in enumerate(op.inputs)
            if tensor is not None and not ((kind := kind_of(op)) and i in [site.weight for site in kind.sites])
        }

    def result(self) -> ChannelScales:
        for tensor in self.graph.inputs:
            self.fix(tensor, "it is an input of the model")
        for op in self.graph.ops:
            self.visit(op)
            for tensor in op.outputs:
                if tensor.name in self.fixed:
                    self.fix(tensor, "a rule or given points keep it as it is")
        for tensor in self.graph.outputs:
            self.fix(tensor, "it is an output of the model")
        numbers = self.union.numbers()
        variables = {tensor: numbers[ids] for tensor, ids in self.found.items()}
        return ChannelScales(variables, int(numbers.max(initial=0)) + 1, self.caps, self.reasons)

    # What holds for single tensors.

    def ids(self, tensor: Tensor) -> np.ndarray:
        if tensor.data is not None or tensor not in self.found:
            return np.full(width(tensor), FIXED)
        return self.found[tensor]

    def fix(self, tensor: Tensor, reason: str) -> None:
        if tensor.data is not None:
            return
        ids = self.found.setdefault(tensor, np.full(width(tensor), FIXED))
        if (self.union.roots(ids) != FIXED).any() or not len(ids):
            self.reasons.setdefault(tensor, reason)
        self.union.tie(ids, np.full(len(ids), FIXED))

    def fix_all(self, op: Op, reason: str) -> None:
        for tensor in [*op.inputs, *op.outputs]:
            if tensor is not None:
                self.fix(tensor, reason)

    # Operators.

    def visit(self, op: Op) -> None:
        out = op.outputs[0] if op.outputs else None
        floats = [t for t in (*op.inputs, *op.outputs) if t is not None and t.type == TensorType.FLOAT32]
        unknown = any(t.shape_signature and t.shape_signature[-1] < 0 for t in floats) or any(
            not t.shape or t.shape[-1] < 1 for t in floats if t.data is None
        )
        if out is None or unknown or out.type != TensorType.FLOAT32:
            self.fix_all(op, f"{op.name} is not known to pass factors on")
            return
        if (kind := kind_of(op)) is not None:
            self.visit_weights(op, kind)
        elif joins_channels(op):
            self.found[out] = np.concatenate([self.ids(t) for t in op.inputs if t is not None])
        elif (moved := moved_channels(op, self.ids, self.union)) is not None:
            self.found.update(moved)
        elif op.name in PRODUCTS and self.visit_product(op):
            pass
        elif op.name in _PASSING or _is_zero_pad(op):
            self.visit_homogeneous(op)
        else:
            self.fix_all(op, f"{op.name} does not pass factors on")
        self.visit_activation(op)

    def visit_homogeneous(self, op: Op) -> None:
        out, joined = op.outputs[0], joined_inputs(op)
        if isinstance(joined, str):
            self.fix_all(op, joined)
            return
        operands = [t for t in (op.inputs[i] for i in joined) if t is not None and t.data is None]
        constants = [t for t in op.inputs if t is not None and t.data is not None and t.type == TensorType.FLOAT32]
        readable = not any(unreadable(t) for t in constants) and (
            op.name in WITH_CONSTANT or op.name in ("PRELU", "PADV2")
        )
        others = [t for i, t in enumerate(op.inputs) if i not in joined and t is not None and t.data is None]
        fits = all(width(t) in (1, width(out)) for t in operands) and bool(operands)
        if not fits or (constants and not readable) or (op.name == "PRELU" and len(operands) > 1):
            self.fix_all(op, f"{op.name} does not pass factors on here")
            return
        for tensor in others:
            self.fix(tensor, f"it is an argument of {op.name}")
        first, *rest = [np.broadcast_to(self.ids(t), width(out)) for t in operands]
        for ids in rest:
            self.union.tie(first, ids)
        self.found[out] = np.array(first)

    def visit_product(self, op: Op) -> bool:
        """MUL, DIV; whether it passes factors on."""
        first, second, out = op.input(0), op.input(1), op.outputs[0]
        if width(first) not in (1, width(out)) or width(second) not in (1, width(out)):
            return False
        if second.data is not None or (first.data is not None and op.name == "MUL"):
            constant, other = (second, first) if second.data is not None else (first, second)
            if unreadable(constant) or width(other) != width(out):
                return False
            self.found[out] = self.union.new(width(out))
            return True
        if op.name == "DIV" or first.data is not None:
            return False
        gate, other = (first, second) if self.is_fixed(first) or _size(first) < _size(second) else (second, first)
        self.fix(gate, f"it is multiplied with another activation in {op.name}")
        if width(other) != width(out):
            return False
        self.found[out] = np.array(self.ids(other))
        return True

    def is_fixed(self, tensor: Tensor) -> bool:
        return bool((self.union.roots(self.ids(tensor)) == FIXED).all())

    def visit_activation(self, op: Op) -> None:
        """What the operator does to its result, and the caps of RELU6 and the like."""
        fused = getattr(op.options, "fusedActivationFunction", _ACTIVATION.NONE)
        out = op.outputs[0]
        cap = CAPS.get(op.name, CAPS.get(fused))
        if fused not in (_ACTIVATION.NONE, _ACTIVATION.RELU, _ACTIVATION.RELU6):
            self.fix_all(op, f"its activation in {op.name} does not pass factors on")
        elif cap is not None:
            self.caps[out] = cap

    def visit_weights(self, op: Op, kind: WeightKind) -> None:
        activation, weight_slot, bias_slot = kind.site
        x, weight, out = op.input(activation), op.input(weight_slot), op.outputs[0]
        bias = op.optional_input(bias_slot)
        self.found[out] = rows = self.union.new(width(out))
        for i, tensor in enumerate(op.inputs):
            if tensor is not None and i not in (activation, weight_slot):
                self.fix(tensor, f"it is an argument of {op.name}")
        plain = weight.data is not None and weight.type == TensorType.FLOAT32 and not unreadable(weight)
        plain = plain and (bias is None or (bias.data is not None and not unreadable(bias)))
        if not plain or weight in self.other_uses or getattr(op.options, "weightsFormat", 0):
            self.fix_all(op, f"the weights of {op.name} cannot be changed")
            return
        columns = self.ids(x)
        known, first_columns, first_rows = self.weights.setdefault(weight, (kind, columns, rows))
        if known is not kind or len(first_columns) != len(columns):
            self.fix_all(op, f"its weights are shared by {op.name} of another kind")
            self.union.tie(np.concatenate([first_columns, first_rows]), np.array([FIXED]))
            return
        self.union.tie(first_columns, columns)
        self.union.tie(first_rows, rows)


def _is_zero_pad(op: Op) -> bool:
    if op.name != "PADV2":
        return False
    value = op.input(2)
    return value.data is not None and not unreadable(value) and not value.array().any()


def _size(tensor: Tensor) -> int:
    return int(np.prod(tensor.shape))
