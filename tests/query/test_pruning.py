"""Bounds hold every row that a statement can use, and are found where they are plain to see."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lake.query.pruning import bounds

DAY = 86_400_000_000
JAN = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC
FEB = JAN + 31 * DAY
A = {"symbol": ("A", "A")}
X = {"side": ("X", "X")}


@pytest.fixture(scope="module")
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


WHERE = [
    ("symbol = 'A'", {"symbol": ("A", "A")}),
    ("'A' = symbol", {"symbol": ("A", "A")}),
    ("SYMBOL = 'A'", {"symbol": ("A", "A")}),
    ("\"symbol\" = 'A'", {"symbol": ("A", "A")}),
    ("symbol > 'A' AND symbol <= 'C'", {"symbol": ("A", "C")}),
    ("symbol IN ('C', 'A', 'B')", {"symbol": ("A", "C")}),
    ("symbol = 'A' AND (timeframe = '1m' AND venue = '')", {**A, "timeframe": ("1m", "1m"), "venue": ("", "")}),
    ("period = '2026-01'", {"period": ("2026-01", "2026-01")}),
    ("open_time >= '2026-01-01' AND open_time < '2026-02-01'", {"open_time": (JAN, FEB - 1)}),
    ("open_time > '2026-01-01 00:00+00' AND open_time <= '2026-02-01T00:00:00Z'", {"open_time": (JAN + 1, FEB)}),
    ("'2026-01-01' <= open_time", {"open_time": (JAN, None)}),
    ("open_time BETWEEN TIMESTAMPTZ '2026-01-01 02:00+02:00' AND DATE '2026-02-01'", {"open_time": (JAN, FEB)}),
    ("open_time >= TIMESTAMP '2026-01-01 00:00:00.5'", {"open_time": (JAN + 500_000, None)}),
    ("open_time >= CAST('2026-01-01' AS TIMESTAMP WITH TIME ZONE)", {"open_time": (JAN, None)}),
    ("open_time >= '2026-01-01 13:00'::DATE", {"open_time": (JAN, None)}),
    ("open_time >= TIMESTAMPTZ '2026-01-02' - INTERVAL 1 DAY", {"open_time": (JAN, None)}),
    ("open_time >= date_trunc('month', TIMESTAMPTZ '2026-01-09')", {"open_time": (JAN, None)}),
    ("trade_count > 3 AND trade_count < 10", {"trade_count": (4, 9)}),
    ("trade_count > 3.5 AND trade_count <= 9.9", {"trade_count": (4, 9)}),
    ("trade_count >= -7", {"trade_count": (-7, None)}),
    ("trade_count = 5::BIGINT", {"trade_count": (5, 5)}),
    ("close BETWEEN 1 AND 2.5", {"close": (1.0, 2.5)}),
    ("close < 1e5 AND close > -0.5", {"close": (-0.5, 1e5)}),
    ("close < 5", {"close": (None, 5.0)}),
    ("symbol = 'A' AND (close < 5 OR close > 7)", {"symbol": ("A", "A")}),
    ("symbol = 'A' AND EXISTS (SELECT 1 FROM trades WHERE side = 'LONG')", {"symbol": ("A", "A")}),
]


@pytest.mark.parametrize(("where", "expected"), WHERE)
def test_a_plain_condition_bounds_its_column(session: Any, where: str, expected: dict[str, Any]) -> None:
    assert bounds(session, f"SELECT * FROM candles WHERE {where} ORDER BY 1 LIMIT 3")["candles"] == expected


@pytest.mark.parametrize(
    "where",
    [
        "symbol = 'A' OR symbol = 'B'",
        "NOT symbol = 'A'",
        "symbol <> 'A'",
        "symbol NOT IN ('A')",
        "symbol NOT BETWEEN 'A' AND 'B'",
        "symbol LIKE 'A%'",
        "symbol IS NULL",
        "symbol = close",
        "lower(symbol) = 'a'",
        "symbol = 'A' COLLATE NOCASE",
        "symbol = 5",
        "symbol IN ('A', 5)",
        "symbol IN (SELECT 'A')",
        "symbol = (SELECT 'A')",
        "symbol = NULL",
        "nothing = 'A'",
        "symbol IN ('A', NULL)",
        "symbol IN ('A', venue)",
        "symbol BETWEEN 'A' AND venue",
        "close > 5",
        "close = 'NaN'",
        "trade_count = '5'",
        "trade_count > 9007199254740993",
        "trade_count = 1e300",
        "open_time > 5",
        "open_time > '2026'",
        "open_time > '2026-01-01 00:00 Europe/Berlin'",
        "open_time > 'infinity'",
        "open_time > TIMESTAMP '2026-01-01 00:00+02'",
        "open_time > DATE '2026-01-01 23:00-05'",
        "open_time > '2026-02-30'",
        "open_time > CAST('2026-01-01' AS TIMESTAMP_S)",
        "open_time < now()",
        "open_time > date '2026-01-01' + now()::TIME",
        "open_time > TIMESTAMPTZ '2026-01-01' - (now() - TIMESTAMPTZ '2020-01-01')",
        "open_time::DATE > '2026-01-01'",
        "other.symbol = 'A'",
        "symbol IS NOT DISTINCT FROM 'A'",
        "(symbol, venue) = ('A', '')",
        "symbol = ?",
        "true",
    ],
)
def test_what_is_not_surely_a_bound_is_none(session: Any, where: str) -> None:
    assert bounds(session, f"SELECT * FROM candles WHERE {where}") == {}


S = "symbol = 'A'"
STATEMENTS: list[tuple[str, dict[str, Any]]] = [
    (f"FROM candles WHERE {S}", {"candles": A}),
    ("SELECT 1 FROM candles c WHERE c.symbol = 'A'", {"candles": A}),
    ("SELECT 1 FROM Candles WHERE CANDLES.symbol = 'A'", {"candles": A}),
    ("SELECT 1 FROM candles c WHERE candles.symbol = 'A'", {}),
    ("SELECT 'z' AS symbol FROM candles WHERE symbol = 'A'", {"candles": A}),
    (f"SELECT symbol, count(*) FROM candles WHERE {S} GROUP BY ALL HAVING count(*) > 1 QUALIFY true", {"candles": A}),
    ("SELECT symbol, sum(close) OVER (PARTITION BY venue ORDER BY open_time ROWS 2 PRECEDING) FROM candles", {}),
    (
        f"SELECT sum(close) OVER (ORDER BY open_time ROWS 2 PRECEDING) FROM candles WHERE {S} ORDER BY 1 DESC",
        {"candles": A},
    ),
    (
        f"SELECT DISTINCT ON (venue) * FROM candles WHERE {S} ORDER BY symbol NULLS LAST LIMIT 5 OFFSET 1",
        {"candles": A},
    ),
    # joins
    ("FROM candles c, trades t WHERE c.symbol = 'A' AND t.side = 'X'", {"candles": A, "trades": X}),
    ("FROM candles c JOIN trades t ON c.symbol = t.symbol AND c.symbol = 'A'", {"candles": A}),
    ("FROM candles c CROSS JOIN trades t WHERE c.symbol = 'A'", {"candles": A}),
    ("FROM candles JOIN trades USING (symbol) WHERE symbol = 'A'", {}),
    ("FROM candles JOIN trades USING (symbol) WHERE trades.symbol = 'A'", {"trades": A}),
    ("FROM candles c LEFT JOIN trades t ON c.symbol = 'A' AND t.symbol = 'A'", {}),
    ("FROM candles c LEFT JOIN trades t USING (symbol) WHERE c.symbol = 'A' AND t.side = 'X'", {"candles": A}),
    (f"FROM candles c RIGHT JOIN trades t USING (symbol) WHERE t.side = 'X' AND c.{S}", {"trades": X}),
    ("FROM candles c FULL JOIN trades t USING (symbol) WHERE c.symbol = 'A' AND t.side = 'X'", {}),
    (f"FROM candles c ASOF JOIN trades t ON c.open_time > t.created_at WHERE c.{S} AND t.side = 'X'", {"candles": A}),
    ("FROM candles c POSITIONAL JOIN trades t WHERE c.symbol = 'A' AND t.side = 'X'", {}),
    ("FROM candles c ANTI JOIN trades t ON c.symbol = t.symbol AND t.side = 'X' WHERE c.symbol = 'A'", {"candles": A}),
    ("FROM signals s LEFT JOIN (candles c JOIN trades t ON c.symbol = 'A') ON true WHERE t.side = 'X'", {"candles": A}),
    ("FROM candles c, trades c WHERE c.symbol = 'A'", {}),
    # references
    (f"SELECT 1 FROM candles WHERE {S} UNION ALL SELECT 1 FROM candles", {}),
    (f"SELECT 1 FROM candles WHERE {S} UNION ALL SELECT 1 FROM trades WHERE {S}", {"candles": A, "trades": A}),
    (f"SELECT (SELECT max(close) FROM candles WHERE {S}) FROM trades WHERE side = 'X' OR {S}", {"candles": A}),
    (f"SELECT (SELECT max(close) FROM candles) FROM candles WHERE {S}", {}),
    (f"WITH t AS (SELECT * FROM candles WHERE {S}) SELECT * FROM t a JOIN t b ON a.close < b.close", {"candles": A}),
    (f"WITH candles AS (SELECT * FROM trades WHERE {S}) SELECT * FROM candles WHERE symbol = 'B'", {"trades": A}),
    (f"WITH candles AS (SELECT * FROM candles) SELECT * FROM candles WHERE {S}", {}),
    (f"WITH RECURSIVE r AS (SELECT 1 a UNION ALL SELECT a FROM r, candles c WHERE c.{S}) FROM r", {"candles": A}),
    (f"SELECT * FROM (SELECT * FROM candles) WHERE {S}", {}),
    ("FROM trades, LATERAL (FROM candles c WHERE c.symbol = 'A' AND trades.side = 'X') q", {"candles": A}),
    ("SELECT * FROM trades WHERE EXISTS (FROM signals s WHERE s.symbol = 'A' AND trades.side = 'X')", {"signals": A}),
    (f"SELECT * FROM candles, range(3) WHERE candles.{S}", {"candles": A}),
    (f"SELECT * FROM candles WHERE {S} UNION ALL FROM query_table('candles')", {}),
    (f"SELECT * FROM candles, (SUMMARIZE candles) WHERE candles.{S}", {}),
    # other meanings of the same names
    ("SELECT * FROM candles c(symbol) WHERE symbol = 'A'", {}),
    (f"SELECT * FROM candles TABLESAMPLE 10% WHERE {S}", {}),
    (f"SELECT * FROM candles WHERE {S} USING SAMPLE 3", {}),
    (f"SELECT * FROM elsewhere.candles WHERE {S}", {}),
    (f"SELECT * FROM nothing WHERE {S}", {}),
    ("SELECT 1 WHERE true", {}),
    (f"SELECT 1; SELECT * FROM candles WHERE {S}", {}),
    (f"EXPLAIN SELECT * FROM candles WHERE {S}", {}),
    (f"PIVOT candles ON side USING sum(close) WHERE {S}", {}),
    (f"SELEC * FROM candles WHERE {S}", {}),
    (f"DELETE FROM candles WHERE {S}", {}),
]


@pytest.mark.parametrize(("sql", "expected"), STATEMENTS)
def test_only_the_table_that_the_condition_decides_on_is_bounded(session: Any, sql: str, expected: Any) -> None:
    assert bounds(session, sql) == expected


@pytest.mark.parametrize(
    ("where", "params", "expected"),
    [
        ("symbol = ? AND trade_count < ?", ["A", 5], {"symbol": ("A", "A"), "trade_count": (None, 4)}),
        ("symbol = $2 AND venue = $1", ["x", "A"], {"symbol": ("A", "A"), "venue": ("x", "x")}),
        ("symbol = $name", {"name": "A", "more": 1}, {"symbol": ("A", "A")}),
        ("open_time >= ?", [datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))], {"open_time": (JAN, None)}),
        ("open_time >= ?", [datetime(2026, 1, 1)], {"open_time": (JAN, None)}),  # noqa: DTZ001 - naive on purpose
        ("open_time >= ?", [date(2026, 1, 1)], {"open_time": (JAN, None)}),
        ("open_time >= ?", ["2026-01-01"], {"open_time": (JAN, None)}),
        ("open_time >= ?::TIMESTAMPTZ", ["2026-01-01T00:00:00+00:00"], {"open_time": (JAN, None)}),
        ("close BETWEEN ? AND ?", [1, Decimal("2.5")], {"close": (1.0, 2.5)}),
        ("symbol IN (?, ?)", ("B", "A"), {"symbol": ("A", "B")}),
        ("symbol = ?", [None], None),
        ("symbol = ?", [5], None),
        ("trade_count = ?", [True], None),
        ("trade_count = ?", ["5"], None),
        ("trade_count < ?", [math.inf], None),
        ("close <= ?", [math.nan], None),
        ("symbol = $name", {"other": "A"}, None),
        ("symbol IN ?", [["A", "B"]], None),
    ],
)
def test_parameters_count_as_what_they_are_bound_to(session: Any, where: str, params: Any, expected: Any) -> None:
    found = bounds(session, f"SELECT * FROM candles WHERE {where}", params)
    assert found == ({} if expected is None else {"candles": expected})


def test_dates_are_bounded_as_iso_texts(session: Any) -> None:
    for where, expected in [
        ("date > '2026-01-01' AND date < DATE '2026-02-01'", ("2026-01-02", "2026-01-31")),
        ("date >= TIMESTAMP '2026-01-01 05:00' AND date <= TIMESTAMP '2026-02-01 05:00'", ("2026-01-02", "2026-02-01")),
        ("date = ?", ("2026-01-01", "2026-01-01")),
    ]:
        params = [date(2026, 1, 1)] if "?" in where else None
        found = bounds(session, f"FROM performance_snapshots WHERE {where}", params)
        assert found == {"performance_snapshots": {"date": expected}}


@pytest.mark.parametrize(
    "since", ["now() - INTERVAL '1 day'", "current_timestamp - INTERVAL 1 DAY", "now() - to_days(1)"]
)
def test_the_clock_bounds_from_below_only_since_it_moves_on(session: Any, since: str) -> None:
    before = datetime.now(UTC) - timedelta(days=1, seconds=5)
    low, high = bounds(session, f"FROM candles WHERE open_time = {since}")["candles"]["open_time"]
    assert high is None
    assert abs(low - before.timestamp() * 1e6) < 60e6


def test_today_and_the_first_of_the_month_bound_from_below(session: Any) -> None:
    sql = "FROM candles WHERE open_time BETWEEN current_date - 3 AND now() AND open_time >= date_trunc('month', now())"
    low, high = bounds(session, sql)["candles"]["open_time"]
    assert low % DAY == 0
    assert high is None


SYMBOLS = ["A", "AB", "B", "b", "", "Ä"]
TIMES = ["2026-01-01", "2026-01-01 00:00:00.000001", "2026-01-02 12:00+02", "2025-12-31T23:59:59.999999Z"]
NUMBERS = ["0", "1", "-1", "1.5", "0.1", "-2.5e0", "3"]


def _literals(column: str) -> st.SearchStrategy[str]:
    if column == "open_time":
        text = st.sampled_from(TIMES).map(lambda t: f"'{t}'")
        return st.tuples(text, st.sampled_from(["", "::TIMESTAMPTZ", "::TIMESTAMP", "::DATE"])).map("".join)
    if column in {"close", "trade_count"}:
        return st.sampled_from(NUMBERS)
    return st.sampled_from(SYMBOLS).map(lambda s: f"'{s}'")


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    column = draw(st.sampled_from(["symbol", "venue", "open_time", "close", "trade_count"]))
    one, two = draw(_literals(column)), draw(_literals(column))
    sign = draw(st.sampled_from(["=", "<", "<=", ">", ">=", "<>"]))
    plain = [f"{column} {sign} {one}", f"{one} {sign} {column}"]
    return draw(st.sampled_from([*plain, f"{column} BETWEEN {one} AND {two}", f"{column} IN ({one}, {two})"]))


conditions = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda c: f"({c[0]} AND {c[1]})"),
        st.tuples(inner, inner).map(lambda c: f"({c[0]} OR {c[1]})"),
        inner.map(lambda c: f"(NOT {c})"),
    ),
    max_leaves=5,
)
_time = st.sampled_from([JAN, JAN + 1, JAN - 1, JAN + DAY, JAN + 34 * 3_600_000_000, JAN + DAY * 2])
_number = st.sampled_from([0.0, 1.0, 1.5, 0.1, -2.5, 4.0, math.nan, math.inf, -math.inf, None])
_text = st.sampled_from([*SYMBOLS, None])
rows = st.lists(st.tuples(_text, _text, _time, _number, st.none() | st.integers(-3, 4)), min_size=1, max_size=20)


@given(rows, conditions)
@example([("A", "", JAN, math.nan, 1)], "close >= 1")
@example([("A", "", JAN + DAY, 1.0, 1)], "open_time IN ('2026-01-02 12:00+02', '2026-01-01'::DATE)")
def test_no_row_that_a_statement_finds_lies_outside_its_bounds(session: Any, held: list[Any], where: str) -> None:
    columns = ["symbol", "venue", "open_time", "close", "trade_count"]
    kinds = [pl.String, pl.String, pl.Int64, pl.Float64, pl.Int64]
    table = pl.DataFrame(held, schema=dict(zip(columns, kinds, strict=True)), orient="row")
    session.register("candles", table.with_columns(pl.col("open_time").cast(pl.Datetime("us", "UTC"))).to_arrow())
    sql = f"SELECT * REPLACE (epoch_us(open_time) AS open_time) FROM candles WHERE {where}"
    found = session.execute(sql).fetchall()
    for column, (low, high) in bounds(session, sql).get("candles", {}).items():
        for value in (row[columns.index(column)] for row in found):
            assert value is not None
            assert low is None or value >= low
            assert high is None or value <= high


def test_a_session_elsewhere_has_no_bounds_since_texts_mean_other_times_there() -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        assert bounds(connection, "FROM candles WHERE open_time >= '2026-01-01'") == {}
