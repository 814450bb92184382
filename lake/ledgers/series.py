"""Candles of one symbol and venue, put together from files and hot rows in order of time.

Files are sorted, so each series is read by itself, several at once, and nothing is sorted again unless its
pieces overlap. A hot row takes the place of the stored one with its open time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import TypeVar

import polars as pl
import pyarrow as pa

from lake.spec import registry
from lake.spec.schema import polars_schema
from lake.store.cold.files import Bounds
from lake.store.cold.scan import Part, Scanner, between
from lake.store.snapshot import Snapshot

Name = tuple[str, str]
Given = TypeVar("Given")
Made = TypeVar("Made")
_NAMES = ["symbol", "venue"]
_TYPES = polars_schema(registry.get("candles"))


@dataclass
class Series:
    """One (symbol, venue): parts of files still to be read, rows read from files it shares, and its hot rows.

    The snapshot is there for the files, which stay for as long as it does.
    """

    name: Name
    parts: list[Part] = field(default_factory=list)
    loose: list[pl.DataFrame] = field(default_factory=list)
    hot: pl.DataFrame | None = None
    snapshot: Snapshot | None = field(default=None, repr=False)

    def load(self, scanner: Scanner, columns: Sequence[str], *, threads: bool, keep: bool = True) -> pl.DataFrame:
        """Its rows in order of time, without symbol and venue; ``columns`` includes open_time."""
        pieces = [scanner.read(part, threads=threads, keep=keep) for part in self.parts]
        pieces = [_only(p, columns) for p in (*pieces, *self.loose) if p.height]
        if self.hot is not None:
            pieces = [*(_without(p, self.hot) for p in pieces), _only(self.hot, columns)]
        return _joined(pieces) if pieces else pl.DataFrame(schema={name: _TYPES[name] for name in columns})

    def stored(self, scanner: Scanner, columns: Sequence[str], *, threads: bool) -> pa.Table | None:
        """Its rows as a file holds them, where that is what :meth:`load` would give; None where it takes more."""
        if len(self.parts) != 1 or self.loose or self.hot is not None or not {*columns} <= {*self.parts[0].columns}:
            return None
        return scanner.stored(self.parts[0], threads=threads)

    def holds(self, column: str) -> bool:
        """Whether any of its rows may have a value in the column."""
        frames = self.loose if self.hot is None else [*self.loose, self.hot]
        return any(column in part.columns for part in self.parts) or any(
            column in frame.columns and frame.get_column(column).null_count() < frame.height for frame in frames
        )

    def within(self, scanner: Scanner, span: Bounds) -> Series | None:
        """Its rows that open in the span (microseconds, both inclusive); None where it is sure that there are none."""
        parts = [kept for part in self.parts if (kept := scanner.within(part, "open_time", span)) is not None]
        wanted = {} if span == (None, None) else {"open_time": span}
        loose = [rows for frame in self.loose if (rows := between(frame, wanted)).height]
        hot = None if self.hot is None else between(self.hot, wanted)
        found = Series(self.name, parts, loose, hot if hot is not None and hot.height else None, self.snapshot)
        return found if parts or loose or found.hot is not None else None


def split(
    scanner: Scanner, snapshot: Snapshot, parts: Iterable[Part], hot: pl.DataFrame, names: Sequence[str] | None = None
) -> list[Series]:
    """The series that parts and hot rows of a snapshot hold, in order of symbol and venue; of ``names`` when given."""
    found: dict[Name, Series] = {}
    mixed: list[pl.DataFrame] = []
    for part in parts:
        if part.series is None:
            mixed.append(_with_names(scanner.read(part), part))
        else:
            found.setdefault(part.series, Series(part.series, snapshot=snapshot)).parts.append(part)
    for name, rows in _by_name(mixed):
        found.setdefault(name, Series(name, snapshot=snapshot)).loose.append(rows)
    for name, rows in _by_name([hot]):
        found.setdefault(name, Series(name, snapshot=snapshot)).hot = rows
    wanted = found if names is None else [n for n in found if n[0] in names]
    return [found[name] for name in sorted(wanted)]


def load_all(
    scanner: Scanner,
    series: Sequence[Series],
    columns: Sequence[str],
    then: Callable[[Series, pl.DataFrame], Made],
    *,
    keep: bool = True,
) -> list[Made]:
    """What ``then`` makes of each series, in their order; several are worked on at once.

    Who reads all of a lake once does not ``keep`` what was decoded: it would push out what is read again, and touch new
    memory all the time, which takes longer than decoding.
    """
    return each(series, lambda s, threads: then(s, s.load(scanner, columns, threads=threads, keep=keep)))


def each(given: Sequence[Given], work: Callable[[Given, bool], Made]) -> list[Made]:
    """What ``work`` makes of each, in their order, several at once; it is told whether to read with several threads."""
    if len(given) == 1:
        return [work(given[0], True)]
    return list(_pool().map(lambda one: work(one, False), given))


def named(series: Series, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with their symbol and venue."""
    symbol, venue = series.name
    return rows.hstack([constant("symbol", symbol, rows.height), constant("venue", venue, rows.height)])


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="lake-read")


def _with_names(rows: pl.DataFrame, part: Part) -> pl.DataFrame:
    constants = [(n, part.constants[n]) for n in _NAMES if n in part.constants]
    return rows.with_columns(constant(name, value, rows.height) for name, value in constants)


def constant(name: str, value: str | None, rows: int) -> pl.Series:
    """A text column with one value in all rows."""
    return pl.Series(name, [value], dtype=pl.String).new_from_index(0, rows)


def _by_name(frames: Sequence[pl.DataFrame]) -> Iterable[tuple[Name, pl.DataFrame]]:
    filled = [f for f in frames if f.height]
    if not filled:
        return
    rows = filled[0] if len(filled) == 1 else pl.concat(filled, how="diagonal")
    ordered = rows.sort(*_NAMES, "open_time")
    for (symbol, venue), part in ordered.partition_by(_NAMES, as_dict=True, maintain_order=True).items():
        yield (str(symbol), str(venue)), part


def _only(rows: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The columns wanted, those that older files lack as nulls."""
    absent = [pl.lit(None, dtype=_TYPES[n]).alias(n) for n in columns if n not in rows.columns]
    if not absent and rows.columns == list(columns):
        return rows  # a select would cost as much as the rest
    return rows.with_columns(absent).select(columns)


def _without(stored: pl.DataFrame, hot: pl.DataFrame) -> pl.DataFrame:
    """Stored rows that no hot row replaces."""
    times = stored.get_column("open_time")
    first, last = hot["open_time"][0], hot["open_time"][-1]
    if times[-1] < first or times[0] > last:
        return stored
    return stored.join(hot.select("open_time"), on="open_time", how="anti", maintain_order="left")


def _joined(pieces: Sequence[pl.DataFrame]) -> pl.DataFrame:
    filled = sorted((p for p in pieces if p.height), key=lambda p: p["open_time"][0])
    if len(filled) <= 1:
        return filled[0] if filled else pieces[0] if pieces else pl.DataFrame()
    together = pl.concat(filled)
    apart = all(a["open_time"][-1] < b["open_time"][0] for a, b in pairwise(filled))
    return together if apart else together.sort("open_time")
