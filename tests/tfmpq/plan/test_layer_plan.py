from __future__ import annotations

import json

import numpy as np

from tfmpq.plan.layer_plan import LayerPlan, Plan
from tfmpq.recipe.rules import LayerSettings


def test_histogram():
    layer = LayerPlan(LayerSettings(4, 3, "radix", "fused"), np.array([1, 3, 1, 1, 3]))
    assert layer.histogram() == {1: 3, 3: 2}
    assert all(type(key) is int for key in layer.histogram())  # NumPy's would not go into JSON


def test_goes_into_json_in_full():
    plan = Plan(
        {
            "block/conv": LayerPlan(LayerSettings(4, 2, "radix", "parallel"), np.array([2, 1, 2])),
            "dense": LayerPlan(LayerSettings(8, 1, "greedy", "fused"), np.ones(2, np.int64)),
        }
    )
    assert json.loads(json.dumps(plan.to_dict())) == {
        "block/conv": {"bits": 4, "algorithm": "radix", "lowering": "parallel", "points": [2, 1, 2]},
        "dense": {"bits": 8, "algorithm": "greedy", "lowering": "fused", "points": [1, 1]},
    }
