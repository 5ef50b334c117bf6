"""Flags for options of `tfmpq.convert` that commands take under the same name, with their own words."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS

_BOUNDS = {"bits": (MIN_BITS, MAX_BITS), "max_points": (1, MAX_POINTS)}


def define_option_flags(values: flags.FlagValues, names: Sequence[str]) -> None:
    """Adds the flags.

    Args:
        values: of a command.
        names: of the options.
    """
    from tfmpq.options import Options, choices_of, help_of  # loads the file schema, which other commands do without

    defaults = Options()
    for name in names:
        default, text, choices = getattr(defaults, name), help_of(name), choices_of(name)
        if choices:
            flags.DEFINE_enum(name, default, choices, text, values)
        elif isinstance(default, bool):
            flags.DEFINE_boolean(name, default, text, values)
        elif name == "cache":
            flags.DEFINE_string(name, default, text, values)
        elif name == "max_latency_ratio":
            flags.DEFINE_float(name, default, text, flag_values=values)
        elif isinstance(default, int) or default is None:
            flags.DEFINE_integer(name, default, text, *_BOUNDS.get(name, ()), flag_values=values)
        else:
            flags.DEFINE_string(name, default, text, values)
