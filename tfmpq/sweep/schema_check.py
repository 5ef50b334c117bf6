"""Values held against a JSON Schema, as far as the schemas of this package go; all problems at once, in plain words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from converters.printable import shown

Place = tuple["str | int", ...]  # keys and positions that lead to a value
_TYPES = {
    "object": ("a table", dict),
    "array": ("a list", list),
    "string": ("text", str),
    "boolean": ("true or false", bool),
    "integer": ("a whole number", int),
    "number": ("a number", (int, float)),
}


@dataclass(frozen=True)
class Problem:
    """What is wrong with a value, and where.

    Attributes:
        place: keys and positions that lead to the value.
        text: what is wrong and what would be right.
    """

    place: Place
    text: str


def problems(value: Any, schema: Mapping[str, Any]) -> Iterator[Problem]:
    """What of a value the schema does not allow.

    Args:
        value: plain data.
        schema: with the words type, enum, pattern, minimum, maximum, exclusiveMinimum, minItems, minProperties, items,
            properties, patternProperties, additionalProperties, required, anyOf and $ref into $defs; others are passed
            over.
    """
    yield from _problems(value, _resolved(schema, schema.get("$defs", {})), ())


def _resolved(schema: Any, known: Mapping[str, Any]) -> Any:
    """The schema with what it refers to in place."""
    if isinstance(schema, list):
        return [_resolved(entry, known) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _resolved(known[schema["$ref"].removeprefix("#/$defs/")], known)
    return {key: _resolved(entry, known) for key, entry in schema.items() if key != "$defs"}


def _problems(value: Any, schema: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    if "anyOf" in schema:
        found = [list(_problems(value, choice, place)) for choice in schema["anyOf"]]
        if all(found):
            yield found[0][0]
        return
    kind = schema.get("type")
    if kind is not None and not _is_of(value, kind):
        yield Problem(place, f"{_name(place)} is {shown(value)}, and must be {_TYPES[kind][0]}")
        return
    if "enum" in schema and value not in schema["enum"]:
        near = _nearest(value, schema["enum"])
        yield Problem(place, f"{_name(place)} is {shown(value)}{near}; known are {', '.join(map(str, schema['enum']))}")
    yield from _number_problems(value, schema, place)
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield Problem(place, f"{_name(place)} is {shown(value)}, and must be {schema.get('description', 'otherwise')}")
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield Problem(place, f"{_name(place)} is empty: give at least one")
        for number, item in enumerate(value):
            yield from _problems(item, schema.get("items", {}), (*place, number))
    if isinstance(value, dict):
        yield from _table_problems(value, schema, place)


def _is_of(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind][1]) and (kind == "boolean" or not isinstance(value, bool))


def _number_problems(value: Any, schema: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    limits = (("minimum", value < schema.get("minimum", value)), ("maximum", value > schema.get("maximum", value)))
    over = schema.get("exclusiveMinimum")
    for word, wrong in (*limits, ("exclusiveMinimum", over is not None and value <= over)):
        if wrong:
            meant = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than"}[word]
            yield Problem(place, f"{_name(place)} is {shown(value)}, and must be {meant} {schema[word]}")


def _table_problems(value: Mapping[str, Any], schema: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(place, f"{_name(place)} has no '{name}'")
    if len(value) < schema.get("minProperties", 0):
        yield Problem(place, f"{_name(place)} is empty: give at least one")
    for name, inner in value.items():
        chosen = known.get(name) or next((s for p, s in patterns.items() if re.search(p, name)), None)
        if chosen is not None:
            yield from _problems(inner, chosen, (*place, name))
        elif patterns:
            yield Problem((*place, name), f"{_name(place)} cannot have the name {shown(name)}: {schema['description']}")
        elif schema.get("additionalProperties") is False:
            where = f" of {_name(place)}" if place else ""
            yield Problem((*place, name), f"{shown(name)} is no key{where}{_nearest(name, known)}")


def _nearest(word: object, known: Any) -> str:
    near = difflib.get_close_matches(str(word), list(map(str, known)), 1, 0.6)
    return (
        f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(known)}" if isinstance(known, dict) else ""
    )


def _name(place: Place) -> str:
    text = ""
    for key in place:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text or "the spec"
