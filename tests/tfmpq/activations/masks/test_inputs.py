"""Masks that the caller gives."""

from __future__ import annotations

import pytest

import tfmpq
from tests.support.activation_cases import case_of, output_of, sqnr
from tests.support.masked_nets import masked
from tfmpq.activations import mend
from tfmpq.activations.masks.inputs import mend_input_masks
from tfmpq.activations.ranges.overwritten import mend_overwritten
from tfmpq.activations.subject import Subject


def test_the_callers_mask_is_clipped_in_int8(monkeypatch: pytest.MonkeyPatch):
    # Without the second, the scores that the sum overwrites would have the range of the mask.
    monkeypatch.setattr(mend, "_STEPS", [mend_input_masks, mend_overwritten])
    case = case_of(*masked("input"))
    done = mend.mend_activations(case)
    assert len(done.subject.model.graph.ops) == len(case.model.graph.ops)  # nothing was rewritten
    ((low, high),) = [span for name, span in done.subject.ranges.items() if "mask" in name]
    assert -60 < low < -10
    assert high == 0
    (warning,) = done.subject.warnings  # -1e9 / scale fits no int8
    assert "np.clip" in warning.text
    right = output_of(case.float_model.flatbuffer, case.data.held_out)
    assert sqnr(right, output_of(case.stock.content, case.data.held_out)) < 15
    assert sqnr(right, output_of(done.base.content, case.data.held_out)) > 25


def test_an_input_that_masks_little_stays_as_it_is():
    case = case_of(*masked("input", big=-8.0))
    assert mend_input_masks(Subject(case.model), case).ranges == {}


def test_the_warning_names_the_input_and_no_other_calls_it_lost():
    model, fields = masked("input")
    samples = [{name: values[i : i + 1] for name, values in fields.items()} for i in range(len(fields["mask"]))]
    signs = {warning.sign: warning.text for warning in tfmpq.convert(model, samples, progress=False).report.warnings}
    assert "Input 'mask' masks scores" in signs["clipped input"]
    assert not any("INPUT" in text for text in signs.values())
