"""Edits through the schema's objects: each changes one thing of a file that stays a well-formed flatbuffer.

They are in `tensor_edits`, `op_edits`, `model_edits` and `record_edits`; a name and a number stand for one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Edit = Callable[[Any, random.Random], None]
EDITS: dict[str, Edit] = {}


def edit(function: Edit) -> Edit:
    """Registers an edit under its function's name."""
    EDITS[function.__name__] = function
    return function


def some_graph(model: Any, rng: random.Random) -> Any:
    """One of the subgraphs."""
    return rng.choice(model.subgraphs)


def some_tensor(model: Any, rng: random.Random) -> Any:
    """A tensor of one of them."""
    return rng.choice(some_graph(model, rng).tensors)


def some_op(model: Any, rng: random.Random) -> Any:
    """An operator of one of them."""
    return rng.choice(some_graph(model, rng).operators)


def numbers_of(values: Any) -> list[int]:
    """A vector as a list, which an absent one is too."""
    return [] if values is None else [int(v) for v in values]


def changed_numbers(values: Any, rng: random.Random, pool: Callable[[], int]) -> list[int] | None:
    """A list of numbers with one of them replaced, dropped, repeated or moved, or with many more, or none at all."""
    numbers = numbers_of(values)
    what = rng.randrange(9)
    if what == 0:
        return None if rng.random() < 0.5 else []
    if what == 1:
        return numbers + [pool()] * rng.choice((1, 1, 2, 70, 5000))
    if not numbers or what == 2:
        numbers.insert(rng.randrange(len(numbers) + 1), pool())
        return numbers
    at = rng.randrange(len(numbers))
    if what == 3:
        del numbers[at]
    elif what == 4:
        numbers.insert(at, numbers[at])
    elif what == 5:
        other = rng.randrange(len(numbers))
        numbers[at], numbers[other] = numbers[other], numbers[at]
    else:
        numbers[at] = pool()
    return numbers


def tensor_number(graph: Any, rng: random.Random) -> int:
    """The number of a tensor of the graph, or of none."""
    return rng.choice((rng.randrange(len(graph.tensors)),) * 6 + (-1, len(graph.tensors), 2**31 - 1, -(2**31)))
