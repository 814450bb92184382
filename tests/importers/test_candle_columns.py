"""Candles that are understood column by column are those that are understood row by row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lake
from lake.errors import UsageError
from lake.importers.base import Options, Refused, Rule
from lake.importers.reading import candle_frames as reading
from lake.importers.rules import moment, number, option, symbol, timeframe, whole
from tests.importers.contract import imported, rows

MAP: Mapping[str, Rule] = {
    "venue": option("venue"),
    "symbol": symbol("pair"),
    "timeframe": timeframe("tf"),
    "open_time": moment("at", zone="Europe/Berlin"),
    **{name: number(name) for name in ("open", "high", "low", "close", "volume")},
    "trade_count": whole("n"),
}
DAY = datetime(2024, 3, 31, tzinfo=UTC)
TIMES = st.one_of(
    st.integers(-5, 2_000).map(lambda n: (DAY + timedelta(minutes=n)).strftime("%Y-%m-%d %H:%M:%S")),
    st.sampled_from(
        ["2024-03-31T01:00:00Z", "2024-03-31T02:30:00", "2024-10-27 02:30:00", "2024-03-31T02:00:00.5+05:30"]
    ),
    st.sampled_from(
        [1_711_843_200, 1_711_843_200_000, "1711843200", "1711843200000000", 12, "20240331", "soon", None, ""]
    ),
    st.sampled_from(
        [DAY, DAY.replace(tzinfo=None), 1_711_843_200, 1_711_843_200_000, 12, 1_711_843_200.5, True, 10**30, -5]
    ),
)
NUMBERS = st.one_of(
    st.floats(0, 1e6), st.integers(0, 10**6), st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["1.5", " 2 ", "1_000", "nan", "", "x", "1e5", "-1", None, True, Decimal("0.1"), 10**400, [1]]),
)  # fmt: skip
ROWS = st.fixed_dictionaries(
    {
        "pair": st.sampled_from(["BTC/USDT", "eth-usd", "", None, 7, "BTCUSDT"]),
        "tf": st.sampled_from(["1m", "60", "90m", "", None, 15]),
        "at": TIMES,
        "n": st.sampled_from([1, "2", 3.0, 2.5, None, "x", 10**20]),
        **dict.fromkeys(("open", "high", "low", "close", "volume"), NUMBERS),
    }
)
GOOD = st.builds(
    lambda row, at: {**row, "at": (DAY + timedelta(minutes=at)).isoformat()},
    st.fixed_dictionaries(
        {"pair": st.sampled_from(["BTC/USDT", "eth-usd"]), "tf": st.sampled_from(["1m", "60"]), "n": st.integers(0, 9)}
        | dict.fromkeys(("open", "high", "low", "close", "volume"), st.floats(0, 1e6))
    ),
    st.integers(0, 10_000),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(GOOD, ROWS), max_size=12))
def test_a_batch_of_anything_is_what_its_rows_are_one_by_one(batch: list[dict[str, Any]]) -> None:
    together = reading._frames(batch, MAP, Options(venue="binance"))
    alone = [reading._one_by_one([(place, row)], MAP, Options(venue="binance")) for place, row in enumerate(batch)]
    expected = pl.concat([reading._frames([], MAP, Options()).good, *(good.drop("__place") for good, _ in alone)])
    assert together.good.equals(expected)
    assert together.refused.rows() == [(one["reason"], one["row"]) for _, refused in alone for one in refused]
    assert together.found == len(batch)


@given(st.lists(GOOD, min_size=1, max_size=12))
def test_what_is_plain_is_not_looked_at_row_by_row(batch: list[dict[str, Any]]) -> None:
    assert reading._by_columns(batch, MAP, Options()).height == len(batch)


def test_a_time_without_a_zone_is_asked_for_as_in_one_row() -> None:
    rules = {**MAP, "open_time": moment("at", zone=None)}
    row = {
        "pair": "BTCUSDT",
        "tf": "1m",
        "at": "2024-03-31 02:30:00",
        **dict.fromkeys(("open", "high", "low", "close"), 1),
    }
    with pytest.raises(UsageError, match="without a zone"):
        reading._frames([row], rules, Options())
    assert reading._frames([row], rules, Options(tz="UTC")).good["open_time"].to_list() == [
        datetime(2024, 3, 31, 2, 30, tzinfo=UTC)
    ]


def test_strays_among_rows_are_refused_and_counted() -> None:
    frames = reading._frames([Refused("?", "no row")], MAP, Options())
    assert (frames.found, frames.good.height, frames.refused["reason"].to_list()) == (1, 0, ["no row"])


def test_a_csv_of_candles_with_some_odd_lines_lands_but_for_these(tmp_path: Path) -> None:
    lines = ["pair,tf,at,open,high,low,close,volume"]
    lines += [f"BTC/USDT,1m,2024-01-01 00:{n:02}:00,1,2,0.5,1.5,{n}" for n in range(60)]
    lines += ["BTC/USDT,1m,2024-01-01 01:00:00, 1 ,2,0.5,1_5e-1,3", "BTC/USDT,1m,yesterday,1,2,0.5,1.5,3"]
    (tmp_path / "c.csv").write_text("\n".join(lines))
    columns = "\n".join(f'{name} = "{name}"' for name in ("open", "high", "low", "close", "volume"))
    (tmp_path / "map.toml").write_text(
        f'dataset = "candles"\n[columns]\nsymbol = "pair"\ntimeframe = "tf"\n'
        f'open_time = {{ moment = "at", zone = "UTC" }}\n{columns}'
    )
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "generic", tmp_path / "c.csv", map_file=tmp_path / "map.toml")
        assert (report.totals["landed"], report.totals["refused"]) == (61, 1)
        assert rows(lk, "candles", "close")[-1] == 1.5
