"""Training that begins with the rows of a conversion."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.keras_nets import data, separable, shared, transposed
from tests.support.trained_nets import low_bit_depthwise
from tfmpq.errors import OptionError
from tfmpq.keras.kernels import kernel_of
from tfmpq.keras.source import find_wrappers
from tfmpq.training import differentiable, lg_lsq
from tfmpq.training.planned import one_point_layers

OTHER_STARTS = [(lg_lsq, "magnitudes"), (differentiable, "quantiles")]


@pytest.mark.slow
# By day one network; test_planned.py looks at the rows of others.
@pytest.mark.parametrize(
    "build", [separable, *(pytest.param(build, marks=pytest.mark.nightly) for build in (shared, transposed))]
)
def test_codes_are_those_of_a_conversion(build):
    model = build()
    x = data(model)
    # Depthwise layers, which `shared` has none of, are to have low bits too.
    chosen = model if build is shared else low_bit_depthwise(model, 3)
    found = find_wrappers(lg_lsq(chosen, x, bits=3))
    planned = one_point_layers(model, x, {path: layer.quantizer.bits for path, layer in found.items()})
    assert planned.keys() == found.keys()
    for path, layer in found.items():
        own, quantizer = planned[path], layer.quantizer
        # In the file's signs; 8-bit rows have no -128.
        codes = np.clip(own.integers, quantizer.low, quantizer.high)
        assert quantizer.bits == 8 or codes.min() == quantizer.low == -(2 ** (quantizer.bits - 1))
        if quantizer.bits == 8:
            codes = own.signs[:, None].astype(np.int64) * codes
        points = quantizer.points(np.asarray(kernel_of(layer.layer)))
        np.testing.assert_array_equal(points.points[0].codes, codes)
        np.testing.assert_allclose(points.points[0].scale, own.steps, rtol=1e-6)  # float32


@pytest.mark.slow
@pytest.mark.parametrize(("method", "other"), OTHER_STARTS)
def test_it_is_nearer_to_the_float_model(method, other):
    model = separable()
    x = data(model)
    wanted = model.predict(x, verbose=0)

    def distance(start) -> float:
        return float(np.square(method(model, x, bits=3, start=start).predict(x, verbose=0) - wanted).mean())

    assert distance("points") < distance(other)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "other"), OTHER_STARTS)
def test_one_step_a_layer_has_a_start_of_its_own(method, other):
    model = separable()
    x = data(model)
    usual, other = (method(model, x, per_channel=False, start=start) for start in ("points", other))
    for mine, theirs in zip(usual.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_other_words_are_refused():
    model = separable()
    with pytest.raises(OptionError, match="start='zeros': give 'points' or 'magnitudes'"):
        lg_lsq(model, data(model), start="zeros")  # type: ignore[arg-type]
