from __future__ import annotations

from tests.support.reports import loss
from tfmpq.activations.losses.culprits import culprits, rule_of, tensor_signs
from tfmpq.recipe.rules import Rule
from tfmpq.suspicion.suspicion import Suspicion


def test_a_rule_for_every_cure():
    assert rule_of(loss("a.b", 9, "equalize")) == Rule(r"^a\.b$", equalize="auto")
    assert rule_of(loss("a", 9, "range", range=(-1.0, 2.5))) == Rule("^a$", range=(-1.0, 2.5))
    assert rule_of(loss("a", 9)) == Rule("^a$", activations="two points")
    assert rule_of(loss("a", 9, op="INPUT")) is None
    assert rule_of(loss("a", 9, "outputs", output=True)) is None
    assert rule_of(loss("a", 9, "mask")) is None
    assert rule_of(loss("a", 40, "none")) is None


def test_one_of_a_layer_and_one_of_a_scale():
    found = culprits([loss("a", 9), loss("a", 3, "range"), loss("b", 3), loss("c", 20), loss("d", 1, step=7.0),
                      loss("e", 2, "mask", step=7.0)], 15)  # fmt: skip
    assert [x.layer for x in found] == ["e", "a"]  # d has the mask's scale, and b that of a


def test_warned_below_15_db_only_and_once():
    assert not list(tensor_signs([loss("a", 15.0), loss("b", 90), loss("y", 3, "outputs", output=True)]))
    (sign,) = tensor_signs([loss("a", 14.9, "equalize"), loss("b", -3)])
    assert (sign.about, sign.sign) == ("activations", "coarse activations")
    assert "2 tensors" in sign.text
    assert "'b' (ADD, nothing is left; what helps: Rule(..., activations='two points')); 'a' (ADD, 14.9 dB" in sign.text
    assert "equalize='auto'" in sign.text
    (sign,) = tensor_signs([loss(f"layer_{i}", i + 1) for i in range(6)])
    assert "and 3 more" in sign.text


def test_masks_are_not_warned_of_twice():
    masks = [loss("a", 1, "mask", step=7.0), loss("b", 0, step=7.0)]
    assert not list(tensor_signs(masks, [Suspicion("activations", "masked values", "...")]))
    assert len(list(tensor_signs(masks))) == 1
