"""Candles: OHLCV bars of any venue, symbol and timeframe, keyed by their open time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import polars as pl

from lake.clock import now_micros
from lake.errors import InvalidRowError, LakeError, UnknownSymbolError, UsageError
from lake.kernels import ohlcv
from lake.kernels.resample import Buckets, Reduced, reduced, together
from lake.ledgers.receipt import Receipt
from lake.ledgers.series import Name, Series, load_all, named, split
from lake.ledgers.writer import Writer
from lake.spec import registry, symbols, timeframes
from lake.spec.decode import rows_to_frame, with_period
from lake.spec.frames import Checked, check_frame, dicts
from lake.spec.rows import row_checker
from lake.spec.schema import polars_schema
from lake.spec.tables import stacked
from lake.spec.times import to_micros
from lake.store.cold.files import Bounds

_DS = registry.get("candles")
_CONSTANT = ("venue", "symbol", "timeframe", "period")
_RESAMPLED = ("open_time", "open", "high", "low", "close", "volume")
_OHLCV = ("open_time", "open", "high", "low", "close", "volume")


class Candles:
    """Reads and writes candles; ``lk.candles``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._store = writer.store

    def write_rows(self, data: Any) -> Receipt:
        """Upsert candles of mixed symbols and timeframes, given in any form.

        Raises:
            InvalidRowError: the only row, given as a dict, is no candle.
        """
        if isinstance(data, Mapping):
            row = row_checker(_DS)(data)
            reason = ohlcv.violations(rows_to_frame(_DS, [row]))[0]
            if reason is not None:
                raise InvalidRowError(str(reason), where="candles", value=dict(data))
            return self._writer.write_checked_rows(_DS, [row])
        rows = dicts(_DS, data) if isinstance(data, Iterator | Sequence) else data
        return self.write_checked(check_frame(_DS, rows))

    def write(self, frame: Any, timeframe: str, symbol: str | None = None, venue: str = "") -> Receipt:
        """Upsert candles by (venue, symbol, timeframe, open_time).

        Args:
            frame: a table or rows with open_time (or ``date``/``timestamp`` as index), open, high, low,
                close and volume; with a ``symbol`` column unless ``symbol`` is given.
            timeframe: such as "15m".
            symbol: in any common spelling.
            venue: the exchange, "" where unknown.

        Rows that break the rules of a candle (high below the close, a negative price, off the
        timeframe's grid, ...) go to the quarantine with their reasons, the others land.

        Raises:
            UnknownTimeframeError: a timeframe that the lake does not hold.
            InvalidTimeError: naive times, or times in mixed units.
            UsageError: neither ``symbol`` nor a symbol column.
        """
        constants: dict[str, Any] = {"timeframe": timeframes.parse(timeframe), "venue": venue}
        if symbol is not None:
            constants["symbol"] = symbols.canonical(symbol)
        return self.write_checked(check_frame(_DS, frame, constants=constants))

    def write_frames(self, frames: Mapping[str, Any], timeframe: str, venue: str = "") -> Receipt:
        """Upsert the candles of many symbols at once: {symbol: frame}, one timeframe."""
        if not frames:
            return Receipt()
        constants = {"timeframe": timeframes.parse(timeframe), "venue": venue}
        together = stacked(frames, "symbol")
        if together is not None:
            try:
                return self.write_checked(check_frame(_DS, together, constants=constants))
            except LakeError:
                pass  # one of them is wrong, or in another unit of time: each by itself tells which
        checked = [check_frame(_DS, f, constants={**constants, "symbol": s}) for s, f in frames.items()]
        good = pl.concat([c.good for c in checked])
        return self.write_checked(Checked(good, pl.concat([c.bad for c in checked], how="diagonal_relaxed")))

    def write_checked(self, checked: Checked | pl.DataFrame, *, unique: bool = False) -> Receipt:
        """Upsert candles of mixed symbols and timeframes that are in canonical columns.

        Args:
            checked: the candles.
            unique: whether no two of them are known to have one key, which then is not looked for.
        """
        if isinstance(checked, pl.DataFrame):
            checked = check_frame(_DS, checked)
        reasons = ohlcv.violations(checked.good)
        if reasons.null_count() == checked.good.height:
            return self._writer.write_frame(_DS, checked, unique=unique)
        wrong = checked.good.with_columns(reasons.alias("reason")).filter(reasons.is_not_null())
        bad = wrong if checked.bad.is_empty() else pl.concat([checked.bad, wrong], how="diagonal_relaxed")
        return self._writer.write_frame(_DS, Checked(checked.good.filter(reasons.is_null()), bad), unique=unique)

    def read(
        self,
        symbols_: str | Sequence[str] | None = None,
        timeframe: str = "",
        start: Any = None,
        end: Any = None,
        columns: Sequence[str] | None = None,
        *,
        venue: str | None = None,
    ) -> pl.DataFrame:
        """Candles in order of symbol and time.

        Args:
            symbols_: one symbol, several, or None for all.
            timeframe: such as "1m".
            start, end: aware times, epoch numbers or ISO texts with offset; start is inside, end is not.
            columns: which columns; venue, symbol and the OHLCV columns when left out.
            venue: only of this venue.

        A symbol that is held, but not in this timeframe or time, gives no rows; so does a lake without candles.

        Raises:
            UnknownSymbolError: the lake holds candles, but none of a symbol that is named.
            UnknownTimeframeError: a timeframe that the lake does not know.
        """
        held = timeframes.parse(timeframe) if timeframe else ""
        chosen = _chosen(columns)
        stored = [n for n in dict.fromkeys([*chosen, "open_time"]) if n not in _CONSTANT]
        found = self._series(_Asked(_names(symbols_), held, _span(start, end), venue), stored)
        frames = load_all(self._store.scanner, found, stored, named)
        rows = pl.concat([f for f in frames if f.height] or frames) if frames else _nothing()
        constants = [pl.lit(held).alias("timeframe")] if "timeframe" in chosen else []
        if "period" in chosen:
            rows = with_period(_DS, rows.with_columns(pl.lit(held).alias("timeframe")))
        return rows.with_columns(constants).select(chosen)

    def resample(
        self,
        symbols_: str | Sequence[str] | None,
        timeframe: str,
        start: Any = None,
        end: Any = None,
        *,
        source: str = "",
        venue: str | None = None,
    ) -> pl.DataFrame:
        """Candles of ``timeframe`` made from finer ones, each with bars, expected and a ``partial`` flag.

        Args:
            source: the finer timeframe; the coarsest one held that fits when left out.
        """
        target = timeframes.parse(timeframe)
        buckets = Buckets(timeframes.parse(source) if source else self._finer(target), target)
        found = self._series(_Asked(_names(symbols_), buckets.source, _span(start, end), venue), _RESAMPLED)

        def coarser(series: Series, rows: pl.DataFrame) -> tuple[Name, Reduced]:
            return series.name, reduced(rows, buckets)

        bars = load_all(self._store.scanner, found, _RESAMPLED, coarser)
        nothing = [(("", ""), reduced(_nothing().select(_RESAMPLED), buckets))]
        return together(bars or nothing, buckets)

    def _series(self, asked: _Asked, columns: Sequence[str]) -> list[Series]:
        """The series that hold what is asked for, not read yet."""
        snapshot = self._store.snapshot(["candles"])
        wanted = asked.bounds()
        parts = self._store.scanner.parts(
            _DS.name, snapshot.states["candles"].files.values(), wanted, [*columns, "symbol", "venue"]
        )
        hot = snapshot.hot["candles"]
        found = split(self._store.scanner, parts, hot.filter(asked.match()) if hot.height else hot, asked.symbols)
        missing = set(asked.symbols or ()) - {series.name[0] for series in found}
        if missing and (held := self.symbols()) and not missing <= held:
            raise _unknown_symbol(sorted(missing - held), held)
        return found

    def gaps(self, symbol: str | Sequence[str] | None, timeframe: str, *, venue: str | None = None) -> pl.DataFrame:
        """Runs of missing candles between the first and the last one held: gap_start, gap_end, missing."""
        frame = self.read(symbol, timeframe, columns=("venue", "symbol", "open_time"), venue=venue)
        return ohlcv.gaps(frame, timeframes.parse(timeframe))

    def last(self, symbol: str, timeframe: str, venue: str = "") -> int | None:
        """Open time of the newest candle held, in microseconds; None when there is none."""
        if symbols.canonical(symbol) not in self.symbols():
            return None
        frame = self.read(symbol, timeframe, columns=("open_time",), venue=venue)
        return None if frame.is_empty() else int(frame["open_time"].dt.timestamp("us").max())  # type: ignore[arg-type]

    def stats(self) -> dict[str, Any]:
        """Rows, symbols, timeframes, first and last open time, bytes on disk and bytes per candle."""
        snapshot = self._store.snapshot(["candles"])
        state, hot = snapshot.states["candles"], snapshot.hot["candles"]
        rows = state.rows + hot.height
        held = {f.partition["timeframe"] for f in state.files.values()} | set(hot["timeframe"].to_list())
        times = [found for f in state.files.values() if (found := f.bounds("open_time"))]
        if hot.height:
            micros = hot["open_time"].dt.timestamp("us")
            times.append((micros.min(), micros.max()))
        return {
            "candles": rows,
            "symbols": len(self.symbols()),
            "timeframes": [t for t in timeframes.ALL if t in held],
            "first": min((t[0] for t in times), default=None),
            "last": max(
                (t[1] // 1000 * 1000 for t in times), default=None
            ),  # file statistics round up to the millisecond
            "bytes": state.size,
            "bytes_per_candle": round(state.size / state.rows, 2) if state.rows else None,
            "files": len(state.files),
            "hot": hot.height,
            "at": now_micros(),
        }

    def symbols(self) -> set[str]:
        """The symbols of which candles are held: told by the statistics of row groups that have one symbol only."""
        snapshot = self._store.snapshot(["candles"])
        parts = self._store.scanner.parts(_DS.name, snapshot.states["candles"].files.values(), {}, ["symbol", "venue"])
        held = {part.constants["symbol"] for part in parts if "symbol" in part.constants}
        for part in parts:
            if "symbol" not in part.constants:
                held |= set(self._store.scanner.read(part)["symbol"].unique().to_list())
        return held | set(snapshot.hot["candles"]["symbol"].unique().to_list())

    def _finer(self, target: str) -> str:
        length = timeframes.micros(target)
        state = self._store.snapshot(["candles"])
        held = {f.partition["timeframe"] or "" for f in state.states["candles"].files.values()}
        held |= set(state.hot["candles"]["timeframe"].to_list())
        fits = [
            t
            for t in timeframes.ALL
            if t in held and timeframes.micros(t) < length and length % timeframes.micros(t) == 0
        ]
        if not fits:
            raise UsageError(f"no candles finer than {target} are held", value=sorted(held), todo="Ingest them first.")
        return fits[-1]


def _unknown_symbol(unknown: list[str], held: set[str]) -> UnknownSymbolError:
    near = [match for symbol in unknown for match in get_close_matches(symbol, held, 3)]
    todo = f"Did you mean {', '.join(dict.fromkeys(near))}?" if near else "lk.candles.symbols() tells which are held."
    return UnknownSymbolError("no candles of it are held", where="symbol", value=", ".join(unknown), todo=todo)


def _names(given: str | Sequence[str] | None) -> list[str] | None:
    if given is None:
        return None
    return [symbols.canonical(s) for s in ([given] if isinstance(given, str) else given)]


@dataclass(frozen=True, slots=True)
class _Asked:
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


def _span(start: Any, end: Any) -> Bounds:
    low = None if start is None else to_micros(start, where="start")
    high = None if end is None else to_micros(end, where="end") - 1
    if low is not None and high is not None and low > high:
        raise UsageError("start is not before end", value=(start, end), todo="Give an end after the start.")
    return low, high


def _chosen(columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return ["venue", "symbol", "timeframe", *_OHLCV]
    for name in columns:
        if name != "period":
            _DS.column(name)
    return list(columns)


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema=polars_schema(_DS))
