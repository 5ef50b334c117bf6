from __future__ import annotations

from tfmpq.report.output_channels import OutputChannels
from tfmpq.report.output_signs import output_signs
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.suspicion.suspicion import Suspicion


def signs(
    file: float, activations: float | None, still: tuple[int, int] = (0, 24), known=(), cosine: float | None = None
) -> list[Suspicion]:
    alone = None if activations is None else Closeness(None, (activations,))
    channels = OutputChannels(still[1], *still, 5.0)
    stock, ours = Closeness(None, (1.0,)), Closeness(None, (file,), cosine)
    return list(output_signs(Proxies(8, True, None, ("y",), stock, ours, alone, (channels,)), known))


def test_poor_outputs_are_blamed_on_what_makes_them_poor():
    (sign,) = signs(9.9, 9.95)
    assert (sign.about, sign.sign) == ("activations", "poor output")
    assert "only 9.9 dB in the file, and 9.9 dB with 8-bit weights: its activations lose it" in sign.text
    (sign,) = signs(9.9, 30.0)
    assert (sign.about, sign.sign) == ("weights", "poor output")
    assert "30.0 dB with 8-bit weights: give it more bits" in sign.text
    (sign,) = signs(-3.0, None)
    assert "tfmpq diff" in sign.text
    assert signs(10.0, 10.0) == []
    assert list(output_signs(None, ())) == []
    poor = Closeness(None, (-3.0,))
    few = Proxies(8, True, None, ("y",), poor, poor, None, ())
    assert list(output_signs(few, ()))
    assert list(output_signs(few, (), few_bits=True)) == []  # trained to be so


def test_channels_that_never_change_are_said_once():
    (sign,) = signs(40.0, 40.0, (20, 24))
    assert (sign.about, sign.sign) == ("activations", "still channels")
    assert "20 of 24 channels of output 'y' never change" in sign.text
    assert "outputs={'y': 'float'}" in sign.text
    assert signs(40.0, 40.0, (2, 24)) == []  # among many some are quiet
    assert signs(40.0, 40.0, (0, 0)) == []
    assert signs(40.0, 40.0, (8, 24), cosine=0.99) == []  # more so among features
    assert signs(40.0, 40.0, (12, 24), cosine=0.99)
    assert (
        signs(40.0, 40.0, (20, 24), [Suspicion("activations", "mixed output", "20 channels of output 'y' ...")]) == []
    )
    assert signs(40.0, 40.0, (20, 24), [Suspicion("activations", "mixed output", "20 channels of output 'z' ...")])
