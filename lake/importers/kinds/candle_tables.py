"""Tables of candles in a database: ``candles`` (15 minutes), ``candles_3m`` and so on: the table is the timeframe.

Times are milliseconds since 1970 in UTC, of the bar's open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson
import polars as pl

from lake.errors import InvalidRowError, SourceError, UnknownTimeframeError
from lake.importers.base import CandleTable, Frames, Notes, Options, Row, Rule
from lake.importers.clock_changes import ClockChanges
from lake.importers.mapping import plain, refusal
from lake.importers.reading.database import Database
from lake.importers.reading.sqlite_pages import Page
from lake.importers.rules import moment, number, symbol, text, whole
from lake.importers.unread import naming_unread
from lake.spec import timeframes
from lake.spec.times import LATEST, SURE_MICROS, UNITS, to_micros

_PAGE = 500_000  # rows; two pages are in memory at a time, one being read and one being written
_LOOKED_AT, _FEW_STEPS = 100_000, 10  # candles whose distances are looked at, and of so many distances none is usual
_DEFAULT = "15m"
_NAME = re.compile(r"candles?(?:_(\w+))?", re.IGNORECASE)
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "venue": ("venue", "exchange"),
    "symbol": ("symbol", "pair", "ticker"),
    "timeframe": ("timeframe", "interval", "tf"),
    "open_time": (
        "timestamp", "open_time", "opentime", "ts", "time", "datetime", "date", "start_time", "start",
        "timestamp_ms", "t",
    ),
    "open": ("open", "open_price", "o"),
    "high": ("high", "high_price", "h"),
    "low": ("low", "low_price", "l"),
    "close": ("close", "close_price", "c"),
    "volume": ("volume", "base_volume", "vol", "v"),
    "quote_volume": ("quote_volume", "turnover", "quote_asset_volume"),
    "trade_count": ("trade_count", "number_of_trades", "num_trades", "trades"),
    "taker_buy_volume": ("taker_buy_volume", "taker_buy_base_volume", "taker_buy_base_asset_volume"),
    "taker_buy_quote_volume": ("taker_buy_quote_volume", "taker_buy_quote_asset_volume"),
}  # fmt: skip
_TEXTS = ("venue", "symbol", "timeframe")
_WHOLE = {"open_time", "trade_count"}
_NEEDED = ("open_time", "open", "high", "low", "close")
_IGNORED = {"id", "created_at", "updated_at"}
_REFUSED = {"reason": pl.String, "row": pl.String}
_KINDS: Mapping[str, Callable[[str], Rule]] = {
    **dict.fromkeys(_TEXTS, text), "open_time": moment, "trade_count": whole,
}  # fmt: skip
_REASONS = {
    "symbol": "no symbol",
    "timeframe": "no timeframe that the lake holds",
    "open_time": "no time of a market",
}
_MICROS = 1_000_000  # of a second


@dataclass(frozen=True)
class _Source:
    """One table.

    Attributes:
        db: the database it is in.
        name: its name.
        timeframe: of all its rows, unless a column says it.
        columns: ours -> its.
        options: what the caller said.
        count: of its rows, None when they cannot be counted.
        aside: tables that are called as those of candles, and are not read: each with the reason.
    """

    db: Database
    name: str
    timeframe: str
    columns: Mapping[str, str]
    options: Options
    count: int | None
    aside: tuple[str, ...] = ()

    def frames(self, notes: Notes) -> Iterator[Frames]:
        """The candles, sorted out."""
        clocks = ClockChanges(self.options)
        rules = {ours: _KINDS.get(ours, number)(theirs) for ours, theirs in self.columns.items()}
        types = {theirs: _type(ours) for ours, theirs in self.columns.items()}
        if clocks.are_local:
            rules["open_time"] = clocks.noticed(rules["open_time"])
            types[self.columns["open_time"]] = self._type_of_time()
        key = [self.columns[name] for name in (*_TEXTS, "open_time") if name in self.columns]
        # of several rows of one time the newest counts; of a table that cannot be counted, what comes before its damage
        has_order = self.count is not None and self.db.has_row_ids(self.name)
        newest_first = has_order and not self.db.is_unique(self.name, key)
        self._tell(notes)
        pages = self.db.pages(self.name, types, notes, _PAGE, newest_first=newest_first)
        read = (self._sorted_out(page, rules) for page in pages)
        for place, frames in enumerate(clocks.placed(read)):
            if place == 0 and "timeframe" not in self.columns:
                self._tell_step(frames.good, notes)
            yield replace(frames, good=frames.good.reverse()) if newest_first else frames
        clocks.tell(notes)

    def _type_of_time(self) -> pl.DataType:
        """Of times in a zone: those without one in the database are looked at one by one."""
        declared = self.db.columns(self.name)[self.columns["open_time"]]
        return pl.Datetime("us") if declared == "timestamp" else _type("open_time")

    def _tell(self, notes: Notes) -> None:
        rest = {n for n in self.db.columns(self.name) if n.lower() not in _IGNORED} - set(self.columns.values())
        if rest:
            notes.tell(f"candles have no such columns, they are not taken: {', '.join(sorted(rest))}")
        if self.aside:
            notes.tell(f"called as tables of candles, and not read: {'; '.join(self.aside)}")

    def _tell_step(self, good: pl.DataFrame, notes: Notes) -> None:
        """Tell of candles that are mostly another time apart than the table says; a still market has gaps."""
        per_symbol = pl.col("open_time").sort().diff().over("venue", "symbol", mapping_strategy="explode")
        steps = good.head(_LOOKED_AT).select(per_symbol.dt.total_microseconds().alias("step")).to_series()
        steps = steps.filter(steps > 0)
        usual = steps.mode().to_list()
        if len(usual) != 1 or usual[0] == timeframes.micros(self.timeframe):
            return
        if 2 * (steps == usual[0]).sum() > len(steps) >= _FEW_STEPS:
            apart = timedelta(microseconds=usual[0])
            what = f"they land as {self.timeframe}, and are mostly {apart} apart"
            is_default = "_" not in self.name
            notes.tell(f"{what}; if they are of another timeframe, give --timeframe" if is_default else what)

    def _sorted_out(self, page: Page, rules: Mapping[str, Rule]) -> Frames:
        if isinstance(page, pl.DataFrame):
            return self._canonical(page.rename({theirs: ours for ours, theirs in self.columns.items()}))
        rows, refused = self._understood(page, rules)
        frames = self._canonical(pl.DataFrame(rows, schema={ours: _type(ours) for ours in self.columns}))
        odd = pl.DataFrame(refused, schema=_REFUSED)
        return Frames(frames.good, pl.concat([odd, frames.refused]), len(page))

    def _understood(self, rows: list[Row], rules: Mapping[str, Rule]) -> tuple[list[Row], list[dict[str, str]]]:
        """Rows of which some hold values of other types, in the right ones; and those of which one says nothing."""
        good: list[Row] = []
        refused = []
        for row in rows:
            try:
                good.append({ours: _physical(rule.read(row, self.options)) for ours, rule in rules.items()})
            except InvalidRowError as error:
                refused.append({"reason": refusal(error), "row": orjson.dumps(plain(row)).decode()})
        return good, refused

    def _canonical(self, named: pl.DataFrame) -> Frames:
        """Values of the right types, in the columns of candles; and the rows whose values say nothing."""
        given = {"venue": self.options.venue, "symbol": self.options.symbol, "timeframe": self.timeframe}
        meanings: dict[str, Callable[[str], str]] = {
            "venue": str,
            "symbol": self._symbol,
            "timeframe": timeframes.parse,
        }
        said = [
            _meant(named[name], meanings[name]) if name in named.columns else pl.lit(given[name] or None).alias(name)
            for name in _TEXTS
        ]
        frame = named.with_columns(*said, _time()).with_columns(pl.col("venue").fill_null(""))
        frame = frame.select([name for name in _COLUMNS if name in frame.columns])
        missing = [pl.when(pl.col(name).is_null()).then(pl.lit(why)) for name, why in _REASONS.items()]
        reasons = frame.select(pl.coalesce(*missing).alias("reason")).to_series()
        if reasons.null_count() == frame.height:
            return Frames(frame, pl.DataFrame(schema=_REFUSED), frame.height)
        odd = named.filter(reasons.is_not_null())
        rows = [orjson.dumps(row).decode() for row in odd.iter_rows(named=True)]
        refused = pl.DataFrame({"reason": reasons.drop_nulls(), "row": rows}, schema=_REFUSED)
        return Frames(frame.filter(reasons.is_null()), refused, frame.height)

    def _symbol(self, value: str) -> str:
        return str(symbol("symbol").read({"symbol": value}, self.options))


def candle_tables(db: Database, options: Options) -> list[CandleTable]:
    """The tables of candles that a database has.

    Raises:
        SourceError: it has none.
    """
    sources, aside = [], []
    for name in filter(_NAME.fullmatch, db.tables()):
        try:
            sources.append(_source(db, name, options))
        except SourceError as error:
            aside.append(f"{name} ({error.what})")
    if not sources:
        raise SourceError(
            f"no table of candles is there{''.join(f', not {other}' for other in aside)}",
            where=db.where, value=db.tables()[:10],
            todo="They are called candles, candles_3m and so on; of others, make a map for the kind generic.",
        )  # fmt: skip
    sources[0] = replace(sources[0], aside=tuple(aside))
    tables = (CandleTable(source.name, source.frames, source.count) for source in sources)
    return list(naming_unread(db, tuple(filter(_NAME.fullmatch, db.tables())), tables))


def _source(db: Database, name: str, options: Options) -> _Source:
    """What is known of a table before it is read.

    Raises:
        SourceError: it holds no candles, or of a timeframe that the lake does not have.
    """
    said = name.partition("_")[2]
    try:
        timeframe = timeframes.parse(said) if said else options.timeframe or _DEFAULT
    except UnknownTimeframeError as error:
        raise SourceError(f"{said} is no timeframe", where=db.where) from error
    there = {theirs.lower().replace(" ", "_"): theirs for theirs in db.columns(name)}
    found_there = {ours: [there[n] for n in names if n in there] for ours, names in _COLUMNS.items()}
    columns = {ours: names[0] for ours, names in found_there.items() if names}
    missing = [needed for needed in _NEEDED if needed not in columns]
    if missing:
        raise SourceError(f"it has no {', '.join(missing)}", where=db.where)
    return _Source(db, name, timeframe, columns, options, db.count(name))


def _type(ours: str) -> pl.DataType:
    return pl.String() if ours in _TEXTS else pl.Int64() if ours in _WHOLE else pl.Float64()


def _physical(value: object) -> object:
    return to_micros(value) if isinstance(value, datetime) else value


def _meant(values: pl.Series, meaning: Callable[[str], str]) -> pl.Series:
    """Each different text made what it means; null where that is nothing."""
    different = values.drop_nulls().unique().to_list()
    meant = {text: _or_none(meaning, text) for text in different}
    if all(text == meant[text] for text in different):
        return values
    return values.replace_strict(meant, return_dtype=pl.String)


def _or_none(meaning: Callable[[str], str], text: str) -> str | None:
    try:
        return meaning(text) or None
    except (InvalidRowError, UnknownTimeframeError):
        return None


def _time() -> pl.Expr:
    """Numbers of any unit as times, by their magnitude; null where they are none."""
    given, made = pl.col("open_time"), pl.lit(None, dtype=pl.Int64)
    for per_second in UNITS.values():
        first, last = SURE_MICROS // _MICROS * per_second, LATEST // _MICROS * per_second
        micros = given * (_MICROS // per_second) if per_second < _MICROS else given // (per_second // _MICROS)
        made = pl.when(given.is_between(first, last, closed="left")).then(micros).otherwise(made)
    return made.cast(pl.Datetime("us", "UTC"))
