"""What single options may be; every check names the option, its value and what is allowed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from converters.errors import OptionError
from converters.paths import path_text
from converters.points import MultipointWeight
from converters.printable import shown


def check_integer(name: str, value: object, low: int, high: int) -> None:
    """A whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(f"{name}={shown(value)} is out of range; give a whole number from {low} to {high}.")


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """One of a few words."""
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{name}={shown(value)} is not known; choose one of {', '.join(map(repr, allowed))}.")


def check_ratio(ratio: object) -> None:
    """A latency relative to another, or None."""
    if ratio is not None and (
        isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio <= sys.float_info.max
    ):
        raise OptionError(
            f"max_latency_ratio={shown(ratio)} is out of range; give the most latency you accept relative to stock "
            "int8, such as 1.02, or None."
        )


def check_signature(signature: object, activations: str) -> None:
    """A key, or several beside float activations."""
    if signature is None or isinstance(signature, str):
        return
    several = isinstance(signature, Sequence) and bool(signature) and all(isinstance(key, str) for key in signature)
    if several and activations == "float":
        return
    only = " Several are possible with activations='float'." if several else ""
    raise OptionError(f"signature={shown(signature)}: give the key of a signature, such as 'serving_default'.{only}")


def check_outputs(outputs: object, allowed: Sequence[str]) -> None:
    """Forms of outputs by name."""
    if not isinstance(outputs, Mapping) or not all(isinstance(k, str) and v in allowed for k, v in outputs.items()):
        raise OptionError(
            f"outputs={shown(outputs)}: give a dict, output name -> one of {', '.join(map(repr, allowed))}."
        )


def check_paths(name: str, paths: object) -> None:
    """A list of paths, or None."""
    if paths is None:
        return
    if isinstance(paths, (str, bytes)) or not isinstance(paths, Sequence) or not paths:
        raise OptionError(f"{name}={shown(paths)}: give a list of files.")
    for path in paths:
        path_text(path, f"a file of {name}")


def check_points(points: object) -> None:
    """Points by layer name."""
    if not isinstance(points, Mapping) or not all(isinstance(w, MultipointWeight) for w in points.values()):
        raise OptionError(
            f"points={shown(points)}: give a dict, layer name -> tfmpq.MultipointWeight, for the layers that have "
            "points."
        )
