"""What does not depend on the processor: operators, tensors and points of some cases, kept beside the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tools.same_bytes.cases import cases

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "tfmpq" / "golden.json"
_OPS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_TYPES = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}


def exact_cases() -> list[str]:
    """Names of the cases whose snapshot is the same everywhere: no budget runs out between two nearly equal rows."""
    return [case.name for case in cases() if case.exact]


def snapshot(name: str) -> dict[str, Any]:
    """One case: its operators with their tensors, and rows by points of every layer."""
    case = next(case for case in cases() if case.name == name)
    files = case.produce()
    points = json.loads(files["points"])
    counts = {layer: {str(n): rows.count(n) for n in sorted(set(rows))} for layer, rows in points.items()}
    return {"ops": _operators(files["file"]), "points": counts}


def _operators(content: bytes) -> list[Any]:
    """[name, inputs, outputs] of every operator; tensors as "name TYPE shape", read without tfmpq's own reader."""
    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]

    def describe(number: int) -> str:
        if number < 0:
            return "-"
        tensor = graph.tensors[number]
        shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
        return f"{tensor.name.decode()} {_TYPES[tensor.type]} {shape}"

    codes = [_OPS[code.builtinCode] for code in model.operatorCodes]
    return [
        [codes[op.opcodeIndex], [describe(i) for i in op.inputs], [describe(i) for i in op.outputs]]
        for op in graph.operators
    ]


def write() -> None:
    """Makes the snapshot anew."""
    found = {name: snapshot(name) for name in exact_cases()}
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
