"""Recipes: what to do differently for which layers. Rules are ordered and later ones win, field by field."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from converters.errors import RecipeError
from converters.plain_json import parse
from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS
from converters.printable import shown
from tfmpq.recipe.patterns import compile_pattern

GIVEN = "given"  # in place of an algorithm: the points come from the caller


@dataclass(frozen=True)
class LayerSettings:
    """What holds for one layer once all rules are applied.

    ``keep="int8"``: the layer stays as stock made it.
    """

    bits: int
    max_points: int
    algorithm: str
    lowering: str
    keep: Literal["int8"] | None = None


Equalize = Literal["auto", "off"]
Activations = Literal["int8", "symmetric", "two points"]


@dataclass(frozen=True)
class ActivationSettings:
    """What holds for what one layer, with weights or without, writes.

    Attributes:
        equalize: whether its channels may be scaled so that one int8 scale suits all of them.
        range: smallest and largest value that its int8 scale covers; None: found from data.
        activations: how its values are held; None: int8, or what the prediction says is worth it.
    """

    equalize: Equalize = "auto"
    range: tuple[float, float] | None = None
    activations: Activations | None = None


@dataclass(frozen=True)
class Rule:
    """Settings for the layers whose name matches; a field left None is not touched by the rule.

    Attributes:
        match: regular expression looked for anywhere in the Keras layer name; anchor it with ``^`` and ``$`` to match
            whole names. Its syntax is RE2's: Python's, but for lookarounds and references to groups.
        bits: bits of a point, 2..8.
        max_points: most points a row may have, 1..4.
        algorithm: name of a registered algorithm.
        lowering: ``"auto"``, ``"split"``, ``"fused"``, ``"parallel"`` or ``"compact"``.
        keep: ``"int8"`` leaves the layer as TensorFlow's converter quantized it, whatever other rules say.
        equalize: ``"off"`` leaves the channels that the layer writes as they are. This field and the two below are for
            any layer of the model, with weights or without, and are looked for in the names of tensors too.
        range: (smallest, largest) value of what it writes that int8 has to tell apart; what lies outside saturates.
        activations: how what it writes, or an input of the model, is held: ``"int8"``; ``"symmetric"``: int8 with zero
            point 0, which XNNPACK wants on the right of products (attention's keys and values), and which costs steps
            up to twice as large; or ``"two points"``: two int8 tensors, one of small steps for most values and one for
            what lies far beyond, read by two operators with the same weights.

    Raises:
        RecipeError: A value is out of range, the pattern is no regular expression, or the rule sets nothing.
    """

    match: str
    bits: int | None = None
    max_points: int | None = None
    algorithm: str | None = None
    lowering: str | None = None
    keep: Literal["int8"] | None = None
    equalize: Equalize | None = None
    range: tuple[float, float] | None = None
    activations: Activations | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.match, str):
            raise RecipeError(f"a rule's match must be a regular expression (text), not {shown(self.match)}")
        where = f"rule {shown(self.match)}"
        try:
            compile_pattern(self.match)
        except ValueError as error:
            raise RecipeError(
                f"{where}: match is no regular expression: {error}. Escape special characters with a backslash."
            ) from error
        _check_range(where, "bits", self.bits, MIN_BITS, MAX_BITS)
        _check_range(where, "max_points", self.max_points, 1, MAX_POINTS)
        if self.algorithm is not None and not isinstance(self.algorithm, str):
            raise RecipeError(f"{where}: algorithm must be a name, not {shown(self.algorithm)}")
        if self.lowering is not None:
            from converters.lowering.forms import lowerings  # loads the file schema, which `import tfmpq` does not

            _check_choice(where, "lowering", self.lowering, lowerings())
        _check_choice(where, "keep", self.keep, ("int8",))
        _check_choice(where, "equalize", self.equalize, get_args(Equalize))
        _check_choice(where, "activations", self.activations, get_args(Activations))
        _check_span(where, self.range)
        if not self.settings():
            raise RecipeError(f"{where} sets nothing: give it one of {', '.join(_FIELDS[1:])}")
        if self.keep and len(self.layer_settings()) > 1:
            raise RecipeError(f"{where}: keep={shown(self.keep)} leaves the layer untouched; drop its other settings")

    def settings(self) -> dict[str, Any]:
        """The fields the rule sets."""
        fields = {name: getattr(self, name) for name in _FIELDS[1:]}
        return {name: value for name, value in fields.items() if value is not None}

    def layer_settings(self) -> dict[str, Any]:
        """Those for layers with weights."""
        return {name: value for name, value in self.settings().items() if name not in _OF_ACTIVATIONS}

    def activation_settings(self) -> dict[str, Any]:
        """Those for what layers write."""
        return {name: value for name, value in self.settings().items() if name in _OF_ACTIVATIONS}

    def matches(self, layer_name: str) -> bool:
        """Whether the rule applies to the layer."""
        return compile_pattern(self.match)(layer_name)


_MAX_RULES = 10_000
_WIDEST = 1e38  # of a range; float32 holds the difference of its ends
_FIELDS = [field.name for field in dataclasses.fields(Rule)]
_OF_ACTIVATIONS = [field.name for field in dataclasses.fields(ActivationSettings)]


@dataclass(frozen=True, init=False)
class Recipe:
    """An ordered list of rules.

    Example:
        ``Recipe([Rule("block_1", bits=8), Rule("^classifier$", keep="int8")])``
    """

    rules: tuple[Rule, ...] = ()

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        try:
            object.__setattr__(self, "rules", tuple(rules))
        except TypeError as error:
            raise RecipeError(f"a recipe is made of a list of Rule objects, not of {shown(rules)}") from error
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise RecipeError(f"a recipe holds Rule objects, not {shown(rule)}")

    def resolve(self, layer_name: str, defaults: LayerSettings) -> LayerSettings:
        """Settings of one layer: the defaults, overridden by every matching rule in order."""
        for rule in self.rules:
            if rule.matches(layer_name):
                defaults = dataclasses.replace(defaults, **rule.layer_settings())
        return defaults

    def activations(self, names: Iterable[str], defaults: ActivationSettings) -> ActivationSettings:
        """Settings of an activation: the defaults, overridden by every rule that matches one of its names."""
        known = list(names)
        for rule in self.rules:
            if any(rule.matches(name) for name in known):
                defaults = dataclasses.replace(defaults, **rule.activation_settings())
        return defaults

    def check(
        self, layer_names: Collection[str], algorithms: Collection[str] = (), *, activations: Collection[str] = ()
    ) -> None:
        """Checks the rules against the model at hand.

        Args:
            layer_names: the model's layers with weights.
            activations: names of what all layers write, which rules for activations may match instead.
            algorithms: the registered algorithms; empty: not checked.

        Raises:
            RecipeError: A rule matches no layer or names an unknown algorithm.
        """
        for rule in self.rules:
            names = layer_names if rule.layer_settings() else [*layer_names, *activations]
            if not any(rule.matches(name) for name in names):
                hint = _nearest(re.sub(r"[\\^$.*+?()\[\]{}|]", "", rule.match), layer_names)
                raise RecipeError(
                    f"rule {shown(rule.match)} matches none of the model's {len(layer_names)} layers.{hint}"
                )
            if rule.algorithm is not None and algorithms and rule.algorithm not in algorithms:
                hint = _nearest(rule.algorithm, algorithms)
                raise RecipeError(f"rule {shown(rule.match)}: there is no algorithm {shown(rule.algorithm)}.{hint}")

    def to_json(self) -> str:
        """The recipe as JSON text: ``{"rules": [{"match": ..., ...}, ...]}``."""
        return json.dumps({"rules": [{"match": rule.match, **rule.settings()} for rule in self.rules]}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Reads what :meth:`to_json` writes.

        Raises:
            RecipeError: Not JSON, an unknown field, or a bad value.
        """
        if not isinstance(text, str):
            raise RecipeError(f"a recipe is read from text, not from {shown(text)}")
        try:
            content = parse(text)
        except ValueError as error:
            raise RecipeError(f"the recipe is not JSON: {error}") from error
        if not isinstance(content, dict) or not isinstance(content.get("rules"), list):
            raise RecipeError(
                'a recipe is a JSON object with a list of rules: {"rules": [{"match": "...", "bits": 8}]}'
            )
        _check_fields("the recipe", content, ["rules"])
        if len(content["rules"]) > _MAX_RULES:
            raise RecipeError(f"the recipe has {len(content['rules'])} rules, more than {_MAX_RULES}")
        rules = []
        for number, fields in enumerate(content["rules"], 1):
            where = f"rule {number} of the recipe"
            if not isinstance(fields, dict):
                raise RecipeError(
                    f'{where} must be an object such as {{"match": "...", "bits": 8}}, not {shown(fields)}'
                )
            _check_fields(where, fields, _FIELDS)
            if "match" not in fields:
                raise RecipeError(f"{where} has no match: say which layers it is for")
            given = fields.get("range")
            rules.append(Rule(**{**fields, "range": tuple(given)} if isinstance(given, list) else fields))
        return cls(rules)


def _check_range(where: str, field: str, value: object, low: int, high: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
        raise RecipeError(f"{where}: {field} must be a whole number from {low} to {high}, not {shown(value)}")


def _check_choice(where: str, field: str, value: object, choices: tuple[str, ...]) -> None:
    if value is not None and (not isinstance(value, str) or value not in choices):
        raise RecipeError(f"{where}: {field} must be {' or '.join(map(repr, choices))}, not {shown(value)}")


def _check_span(where: str, span: object) -> None:
    """A range of real values; it may leave zero out, which int8 ranges are widened to."""
    if span is None or (isinstance(span, tuple) and len(span) == 2 and _finite(*span) and span[0] < span[1]):
        return
    raise RecipeError(f"{where}: range must be (smallest, largest), two finite numbers, not {shown(span)}")


def _finite(*values: object) -> bool:
    numbers = (isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) <= _WIDEST for v in values)
    return all(numbers)


def _check_fields(where: str, fields: Collection[str], known: list[str]) -> None:
    for field in fields:
        if field not in known:
            raise RecipeError(f"{where} has an unknown field {shown(field)}.{_nearest(field, known)}")


def _nearest(name: str, known: Collection[str]) -> str:
    """The known names most like the given one, as the end of a message; some of all if none is close."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:10]
    return f" Nearest: {', '.join(map(repr, close))}." if close else ""
