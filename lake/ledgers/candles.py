"""Candles: OHLCV bars of any venue, symbol and timeframe, keyed by their open time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from lake.clock import now_micros
from lake.errors import UsageError
from lake.kernels import ohlcv
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.spec import registry, symbols, timeframes
from lake.spec.frames import Checked, check_frame
from lake.spec.schema import arrow_schema, polars_schema
from lake.spec.times import to_micros
from lake.store.cold.files import Bounds
from lake.store.cold.merge import frame_of

_DS = registry.get("candles")
_OHLCV = ("open_time", "open", "high", "low", "close", "volume")


class Candles:
    """Reads and writes candles; ``lk.candles``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._store = writer.store

    def write_checked_data(self, data: Any) -> Receipt:
        """Upsert candles of mixed symbols and timeframes, given in any form."""
        return self.write_checked(check_frame(_DS, data))

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
        checked = [
            check_frame(_DS, frame, constants={**constants, "symbol": symbols.canonical(symbol)})
            for symbol, frame in frames.items()
        ]
        bad = [c.bad for c in checked if c.bad.height]
        return self.write_checked(
            Checked(
                pl.concat([c.good for c in checked]), pl.concat(bad, how="diagonal_relaxed") if bad else checked[0].bad
            )
        )

    def write_checked(self, checked: Checked | pl.DataFrame) -> Receipt:
        """Upsert candles of mixed symbols and timeframes that are in canonical columns."""
        if isinstance(checked, pl.DataFrame):
            checked = check_frame(_DS, checked)
        reasons = ohlcv.violations(checked.good)
        if reasons.null_count() == checked.good.height:
            return self._writer.write_frame(_DS, checked)
        wrong = checked.good.with_columns(reasons.alias("reason")).filter(reasons.is_not_null())
        bad = wrong if checked.bad.is_empty() else pl.concat([checked.bad, wrong], how="diagonal_relaxed")
        return self._writer.write_frame(_DS, Checked(checked.good.filter(reasons.is_null()), bad))

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
        """
        wanted = _wanted(symbols_, timeframe, start, end, venue)
        chosen = _chosen(columns)
        needed = list(dict.fromkeys([*chosen, *_DS.key]))
        names = _names(symbols_)
        snapshot = self._store.snapshot(["candles"])
        schema = pa.schema([f for f in arrow_schema(_DS) if f.name in needed])
        files = list(snapshot.states["candles"].files.values())
        cold = list(self._store.scanner.frames(_DS.name, files, wanted, schema))
        hot = snapshot.hot["candles"]
        if hot.height:
            hot = hot.filter(_match(names, wanted)).select(schema.names)
        if names is not None and len(names) > 1:
            cold = [frame.filter(pl.col("symbol").is_in(names)) for frame in cold]
        return _in_order(cold, hot, schema).select(chosen)

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
        found = timeframes.parse(source) if source else self._finer(target)
        frame = self.read(symbols_, found, start, end, ("venue", "symbol", *_OHLCV), venue=venue)
        return ohlcv.resample(frame.with_columns(pl.lit(found).alias("timeframe")), target)

    def gaps(self, symbol: str | Sequence[str] | None, timeframe: str, *, venue: str | None = None) -> pl.DataFrame:
        """Runs of missing candles between the first and the last one held: gap_start, gap_end, missing."""
        frame = self.read(symbol, timeframe, columns=("venue", "symbol", "open_time"), venue=venue)
        return ohlcv.gaps(frame, timeframes.parse(timeframe))

    def last(self, symbol: str, timeframe: str, venue: str = "") -> int | None:
        """Open time of the newest candle held, in microseconds; None when there is none."""
        frame = self.read(symbol, timeframe, columns=("open_time",), venue=venue)
        return None if frame.is_empty() else int(frame["open_time"].dt.timestamp("us").max())  # type: ignore[arg-type]

    def stats(self) -> dict[str, Any]:
        """Rows, symbols, timeframes, first and last open time, bytes on disk and bytes per candle."""
        snapshot = self._store.snapshot(["candles"])
        state, hot = snapshot.states["candles"], snapshot.hot["candles"]
        rows = state.rows + hot.height
        held = {f.partition["timeframe"] for f in state.files.values()} | set(hot["timeframe"].to_list())
        times = [f.bounds["open_time"] for f in state.files.values() if "open_time" in f.bounds]
        if hot.height:
            micros = hot["open_time"].dt.timestamp("us")
            times.append((micros.min(), micros.max()))
        return {
            "candles": rows,
            "symbols": self._symbols(),
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

    def _symbols(self) -> int:
        table = self._store.table("candles")
        snapshot = self._store.snapshot(["candles"])
        schema = pa.schema([arrow_schema(_DS).field("symbol")])
        parts = [
            frame_of(t).unique()
            for t in table.reader.read(table.folder, snapshot.states["candles"].files.values(), {}, schema)
        ]
        return pl.concat([*parts, snapshot.hot["candles"].select("symbol")]).n_unique()

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


def _names(given: str | Sequence[str] | None) -> list[str] | None:
    if given is None:
        return None
    return [symbols.canonical(s) for s in ([given] if isinstance(given, str) else given)]


def _wanted(
    given: str | Sequence[str] | None, timeframe: str, start: Any, end: Any, venue: str | None
) -> dict[str, Bounds]:
    if not timeframe:
        raise UsageError("which timeframe?", todo=f"One of {', '.join(timeframes.ALL)}.")
    held = timeframes.parse(timeframe)
    wanted: dict[str, Bounds] = {"timeframe": (held, held)}
    names = _names(given)
    if names:
        wanted["symbol"] = (min(names), max(names))
    if venue is not None:
        wanted["venue"] = (venue, venue)
    low = None if start is None else to_micros(start, where="start")
    high = None if end is None else to_micros(end, where="end") - 1
    if low is not None and high is not None and low > high:
        raise UsageError("start is not before end", value=(start, end))
    if low is not None or high is not None:
        wanted["open_time"] = (low, high)
    return wanted


def _match(names: list[str] | None, wanted: Mapping[str, Bounds]) -> pl.Expr:
    match: pl.Expr = pl.col("timeframe") == wanted["timeframe"][0]
    if names is not None:
        match = match & (pl.col("symbol") == names[0] if len(names) == 1 else pl.col("symbol").is_in(names))
    if "venue" in wanted:
        match = match & (pl.col("venue") == wanted["venue"][0])
    low, high = wanted.get("open_time", (None, None))
    if low is not None:
        match = match & (pl.col("open_time") >= pl.lit(low).cast(pl.Datetime("us", "UTC")))
    if high is not None:
        match = match & (pl.col("open_time") <= pl.lit(high).cast(pl.Datetime("us", "UTC")))
    return match


def _chosen(columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return ["venue", "symbol", "timeframe", *_OHLCV]
    for name in columns:
        if name != "period":
            _DS.column(name)
    return list(columns)


def _in_order(cold: list[pl.DataFrame], hot: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    empty = pl.DataFrame(schema={n: t for n, t in polars_schema(_DS).items() if n in schema.names}).select(schema.names)
    stored = pl.concat(cold) if cold else empty
    if hot.height:
        if stored.height:
            stored = stored.join(hot.select(_DS.key), on=list(_DS.key), how="anti", maintain_order="left")
        stored = pl.concat([stored, hot])
    elif len(cold) <= 1:
        return stored
    return stored.sort("symbol", "venue", "open_time")
