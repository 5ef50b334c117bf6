"""What ends the process is an error of the file."""

from __future__ import annotations

import pytest

from converters.errors import FileFormatError
from converters.frontend import unknown_file
from converters.frontend.unknown_file import check_file
from converters.runtime.child_process import refusals
from tests.support.op_models import softmax_file


def test_a_file_of_unknown_origin_that_ends_the_process():
    # The reference SOFTMAX aborts where the scale is too small for its fixed-point arithmetic.
    said = (
        r"^file 'x' cannot be run: the reference kernels end the process \(SIGABRT\) at operator 0, SOFTMAX writing 'y'"
    )
    with pytest.raises(FileFormatError, match=said):
        check_file(softmax_file(1e-9), "file 'x'", ["builtin", "reference"])
    check_file(softmax_file(1e-9), "file 'x'", ["builtin"])
    check_file(b"no file at all", "file 'x'", ["builtin"])  # what is no death is left to whoever runs it


def test_a_file_is_run_once_for_each_set_of_kernels(monkeypatch):
    asked = []

    def recorded(content, feeds, kernels):
        asked.append(list(kernels))
        return refusals(content, feeds, kernels)

    monkeypatch.setattr(unknown_file, "refusals", recorded)
    good, bad = softmax_file(1.0), softmax_file(1e-8)
    for _ in range(2):
        check_file(good, "good", ["builtin"])
    check_file(good, "good", ["builtin", "xnnpack"])
    for _ in range(2):  # what ended a process once does so again
        with pytest.raises(FileFormatError, match="end the process"):
            check_file(bad, "bad", ["reference"])
    assert [kernels for kernels in asked if kernels] == [["builtin"], ["xnnpack"], ["reference"], ["reference"]]
