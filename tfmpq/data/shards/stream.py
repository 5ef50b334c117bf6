"""Many samples that are read as they are needed: as much of arrays as evaluating and training ask of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import cast

import numpy as np

from converters.errors import DataError
from tfmpq.data.evaluation_set import Labelled

_HELD = 64  # samples that were read last, or two batches: files that are run in turns read each sample once
Sample = Mapping[str, np.ndarray]  # batch dimension 1


@dataclass(frozen=True, eq=False)
class Piece:
    """Samples that are read one after the other: those of a shard, or all that a function gives.

    Attributes:
        where: they are from, for messages.
        count: how many there are.
        open: starts a pass over some of them, by their numbers in rising order.
        rows: the numbers of those that are meant, in rising order; None: all.
    """

    where: str
    count: int
    open: Callable[[Sequence[int]], Iterator[Sample]]
    rows: np.ndarray | None = None

    def __call__(self) -> Iterator[Sample]:
        """A pass over those that are meant.

        Raises:
            DataError: There are fewer than there were.
        """
        wanted = len(self)
        found = 0
        for sample in islice(self.open(range(self.count) if self.rows is None else self.rows.tolist()), wanted):
            found += 1
            yield sample
        if found < wanted:
            raise DataError(
                f"{self.where} gave {wanted} samples at first and {found} in a later pass. It is read several times, "
                "and must be the same every time."
            )

    def __len__(self) -> int:
        return self.count if self.rows is None else len(self.rows)

    def place(self, row: int) -> str:
        """What one of those that are meant is called in messages."""
        return f"sample {row if self.rows is None else self.rows[row]} of {self.where}"

    def of(self, rows: np.ndarray) -> Piece:
        """Some of those that are meant, by their places among them."""
        return Piece(self.where, self.count, self.open, rows if self.rows is None else self.rows[rows])


class Stream:
    """Samples of several pieces in order, of which a few neighbours are held.

    Args:
        pieces: each with one sample at least.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self._starts = np.cumsum([0, *map(len, pieces)])
        self._pass: Iterator[Sample] = iter(())
        self._number, self._end = -1, 0  # of the piece that is read, and of the sample after those that are held
        self._held: deque[Sample] = deque(maxlen=_HELD)
        self.first = next(pieces[0]())

    def __len__(self) -> int:
        return int(self._starts[-1])

    def of(self, rows: np.ndarray) -> Stream:
        """Some of the samples, in rising order; others are not even decoded."""
        ends = np.searchsorted(rows, self._starts)
        parts = [rows[ends[i] : ends[i + 1]] - self._starts[i] for i in range(len(self.pieces))]
        return Stream([piece.of(part) for piece, part in zip(self.pieces, parts, strict=True) if len(part)])

    def place(self, row: int) -> str:
        """What a sample is called in messages: by its piece, and its number in there."""
        piece = self._piece(row)
        return self.pieces[piece].place(row - int(self._starts[piece]))

    def read(self, rows: np.ndarray, name: str) -> np.ndarray:
        """An input of some samples, cheap where they follow each other."""
        if 2 * len(rows) > (self._held.maxlen or 0):
            self._held = deque(self._held, maxlen=2 * len(rows))
        found = [self._sample(int(row))[name] for row in rows]
        try:
            return np.concatenate(found)
        except ValueError as error:  # sizes that the model leaves open
            raise DataError(f"samples {rows[0]} to {rows[-1]} have different sizes: {error}. Give one size.") from error

    def _sample(self, row: int) -> Sample:
        piece = self._piece(row)
        if row < self._end - len(self._held) or (row >= self._end and piece != self._number):
            start = int(self._starts[piece])
            if start != self._end:
                self._held.clear()
            self._number, self._end, self._pass = piece, start, self.pieces[piece]()
        while row >= self._end:
            self._held.append(next(self._pass))
            self._end += 1
        return self._held[row - self._end]

    def _piece(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, side="right")) - 1


class Column:
    """An input of all samples of a stream: as much of an array as is needed.

    Attributes:
        stream: it is of.
        shape: of all samples together.
        dtype: of their values.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self.stream, self._name = stream, name
        first = stream.first[name]
        self.shape, self.dtype, self.ndim = (len(stream), *first.shape[1:]), first.dtype, first.ndim

    def __len__(self) -> int:
        return len(self.stream)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.stream.read(rows, self._name)

    def place(self, row: int) -> str:
        """See :meth:`Stream.place`."""
        return self.stream.place(row)


def labelled_stream(stream: Stream, labels: np.ndarray | None) -> Labelled:
    """A stream as evaluation data."""
    columns = {name: Column(stream, name) for name in stream.first}
    return Labelled(cast(Mapping[str, np.ndarray], columns), labels)  # what is asked of an array, they have


def stream_of(data: Labelled) -> Stream | None:
    """The stream that evaluation data are read from; None: they are arrays."""
    first: object = next(iter(data.inputs.values()))
    return first.stream if isinstance(first, Column) else None


def mixed(stream: Stream, random: np.random.Generator, *, opened: int, held: int) -> Iterator[tuple[Sample, int]]:
    """A pass in an order by chance, with the number of each sample: pieces in any order, and their samples near it.

    Args:
        stream: to be read.
        random: says the order.
        opened: pieces that are read at a time, in turns by chance.
        held: samples, of which one by chance is given as the next one is read.
    """
    starts = np.cumsum([0, *map(len, stream.pieces)])
    waiting = [enumerate(stream.pieces[i](), int(starts[i])) for i in random.permutation(len(stream.pieces))]
    running: list[Iterator[tuple[int, Sample]]] = []
    pool: list[tuple[Sample, int]] = []
    while waiting or running:
        while waiting and len(running) < opened:
            running.append(waiting.pop())
        chosen = int(random.integers(len(running)))
        found = next(running[chosen], None)
        if found is None:
            running.pop(chosen)
            continue
        pool.append((found[1], found[0]))
        if len(pool) > held:
            yield pool.pop(int(random.integers(len(pool))))
    for i in random.permutation(len(pool)):
        yield pool[i]
