"""Which operators of a file a delegate such as XNNPACK runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Coverage:
    """What the delegate (XNNPACK) took of the main graph.

    Attributes:
        delegated_ops: operators it runs.
        total_ops: operators of the file.
        partitions: pieces it runs them in; every further piece costs a hand-over.
        left: (number in the file, name) of the operators it left to the built-in kernels.
    """

    delegated_ops: int
    total_ops: int
    partitions: int
    left: tuple[tuple[int, str], ...]


def delegate_coverage(interpreter: Any) -> Coverage:
    """Which operators of the main graph the delegate runs.

    The operator list of an interpreter keeps the delegated operators and appends one DELEGATE node a partition, which
    lists what enters it (activations and constants) and what leaves it. The partition is what lies between: every
    operator met on the way back from its outputs before reaching its inputs.
    """
    nodes = [
        # What is left out has a negative number: a bias, or a state that a loop has for its own steps only.
        (str(d["op_name"]), [int(i) for i in d["inputs"] if i >= 0], [int(i) for i in d["outputs"] if i >= 0])
        for d in interpreter._get_ops_details()
    ]
    operators = [node for node in nodes if node[0] != "DELEGATE"]
    partitions = [node for node in nodes if node[0] == "DELEGATE"]
    producer = {tensor: number for number, (_, _, made) in enumerate(operators) for tensor in made}
    delegated: set[int] = set()
    for _, entering, leaving in partitions:
        pending = list(leaving)
        reached = set(entering)
        while pending:
            tensor = pending.pop()
            if tensor in reached or tensor not in producer:
                continue
            reached.add(tensor)
            delegated.add(producer[tensor])
            pending.extend(operators[producer[tensor]][1])
    left = tuple((i, name) for i, (name, _, _) in enumerate(operators) if i not in delegated)
    return Coverage(len(delegated), len(operators), len(partitions), left)
