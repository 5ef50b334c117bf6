"""What was done to each operator, in the public format of Model Explorer, which colours a graph by it.

A file of that format holds one value for each operator, by the name of a tensor that it writes; so there is one file
for each question.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfmpq.files import write_atomic
from tfmpq.report.layer_report import LayerReport
from tfmpq.report.operators import Operator

_FORM, _DELEGATE = "form", "delegate"
_WHITE, _BLACK = "#ffffff", "#000000"  # texts between two colours would be grey on what they are mixed to
_BITS = {1: "#b35900", 2: "#b35900", 3: "#8f3b9e", 4: "#0a66c2", 5: "#117a65", 6: "#4b6b00", 7: "#7a5c00", 8: "#6e7781"}
_GRADIENT = [
    {"stop": 0, "bgColor": "#ffffff", "textColor": _BLACK},
    {"stop": 1, "bgColor": "#ff8a7a", "textColor": _BLACK},
]
_RUN_BY = {True: ("XNNPACK", "#0a66c2"), False: ("built-in kernels", "#b35900")}

NodeData = dict[str, Any]


def node_data_paths(path: str | os.PathLike[str]) -> list[Path]:
    """The files that :func:`save_node_data` writes: ``net.json``, ``net.form.json``, ``net.delegate.json``."""
    found = Path(path)
    stem = found.stem if found.suffix == ".json" else found.name
    return [found, *(found.with_name(f"{stem}.{what}.json") for what in (_FORM, _DELEGATE))]


def save_node_data(path: str | os.PathLike[str], operators: Sequence[Operator], layers: Sequence[LayerReport]) -> None:
    """Writes the data, each file in full or not at all.

    Args:
        path: of the first file.
        operators: of the file that is looked at, under the names of its tensors.
        layers: what was done to them.

    Raises:
        OSError: A file cannot be written.
    """
    for place, data in zip(node_data_paths(path), node_data(operators, layers), strict=True):
        write_atomic(place, (json.dumps(data, indent=1) + "\n").encode())


def node_data(operators: Sequence[Operator], layers: Sequence[LayerReport]) -> list[NodeData]:
    """Error (percent of what is predicted for the network), bits and form, and who runs it, for each operator.

    The operators that a layer is written as share what is said of the layer; the first two say nothing of others.
    """
    known = {layer.name: layer for layer in layers}
    named = [operator for operator in operators if operator.output]
    found = [(x.output, known[x.layer]) for x in named if x.weighted and x.layer in known]
    error = {
        name: {"value": round(100 * layer.error_share, 4)} for name, layer in found if layer.error_share is not None
    }
    forms = {name: _coloured(f"{layer.bits} bits, {layer.lowering}", _BITS[layer.bits]) for name, layer in found}
    run_by = {operator.output: _coloured(*_RUN_BY[operator.delegated]) for operator in named}
    return [
        {"name": "tfmpq: error, % of the network's", "results": error, "gradient": _GRADIENT},
        {"name": "tfmpq: bits and form", "results": forms},
        {"name": "tfmpq: run by", "results": run_by},
    ]


def _coloured(value: str, colour: str) -> Mapping[str, str]:
    return {"value": value, "bgColor": colour, "textColor": _WHITE}
