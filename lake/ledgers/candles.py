"""Candles: OHLCV bars of any venue, symbol and timeframe, keyed by their open time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from lake.clock import now_micros
from lake.errors import InvalidRowError, LakeError, UsageError
from lake.kernels import ohlcv
from lake.kernels.resample import Buckets, reduced, together
from lake.ledgers.coarser import coarser, finer, sources
from lake.ledgers.given_candles import checked, stacked_candles, unmarked
from lake.ledgers.held_candles import Asked, HeldCandles, names_asked, rows_of, span_asked, span_of, timeframes_of
from lake.ledgers.receipt import Receipt
from lake.ledgers.series import each, load_all, named
from lake.ledgers.writer import Writer
from lake.spec import registry, symbols, timeframes
from lake.spec.decode import rows_to_frame, with_period
from lake.spec.frames import Checked, check_frame, dicts
from lake.spec.rows import row_checker
from lake.spec.schema import polars_schema
from lake.spec.tables import is_rows
from lake.store.cold.table_state import TableState

_DS = registry.get("candles")
_CONSTANT = ("venue", "symbol", "timeframe", "period")
_OHLCV = ("open_time", "open", "high", "low", "close", "volume")


class Candles:
    """Reads and writes candles; ``lk.candles``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._store = writer.store
        self._held = HeldCandles(writer.store)

    def write_rows(self, data: Any) -> Receipt:
        """Upsert candles of mixed symbols and timeframes, given in any form.

        Raises:
            InvalidRowError: the only row, given as a dict, is no candle.
        """
        if isinstance(data, Mapping):
            plain, partial = unmarked(data)
            row = row_checker(_DS)(plain)
            reason = partial or ohlcv.violations(rows_to_frame(_DS, [row]))[0]
            if reason is not None:
                raise InvalidRowError(str(reason), where="candles", value=dict(data))
            return self._writer.write_checked_rows(_DS, [row])
        rows = dicts(_DS, data) if is_rows(data) else data
        return self.write_checked(checked(rows))

    def write(self, frame: Any, timeframe: str, symbol: str | None = None, venue: str = "") -> Receipt:
        """Upsert candles by (venue, symbol, timeframe, open_time).

        Args:
            frame: a table or rows with open_time (or ``date``/``timestamp`` as index), open, high, low,
                close and volume; with a ``symbol`` column unless ``symbol`` is given. What :meth:`resample` and
                ccxt's ``fetch_ohlcv`` give is taken as it is.
            timeframe: such as "15m".
            symbol: in any common spelling.
            venue: the exchange, "" where unknown.

        Rows that break the rules of a candle (high below the close, a negative price, off the
        timeframe's grid, partial, ...) go to the quarantine with their reasons, the others land.

        Raises:
            UnknownTimeframeError: a timeframe that the lake does not hold.
            InvalidTimeError: naive times, or times in mixed units.
            UsageError: neither ``symbol`` nor a symbol column, or columns that say otherwise than the call.
        """
        constants: dict[str, Any] = {"timeframe": timeframes.parse(timeframe), "venue": venue}
        if symbol is not None:
            constants["symbol"] = symbols.canonical(symbol)
        return self.write_checked(checked(frame, constants))

    def write_frames(self, frames: Mapping[str, Any], timeframe: str, venue: str = "") -> Receipt:
        """Upsert the candles of many symbols at once: {symbol: frame}, one timeframe.

        Raises:
            UsageError: not {symbol: frame}; else as :meth:`write`.
        """
        given: Any = frames
        if not isinstance(given, Mapping):
            todo = "Such as {'BTC/USDT': frame}."
            raise UsageError("frames are given by symbol", value=type(given).__name__, todo=todo)
        if not frames:
            return Receipt()
        constants = {"timeframe": timeframes.parse(timeframe), "venue": venue}
        together = stacked_candles(frames)
        if together is not None:
            try:
                return self.write_checked(checked(together, constants))
            except LakeError:
                pass  # one of them is wrong, or in another unit of time: each by itself tells which
        found = [checked(f, {**constants, "symbol": s}) for s, f in frames.items()]
        good = pl.concat([c.good for c in found])
        return self.write_checked(Checked(good, pl.concat([c.bad for c in found], how="diagonal_relaxed")))

    def write_checked(
        self, candles: Checked | pl.DataFrame, *, unique: bool = False, seen: TableState | None = None
    ) -> Receipt:
        """Upsert candles of mixed symbols and timeframes that are in canonical columns.

        Args:
            candles: the candles.
            unique: whether no two of them are known to have one key, which then is not looked for.
            seen: the cold table as it was before the look that they rest on.

        Raises:
            OvertakenError: others wrote since ``seen`` what that look may have missed.
        """
        if isinstance(candles, pl.DataFrame):
            candles = check_frame(_DS, candles)
        reasons = ohlcv.violations(candles.good)
        if reasons.null_count() == candles.good.height:
            return self._writer.write_frame(_DS, candles, unique=unique, seen=seen)
        wrong = candles.good.with_columns(reasons.alias("reason")).filter(reasons.is_not_null())
        bad = wrong if candles.bad.is_empty() else pl.concat([candles.bad, wrong], how="diagonal_relaxed")
        return self._writer.write_frame(
            _DS, Checked(candles.good.filter(reasons.is_null()), bad), unique=unique, seen=seen
        )

    def read(
        self,
        symbols_: str | Sequence[str] | None = None,
        timeframe: str = "",
        start: Any = None,
        end: Any = None,
        columns: str | Sequence[str] | None = None,
        *,
        venue: str | None = None,
    ) -> pl.DataFrame:
        """Candles in order of symbol and time.

        Args:
            symbols_: one symbol, several, or None for all.
            timeframe: such as "1m".
            start, end: aware times, epoch numbers or ISO texts with offset; start is inside, end is not.
            columns: one column, or several; venue, symbol and the OHLCV columns when left out.
            venue: only of this venue.

        A symbol that is held, but not in this timeframe or time, gives no rows; so does a lake without candles.

        Raises:
            UnknownSymbolError: the lake holds candles, but none of a symbol that is named.
            UnknownTimeframeError: a timeframe that the lake does not know.
            UsageError: no columns.
        """
        held = timeframes.parse(timeframe) if timeframe else ""
        chosen = _chosen(columns)
        stored = [n for n in dict.fromkeys([*chosen, "open_time"]) if n not in _CONSTANT]
        found = self._held.series(Asked(names_asked(symbols_), held, span_asked(start, end), venue), stored)
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
            source: the finer timeframe. When left out, each series (symbol and venue) is made from all finer
                timeframes that it is held in: each candle from the one that covers most of it, of several the coarsest.

        Returns:
            venue, symbol, timeframe, open_time, open, high, low, close, the sums of volumes and trade counts (null
            where none is known), ``bars`` (finer candles there were), ``expected`` (those of a whole candle) and
            ``partial`` (fewer than expected), in order of symbol, venue and time. :meth:`write` takes it as it is.

        A symbol that is held, but not in ``source`` or in this time, gives no rows.

        Raises:
            UsageError: ``timeframe`` is no multiple of ``source``, or no finer candles of a symbol are held.
            UnknownSymbolError: the lake holds candles, but none of a symbol that is named.
            UnknownTimeframeError: a timeframe that the lake does not know.
        """
        target = timeframes.parse(timeframe)
        asked = Asked(
            names_asked(symbols_), timeframes.parse(source) if source else target, span_asked(start, end), venue
        )
        found = sources(self._held, asked, target) if source else finer(self._held, asked)
        scanner = self._store.scanner
        bars = each(found, lambda of, threads: (of[0].series.name, coarser(scanner, of, threads=threads)))
        return together(bars or [(("", ""), reduced(_nothing(), Buckets(target, target)))], target)

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
        settled = self._store.table("candles").rows(state.files.values())
        first, last = span_of(self._store, snapshot)
        return {
            "candles": rows_of(self._store, snapshot),
            "symbols": len(self.symbols()),
            "timeframes": timeframes_of(snapshot),
            "first": first,
            "last": last,
            "bytes": state.size,
            "bytes_per_candle": round(state.size / settled, 2) if settled else None,
            "files": len(state.files),
            "hot": hot.height,
            "at": now_micros(),
        }

    def symbols(self) -> set[str]:
        """The symbols of which candles are held."""
        return self._held.symbols()


def _chosen(columns: str | Sequence[str] | None) -> list[str]:
    if columns is None:
        return ["venue", "symbol", "timeframe", *_OHLCV]
    columns = [columns] if isinstance(columns, str) else columns
    if not columns:
        raise UsageError("which columns?", where="candles", value=columns, todo=f"Some of {', '.join(_DS.by_name)}.")
    for name in columns:
        if name != "period":
            _DS.column(name)
    return list(columns)


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema=polars_schema(_DS))
