from __future__ import annotations

from tfmpq.report.notes import activation_notes, blameless
from tfmpq.report.proxies import Closeness, Proxies


def proxies(stock: float, file: float) -> Proxies:
    return Proxies(8, True, None, ("y",), Closeness(None, (stock,)), Closeness(None, (file,)))


def test_weights_are_not_blamed_for_what_stock_has_too():
    assert blameless(proxies(30.0, 29.5))
    assert not blameless(proxies(30.0, 28.0))
    assert not blameless(None)


def test_poor_outputs_of_activations_are_said():
    (note,) = activation_notes(proxies(8.0, 8.2))
    assert "8.2 dB" in note
    assert "8.0 dB, stock int8" in note
    assert not activation_notes(proxies(8.0, 5.0))
    assert not activation_notes(proxies(30.0, 30.0))
    assert not activation_notes(None)
