import warnings

import pytest

from tfmpq.commands.warning_lines import warning_lines
from tfmpq.errors import DataWarning


def test_data_warnings_become_lines_and_others_stay(capsys: pytest.CaptureFixture[str]):
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with warning_lines("convert", DataWarning):
            for text in ("zeros everywhere", "one class", "zeros everywhere"):  # of two conversions, say
                warnings.warn(DataWarning(text), stacklevel=1)
            warnings.warn("old spelling", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err == "tfmpq convert: warning: zeros everywhere\ntfmpq convert: warning: one class\n"
    assert [str(w.message) for w in others] == ["old spelling"]
