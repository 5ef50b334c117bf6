"""What a loop's body is converted with: its steps as data, and the rules and points that are for its layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from converters.errors import ConversionError
from converters.frontend.loop_bodies import Loop
from converters.layers.layer import Skipped
from converters.points import MultipointWeight
from converters.tflite.reader import load
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.given import Given
from tfmpq.loops.steps import loop_steps
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe, Rule
from tfmpq.simulation.source import Source
from tfmpq.suspicion.data import Look
from tfmpq.twin import choose_twin


def loop_options(options: Options, loop: Loop) -> Options:
    """The options of a network, for a loop in it: states are handed on in float, whatever their layers compute with."""
    points = {name: weight for name, weight in options.points.items() if name in loop.layers}
    own: dict[str, Any] = {"sizes": None, "signature": None, "statistics": None, "progress": False}
    return replace(options, points=points, io_dtype="float32", outputs={}, **own)


def loop_given(loop: Loop, given: Given, options: Options) -> tuple[Given, float]:
    """Runs the loop for its states, and quantizes its body as TensorFlow would.

    Args:
        loop: of the model that was given.
        given: the whole network's.
        options: of the loop.

    Returns:
        What its body is converted with, and how many steps a sample takes on average.

    Raises:
        ConversionError: The body cannot be run, or TensorFlow cannot quantize it.
    """
    data = given.data.whole
    steps = loop_steps(given.twin.model, loop, data.originals, data.images, seed=options.seed)
    split = hold_out(check_samples(steps.states, loop.step.inputs))
    options = replace(options, activations="float" if given.twin.dynamic else "int8")
    twin = choose_twin(loop.step, load(loop.step.flatbuffer), split, options)
    recipe = Recipe(list(_own_rules(given.recipe, loop)))
    look = Look((), (), None)
    return Given(Source(loop.step), recipe, loop.step, split, look, replace(twin, notes=()), ()), steps.a_sample


def stays(loop: Loop, error: ConversionError) -> Skipped:
    """A loop that stays as it is, and why."""
    return Skipped(loop.name, "WHILE", f"its weights are in the body of a loop, which stays as it is: {error}")


def other_points(points: Mapping[str, MultipointWeight], loops: Sequence[Loop]) -> dict[str, MultipointWeight]:
    """Points that are given for layers outside of loops."""
    inside = {name for loop in loops for name in loop.layers}
    return {name: weight for name, weight in points.items() if name not in inside}


def _own_rules(recipe: Recipe, loop: Loop) -> Iterator[Rule]:
    """Rules for layers of the loop; one for the layer that is the loop is for all of them."""
    for rule in recipe.rules:
        if not rule.layer_settings():
            continue
        if any(rule.matches(name) for name in loop.layers):
            yield rule
        elif rule.matches(loop.name):
            yield replace(rule, match="|".join(f"^{re.escape(name)}$" for name in loop.layers))


def other_rules(recipe: Recipe, loops: Sequence[Loop], layers: Collection[str]) -> Recipe:
    """The recipe without rules that are for layers of loops only.

    Args:
        recipe: of the network.
        loops: that are converted.
        layers: names of the layers outside of them.
    """
    own = [rule for loop in loops for rule in recipe.rules if any(True for _ in _own_rules(Recipe([rule]), loop))]
    return Recipe([rule for rule in recipe.rules if rule not in own or any(rule.matches(name) for name in layers)])
