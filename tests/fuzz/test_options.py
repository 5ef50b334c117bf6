"""Options by chance: a conversion makes a file that runs, or refuses with one of tfmpq's own errors.

EXAMPLES=500 in the environment asks for more of them, other ones each time.
"""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfmpq
from converters.lowering.forms import lowerings
from converters.points import MultipointWeight, Point
from converters.runtime.interpreter import inputs, make_interpreter, run
from converters.targets.files import target_names
from tfmpq.algorithms import ALGORITHMS

pytestmark = pytest.mark.slow
_ASKED = os.environ.get("EXAMPLES")
_NETWORKS = ("image", "pair")

_reals = st.sampled_from([0, 0.05, 0.5, 1, 3.0, 1e9, -1, float("nan"), float("inf"), 10**30])
_odd = st.sampled_from(
    [None, True, "", "int8", "\ud800", b"int8", 3, -1, 2**70, 0.5, float("nan"), [], {}, (1,), object]
)
_budgets = st.one_of(
    st.builds(
        lambda kind, value: (kind, value), st.sampled_from(["LikeStock", "ExtraBits", "MaxBytes", "Epsilon"]), _reals
    ),
    st.builds(lambda value: ("MaxDrop", value), _reals),
)
_rules = st.lists(
    st.fixed_dictionaries(
        {"match": st.sampled_from([".*", "stem", "conv", "no such layer", "(", "head$", ""])},
        optional={
            "bits": st.sampled_from([2, 3, 4, 8, 9, 0, "4", None]),
            "max_points": st.sampled_from([1, 2, 4, 5, 0]),
            "algorithm": st.sampled_from([*ALGORITHMS, "none"]),
            "lowering": st.sampled_from([*lowerings(), "none"]),
            "keep": st.sampled_from(["int8", None, "none"]),
            "equalize": st.sampled_from(["auto", "off", "none", None]),
            "range": st.sampled_from([(-1.0, 1.0), (0.0, 6.0), (2.0, 3.0), (1.0, -1.0), (0, 10**40), (1.0,), "0..1"]),
            "activations": st.sampled_from(["int8", "two points", "int16", "none", None]),
        },
    ),
    max_size=3,
)
_points = st.dictionaries(
    st.sampled_from(["head", "stem", "none"]),
    st.tuples(st.sampled_from([(4, 12), (6, 8), (1, 1), (8, 27)]), st.sampled_from([0.1, 1e-30, 1e30])),
    max_size=1,
)
# What may be given, mostly right; each option now and then as something it cannot be.
_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "bits": st.sampled_from([2, 3, 4, 4, 5, 8, 9, 1]),
    "budget": _budgets,
    "lowering": st.sampled_from([*lowerings(), *lowerings(), "none"]),
    "optimize": st.sampled_from(["file", "download", "none"]),
    "target": st.sampled_from([*target_names(), "none", "/dev/null", "/"]),
    "max_latency_ratio": st.one_of(st.none(), _reals),
    "algorithm": st.sampled_from([*ALGORITHMS, *ALGORITHMS, "none"]),
    "max_points": st.sampled_from([None, 1, 2, 3, 4, 5]),
    "sensitivity": st.sampled_from(["auto", "energy", "kl", "kl+gradient", "none"]),
    "recipe": _rules,
    "points": _points,
    "equalize": st.sampled_from(["auto", "off", "none"]),
    "ranges": st.sampled_from(["auto", "minmax", "none"]),
    "outputs": st.dictionaries(
        st.sampled_from(["output_0", "head", "none", ""]),
        st.sampled_from(["int8", "float", "split", "none"]),
        max_size=2,
    ),
    "weights": st.sampled_from(["auto", "int8", "int4", "none"]),
    "io_dtype": st.sampled_from(["int8", "uint8", "float32", "none"]),
    "batch_size": st.sampled_from([1, None, 2, 0]),
    "signature": st.sampled_from([None, "serving_default", "none"]),
    "sizes": st.sampled_from([None, (6, 6, 3), (8,), {"first": (8,)}, {"none": (8,)}, (0,), (-1, 2), "6,6,3"]),
    "seed": st.sampled_from([0, 1, 2**32 - 1, 2**32]),
    "validate": st.booleans(),
    "strict": st.booleans(),
}
_choices = st.fixed_dictionaries({}, optional=_OPTIONS)
_spoilt = st.one_of(st.none(), st.none(), st.none(), st.tuples(st.sampled_from(sorted(_OPTIONS)), _odd))


@functools.cache
def network(name: str) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    if name == "pair":
        first, second = layers.Input((8,), name="first"), layers.Input((8,), name="second")
        shared = layers.Dense(12, activation="relu", name="shared")
        x = layers.Add(name="both")([shared(first), shared(second)])
        return keras.Model([first, second], layers.Dense(4, name="head")(x))
    image = layers.Input((6, 6, 3), name="image")
    x = layers.Conv2D(8, 3, activation="relu", name="stem")(image)
    x = layers.DepthwiseConv2D(3, activation="relu6", name="depthwise")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(16, 1, activation="relu", name="conv")(x))
    return keras.Model(image, layers.Dense(4, activation="softmax", name="head")(x))


def samples(model: Any, count: int = 8) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        {x.name: rng.uniform(-1, 1, (1, *x.shape[1:])).astype(np.float32) for x in model.inputs} for _ in range(count)
    ]


def built(options: dict[str, Any]) -> dict[str, Any]:
    """Options with the objects that they are to be; those may refuse, too."""
    made = dict(options)
    if isinstance(budget := made.get("budget"), tuple) and budget[:1] and isinstance(budget[0], str):
        kind, value = budget
        more = [lambda content: 90.0 + len(content) % 7] if kind == "MaxDrop" else []
        made["budget"] = getattr(tfmpq, kind)(value, *more)
    if isinstance(made.get("recipe"), list) and made["recipe"]:
        made["recipe"] = tfmpq.Recipe([tfmpq.Rule(**rule) for rule in made["recipe"]])
    if isinstance(points := made.get("points"), dict):
        made["points"] = {
            name: MultipointWeight(
                (Point(np.ones(shape, np.int8), np.full(shape[0], scale, np.float32)),), np.ones(shape[0], np.int64), 4
            )
            for name, (shape, scale) in points.items()
        }
    return made


@settings(
    max_examples=int(_ASKED or 16),
    derandomize=_ASKED is None,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.large_base_example],
    print_blob=True,
)
@given(name=st.sampled_from(_NETWORKS), options=_choices, spoilt=_spoilt)
def test_options_make_a_file_that_runs_or_are_refused(name, options, spoilt):
    model = network(name)
    data = samples(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chosen = built(options) | ({} if spoilt is None else dict([spoilt]))
            content = tfmpq.convert(model, lambda: iter(data), **chosen, progress=False).tflite_model
    except tfmpq.ConversionError:
        return
    interpreter = make_interpreter(content)
    feed = {detail.name: np.asarray(data[0][detail.name]) for detail in inputs(interpreter)}
    assert all(output.size for output in run(interpreter, feed))
