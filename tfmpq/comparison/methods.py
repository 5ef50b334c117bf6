"""Methods: a name, and the options of a conversion that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from converters.errors import OptionError
from converters.printable import shown
from tfmpq.recipe.budgets import Budget, ExtraBits, LikeStock

_NONE = ExtraBits(0.0)
_STOCK_ACTIVATIONS = {"equalize": "off", "ranges": "minmax"}


@dataclass(frozen=True)
class Method:
    """A way of quantizing.

    Attributes:
        what: in a few words.
        algorithm: how rows become points.
        max_points: most points of a row; None: the default.
        budget: for further points.
        lowering: None: that of the comparison.
        activations: what is done for int8 activations: options of the network, which methods may share.
        copies: whether its second points stand for copies of columns, whose bytes are counted in their place.
    """

    what: str
    algorithm: str
    max_points: int | None = 1
    budget: Budget = _NONE
    lowering: str | None = None
    activations: Mapping[str, Any] = field(default_factory=lambda: dict(_STOCK_ACTIVATIONS))
    copies: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is the product as it comes, with what it does for activations."""
        return not self.activations


METHODS: dict[str, Method] = {
    "nearest": Method("plain rounding, min/max scales", "nearest"),
    "nearest_bias": Method("plain rounding, biases corrected", "nearest_bias"),
    "ocs": Method(
        "outlier channel splitting (ICML 2019)",
        "ocs",
        max_points=2,
        budget=ExtraBits(1.0),  # all rows: copies of columns are copied for all of them
        lowering="fused",
        copies=True,
    ),
    "aciq": Method("analytical clips, biases corrected (NeurIPS 2019)", "aciq"),
    "dfq": Method(
        "cross-layer equalization, biases corrected (ICCV 2019)",
        "nearest_bias",
        activations={"equalize": "cross_layer", "ranges": "minmax"},
    ),
    "lapq": Method("loss-aware clips, biases corrected (2019)", "lapq"),
    "adaround": Method("learned rounding (ICML 2020)", "adaround"),
    "multipoint": Method(
        "multipoint quantization as published (AAAI 2021), 10 % more weight bits",
        "greedy",
        max_points=2,
        budget=ExtraBits(0.10),
        lowering="parallel",
    ),
    "radix": Method("tfmpq's rounding alone, one point a row", "radix"),
    "tfmpq_0": Method("tfmpq, one point a row", "radix", activations={}),
    "tfmpq_default": Method("tfmpq's defaults, the budget among them", "radix", None, LikeStock(), activations={}),
    "tfmpq": Method("tfmpq, 10 % more weight bits", "radix", None, ExtraBits(0.10), activations={}),
}


def chosen_methods(names: Sequence[str] | None) -> dict[str, Method]:
    """The methods of these names, in the order of the table; None: all.

    Raises:
        OptionError: There is no such method, or none is named.
    """
    if names is None:
        return dict(METHODS)
    unknown = [name for name in names if name not in METHODS]
    if unknown or not names or isinstance(names, str):
        what = shown(unknown[0]) if unknown and not isinstance(names, str) else shown(names)
        raise OptionError(f"methods: {what} is none; give a list of {', '.join(METHODS)}.")
    return {name: method for name, method in METHODS.items() if name in names}
