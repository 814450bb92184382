"""Labels that are found when a data set is built: each row's levels followed through the candles of that version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from lake.errors import UsageError
from lake.learn.datasets.asof import Name, by_series, name_of, with_name
from lake.learn.datasets.pinned import Pinned
from lake.learn.datasets.request import Request
from lake.learn.datasets.sources import LEVELS, Rows, with_win
from lake.learn.features.reading import Reading
from lake.learn.labels import label_events
from lake.ledgers.series import Series, load_all
from lake.spec import timeframes
from lake.spec.times import from_micros, to_micros

Events = Mapping[Name, pl.DataFrame]
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

    The finest candles held of each symbol are followed, up to the end that was asked for, so that only outcomes known
    by then count. A row without side, entry price or anything that could end it is ``no_levels``; one whose end the
    candles do not tell is ``unresolved``, one with a gap before its end ``unknown``, one whose stop and target lay in
    one candle ``ambiguous``.

    Raises:
        UsageError: predictions, which have no levels.
    """
    if request.labels == "recorded" or rows.frame.is_empty():
        return rows
    if request.source == "predictions":
        raise UsageError("predictions have no levels to follow", where="labels", todo="Use labels='recorded'.")
    ends = pl.any_horizontal(pl.col("stop_loss", "tp1", "tp2", "tp3", "timeout_at").is_not_null())
    can = ends & (pl.col("entry_price") > 0) & pl.col("side").is_in(["LONG", "SHORT"])
    followed = rows.frame.filter(can.fill_null(value=False))
    excluded = Counter(rows.excluded)
    excluded["no_levels"] += rows.frame.height - followed.height
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
    """The rows with the labels of their symbols' finest candles."""
    bare = rows.drop(_LABELS.values(), strict=False)
    events = bare.select("side", "venue", "symbol", *LEVELS, start_time="decision_time").with_row_index("event_id")
    events = events.with_columns(pl.col("event_id").cast(pl.String))
    types = {**rows.schema, _AMBIGUOUS: pl.Boolean()}
    kinds = {"event_id": pl.String(), **{name: types[label] for name, label in _LABELS.items()}}
    found = [pl.DataFrame(schema=kinds)]
    snapshot = pinned.snapshot("candles")
    held = {f.partition["timeframe"] for f in snapshot.states["candles"].files.values()}
    left = events
    for timeframe in (t for t in timeframes.ALL if t in held):
        reading = Reading(pinned.store, snapshot, timeframes.get(timeframe))
        symbols = left["symbol"].unique().sort().to_list()
        series = reading.series(symbols, _BARS, _span(request, rows)) if symbols else []
        wanted = by_series(left.rename({"start_time": "decision_time"}), [name_of(s) for s in series])

        def then(one: Series, bars: pl.DataFrame, timeframe: str = timeframe, wanted: Events = wanted) -> pl.DataFrame:
            mine = left[wanted[name_of(one)]["__row"]].with_columns(venue=pl.lit(name_of(one)[0]))  # noqa: B023 - done at once
            return _labels(with_name(one, bars).with_columns(timeframe=pl.lit(timeframe)), mine, request)

        asked = [s for s in series if name_of(s) in wanted]
        found += [
            f.select(pl.col(n).cast(t) for n, t in kinds.items())
            for f in load_all(pinned.store.scanner, asked, _BARS, then)
        ]
        left = left.join(pl.concat(found), on="event_id", how="anti", maintain_order="left")
    numbered = bare.with_row_index("event_id").with_columns(pl.col("event_id").cast(pl.String))
    labels = pl.concat(found).rename(_LABELS)
    return numbered.join(labels, on="event_id", how="left", maintain_order="left").drop("event_id")


def _labels(candles: pl.DataFrame, events: pl.DataFrame, request: Request) -> pl.DataFrame:
    if request.end is not None:
        closed = request.end - timeframes.micros(candles["timeframe"][0]) if candles.height else 0
        candles = candles.filter(pl.col("open_time") <= from_micros(closed))
    if candles.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(("event_id", *_LABELS), pl.String))
    return label_events(candles, events, fees=request.fees).select("event_id", *_LABELS)


def _span(request: Request, rows: pl.DataFrame) -> tuple[int, int | None]:
    """From a day before the first decision, since an entry may lie inside any candle, to the end that was asked for."""
    return max(to_micros(rows["decision_time"].min()) - 7 * 86_400_000_000, 0), request.end
