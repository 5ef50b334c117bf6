"""Ids in representative data that a table of the model has no row for: kernels fail on them without saying which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from converters.errors import DataError
from converters.tflite.graph import Graph, Model, Op, Tensor

_LOOKUPS = {"GATHER": (0, 1), "EMBEDDING_LOOKUP": (1, 0)}  # places of table and ids
_MOVES = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "CAST", "TRANSPOSE"}


def check_ids(
    model: Model, samples: Callable[[], Iterator[Mapping[str, np.ndarray]]], names: Mapping[Tensor, str]
) -> None:
    """Looks at the ids of all samples that go straight into tables.

    Args:
        model: the float model.
        samples: gives an iterator of samples by input name; not run where no input is an id.
        names: of the inputs in samples.

    Raises:
        DataError: An id has no row; says which sample, input and table.
    """
    limits = _limits(model.graph)
    if not limits:
        return
    for number, feeds in enumerate(samples()):
        for source, (low, rows, table) in limits.items():
            ids = feeds[names[source]]
            wrong = ids[(ids < low) | (ids >= rows)]
            if wrong.size:
                raise DataError(
                    f"sample {number} of rep_dataset, input {names[source]!r} holds the id {int(wrong.flat[0])}, but "
                    f"the table '{table}' that looks it up has rows 0 to {rows - 1}. Give ids of the tokenizer and "
                    "vocabulary that the model was trained with."
                )


def _limits(graph: Graph) -> dict[Tensor, tuple[int, int, str]]:
    """Inputs whose values are looked up as they are -> (least id, rows of the smallest table, its name)."""
    producers = graph.producers()
    found: dict[Tensor, tuple[int, int, str]] = {}
    for op in graph.ops:
        places = _LOOKUPS.get(op.name)
        if places is None or op.input(places[0]).data is None or getattr(op.options, "axis", 0):
            continue
        table = op.input(places[0])
        source, negative = _origin(op.input(places[1]), producers)
        rows = table.shape[0]
        if source in graph.inputs and (source not in found or rows < found[source][1]):
            found[source] = (-rows if negative else 0, rows, op.outputs[0].name.split(";")[0])
    return found


def _origin(ids: Tensor, producers: Mapping[Tensor, Op]) -> tuple[Tensor, bool]:
    """Where ids come from unchanged, and whether negative ones count from the end, as Keras writes it."""
    negative = False
    while (op := producers.get(ids)) is not None:
        if op.name in _MOVES:
            ids = op.input(0)
        elif op.name in ("SELECT", "SELECT_V2") and _wraps(op, producers):
            ids, negative = op.input(2), True
        else:
            break
    return ids, negative


def _wraps(select: Op, producers: Mapping[Tensor, Op]) -> bool:
    """Whether a SELECT takes ids + rows where ids < 0."""
    less, total = (producers.get(select.input(i)) for i in (0, 1))
    if less is None or total is None or less.name != "LESS" or total.name != "ADD":
        return False
    ids = select.input(2)
    return less.input(0) is ids and ids in (total.input(0), total.input(1))
