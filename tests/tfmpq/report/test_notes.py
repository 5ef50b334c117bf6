from __future__ import annotations

from tfmpq.report.notes import activation_notes, blameless
from tfmpq.report.proxies import Closeness, Proxies


def proxies(stock: float, file: float, activations: float | None = None) -> Proxies:
    alone = None if activations is None else Closeness(None, (activations,))
    return Proxies(8, True, None, ("y",), Closeness(None, (stock,)), Closeness(None, (file,)), alone)


def test_weights_are_not_blamed_for_what_stock_has_too():
    assert blameless(proxies(30.0, 29.5))
    assert not blameless(proxies(30.0, 28.0))
    assert not blameless(None)


def test_weights_are_judged_by_what_the_same_activations_reach():
    assert not blameless(proxies(20.0, 22.0, 30.0))  # stock is worse, but with 8-bit rows there is more to be had
    assert blameless(proxies(30.0, 22.0, 22.5))


def test_poor_outputs_of_activations_are_said():
    (note,) = activation_notes(proxies(8.0, 8.2))
    assert "8.2 dB" in note
    assert "with 8-bit weights (8.0 dB; stock int8: 8.0 dB)" in note
    (note,) = activation_notes(proxies(4.0, 8.2, 9.0))
    assert "with 8-bit weights (9.0 dB; stock int8: 4.0 dB)" in note
    assert not activation_notes(proxies(4.0, 8.2, 25.0))  # weights lose it
    assert not activation_notes(proxies(4.0, 25.0, 25.5))
    assert not activation_notes(proxies(8.0, 5.0))
    assert not activation_notes(proxies(30.0, 30.0))
    assert not activation_notes(None)
