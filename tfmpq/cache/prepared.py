"""What is kept of a prepared network: all that files are written from, but the caller's samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from tfmpq.cache.key import FREE, MEANT
from tfmpq.data.holdout import Split, hold_out
from tfmpq.data.representative import check_samples
from tfmpq.options import Options
from tfmpq.preparation import Prepared


@dataclass(frozen=True, eq=False)
class Kept:
    """A prepared network without samples.

    Attributes:
        prepared: it and the bodies of its loops have no data, and none of the options that may be others next time.
        states: of every loop, the states that its body was prepared on: they come from the samples, and take minutes.
        inner: the bodies of its loops, in the same way.
    """

    prepared: Prepared
    states: Sequence[Sequence[Mapping[str, np.ndarray]]]
    inner: Sequence[Kept]

    @classmethod
    def of(cls, prepared: Prepared) -> Kept:
        """What is kept of a prepared network."""
        bodies = [cast(Prepared, loop.body) for loop in prepared.loops]
        bare = replace(
            prepared,
            options=replace(prepared.options, **_values(Options())),
            data=cast(Split, None),
            loops=[replace(loop, body=cast(Any, None)) for loop in prepared.loops],
        )
        return cls(bare, [list(body.data.whole()) for body in bodies], [cls.of(body) for body in bodies])

    def put_back(self, data: Split, options: Options, source: str, seconds: Mapping[str, float]) -> Prepared:
        """The network as it was prepared.

        Args:
            data: the samples that it was prepared on.
            options: of this conversion.
            source: what messages call the model.
            seconds: of this conversion.
        """
        kept, network = self.prepared, self.prepared.network
        silent, loops = replace(options, progress=False), []
        for loop, states, body in zip(kept.loops, self.states, self.inner, strict=True):
            step = loop.loop.step
            own = hold_out(check_samples(states, step.inputs))
            loops.append(replace(loop, body=body.put_back(own, silent, step.source, body.prepared.seconds)))
        return replace(
            kept,
            options=replace(kept.options, **_values(options)),
            network=replace(network, float_model=replace(network.float_model, source=source)),
            data=data,
            seconds=seconds,
            loops=loops,
        )


def _values(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in (*FREE, *MEANT)}
