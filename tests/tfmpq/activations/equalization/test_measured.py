"""Scaled channels against the int8 file's own outputs, on samples held back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from tests.support.range_cases import case_of
from tests.support.uneven_channels import images, uneven
from tfmpq.activations.base import with_measured
from tfmpq.activations.equalization.descent import Noise
from tfmpq.activations.equalization.equalize import equalize
from tfmpq.activations.equalization.measured import is_better
from tfmpq.activations.subject import Case, Subject

NOTHING = np.zeros(0)


@cache
def pair() -> tuple[Case, Subject, Subject]:
    """A model whose channels differ, as it is and scaled."""
    case = case_of(uneven(), images(48))
    plain = with_measured(Subject(case.model), case)
    return case, plain, equalize(plain, case)


def noise(activations: float, weights: float) -> Noise:
    return Noise(np.array([activations]), np.array([weights]), NOTHING, NOTHING)


def test_the_nearer_file_is_better_whatever_is_predicted_of_activations():
    case, plain, scaled = pair()
    assert scaled.model is not plain.model
    for predicted in ((1.0, 0.1), (1.0, 2.0)):
        noises = noise(predicted[0], 0.0), noise(predicted[1], 0.0)
        assert is_better(plain, scaled, case, noises)
        assert not is_better(scaled, plain, case, noises)


def test_rows_of_few_bits_may_be_worth_noise_of_activations():
    case, plain, scaled = pair()
    # Rows that gain ten times what activations make in all outweigh what these lose.
    assert is_better(scaled, plain, case, (noise(1.0, 1000.0), noise(1.0, 0.0)))
    assert not is_better(plain, scaled, case, (noise(1.0, 0.0), noise(1.0, 1000.0)))


def test_predictions_decide_where_nothing_is_held_back():
    case, plain, scaled = pair()
    alone = replace(case, data=replace(case.data, judge=()))
    assert is_better(scaled, plain, alone, (noise(1.0, 0.0), noise(1.0, 0.0)))
