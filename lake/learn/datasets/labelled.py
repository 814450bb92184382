"""Labels that are found when a data set is built: each row's levels followed through the candles of that version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lake.errors import UsageError
from lake.learn.datasets.asof import Name, by_series, name_of, with_name
from lake.learn.datasets.pinned import Pinned
from lake.learn.datasets.request import Request
from lake.learn.datasets.sources import LEVELS, Rows, with_win
from lake.learn.features.reading import Reading
from lake.learn.label_candles import Market, market_of
from lake.learn.label_rows import events_frame, faults
from lake.learn.labels import Costs, follow, outcomes
from lake.ledgers.series import Series, load_all
from lake.spec import timeframes
from lake.spec.times import from_micros, to_micros

Rung = tuple[str, Series]  # a timeframe, and where its candles are
_BARS = ["open_time", "open", "high", "low", "close"]
_AMBIGUOUS = "__ambiguous"
_LABELS = {
    "outcome": "label_outcome",
    "pnl_percent": "label_pnl_percent",
    "realized_rr": "label_rr",
    "exit_time": "label_time",
    "ambiguous": _AMBIGUOUS,
}


def with_labels(pinned: Pinned, request: Request, rows: Rows) -> Rows:
    """The rows with recorded labels as they are, or with labels from candles.

    Each is followed on the finest timeframe that tells its end, with what is finer to look into its candles, as
    ``lk.label`` does; up to the end that was asked for, so that only outcomes known by then count. A row without side,
    entry price, or target and timeout is ``no_levels``; one with a level on the wrong side of its entry, or given up
    before it begins, ``wrong_levels``; one whose end the candles do not tell is ``unresolved``, one with a gap before
    its end ``unknown``, one whose stop and target lay in one candle ``ambiguous``.

    Raises:
        UsageError: predictions, which have no levels.
    """
    if request.labels == "recorded" or rows.frame.is_empty():
        return rows
    if request.source == "predictions":
        raise UsageError("predictions have no levels to follow", where="labels", todo="Use labels='recorded'.")
    ends = pl.any_horizontal(pl.col("tp1", "tp2", "tp3", "timeout_at").is_not_null())
    can = ends & (pl.col("entry_price") > 0) & pl.col("side").is_in(["LONG", "SHORT"])
    planned = rows.frame.filter(can.fill_null(value=False))
    wrong = faults(events_frame(_events(planned)))["row"]
    followed = planned.filter(~pl.int_range(pl.len()).is_in(wrong.implode()))
    excluded = Counter(rows.excluded)
    excluded["no_levels"] += rows.frame.height - planned.height
    excluded["wrong_levels"] += len(wrong)
    found = _followed(pinned, request, followed)
    told = found.with_columns(
        pl.when(pl.col("label_outcome").is_null()).then(pl.lit("unresolved"))
        .when(pl.col("label_outcome") == "unknown").then(pl.lit("unknown"))
        .when(pl.col(_AMBIGUOUS) & (not request.ambiguous)).then(pl.lit("ambiguous")).alias("reason")
    ).drop(_AMBIGUOUS)  # fmt: skip
    excluded.update({str(n): int(c) for n, c in told["reason"].drop_nulls().value_counts().iter_rows()})
    kept = with_win(told.filter(pl.col("reason").is_null()).drop("reason"), request)
    return Rows(kept, {name: excluded[name] for name in sorted(excluded) if excluded[name]})


def _followed(pinned: Pinned, request: Request, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with the labels of their series' candles."""
    bare = rows.drop(_LABELS.values(), strict=False)
    events = _events(rows)
    ladders = _ladders(pinned, request, rows)
    wanted = by_series(events.rename({"start_time": "decision_time"}), list(ladders))

    def then(one: Series, bars: pl.DataFrame) -> pl.DataFrame:
        name = name_of(one)
        mine = events[wanted[name]["__row"]].with_columns(venue=pl.lit(name[0]))
        return _Ladder(pinned, request, ladders[name]).labels(bars, mine)

    finest = [ladders[name][0][1] for name in sorted(wanted)]
    types: dict[str, pl.DataType] = {**rows.schema, _AMBIGUOUS: pl.Boolean()}
    kinds: dict[str, Any] = {"event_id": pl.String, **{name: types[label] for name, label in _LABELS.items()}}
    found = [f.select(pl.col(n).cast(t) for n, t in kinds.items()) for f in _loaded(pinned, finest, then)]
    labels = pl.concat([pl.DataFrame(schema=kinds), *found]).rename(_LABELS)
    numbered = bare.with_row_index("event_id").with_columns(pl.col("event_id").cast(pl.String))
    return numbered.join(labels, on="event_id", how="left", maintain_order="left").drop("event_id")


def _events(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as events; their ids are their places."""
    events = rows.select("side", "venue", "symbol", *LEVELS, start_time="decision_time").with_row_index("event_id")
    return events.with_columns(pl.col("event_id").cast(pl.String))


def _loaded(pinned: Pinned, series: list[Series], then: Callable[[Series, pl.DataFrame], pl.DataFrame]) -> Any:
    return load_all(pinned.store.scanner, series, _BARS, then) if series else []


def _ladders(pinned: Pinned, request: Request, rows: pl.DataFrame) -> dict[Name, list[Rung]]:
    """Venue and symbol -> the timeframes held of it, finest first."""
    snapshot = pinned.snapshot("candles")
    held = {f.partition["timeframe"] for f in snapshot.states["candles"].files.values()}
    symbols = rows["symbol"].unique().sort().to_list()
    found: dict[Name, list[Rung]] = {}
    for timeframe in (t for t in timeframes.ALL if t in held and symbols):
        reading = Reading(pinned.store, snapshot, timeframes.get(timeframe))
        for one in reading.series(symbols, _BARS, _span(request, rows)):
            found.setdefault(name_of(one), []).append((timeframe, one))
    return found


@dataclass(frozen=True)
class _Ladder:
    """The timeframes of one series; each but the finest is read only for events that finer ones do not tell."""

    pinned: Pinned
    request: Request
    rungs: Sequence[Rung]

    def labels(self, finest: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
        """What became of events: on the finest timeframe that tells, with what is finer to look into its candles."""
        events = events_frame(given)
        finer: list[Market] = []
        found: list[pl.DataFrame] = []
        for number, (timeframe, one) in enumerate(self.rungs):
            bars = self._read(one) if number else finest
            base = market_of(self._closed(with_name(one, bars), timeframe), "candles of the lake", timeframe)
            if events.is_empty() or base.frame.is_empty():
                continue
            labels = outcomes(events, *follow(base, finer, events), Costs(self.request.fees))
            is_told = (labels["outcome"] != "unknown").fill_null(value=False)
            found.append(labels.select("event_id", *_LABELS))
            events, finer = events.filter(~is_told), [base, *finer]
        nothing = pl.DataFrame(schema=dict.fromkeys(("event_id", *_LABELS), pl.String))
        return pl.concat(found).unique("event_id", keep="last") if found else nothing

    def _read(self, one: Series) -> pl.DataFrame:
        return one.load(self.pinned.store.scanner, _BARS, threads=False)

    def _closed(self, candles: pl.DataFrame, timeframe: str) -> pl.DataFrame:
        if self.request.end is None:
            return candles
        return candles.filter(pl.col("open_time") <= from_micros(self.request.end - timeframes.micros(timeframe)))


def _span(request: Request, rows: pl.DataFrame) -> tuple[int, int | None]:
    """From a week before the first decision, since it may lie inside any candle, to the end that was asked for."""
    return max(to_micros(rows["decision_time"].min()) - 7 * 86_400_000_000, 0), request.end
