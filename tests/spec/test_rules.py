"""Rules of a row: a table and a single row are refused alike, and the reason names column and value."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import InvalidRowError
from lake.spec import registry
from lake.spec.frames import check_frame
from lake.spec.patch import folder
from lake.spec.rows import row_checker

T0 = 1_704_067_200_000_000
PRICES = st.sampled_from([None, 0.0, -1.0, 90.0, 95.0, 100.0, 105.0, 110.0, math.inf, math.nan])
TIMES = st.sampled_from([None, T0, T0 + 60_000_000, T0 - 60_000_001])
PHANTOM = {
    "side": st.sampled_from([None, "LONG", "SHORT"]),
    "status": st.sampled_from([None, "active", "completed"]),
    **dict.fromkeys(("entry_price", "stop_loss", "tp1", "tp2", "tp3"), PRICES),
    **dict.fromkeys(("timeout_at", "exit_time"), TIMES),
}
TRADE = {
    "status": st.sampled_from([None, "open", "closed"]),
    **dict.fromkeys(("entry_price", "exit_price", "quantity", "leverage", "fees"), PRICES),
    **dict.fromkeys(("opened_at", "closed_at"), TIMES),
}
FILL = {"side": st.sampled_from([None, "BUY"]), **dict.fromkeys(("price", "quantity", "commission"), PRICES)}
PREDICTION = {
    "probability": st.sampled_from([None, 0.0, 0.5, 1.0, 1.5, -0.1, math.nan, math.inf]),
    "horizon_minutes": st.sampled_from([None, -1, 0, 1, 60]),
    "due_at": TIMES,
}
CASES = [("phantoms", "signal_time", PHANTOM), ("trades", "created_at", TRADE), ("fills", "executed_at", FILL)]
CASES.append(("predictions", "predicted_at", PREDICTION))


def fits(name: str, row: dict[str, Any]) -> bool:
    try:
        row_checker(registry.get(name))(row)
    except InvalidRowError:
        return False
    return True


@pytest.mark.parametrize(("name", "event", "columns"), CASES, ids=[case[0] for case in CASES])
def test_a_table_refuses_the_very_rows_that_are_refused_one_by_one(name: str, event: str, columns: Any) -> None:
    ds = registry.get(name)
    kinds = {c: pl.Float64 if ds.column(c).type.value == "float64" else None for c in columns}

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=12))
    def holds(rows: list[dict[str, Any]]) -> None:
        given_ = [{ds.key[0]: str(n), "symbol": "BTCUSDT", event: T0, **row} for n, row in enumerate(rows)]
        frame = pl.DataFrame([pl.Series(c, [row[c] for row in given_], kinds.get(c), strict=False) for c in given_[0]])
        alone = [row[ds.key[0]] for row in given_ if fits(name, row)]
        checked = check_frame(ds, frame)
        assert sorted(checked.good[ds.key[0]].to_list()) == sorted(alone)
        assert checked.bad["reason"].str.contains(r"^[a-z_0-9]+: .").all()

    holds()


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        (
            "trades",
            {"opened_at": T0, "closed_at": T0 - 60_000_001},
            r"trades\.closed_at: it is before opened_at .*got '2023",
        ),
        ("trades", {"quantity": math.nan}, r"trades\.quantity: not a number \(got nan\)\. Leave it out"),
        ("trades", {"quantity": -1.0}, r"trades\.quantity: out of range, it must be at least 0 \(got -1\.0\)"),
        ("trades", {"leverage": 0}, r"trades\.leverage: out of range, it must be above 0 \(got 0"),
        ("trades", {"entry_price": 0.0}, r"trades\.entry_price: out of range, it must be above 0"),
        ("trades", {"fees": math.inf}, r"trades\.fees: out of range, it must be finite \(got inf\)"),
        ("fills", {"side": "BUY", "quantity": 1.0}, r"fills\.price: a row without it says nothing\. Give 'price'"),
        ("fills", {"side": "BUY", "quantity": 0.0, "price": 1.0}, r"fills\.quantity: .*above 0 \(got 0\.0\)"),
        ("predictions", {"horizon_minutes": 0}, r"predictions\.horizon_minutes: .*at least 1 \(got 0\)"),
        ("predictions", {"probability": 1.01}, r"predictions\.probability: out of range, .* at most 1 \(got 1\.01\)"),
        (
            "phantoms",
            {"side": "LONG", "entry_price": 100.0, "stop_loss": 101.0},
            r"phantoms\.stop_loss: on the wrong side of entry_price \(100\) for a LONG \(got 101\.0\)",
        ),
        (
            "phantoms",
            {"status": "completed", "signal_time": T0, "exit_time": T0 - 60_000_001},
            r"phantoms\.exit_time: it is before signal_time",
        ),
        ("backtests", {"start_time": T0, "end_time": T0 - 1}, r"backtests\.end_time: it is before start_time"),
    ],
)
def test_a_refused_row_names_column_value_and_what_to_do(name: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRowError, match=message):
        row_checker(registry.get(name))({"symbol": "BTCUSDT", **row})


@pytest.mark.parametrize(
    "row",
    [
        {"status": "closed", "pnl": -3.5},
        {"status": "closed", "fees": -0.2, "pnl": 1.0},  # a maker's rebate
        {"status": "open"},
        {"status": "cancelled", "quantity": 0.0},
        {"status": "closed", "opened_at": T0, "closed_at": T0 - 3_000_000},  # two clocks
    ],
)
def test_what_a_history_does_not_know_still_lands(row: dict[str, Any]) -> None:
    assert fits("trades", {"symbol": "BTCUSDT", **row})


def test_a_change_is_held_to_the_rules_of_what_it_changes_only() -> None:
    ds = registry.get("trades")
    stored = {"trade_id": "t", "opened_at": T0, "closed_at": T0 - 90_000_000}  # written before there was a rule
    assert folder(ds)(stored, {"strategy": "x"})["strategy"] == "x"
    with pytest.raises(InvalidRowError, match=r"closed_at: it is before opened_at"):
        folder(ds)(stored, {"closed_at": T0 - 80_000_000})
