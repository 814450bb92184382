"""A feature that remembers is refused: tables and moments that are written into an expression survive every audit."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from lake.errors import UsageError
from lake.learn.features import Feature, get
from lake.learn.features.base import Step

CLOSE, KNOWN = pl.col("close"), pl.col("known_at")
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
MANY = [float(n) for n in range(500)]
WHENS = pl.lit(0.0)
for number in range(40):
    WHENS = pl.when(100.0 + number == CLOSE).then(float(number)).otherwise(WHENS)
REMEMBERING = {
    "replaced": CLOSE.replace_strict(dict(zip(MANY, reversed(MANY), strict=True)), default=None),
    "replaced by columns": CLOSE.replace_strict(pl.Series(MANY), pl.Series(MANY), default=0.0),
    "among many": CLOSE.is_in(MANY).cast(pl.Float64),
    "a column by position": pl.lit(pl.Series(MANY)).gather(pl.col("trade_count")),
    "a list": pl.lit(MANY).list.get(pl.col("trade_count")),
    "searched": pl.lit(pl.Series(MANY)).search_sorted(CLOSE).cast(pl.Float64),
    "many whens": WHENS,
    "a text": pl.lit(",".join(map(str, MANY))).str.split(",").list.get(0).cast(pl.Float64),
    "times replaced": KNOWN.replace_strict({MOMENT: 1.0}, default=0.0),
    "before a time": pl.when(KNOWN < MOMENT).then(1.0).otherwise(0.0),
    "on a day": (KNOWN.dt.date() == date(2024, 1, 1)).cast(pl.Float64),
    "an epoch": (KNOWN.dt.epoch("us") < 1_704_067_200_000_000).cast(pl.Float64),
    "an epoch in days": (KNOWN.dt.epoch("d") < 19_723).cast(pl.Float64),
    "epochs among": KNOWN.dt.epoch("s").is_in([1_704_067_200, 1_704_067_260]).cast(pl.Float64),
    "a time made": (pl.datetime(2024, 1, 1, time_zone="UTC") > KNOWN).cast(pl.Float64),
    "an epoch with a fraction": (KNOWN.dt.epoch("ms").cast(pl.Float64) > 1_704_067_200_000.5).cast(pl.Float64),
    "epochs with fractions": KNOWN.dt.epoch("s").cast(pl.Float64).is_in([1_704_067_200.5]).cast(pl.Float64),
    "a year": (KNOWN.dt.year() == 2024).cast(pl.Float64),
    "a year by weeks": (KNOWN.dt.iso_year() - 2020).cast(pl.Float64),
    "a time as text": (KNOWN.dt.strftime("%Y-%m") == "2024-01").cast(pl.Float64),
    "a time turned into text": KNOWN.cast(pl.String).str.starts_with("2024").cast(pl.Float64),
    "a time in text": pl.format("{}", KNOWN).str.starts_with("2024").cast(pl.Float64),
    "an epoch behind an hour": pl.when(KNOWN.dt.epoch("s") > 1_704_067_200).then(KNOWN).dt.hour().cast(pl.Float64),
    "an epoch beside an hour": ((KNOWN.dt.epoch("s") > 1_704_067_200) & (KNOWN.dt.hour() > 8)).cast(pl.Float64),
    "a time read": (pl.lit("2024-01-01").str.to_datetime(time_zone="UTC") > KNOWN).cast(pl.Float64),
}
HONEST = {
    "hours": KNOWN.dt.hour().is_in([8, 16, 20]).cast(pl.Float64),
    "weekdays": KNOWN.dt.weekday().replace_strict({n: n / 7 for n in range(1, 8)}, default=0.0),
    "time of day": (KNOWN.dt.time() < time(9, 30)).cast(pl.Float64),
    "seasons": KNOWN.dt.month().is_in([6, 7, 8]).cast(pl.Float64),
    "end of a month": (KNOWN.dt.day() > 27).cast(pl.Float64),
    "local hours": KNOWN.dt.convert_time_zone("America/New_York").dt.hour().is_between(9, 16).cast(pl.Float64),
    "hours by name": KNOWN.dt.hour().cast(pl.String).replace_strict({"8": 1.0}, default=0.0),
    "seconds of a day": (KNOWN.dt.convert_time_zone("UTC").dt.hour() * 3_600 / 43_200.0).cast(pl.Float64),
    "a price at some hours": ((CLOSE > 20_000.0) & (KNOWN.dt.hour() >= 8)).cast(pl.Float64),
    "large volume": (pl.col("volume") > 1_704_067_200).cast(pl.Float64),
    "as many bands as may be": pl.lit(pl.Series([float(n) for n in range(31)])).search_sorted(CLOSE).cast(pl.Float64),
    "a few bands": pl.lit(pl.Series([1.0, 10.0, 100.0])).search_sorted(CLOSE).cast(pl.Float64),
    "age": (KNOWN - pl.duration(days=3)).dt.hour().cast(pl.Float64),
}


@pytest.mark.parametrize("name", REMEMBERING)
def test_an_expression_that_remembers_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match="feature learnt: the expression (holds a table|names moments)"):
        Feature("learnt", REMEMBERING[name], 0)
    with pytest.raises(UsageError, match="feature _learnt: the expression"):
        Step("_learnt", REMEMBERING[name])


@pytest.mark.parametrize("name", HONEST)
def test_rules_with_a_few_constants_are_taken(name: str) -> None:
    assert Feature("rule", HONEST[name], 0).name == "rule"


def test_the_standard_set_remembers_nothing() -> None:
    assert get("standard").names
