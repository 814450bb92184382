"""Which series of candles a lake holds, by symbol, venue, timeframe and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import polars as pl
import pyarrow as pa

from lake.errors import InvalidRowError, UnknownSymbolError, UsageError
from lake.ledgers.series import Series, split
from lake.spec import registry, symbols, timeframes
from lake.spec.schema import arrow_schema
from lake.spec.texts import half_character
from lake.spec.times import to_micros
from lake.store.cold.files import Bounds
from lake.store.cold.frames import bounds_of, frame_of
from lake.store.snapshot import Snapshot
from lake.store.store import Store

_DATASET = "candles"
_NAMES = ("symbol", "venue")
_TIME = registry.get(_DATASET).event_time
_TIMES = pa.schema([field for field in arrow_schema(registry.get(_DATASET)) if field.name == _TIME])
_KEYS = pa.schema([field for field in arrow_schema(registry.get(_DATASET)) if field.name in registry.get(_DATASET).key])


@dataclass(frozen=True, slots=True)
class Asked:
    """What a read asks for; times in microseconds, both inclusive."""

    symbols: list[str] | None
    timeframe: str
    span: Bounds
    venue: str | None

    def __post_init__(self) -> None:
        if not self.timeframe:
            raise UsageError("which timeframe?", todo=f"One of {', '.join(timeframes.ALL)}.")

    def bounds(self) -> dict[str, Bounds]:
        """As file statistics understand it."""
        wanted: dict[str, Bounds] = {"timeframe": (self.timeframe, self.timeframe)}
        if self.symbols:
            wanted["symbol"] = (min(self.symbols), max(self.symbols))
        if self.venue is not None:
            wanted["venue"] = (self.venue, self.venue)
        if self.span != (None, None):
            wanted["open_time"] = self.span
        return wanted

    def match(self) -> pl.Expr:
        """As a condition on rows."""
        match: pl.Expr = pl.col("timeframe") == self.timeframe
        if self.symbols is not None:
            match = match & pl.col("symbol").is_in(self.symbols)
        if self.venue is not None:
            match = match & (pl.col("venue") == self.venue)
        low, high = self.span
        time = pl.col("open_time").dt.timestamp("us")
        if low is not None:
            match = match & (time >= low)
        return match if high is None else match & (time <= high)


class HeldCandles:
    """Finds series; their rows are read by whoever asked.

    Args:
        store: of the lake.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def snapshot(self) -> Snapshot:
        """The candles at this moment."""
        return self.store.snapshot([_DATASET])

    def series(self, asked: Asked, columns: Sequence[str]) -> list[Series]:
        """The series that hold what is asked for, in order of symbol and venue.

        Raises:
            UnknownSymbolError: the lake holds candles, but none of a symbol that is asked for.
        """
        found = self.found(self.snapshot(), asked, columns)
        self.missing(asked, found)
        return found

    def found(self, snapshot: Snapshot, asked: Asked, columns: Sequence[str]) -> list[Series]:
        """Of the series that are asked for those that the snapshot holds."""
        files, scanner = snapshot.states[_DATASET].files.values(), self.store.scanner
        parts = scanner.parts(_DATASET, files, asked.bounds(), [*columns, *_NAMES])
        hot = snapshot.hot[_DATASET]
        return split(scanner, snapshot, parts, hot.filter(asked.match()) if hot.height else hot, asked.symbols)

    def missing(self, asked: Asked, found: Iterable[Series]) -> set[str]:
        """Symbols that are asked for and not among those found; the lake knows them all, or it is empty.

        Raises:
            UnknownSymbolError: the lake holds candles, but none of one of them.
        """
        missing = set(asked.symbols or ()) - {series.name[0] for series in found}
        if missing and (held := self.symbols()) and not missing <= held:
            raise _unknown_symbol(sorted(missing - held), held)
        return missing

    def symbols(self) -> set[str]:
        """The symbols of which candles are held: told by the statistics of row groups that have one symbol only."""
        snapshot, scanner = self.snapshot(), self.store.scanner
        parts = scanner.parts(_DATASET, snapshot.states[_DATASET].files.values(), {}, _NAMES)
        held = {part.constants["symbol"] for part in parts if "symbol" in part.constants}
        for part in parts:
            if "symbol" not in part.constants:
                held |= set(scanner.read(part)["symbol"].unique().to_list())
        return held | set(snapshot.hot[_DATASET]["symbol"].unique().to_list())


def rows_of(store: Store, snapshot: Snapshot) -> int:
    """How many candles a snapshot holds: one that waits in hot and has settled in another version counts once."""
    state, hot = snapshot.states[_DATASET], snapshot.hot[_DATASET]
    table = store.table(_DATASET)
    held = table.rows(state.files.values())
    if hot.is_empty():
        return held
    key = list(_KEYS.names)
    parts = table.reader.read(table.folder, state.files.values(), bounds_of(hot, key), _KEYS)
    settled = sum(frame_of(part).join(hot.select(key), on=key, how="semi").height for part in parts)
    return held + hot.height - settled


def span_of(store: Store, snapshot: Snapshot) -> Bounds:
    """The first and the last time at which a candle of a snapshot opens; None for none."""
    table, spans = store.table(_DATASET), []
    for file in snapshot.states[_DATASET].files.values():
        if known := file.bounds(_TIME):
            spans.append((known[0], known[1] // 1000 * 1000))  # file statistics round up to the millisecond
        else:  # another engine has written it
            spans += [_span(frame_of(part)) for part in table.reader.read(table.folder, [file], {}, _TIMES)]
    spans.append(_span(snapshot.hot[_DATASET]))
    first, last = ([moment for moment in moments if moment is not None] for moments in zip(*spans, strict=True))
    return min(first, default=None), max(last, default=None)


def _span(frame: pl.DataFrame) -> Bounds:
    times = frame.get_column(_TIME).dt.timestamp("us")
    return times.min(), times.max()


def timeframes_of(snapshot: Snapshot) -> list[str]:
    """Those that candles are held in, shortest first."""
    held = {file.partition["timeframe"] for file in snapshot.states[_DATASET].files.values()}
    held |= set(snapshot.hot[_DATASET].get_column("timeframe").to_list())
    return [timeframe for timeframe in timeframes.ALL if timeframe in held]


def names_asked(given: str | Sequence[str] | None) -> list[str] | None:
    """Canonical symbols; None asks for all.

    Raises:
        InvalidRowError: a symbol that is no text, or has half a character.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        given = [given]
    named = [symbols.canonical(s) for s in given]
    half = half_character(named)
    if half is not None:
        raise InvalidRowError("text with half a character (a lone surrogate)", where="symbol", value=half)
    return named


def span_asked(start: Any, end: Any) -> Bounds:
    """From ``start`` to before ``end`` as microseconds, both inclusive.

    Raises:
        UsageError: there is no time between them.
    """
    low = None if start is None else to_micros(start, where="start")
    high = None if end is None else to_micros(end, where="end") - 1
    if low is not None and high is not None and low > high:
        raise UsageError("start is not before end", value=(start, end), todo="Give an end after the start.")
    return low, high


def _unknown_symbol(unknown: list[str], held: set[str]) -> UnknownSymbolError:
    near = [match for symbol in unknown for match in get_close_matches(symbol, held, 3)]
    todo = f"Did you mean {', '.join(dict.fromkeys(near))}?" if near else "lk.candles.symbols() tells which are held."
    return UnknownSymbolError("no candles of it are held", where="symbol", value=", ".join(unknown), todo=todo)
