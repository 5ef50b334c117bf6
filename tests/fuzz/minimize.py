"""The smallest mutant that ends in the same way: fewer steps, then fewer bytes that differ from nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.fuzz.mutate import Mutant, build

Fails = Callable[[Mutant, bytes | None], bool]  # a mutant, or a content in its place: whether it ends as the first did


def fewer_steps(mutant: Mutant, fails: Fails) -> Mutant:
    """Drops steps one by one for as long as the ending stays."""
    at = 0
    while at < len(mutant.steps) and len(mutant.steps) > 1:
        shorter = replace(mutant, steps=mutant.steps[:at] + mutant.steps[at + 1 :])
        if fails(shorter, None):
            mutant, at = shorter, 0
        else:
            at += 1
    return mutant


def smaller_seed(mutant: Mutant, seeds: Mapping[str, bytes], fails: Fails) -> Mutant:
    """The same steps on the smallest seed file that serves."""
    for base in sorted(seeds, key=lambda name: len(seeds[name])):
        if base == mutant.base:
            break
        if fails(replace(mutant, base=base), None):
            return replace(mutant, base=base)
    return mutant


def fewer_bytes(mutant: Mutant, seeds: Mapping[str, bytes], fails: Fails, *, seconds: float) -> bytes:
    """The file cut at the end and filled with zeros wherever the ending stays, for some seconds."""
    content = build(mutant, seeds)
    until = time.monotonic() + seconds
    step = len(content) // 2
    while step >= 8 and time.monotonic() < until:
        if len(content) > step and fails(mutant, content[:-step]):
            content = content[:-step]
        else:
            step //= 2
    size = max(len(content) // 4, 1)
    while size >= 16:
        for at in range(8, len(content), size):
            if time.monotonic() > until:
                return content
            zeros = bytes(len(content[at : at + size]))
            if content[at : at + size] != zeros and fails(mutant, content[:at] + zeros + content[at + size :]):
                content = content[:at] + zeros + content[at + size :]
        size //= 4
    return content
