import warnings

import pytest

from tfmpq.errors import ConversionError, DataWarning
from tfmpq.suspicion.suspicion import Suspicion, announce

TWO = [Suspicion("data", "a", "First."), Suspicion("data", "b", "Second.")]


def test_each_is_a_warning_at_the_caller_s_line():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        announce(TWO, stacklevel=1)
    assert [str(w.message) for w in seen] == ["First.", "Second."]
    assert all(w.category is DataWarning for w in seen)
    assert seen[0].filename == __file__


def test_strict_raises_all_of_them_and_nothing_without():
    with pytest.raises(ConversionError, match=r"First\. Second\. .*strict"):
        announce(TWO, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        announce([], strict=True)
