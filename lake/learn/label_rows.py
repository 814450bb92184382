"""Events as tables: what is wrong with them, and the arrays that the kernel reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from lake.errors import InvalidRowError, UsageError
from lake.kernels.barrier_loops import NEVER
from lake.kernels.barrier_types import Events
from lake.learn.label_candles import canonical, moments
from lake.spec.tables import as_polars

TARGETS = ("tp1", "tp2", "tp3")
_NEEDED = ("event_id", "symbol", "side", "entry_price", "start_time")
_PRICES = ("entry_price", "stop_loss", *TARGETS)
_TIMES = ("start_time", "timeout_at")


def events_frame(given: Any, *, break_even: bool = True) -> pl.DataFrame:
    """Events with every column that an event may have, in one type each; nothing of a row is checked yet.

    Raises:
        UsageError: a column is missing, or holds no such values.
        InvalidTimeError: naive times.
    """
    frame = as_polars(given)
    for name in _NEEDED:
        if name not in frame.columns:
            raise UsageError("a column is missing", where="events", value=name)
    made = {name: frame[name] for name in ("event_id", "side")}
    made["symbol"] = canonical(frame["symbol"])
    for name in _PRICES:
        prices = frame[name] if name in frame.columns else pl.repeat(None, frame.height, dtype=pl.Float64, eager=True)
        if not (prices.dtype.is_numeric() or isinstance(prices.dtype, pl.Null)):
            raise UsageError("a column of prices is numbers", where=f"events.{name}", value=str(prices.dtype))
        made[name] = prices.cast(pl.Float64)
    for name in _TIMES:
        times = frame[name] if name in frame.columns else pl.repeat(None, frame.height, dtype=pl.Null, eager=True)
        made[name] = moments(times, f"events.{name}")
    whole = pl.DataFrame([column.alias(name) for name, column in made.items()])
    venue = frame["venue"].cast(pl.String).fill_null("") if "venue" in frame.columns else pl.lit("")
    moved = frame["break_even"].fill_null(break_even) if "break_even" in frame.columns else pl.lit(break_even)
    return whole.with_columns(venue.alias("venue"), moved.cast(pl.Boolean).alias("break_even"))


def faults(events: pl.DataFrame) -> pl.DataFrame:
    """The rows of :func:`events_frame` that cannot be followed: row, event_id, column, what, value; the first of each.

    Levels lie in the order in which the price reaches them; there is a target or a timeout; the timeout is not before
    the start. A missing stop or target is null; NaN is refused.
    """
    number = pl.lit(None, pl.Int64)
    checks = _checks()
    for place, (_, _, wrong) in reversed(list(enumerate(checks))):
        number = pl.when(wrong.fill_null(value=False)).then(place).otherwise(number)
    found = events.with_row_index("row").with_columns(number.alias("check")).filter(pl.col("check").is_not_null())
    rows = [
        {
            "row": row["row"],
            "event_id": row["event_id"],
            "column": checks[row["check"]][0],
            "what": checks[row["check"]][1],
            "value": repr(row[checks[row["check"]][0]]),
        }
        for row in found.to_dicts()
    ]
    kinds: dict[str, Any] = {"row": pl.UInt32, "event_id": events["event_id"].dtype}
    texts = dict.fromkeys(("column", "what", "value"), pl.String)
    return pl.DataFrame(rows, schema={**kinds, **texts})


def refuse(events: pl.DataFrame) -> None:
    """Raise InvalidRowError for the first event that cannot be followed."""
    wrong = faults(events)
    if wrong.height:
        row = wrong.row(0, named=True)
        more = f"{wrong.height - 1:,} more events are wrong." if wrong.height > 1 else ""
        raise InvalidRowError(
            row["what"], where=f"events, {row['event_id']}, {row['column']}", value=row["value"], todo=more
        )


def _checks() -> list[tuple[str, str, pl.Expr]]:
    """Column, what is wrong with it, and whether it is."""
    found: list[tuple[str, str, pl.Expr]] = [
        (name, "an event has one", pl.col(name).is_null())
        for name in ("event_id", "symbol", "entry_price", "start_time")
    ]
    found.append(("event_id", "another event has this id", pl.col("event_id").is_duplicated()))
    known = pl.col("side").cast(pl.String).is_in(["LONG", "SHORT"])
    found.append(("side", "a side is LONG or SHORT", ~known | pl.col("side").is_null()))
    for name in _PRICES:
        price = pl.col(name)
        found.append((name, "a price is a finite number above 0", ~(price > 0) | ~price.is_finite()))
    way = pl.when(pl.col("side") == "LONG").then(1.0).otherwise(-1.0)
    entry = pl.col("entry_price")
    found.append(("stop_loss", "on the wrong side of entry_price", way * (entry - pl.col("stop_loss")) <= 0))
    for place, name in enumerate(TARGETS):
        found.append((name, "on the wrong side of entry_price", way * (pl.col(name) - entry) <= 0))
        found += [
            (name, f"before {other} on the way", way * (pl.col(name) - pl.col(other)) < 0) for other in TARGETS[:place]
        ]
    found.append(("timeout_at", "it is given up before it begins", pl.col("timeout_at") < pl.col("start_time")))
    no_end = pl.all_horizontal(pl.col(name).is_null() for name in (*TARGETS, "timeout_at"))
    found.append(("timeout_at", "it can never end: there is neither a target nor a timeout", no_end))
    return found


def arrays(events: pl.DataFrame) -> Events:
    """Sound rows of :func:`events_frame` as the kernel reads them."""
    prices = {name: events[name].fill_null(float("nan")).to_numpy() for name in _PRICES}
    return Events(
        (events["side"].cast(pl.String) == "SHORT").cast(pl.Int8).to_numpy(),
        np.ascontiguousarray(prices["entry_price"]),
        np.ascontiguousarray(prices["stop_loss"]),
        np.stack([prices[name] for name in TARGETS], axis=1),
        np.ascontiguousarray(events["start_time"].dt.timestamp("us").to_numpy()),
        np.ascontiguousarray(events["timeout_at"].dt.timestamp("us").fill_null(NEVER).to_numpy()),
        events["break_even"].to_numpy(),
    )
