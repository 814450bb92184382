"""Trades fold into candles as a plain loop over them would do it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lake.kernels.ticks import fold, unrepeated
from lake.sources.base import TICKS

ZERO = datetime(2024, 1, 3, tzinfo=UTC)
trade = st.tuples(st.integers(0, 400), st.integers(1, 50), st.integers(0, 9), st.sampled_from([True, False]))


def _frame(trades: list[tuple[int, int, int, bool | None]], ids: list[str | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "venue": "x", "symbol": "B", "time": [ZERO + timedelta(seconds=t[0]) for t in trades],
            "trade_id": ids or [str(i) for i in range(len(trades))], "price": [float(t[1]) for t in trades],
            "quantity": [float(t[2]) for t in trades], "quote_quantity": None, "taker_buys": [t[3] for t in trades],
            "trades": 1,
        },
        schema_overrides={name: TICKS[name] for name in ("time", "quote_quantity", "taker_buys", "trade_id")},
    )  # fmt: skip


@given(st.lists(trade, min_size=1, max_size=60), st.sampled_from(["1m", "5m"]))
def test_folding_equals_a_loop_over_the_trades(trades, timeframe) -> None:
    expected: dict[datetime, list[float]] = {}
    for second, price, size, buys in sorted(trades, key=lambda t: t[0]):
        opened = ZERO + timedelta(seconds=second - second % (60 * int(timeframe[0])))
        bar = expected.setdefault(opened, [price, price, price, price, 0, 0, 0, 0, 0])
        bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
        bar[4:] = [bar[4] + size, bar[5] + size * price, bar[6] + 1, bar[7] + size * buys, bar[8] + size * price * buys]
    got = fold(_frame(trades), timeframe)
    assert got["open_time"].to_list() == sorted(expected)
    values = got.drop("venue", "symbol", "timeframe", "open_time", "rows").rows()
    assert [list(row) for row in values] == [expected[t] for t in sorted(expected)]


def test_trades_of_one_instant_are_ordered_by_their_numeric_id() -> None:
    got = fold(_frame([(0, 10, 1, True), (0, 9, 1, True), (0, 2, 1, True)], ["10", "9", "2"]), "1m")
    assert (got["open"][0], got["close"][0]) == (2.0, 10.0)


def test_a_week_opens_on_monday() -> None:
    got = fold(_frame([(0, 1, 1, True)]), "1w")
    assert got["open_time"][0] == datetime(2024, 1, 1, tzinfo=UTC)


def test_taker_volumes_are_unknown_where_one_side_is_unknown() -> None:
    got = fold(_frame([(0, 1, 1, True), (1, 1, 1, None), (60, 1, 1, True)]), "1m")
    assert got["taker_buy_volume"].to_list() == [None, 1.0]


def test_a_given_quote_amount_counts_where_it_is_not_the_product() -> None:
    frame = _frame([(0, 100, 2, True)]).with_columns(quote_quantity=pl.lit(0.5))
    assert fold(frame, "1m")["quote_volume"][0] == 0.5


def test_an_id_counts_once_and_equal_trades_without_ids_all_count() -> None:
    frame = _frame([(0, 1, 1, True)] * 5, ["7", "7", "8", None, None])
    assert unrepeated(frame)["trade_id"].to_list() == ["7", "8", None, None]
