"""Coarser candles of a series, out of the finer timeframes in which it is held."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

from lake.errors import UsageError
from lake.kernels.candle_arrays import SUMS
from lake.kernels.coverage import fuller, lacking
from lake.kernels.resample import Buckets, Reduced, reduced
from lake.ledgers.held_candles import Asked, HeldCandles, timeframes_of
from lake.ledgers.series import Name, Series
from lake.spec import timeframes
from lake.store.cold.scan import Scanner
from lake.store.snapshot import Snapshot

_BARS = ("open_time", "open", "high", "low", "close")
COLUMNS = (*_BARS, *SUMS)


@dataclass(frozen=True, slots=True)
class Source:
    """One series in one timeframe, and what is to be made of it."""

    buckets: Buckets
    series: Series


def sources(held: HeldCandles, asked: Asked, target: str) -> list[list[Source]]:
    """Each series that is asked for, to be made into candles of ``target``.

    Raises:
        UsageError: ``target`` is no multiple of the timeframe asked for.
        UnknownSymbolError: the lake holds candles, but none of a symbol that is asked for.
    """
    buckets = Buckets(asked.timeframe, target)
    return [[Source(buckets, series)] for series in held.series(asked, COLUMNS)]


def finer(held: HeldCandles, asked: Asked) -> list[list[Source]]:
    """Each series that is asked for, in all timeframes that make the one asked for, the coarsest first.

    Raises:
        UsageError: a symbol, or the lake, has no finer candles.
        UnknownSymbolError: the lake holds candles, but none of a symbol that is asked for.
    """
    snapshot = held.snapshot()
    found: dict[Name, list[Source]] = {}
    for timeframe in _that_make(asked.timeframe, timeframes_of(snapshot)):
        buckets = Buckets(timeframe, asked.timeframe)
        for series in held.found(snapshot, replace(asked, timeframe=timeframe), COLUMNS):
            found.setdefault(series.name, []).append(Source(buckets, series))
    missing = held.missing(asked, [of[0].series for of in found.values()])
    if missing or not found:
        _must_be_finer(held, snapshot, asked, missing)
    return [found[name] for name in sorted(found)]


def coarser(scanner: Scanner, of: Sequence[Source], *, threads: bool) -> Reduced:
    """The buckets of one series, each from the timeframe that covers most of it, of several the coarsest.

    Finer candles are read only where the coarser ones leave something out.

    Args:
        scanner: reads them.
        of: the series in each of its timeframes, the coarsest first.
        threads: whether reading one may use several.
    """
    found = _made(scanner, of[0], threads)
    for source in of[1:]:
        for span in lacking(found, source.buckets):
            series = source.series.within(scanner, span)
            if series is not None:
                found = fuller(found, _made(scanner, replace(source, series=series), threads))
    return found


def _made(scanner: Scanner, source: Source, threads: bool) -> Reduced:
    columns = [*_BARS, *(name for name in SUMS if source.series.holds(name))]
    stored = source.series.stored(scanner, columns, threads=threads)
    return reduced(source.series.load(scanner, columns, threads=threads) if stored is None else stored, source.buckets)


def _that_make(target: str, held: Container[str]) -> list[str]:
    """Of the timeframes held those that divide a longer one, the coarsest first."""
    length = timeframes.micros(target)
    lengths = {timeframe: timeframes.micros(timeframe) for timeframe in timeframes.ALL if timeframe in held}
    return [t for t, micros in reversed(lengths.items()) if micros < length and length % micros == 0]


def _must_be_finer(held: HeldCandles, snapshot: Snapshot, asked: Asked, missing: set[str]) -> None:
    """Refuse symbols that have finer candles at no time, or a lake that has none."""
    always = replace(asked, symbols=sorted(missing) or None, span=(None, None))
    there = {
        timeframe: {s.name[0] for s in held.found(snapshot, replace(always, timeframe=timeframe), ("open_time",))}
        for timeframe in timeframes_of(snapshot)
    }
    fit = {symbol for timeframe in _that_make(asked.timeframe, there) for symbol in there[timeframe]}
    if missing - fit or not fit:
        raise UsageError(
            f"no candles finer than {asked.timeframe} are held",
            where=", ".join(sorted(missing - fit)),
            value=[timeframe for timeframe, symbols in there.items() if symbols],
            todo="Ingest them first.",
        )
