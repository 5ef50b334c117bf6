"""What ends the process is an error of the file."""

from __future__ import annotations

import pytest

from converters.errors import FileFormatError
from converters.frontend.unknown_file import check_file
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
