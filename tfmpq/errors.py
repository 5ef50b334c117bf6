"""Every error and warning that tfmpq raises on purpose; see :mod:`converters.errors`."""

from converters.errors import (
    BudgetError,
    CacheWarning,
    ConversionError,
    DataError,
    DataWarning,
    FileFormatError,
    LoweringError,
    MissingDependencyError,
    ModelError,
    OptionError,
    RecipeError,
    ValidationError,
)

__all__ = [
    "BudgetError",
    "CacheWarning",
    "ConversionError",
    "DataError",
    "DataWarning",
    "FileFormatError",
    "LoweringError",
    "MissingDependencyError",
    "ModelError",
    "OptionError",
    "RecipeError",
    "ValidationError",
]
