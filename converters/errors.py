"""Every error and warning tfmpq raises on purpose; each message says what, where, why and what to do."""

from __future__ import annotations

from converters.printable import printable


class ConversionError(Exception):
    """Base class of all tfmpq errors; what their messages quote from files is shown escaped."""

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


class ModelError(ConversionError):
    """The model cannot be converted as it is."""


class DataError(ConversionError):
    """The representative or evaluation data are unusable."""


class OptionError(ConversionError, ValueError):
    """An option is out of range or contradicts another one."""


class RecipeError(ConversionError):
    """A recipe is malformed or matches no layer."""


class BudgetError(ConversionError):
    """The budget cannot be met."""


class FileFormatError(ConversionError):
    """A file is corrupt or not what was expected."""


class LoweringError(ConversionError):
    """A layer's points cannot be expressed in the asked form."""


class ValidationError(ConversionError):
    """The emitted file failed its check; nothing was written."""


class MissingDependencyError(ConversionError, ImportError):
    """An optional package is needed for this and is not installed."""


class DataWarning(UserWarning):
    """The representative data look wrong for the model, or int8 cannot show what the model computes on them."""

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")


class CacheWarning(UserWarning):
    """Nothing was kept for the next conversion, or what had been kept cannot be used; the result is the same."""

    def __str__(self) -> str:
        return printable(super().__str__(), keep="\n")
