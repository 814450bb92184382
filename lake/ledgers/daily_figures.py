"""A bot's figures of one day, or of every day so far, computed from its trades."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import polars as pl

from lake.errors import UsageError
from lake.query.engine import Engine
from lake.spec.times import from_micros
from lake.store.location import Location
from lake.store.removed import removed_before

_KEY = ("bot_id", "date")
_MONEY = ("daily_pnl", "total_pnl", "sharpe_ratio", "max_drawdown", "win_rate")
_ZEROS = ("daily_pnl", "total_pnl", "trades", "wins", "losses")  # of a bot that has closed nothing yet
_SAME = 1e-9  # sums of the same results differ by less, however they are added up


def of_days(
    engine: Engine, location: Location, first: date | str | None, last: date | str | None, time_zone: str
) -> pl.DataFrame:
    """One row for each day and each bot that had closed a trade by its end, in the columns of performance_snapshots.

    Days whose trades were retired are as they are stored, and later ones go on from there.

    Args:
        engine: of the lake.
        location: of the lake.
        first: the first day; that of the first closing when left out.
        last: the last day; yesterday when left out.
        time_zone: in which days begin and end.

    Raises:
        UsageError: no such day or zone.
    """
    since, until = span(first, last, time_zone)
    retired = removed_before(location, "trades")
    frozen = None if retired is None else from_micros(retired - 1).astimezone(_zone(time_zone)).date()
    sql = (resources.files("lake.ledgers") / "daily_figures.sql").read_text(encoding="utf-8")
    return engine.frame(sql, {"first": since, "last": until, "frozen": frozen}, {"time_zone": time_zone})


def span(first: date | str | None, last: date | str | None, time_zone: str) -> tuple[date, date]:
    """The first and the last day that :func:`of_days` is asked for.

    Raises:
        UsageError: no such day or zone.
    """
    zone = _zone(time_zone)
    until = datetime.now(UTC).astimezone(zone).date() - timedelta(days=1) if last is None else _day(last)
    return date.min if first is None else _day(first), until


def to_keep(figures: pl.DataFrame, stored: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """The figures, and zeros for stored days between two that have none any more since their trades were corrected.

    A stored day without a mode was not computed here, but imported: it stays as it is. Trades of no bot have no row.
    """
    figures = figures.filter(pl.col("bot_id") != "")
    days = stored.filter(pl.col("date").is_between(first, last) & pl.col("mode").is_not_null())
    modes = figures.select("bot_id", mode_now="mode").unique()
    gone = days.join(figures, on=_KEY, how="anti").join(modes, on="bot_id", how="left")
    rows = gone.select(*_KEY, pl.coalesce("mode_now", "mode").alias("mode"), *map(pl.lit(0).alias, _ZEROS))
    return pl.concat([figures, rows.cast({n: figures.schema[n] for n in rows.columns})], how="diagonal")


def outdated(figures: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """The rows of the figures that are not stored, or stored with others."""
    known = stored.select(pl.col(*_KEY), *(pl.col(n).alias(f"{n}_stored") for n in figures.columns if n not in _KEY))
    joined = figures.join(known.with_columns(found=True), on=_KEY, how="left")
    same = [
        _alike(name) if name in _MONEY else pl.col(name).eq_missing(pl.col(f"{name}_stored"))
        for name in figures.columns
        if name not in _KEY
    ]
    return joined.filter(pl.col("found").is_null() | ~pl.all_horizontal(same)).select(figures.columns)


def _alike(name: str) -> pl.Expr:
    mine, theirs = pl.col(name), pl.col(f"{name}_stored")
    near = (mine - theirs).abs() <= _SAME * pl.max_horizontal(mine.abs(), theirs.abs(), 1.0)
    return near.fill_null(mine.is_null() & theirs.is_null())


def _day(day: date | str) -> date:
    try:
        return date.fromisoformat(day) if isinstance(day, str) else date(day.year, day.month, day.day)
    except (ValueError, AttributeError):
        raise UsageError("no such day", value=day, todo="Give a date, such as 2026-03-01.") from None


def _zone(time_zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(time_zone)
    except (OSError, LookupError, ValueError, TypeError):
        raise UsageError(
            "no such time zone", where="time_zone", value=time_zone, todo="Such as Europe/Berlin."
        ) from None
