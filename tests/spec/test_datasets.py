"""The declarations themselves: complete, consistent, rendered, and safe to change."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lake.errors import SchemaChangeError, SpecError, UnknownColumnError, UnknownDatasetError
from lake.spec import registry, timeframes
from lake.spec.dataset import Column, Dataset, Partition, Period, Type
from lake.spec.decode import rows_to_frame
from lake.spec.evolution import added_columns
from lake.spec.render import describe, markdown
from lake.spec.rows import row_checker
from lake.spec.schema import arrow_schema
from lake.spec.times import from_micros, period

# the contract of DESIGN.md 3
CONTRACT = {
    "candles": "venue symbol timeframe open_time open high low close volume quote_volume trade_count "
    "taker_buy_volume taker_buy_quote_volume",
    "market_metrics": "venue symbol metric time value",
    "signals": "signal_id bot_id venue symbol timeframe strategy signal_type direction strength confidence "
    "entry_price stop_loss tp1 tp2 tp3 indicators action rejection_reason trade_id signal_time",
    "phantoms": "phantom_id signal_id bot_id venue symbol timeframe strategy side entry_price stop_loss tp1 tp2 "
    "tp3 ml_score was_executed reject_reason features regime signal_time timeout_at status outcome exit_reason "
    "exit_price exit_time pnl_percent realized_rr tp1_hit tp2_hit tp3_hit be_moved one_r_hit two_r_hit "
    "time_to_tp1_sec time_to_exit_sec max_favorable max_adverse ambiguous",
    "trades": "trade_id bot_id venue symbol side status mode strategy timeframe quantity leverage entry_price "
    "exit_price stop_loss take_profit fees pnl pnl_percent exit_reason order_id signal_id decision_id "
    "prompt_version conditions features max_favorable max_adverse created_at opened_at closed_at run_id",
    "fills": "fill_id trade_id bot_id venue symbol order_id external_order_id side order_type quantity price "
    "commission commission_asset pnl is_entry mode signal_reason executed_at",
    "positions": "position_id bot_id venue symbol side quantity entry_price current_price stop_loss tp1 tp2 tp3 "
    "trailing_stop unrealized_pnl unrealized_pnl_percent confidence checkpoint_25 checkpoint_50 checkpoint_75 "
    "checkpoint_85 status trade_id signal_id opened_at synced_at",
    "checkpoint_alerts": "alert_id position_id level price recommendation confidence alerted_at",
    "decisions": "decision_id bot_id venue symbol timeframe recommendation confidence entry_price stop_loss "
    "take_profit reasoning market_snapshot raw_response chart_image_path prompt_version model_version latency_ms "
    "input_tokens output_tokens cost_usd traded skip_reason trade_id analyzed_at outcome_correct actual_pnl "
    "actual_pnl_percent max_favorable max_adverse hold_duration_minutes outcome_recorded_at",
    "prompt_versions": "version name description prompt_text is_active created_at",
    "predictions": "prediction_id bot_id venue symbol timeframe model_version predicted_direction probability "
    "confidence price horizon_minutes predicted_at due_at actual_price actual_return correct resolved_at",
    "bot_configs": "bot_id bot_name symbol strategy strategy_params timeframe capital position_size "
    "risk_per_trade max_position_size stop_loss_pct take_profit_pct trailing_stop_pct drawdown_guard_pct "
    "is_active is_running started_at stopped_at updated_at",
    "bot_states": "bot_id snapshot_time state total_pnl win_rate total_trades winning_trades losing_trades "
    "position_side position_size position_entry_price current_trailing_stop peak_equity current_drawdown_pct "
    "trading_halted halt_reason",
    "bot_metrics": "bot_id time price position_side position_size unrealized_pnl realized_pnl indicators "
    "market_conditions",
    "performance_snapshots": "bot_id date daily_pnl total_pnl trades wins losses win_rate sharpe_ratio max_drawdown",
    "backtests": "run_id name venue symbol timeframe strategy parameters start_time end_time total_signals "
    "trades wins losses win_rate profit_factor total_pnl_percent created_at",
    "model_versions": "version dataset_manifest metrics feature_schema stage",
    "training_runs": "run_id dataset_manifest metrics",
    "data_quality": "check dataset time",
}


@pytest.mark.parametrize("name", CONTRACT)
def test_every_column_of_the_contract_is_declared(name: str) -> None:
    assert set(CONTRACT[name].split()) <= set(registry.get(name).by_name)


def test_the_datasets_are_those_of_the_contract() -> None:
    assert set(registry.names()) == set(CONTRACT)
    assert [ds.name for ds in registry.all_datasets()] == list(registry.names())


@pytest.mark.parametrize("ds", registry.all_datasets(), ids=lambda ds: ds.name)
def test_a_dataset_keeps_unknown_fields_unless_it_is_market_data(ds: Dataset) -> None:
    assert ds.keeps_unknown == (ds.name not in ("candles", "market_metrics"))
    assert ("extra" in ds.by_name) == (ds.name != "candles")  # of a metric it has what an import found


@pytest.mark.parametrize("ds", registry.all_datasets(), ids=lambda ds: ds.name)
def test_the_time_of_a_partition_is_always_there(ds: Dataset) -> None:
    assert ds.partition.time is None or ds.column(ds.partition.time).required


@pytest.mark.parametrize("ds", registry.all_datasets(), ids=lambda ds: ds.name)
def test_known_at_is_a_time_in_duckdb(ds: Dataset) -> None:
    with duckdb.connect() as connection:
        connection.register("given", arrow_schema(ds).empty_table())
        found = connection.sql(f"SELECT {ds.known_at} AS known_at FROM given").to_arrow_table()
    assert pa.types.is_timestamp(found.schema.field("known_at").type)
    assert found.schema.field("known_at").type.tz is not None


def test_a_candle_is_known_when_it_closes_in_every_zone_of_the_session() -> None:
    ds = registry.get("candles")
    start = datetime(2024, 3, 31, tzinfo=UTC)  # clocks change in Berlin on this day
    prices = {"open": 1, "high": 1, "low": 1, "close": 1, "symbol": "X", "open_time": start}
    rows = [row_checker(ds)({**prices, "timeframe": name}) for name in timeframes.ALL]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Europe/Berlin'")
        connection.register("given", rows_to_frame(ds, rows).to_arrow())
        query = f"SELECT timeframe, epoch_us({ds.known_at}) - epoch_us(open_time) FROM given"
        found = dict(connection.execute(query).fetchall())
    assert found == {name: timeframes.micros(name) for name in timeframes.ALL}


@pytest.mark.parametrize("kind", ["2024-12-31T23:59:59.999999Z", "2025-01-01T00:00:00Z", "2023-02-28T12:00:00Z"])
def test_the_period_of_a_frame_is_the_period_of_its_rows(kind: str) -> None:
    ds = registry.get("candles")
    prices = {"open": 1, "high": 1, "low": 1, "close": 1, "symbol": "X", "open_time": kind}
    rows = [row_checker(ds)({**prices, "timeframe": name}) for name in timeframes.ALL]
    rows.append(row_checker(ds)({**prices, "timeframe": "1m", "open_time": "2024-06-01T00:00:00Z"}))
    wanted = [period(row["open_time"], Period.BY_TIMEFRAME, row["timeframe"]) for row in rows]
    assert rows_to_frame(ds, rows)["period"].to_list() == wanted


def test_periods_of_many_months_are_those_of_the_calendar() -> None:
    ds = registry.get("signals")
    times = [1_577_836_800_000_000 + i * 37 * 3_600_000_000 for i in range(1_500)]
    frame = rows_to_frame(ds, [row_checker(ds)({"symbol": "X", "signal_time": t}) for t in times])
    assert frame["period"].to_list() == [f"{from_micros(t):%Y-%m}" for t in times]


def test_an_unknown_dataset_is_refused_with_near_names() -> None:
    with pytest.raises(UnknownDatasetError, match=r"no such dataset \(got 'candle'\). Did you mean .*candles"):
        registry.get("candle")
    with pytest.raises(UnknownColumnError, match=r"candles: no column 'opn'"):
        registry.get("candles").column("opn")


def test_the_arrow_schema_says_what_columns_mean_and_which_may_be_null() -> None:
    schema = arrow_schema(registry.get("candles"))
    assert schema.names[-1] == "period"
    assert not schema.field("open").nullable
    assert schema.field("volume").nullable
    assert b"traded amount" in schema.field("volume").metadata[b"comment"]
    assert schema.field("open_time").type == pa.timestamp("us", "UTC")


def small(*columns: Column, **changes: object) -> Dataset:
    key = Column("id", Type.STRING, "names it", required=True)
    made = Dataset("small", "a test", (key, *columns), ("id",), "id", "id", Partition())
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_a_new_nullable_column_is_found() -> None:
    stored = arrow_schema(small())
    added = Column("mood", Type.STRING, "how it felt")
    assert added_columns(small(added), stored) == (added,)
    assert added_columns(small(), stored) == ()


def test_a_column_of_a_newer_bot_is_left_alone() -> None:
    stored = arrow_schema(small(Column("mood", Type.STRING, "how it felt")))
    assert added_columns(small(), stored) == ()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ((), (Column("n", Type.INT, "x", required=True),), r"small.n: the specification adds n as required int64"),
        (
            (Column("n", Type.INT, "x"),),
            (Column("n", Type.FLOAT, "x"),),
            r"small.n: the specification says double, the stored table int64",
        ),
        (
            (Column("n", Type.INT, "x"),),
            (Column("n", Type.INT, "x", required=True),),
            r"small.n: the specification says int64, required; the stored table int64, which may be null",
        ),
    ],
)
def test_a_forbidden_change_names_both_versions(
    before: tuple[Column, ...], after: tuple[Column, ...], message: str
) -> None:
    with pytest.raises(SchemaChangeError, match=message):
        added_columns(small(*after), arrow_schema(small(*before)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": ("nothing",)}, "names a column that it does not declare"),
        ({"columns": (Column("id", Type.STRING, "x"),)}, "a key column must be required"),
        ({"columns": (Column("id", Type.STRING, "x", required=True),) * 2}, "declared twice"),
        ({"defaults": {"nothing": 1}}, "names a column that it does not declare"),
    ],
)
def test_a_specification_that_contradicts_itself_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Open Time"}, "lower_case_with_underscores"),
        ({"meaning": ""}, "one-line meaning"),
        ({"type": Type.INT, "choices": ("a",)}, "only a string column has choices"),
        ({"type": Type.INT, "minimum": 2, "maximum": 1}, "minimum 2 is above maximum 1"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        dataclasses.replace(Column("n", Type.STRING, "a column"), **changes)  # type: ignore[arg-type]


def test_a_period_needs_a_time() -> None:
    with pytest.raises(SpecError, match="needs a time column"):
        Partition(None, Period.YEAR)


def test_describe_has_a_row_for_every_column() -> None:
    rows = describe(registry.get("candles"))
    assert [row["column"] for row in rows] == list(registry.get("candles").by_name)
    assert rows[0]["key"] is True
    assert all(row["meaning"] for row in rows)


def test_the_page_of_datasets_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"
    assert page.read_text(encoding="utf-8") == markdown(), "make docs writes it anew"
