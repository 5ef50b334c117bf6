"""Targets: which operators a runtime runs fast and what each costs, as data, and predictions from that."""

from converters.targets.files import load_target, target_names, to_json
from converters.targets.table import Limit, Row, Target, predict
from converters.targets.work import (
    Work,
    add_work,
    concat_work,
    dense_work,
    gather_work,
    lookup_work,
    slice_work,
    with_rows,
    work_of,
)

__all__ = [
    "Limit",
    "Row",
    "Target",
    "Work",
    "add_work",
    "concat_work",
    "dense_work",
    "gather_work",
    "load_target",
    "lookup_work",
    "predict",
    "slice_work",
    "target_names",
    "to_json",
    "with_rows",
    "work_of",
]
