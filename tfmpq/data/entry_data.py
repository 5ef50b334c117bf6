"""Which of several signatures of a file representative data are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from converters.errors import DataError
from tfmpq.data.iteration import open_passes
from tfmpq.data.sample_arrays import describe, read_item

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec


def fitting_signature(rep_dataset: object, inputs: Mapping[str, Sequence[InputSpec]]) -> str:
    """The first signature that takes the first sample; the one that the sample names, where it names one.

    Args:
        rep_dataset: as for :func:`tfmpq.data.representative.check_samples`, which checks all of it later.
        inputs: of every signature that is asked for.

    Raises:
        DataError: There is no sample, it cannot be read, or no signature takes it.
    """
    open_items = open_passes(rep_dataset, "rep_dataset", lambda array, what: None)
    item = next(open_items(), None)
    if item is None:
        raise DataError("rep_dataset gives no samples; 100 is usual.")
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and item[0] in inputs:
        return item[0]
    return _first(inputs, lambda specs: next(read_item(item, specs, "sample 0 of rep_dataset"), None))


def fitting_calibration(
    open_data: Callable[[Sequence[InputSpec]], Callable[[], Iterator[Any]]], inputs: Mapping[str, Sequence[InputSpec]]
) -> str:
    """The first signature that takes the data of a file or folder.

    Args:
        open_data: opens them for some inputs.
        inputs: of every signature that is asked for.

    Raises:
        DataError: No signature takes them.
    """
    return _first(inputs, lambda specs: next(read_item(next(open_data(specs)()), specs, "sample 0"), None))


def _first(inputs: Mapping[str, Sequence[InputSpec]], read: Callable[[Sequence[InputSpec]], object]) -> str:
    reasons = []
    for key, specs in inputs.items():
        try:
            read(specs)
        except DataError as error:
            reasons.append(f"{key!r} takes {describe(specs)} ({error})")
        else:
            return key
    raise DataError(
        f"the data fit none of the signatures: {'; '.join(reasons)}. Give samples for one of them, which signature= "
        "may name."
    )
