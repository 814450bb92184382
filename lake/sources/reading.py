"""From a job to pieces: its files read, trades folded into candles, and which file it was that could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from lake.errors import LakeError, SourceError
from lake.sources.base import Batch, Options
from lake.sources.folding import fold_files
from lake.sources.held_trades import HeldTrades
from lake.sources.opening import stamp
from lake.sources.pieces import Piece
from lake.sources.plan import Job, Planned

_MISSHAPEN = (pl.exceptions.PolarsError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file that cannot be read; the pieces of its job begin anew after it, without it.

    Attributes:
        file: its number.
        why: one sentence.
    """

    file: int
    why: str


def pieces_of(job: Job, options: Options, held: HeldTrades) -> Iterator[Piece | Damaged]:
    """All pieces of a job.

    Raises:
        LakeError: the file of candles, or the trades that earlier runs kept, cannot be read.
    """
    if job.folds:
        yield from _folded(job, options, held)
        return
    for file in job.files:
        for batch in _batches(file, options):
            yield Piece.of(file.number, batch)


def _folded(job: Job, options: Options, held: HeldTrades) -> Iterator[Piece | Damaged]:
    """Candles of the files of one market; one that cannot be read keeps the others out no more than one of candles."""
    left = {file.number: file for file in job.files}
    while left:
        broken: dict[int, str] = {}
        readers = {number: partial(_watched, file, options, broken) for number, file in left.items()}
        try:
            yield from fold_files(readers, job.timeframe, held.of(job.market))
            return
        except LakeError:
            if not broken:
                raise
        for number, why in broken.items():
            del left[number]
            yield Damaged(number, why)


def _watched(file: Planned, options: Options, broken: dict[int, str]) -> Iterator[Batch]:
    """The batches of a file in order of time; it is noted when it cannot be read."""
    try:
        yield from _ascending(_batches(file, options))
    except LakeError as error:
        broken[file.number] = str(error)
        raise


def _ascending(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Batches of trades as they are, or turned around where the newest trade stands first: all are in memory then."""
    first = next(batches, None)
    if first is None:
        return
    times = first.frame.get_column("time")
    if len(times) < 2 or times[0] <= times[-1]:
        yield first
        yield from batches
        return
    for batch in reversed([first, *batches]):
        yield replace(batch, frame=batch.frame.reverse())


def _batches(file: Planned, options: Options) -> Iterator[Batch]:
    """The batches of a file; what its reader could not foresee in it is the file's fault, and said so.

    What another program still writes may end anywhere, so that a file which changed since it was checked is refused.
    """
    try:
        yield from file.source.read(file.path, options)
    except _MISSHAPEN as error:
        why = str(error).split("\n", 1)[0]
        raise SourceError(f"the content does not have the shape of its kind: {why}", where=str(file.path)) from error
    if stamp(file.path) != file.stamp:
        todo = "Ingest it again when it is whole."
        raise SourceError("the file changed while it was read", where=str(file.path), todo=todo)
