"""Whole tables: good rows canonical, bad rows as given with their reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from lake.errors import InvalidRowError, InvalidTimeError, UnknownColumnError, UnknownTimeframeError, UsageError
from lake.spec import registry
from lake.spec.decode import frame_to_rows, rows_to_frame
from lake.spec.frames import check_frame
from lake.spec.patch import folder
from lake.spec.rows import row_checker
from lake.spec.rules import Needed
from lake.spec.schema import polars_schema

CANDLES, SIGNALS = registry.get("candles"), registry.get("signals")
MOMENT = 1_704_067_200_000_000
HOUR = 3_600_000_000
NAMED = {"symbol": "btc/usdt", "timeframe": "1H", "venue": "binance"}


def bars(rows: int = 3, **changes: Any) -> pl.DataFrame:
    frame = pl.DataFrame({"open_time": [MOMENT + i * HOUR for i in range(rows)]})
    prices = frame.with_columns(open=1.0, high=2.0, low=0.5, close=1.5, volume=10.0)
    return prices.with_columns(**changes)


def test_good_rows_have_exactly_the_columns_of_the_dataset() -> None:
    checked = check_frame(CANDLES, bars(), constants=NAMED)
    assert checked.good.schema == pl.Schema(polars_schema(CANDLES))
    assert checked.good.select("symbol", "timeframe", "venue", "period").unique().rows() == [
        ("BTCUSDT", "1h", "binance", "2024")
    ]
    assert checked.bad.is_empty()


@pytest.mark.parametrize("run", [1, 3, 400])
def test_names_in_runs_of_any_length_become_canonical_and_missing_ones_are_told(run: int) -> None:
    names = ["btc/usdt", "ETH-USDT", None, "SOLUSDT"]
    given = [names[i // run % 4] for i in range(4000)]
    checked = check_frame(CANDLES, bars(4000, symbol=pl.Series(given)), constants={**NAMED, "symbol": None})
    wanted = {"btc/usdt": "BTCUSDT", "ETH-USDT": "ETHUSDT", "SOLUSDT": "SOLUSDT"}
    assert checked.good["symbol"].to_list() == [wanted[n] for n in given if n is not None]
    assert checked.bad.height == given.count(None)


@pytest.mark.parametrize("rows", [3, 600])
def test_a_pandas_frame_is_read_the_same_whatever_its_length(rows: int) -> None:
    kinds = pd.DataFrame(
        {
            "open_time": pd.date_range("2024-01-01", periods=rows, freq="h", tz="Europe/Paris"),
            "open": pd.array([1] * rows, dtype="Int64"),
            "high": [2.0] * rows,
            "low": [0.5] * rows,
            "close": pd.Series(["1.5"] * rows, dtype=object),
            "volume": [None] * rows,
            "symbol": pd.Categorical(["btc/usdt"] * rows),
        }
    )
    checked = check_frame(CANDLES, kinds, constants={"timeframe": "1h", "venue": ""})
    assert checked.bad.is_empty()
    assert checked.good.select("symbol", "open", "close", "volume").unique().rows() == [("BTCUSDT", 1.0, 1.5, None)]
    assert checked.good["open_time"][0] == datetime(2023, 12, 31, 23, tzinfo=UTC)


def test_canonical_columns_pass_without_being_copied() -> None:
    once = check_frame(CANDLES, bars(), constants=NAMED).good
    twice = check_frame(CANDLES, once).good
    assert twice.equals(once)
    for name in ("open", "open_time"):
        assert twice[name].to_numpy().ctypes.data == once[name].to_numpy().ctypes.data


@pytest.mark.parametrize(
    "make",
    [
        lambda f: f,
        lambda f: f.lazy(),
        lambda f: f.to_arrow(),
        lambda f: f.to_arrow().to_batches()[0],
        lambda f: f.to_pandas(),
        lambda f: f.to_dicts(),
        lambda f: f.to_dict(as_series=False),
        lambda f: f.rename({"open_time": "Timestamp"}),
        lambda f: f.with_columns(pl.col("open_time").cast(pl.Datetime("us", "UTC"))).to_pandas().set_index("open_time"),
        lambda f: f.with_columns(
            date=pl.col("open_time")
            .cast(pl.Datetime("us", "UTC"))
            .dt.convert_time_zone("Asia/Tokyo")
            .dt.cast_time_unit("ns")
        ).drop("open_time"),
        lambda f: f.with_columns(pl.col("open_time") // 1000),
        lambda f: f.with_columns(pl.col("open_time") / 1e6),
        lambda f: f.with_columns(pl.from_epoch("open_time", "us").dt.strftime("%Y-%m-%dT%H:%M:%S+00:00")),
        lambda f: f.with_columns(pl.all().exclude("open_time").cast(pl.String)),
        lambda f: f.with_columns(pl.all().exclude("open_time").cast(pl.Float32)),
    ],
)
def test_the_same_rows_in_any_form_are_the_same(make: Any) -> None:
    wanted = check_frame(CANDLES, bars(), constants=NAMED).good
    assert check_frame(CANDLES, make(bars()), constants=NAMED).good.equals(wanted)


def test_an_unnamed_time_index_of_pandas_is_the_event_time() -> None:
    frame = bars().to_pandas().drop(columns="open_time")
    frame.index = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    assert check_frame(CANDLES, frame, constants=NAMED).good.equals(check_frame(CANDLES, bars(), constants=NAMED).good)


def test_rows_that_do_not_fit_are_given_back_with_every_reason() -> None:
    frame = bars(4).with_columns(
        low=pl.Series([0.5, -1.0, 0.5, 0.5]),
        open=pl.Series([1.0, float("inf"), None, float("nan")]),
        symbol=pl.Series(["BTCUSDT", "", "X", "Y"]),
    )
    checked = check_frame(CANDLES, frame, constants={"timeframe": "1h"})
    assert checked.good["symbol"].to_list() == ["BTCUSDT"]
    assert checked.bad.columns == [*frame.columns, "reason"]
    assert checked.bad["reason"].to_list() == [
        (
            "symbol: a string is wanted, got ; open: a finite number of at least 0 is wanted, got inf; "
            "low: a finite number of at least 0 is wanted, got -1.0"
        ),
        "open: a finite number of at least 0 is wanted, got nothing",
        "open: a finite number of at least 0 is wanted, got NaN",
    ]


def test_nan_is_null_where_null_is_allowed_and_infinity_nowhere() -> None:
    given = pl.DataFrame({"symbol": "A", "direction": "LONG", "confidence": [float("nan"), float("inf")]})
    checked = check_frame(SIGNALS, given)
    assert checked.good["confidence"].to_list() == [None]
    reason = "confidence: a finite number of at least 0 and at most 1 is wanted, got inf"
    assert checked.bad["reason"].to_list() == [reason]
    assert check_frame(CANDLES, bars(1, volume=float("nan")), constants=NAMED).good.is_empty()


@pytest.mark.parametrize("dtype", [pl.Datetime("us"), pl.Datetime("ns"), pl.Date])
def test_a_naive_column_is_refused_whole(dtype: Any) -> None:
    frame = bars().with_columns(pl.from_epoch("open_time", "us").cast(dtype))
    with pytest.raises(InvalidTimeError, match=r"candles.open_time: (times without a zone|no times)"):
        check_frame(CANDLES, frame, constants=NAMED)


def test_naive_text_is_refused_whole_with_its_value() -> None:
    frame = bars(2, open_time=pl.Series(["2024-01-01T00:00:00Z", "2024-01-01 01:00:00"]))
    with pytest.raises(InvalidTimeError, match=r"times without a zone \(got '2024-01-01 01:00:00'\)"):
        check_frame(CANDLES, frame, constants=NAMED)


@pytest.mark.parametrize("other", [MOMENT // 1000, MOMENT * 1000, 0])
def test_mixed_units_are_refused_with_both_values(other: int) -> None:
    with pytest.raises(InvalidTimeError, match=rf"mixed or unknown units.*{str(other)[:6]}"):
        check_frame(CANDLES, bars(2, open_time=pl.Series([MOMENT, other])), constants=NAMED)


def test_a_declared_unit_decides() -> None:
    frame = bars(1, open_time=pl.Series([60_000]))
    good = check_frame(CANDLES, frame, unit="ms", constants=NAMED).good
    assert good["open_time"].to_list() == [datetime(1970, 1, 1, 0, 1, tzinfo=UTC)]
    assert check_frame(CANDLES, frame.to_dicts(), unit="ms", constants=NAMED).good.equals(good)
    with pytest.raises(UsageError, match="unknown unit of time"):
        check_frame(CANDLES, frame, unit="m", constants=NAMED)


def test_a_bad_time_text_costs_its_row_only() -> None:
    checked = check_frame(CANDLES, bars(2, open_time=pl.Series(["soon", "2024-01-01T00:00:00Z"])), constants=NAMED)
    assert checked.good.height == 1
    assert checked.bad["reason"].to_list() == ["open_time: a timestamp is wanted, got soon"]


def test_months_are_refused_as_timeframes() -> None:
    checked = check_frame(CANDLES, bars(2, timeframe=pl.Series(["1M", "1m"])), constants={"symbol": "X"})
    assert checked.good["timeframe"].to_list() == ["1m"]
    assert "got 1M" in checked.bad["reason"][0]
    with pytest.raises(UnknownTimeframeError, match="months"):
        check_frame(CANDLES, bars(), constants={"symbol": "X", "timeframe": "1M"})


def test_nulls_get_their_defaults_and_fresh_ids() -> None:
    frame = pl.DataFrame(
        {
            "signal_id": ["a", None, ""],
            "symbol": ["X/USDT"] * 3,
            "venue": ["v", None, ""],
            "signal_time": [MOMENT, None, MOMENT],
        }
    )
    good = check_frame(SIGNALS, frame).good
    assert good["venue"].to_list() == ["v", "", ""]
    assert good["signal_id"][0] == "a"
    assert good["signal_id"].n_unique() == 3
    assert good["signal_time"].null_count() == 0


def test_unknown_columns_are_kept_in_extra_or_refused() -> None:
    frame = pl.DataFrame({"symbol": ["X", "Y"], "mood": ["good", None], "extra": ['{"a":1}', None]})
    extra = check_frame(SIGNALS, frame).good["extra"].to_list()
    assert orjson.loads(extra[0]) == {"a": 1, "mood": "good"}
    assert extra[1] is None
    with pytest.raises(UnknownColumnError, match="candles: no such column: mood"):
        check_frame(CANDLES, bars(mood=pl.lit("good")), constants=NAMED)


def test_a_metric_has_what_an_import_found_beside_it_and_no_field_that_it_does_not_declare() -> None:
    """The name of a column that is mistyped would else be kept, and its value miss."""
    ds = registry.get("market_metrics")
    row = {"symbol": "BTC/USDT", "metric": "rsi_1h", "time": datetime(2024, 3, 1, tzinfo=UTC), "value": 55.0}
    assert row_checker(ds)({**row, "extra": {"imported": {}}})["extra"] == '{"imported":{}}'
    with pytest.raises(InvalidRowError, match="market_metrics: no such column: 'exchange'"):
        row_checker(ds)({**row, "exchange": "binance"})
    with pytest.raises(InvalidRowError, match="market_metrics: no such column: 'exchange'"):
        folder(ds)(row_checker(ds)(row), {"exchange": "binance"})
    with pytest.raises(UnknownColumnError, match="market_metrics: no such column: exchange"):
        check_frame(ds, pl.DataFrame([{**row, "exchange": "binance"}]))


def test_a_column_of_periods_is_dropped_where_it_names_slices_and_else_kept() -> None:
    frame = pl.DataFrame({"symbol": ["X", "Y"], "period": ["2024-01", None]})
    assert check_frame(SIGNALS, frame).good["extra"].to_list() == [None, None]
    mixed = frame.with_columns(period=pl.Series(["2024-01", "14"]))
    assert check_frame(SIGNALS, mixed).good["extra"].to_list() == [None, '{"period":"14"}']
    numbers = frame.with_columns(period=pl.Series([14, 15]))
    assert check_frame(SIGNALS, numbers).good["extra"].to_list() == ['{"period":14}', '{"period":15}']
    assert check_frame(CANDLES, bars(period=pl.lit("2024")), constants=NAMED).good.height == 3
    with pytest.raises(UnknownColumnError, match="candles: no such column: period"):
        check_frame(CANDLES, bars(period=pl.lit(14)), constants=NAMED)


def test_a_missing_required_column_is_refused_whole() -> None:
    with pytest.raises(InvalidRowError, match=r"candles.close: a required column is missing"):
        check_frame(CANDLES, bars().drop("close"), constants=NAMED)


def test_rows_of_different_shapes_are_checked_one_by_one() -> None:
    rows = [*bars(1).to_dicts(), {"open": "x", "when": datetime(2024, 1, 1, tzinfo=UTC)}, {"open": 2**80}]
    checked = check_frame(CANDLES, rows, constants=NAMED)
    assert checked.good.height == 1
    assert checked.bad["open"].to_list() == ["x", str(2**80)]
    assert all("candles" in reason for reason in checked.bad["reason"])
    with pytest.raises(UsageError, match="a row is a mapping"):
        check_frame(CANDLES, [1, 2])


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, pa.table])
def test_a_row_without_a_map_has_none(make: Any) -> None:
    rows = {"symbol": ["BTCUSDT"] * 2, "signal_time": [MOMENT] * 2, "indicators": [{"rsi": 50}, None]}
    assert check_frame(SIGNALS, make(rows)).good["indicators"].to_list() == ['{"rsi":50}', None]


def test_maps_of_a_pandas_frame_are_kept_each_as_it_is() -> None:
    maps = [{"a": 1}, {"a": "x", "b": Decimal("1.5")}, [1, 2], '{"a":1}', None]
    frame = pd.DataFrame({"symbol": "BTCUSDT", "signal_time": MOMENT, "indicators": maps})
    wanted = ['{"a":1}', '{"a":"x","b":1.5}', "[1,2]", '{"a":1}', None]
    assert check_frame(SIGNALS, frame).good["indicators"].to_list() == wanted
    assert frame["indicators"].to_list() == maps


def test_structs_lists_and_text_become_json() -> None:
    for given, wanted in (({"a": 1.5}, {"a": 1.5}), ([1, 2], [1, 2]), ("words", "words"), ('{"b":2}', {"b": 2})):
        good = check_frame(SIGNALS, pl.DataFrame({"symbol": ["X"], "indicators": [given]})).good
        assert orjson.loads(good["indicators"][0]) == wanted


def test_what_holds_no_table_is_refused() -> None:
    for given in (5, "text", None):
        with pytest.raises(UsageError, match="no table"):
            check_frame(CANDLES, given)


def test_an_empty_table_is_no_error() -> None:
    given: object
    for given in ([], bars(0), pa.table({})):
        checked = check_frame(CANDLES, given, constants=NAMED)
        assert (checked.good.height, checked.bad.height) == (0, 0)
        assert checked.good.schema == pl.Schema(polars_schema(CANDLES))


VALUES = {
    "strength": st.one_of(st.none(), st.floats(), st.floats(0, 100)),
    "confidence": st.one_of(st.none(), st.floats(-1, 2)),
    "signal_type": st.sampled_from([None, "buy", "SELL", " Hold", "x"]),
    "symbol": st.sampled_from([None, "", "btc/usdt", "ETHUSDT", "FOO/BAR", "eth_btc"]),
    "timeframe": st.sampled_from([None, "1H", "1M", "3d", "15m"]),
    "signal_id": st.uuids().map(str),
    "signal_time": st.integers(MOMENT, MOMENT + 400 * 24 * HOUR),
}


@drawn(st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=8, unique_by=lambda row: row["signal_id"]))
def test_a_table_is_checked_by_the_same_rules_as_its_rows(rows: list[dict[str, Any]]) -> None:
    kinds = {"strength": pl.Float64, "confidence": pl.Float64, "signal_time": pl.Int64}
    frame = pl.DataFrame(rows, schema={name: kinds.get(name, pl.String) for name in VALUES})
    by_table, by_row = check_frame(SIGNALS, frame), check_frame(SIGNALS, rows)
    assert by_table.good.equals(by_row.good)
    assert by_table.bad["signal_id"].to_list() == by_row.bad["signal_id"].to_list() if by_row.bad.height else True
    assert by_table.good.height + by_table.bad.height == len(rows)


def test_rows_survive_the_way_into_a_frame_and_back() -> None:
    for ds in registry.all_datasets():
        sample: dict[str, Any] = {}
        for column in ds.columns:
            values = {"string": "x", "int64": 5, "float64": 0.5, "bool": True, "timestamp": MOMENT, "json": '{"a":1}'}
            sample[column.name] = {**values, "date": "2024-01-31"}[column.type.value]
            if column.choices:
                sample[column.name] = column.choices[-1]  # of phantoms completed: levels need not be in order
        needed = {name for rule in ds.rules if isinstance(rule, Needed) for name in rule.names}
        kept = {c.name for c in ds.columns if c.required} | {ds.generated_id, "status"} | needed
        sparse = {name: value for name, value in sample.items() if name in kept}
        rows = [row_checker(ds)(sample), row_checker(ds)(sparse)]
        frame = rows_to_frame(ds, rows)
        assert frame.schema == pl.Schema(polars_schema(ds)), ds.name
        assert frame_to_rows(ds, frame) == rows, ds.name
        assert check_frame(ds, frame).good.equals(frame), ds.name
