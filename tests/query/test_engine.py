from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

import duckdb
import polars as pl
import pytest

import lake
from lake.errors import LakeError, QueryError, ReadOnlyError, UsageError
from lake.kernels import market
from lake.query.views import views
from lake.spec import registry

START = 1_767_225_600_000_000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        opened.write("candles", market.candles("BTCUSDT", START, 6000, price=90_000.0, seed=1))
        opened.candles.write(market.candles("BTCUSDT", START + 6000 * 60_000_000, 5, price=90_000.0, seed=2), "1m")
        yield opened


def test_hot_and_cold_rows_are_one_table(lk: lake.Lake) -> None:
    assert lk.sql("SELECT count(*) FROM candles").fetchall() == [(6005,)]


def test_a_relation_gives_arrow_polars_pandas_and_text(lk: lake.Lake, capsys: pytest.CaptureFixture[str]) -> None:
    relation = lk.sql("SELECT symbol, close FROM candles LIMIT 3")
    relation.show()
    assert "symbol" in capsys.readouterr().out
    assert relation.pl().shape == relation.df().shape == (3, 2)
    assert sum(batch.num_rows for batch in relation.arrow()) == 3


def test_every_dataset_of_an_empty_lake_is_an_empty_typed_table(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk:
        for ds in registry.all_datasets():
            frame = lk.frame(f"SELECT * FROM {ds.name}")
            assert frame.height == 0
            assert [n for n in frame.columns if n != "period"] == [c.name for c in ds.columns]


def test_every_view_answers_on_an_empty_lake(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk:
        for name in views():
            assert lk.frame(f"SELECT * FROM {name}").height >= 0


@pytest.mark.parametrize(
    "statement",
    [
        "COPY candles TO '/tmp/stolen.csv'",
        "CREATE TABLE t AS SELECT 1",
        "INSERT INTO candles SELECT * FROM candles",
        "ATTACH '/tmp/other.duckdb'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "PRAGMA database_size",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "explain (format json) create table t as select 1",
        "/* x */ EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/stolen.csv'",
        "explain (analyze /* ) select 1 -- */) copy (select 1) to '/tmp/stolen.csv'",
        "-- é\nexplain analyze copy (select 1) to '/tmp/stolen.csv' (format /*\nselect 1 -- */ csv)",
    ],
)
def test_a_statement_that_is_not_reading_is_refused(lk: lake.Lake, statement: str) -> None:
    with pytest.raises(ReadOnlyError, match="is not reading"):
        lk.sql(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "{0} FROM x",
        "-- é\nwith x AS MATERIALIZED(copy/**/candles TO '{1}') SELECT count(*) FROM candles",
        "EXPLAIN ANALYZE {0} FROM x",
        "explain (analyze, format json) {0} FROM x",
        "FROM json_execute_serialized_sql(json_serialize_sql($${0} FROM x$$))",
        "SELECT 1 WHERE EXISTS (FROM system.main.json_execute_serialized_sql(json_serialize_sql($${0} FROM x$$)))",
        """FROM "query"('FROM json_exec' || 'ute_seri' || 'alized_sql(json_seri' || 'alize_sql($${0} FROM x$$))')""",
    ],
)
def test_a_select_that_writes_into_the_lake_is_refused(tmp_path: Path, statement: str) -> None:
    with lake.open(tmp_path) as lk:
        stolen = tmp_path / "stolen.csv"
        copy = f"WITH x AS (COPY (SELECT 1) TO '{stolen}')"
        quoted = copy.replace("'", "''") if '"query"' in statement else copy
        with pytest.raises(ReadOnlyError, match="(COPY_TO_FILE|JSON_EXECUTE_SERIALIZED_SQL) is not reading"):
            lk.frame(statement.format(quoted, stolen))
        assert not stolen.exists()


def test_a_select_that_only_names_what_could_write_is_read(lk: lake.Lake) -> None:
    assert lk.frame("SELECT 'COPY' AS copy, $1 AS query FROM query_table('candles') LIMIT 1", ["x"]).columns == [
        "copy",
        "query",
    ]
    assert lk.frame("FROM query('SELECT 1 AS one')").item() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
    ],
)
def test_files_outside_the_lake_cannot_be_read(lk: lake.Lake, statement: str) -> None:
    with pytest.raises(QueryError, match="disabled by configuration"):
        lk.frame(statement)


def test_files_outside_can_be_read_when_the_user_turns_that_on(lk: lake.Lake, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a\n1\n")
    found = lk.frame(
        f"SELECT a, (SELECT count(*) FROM candles) n FROM read_csv('{tmp_path}/own.csv')", allow_external=True
    )
    assert found.rows() == [(1, 6005)]


def test_two_statements_in_one_call_are_refused(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="one statement at a time"):
        lk.sql("SELECT 1; SELECT 2")


def test_a_wrong_column_is_a_query_error_with_the_statement(lk: lake.Lake) -> None:
    with pytest.raises(QueryError, match=r'(?s)"nope" not found.*SELECT nope FROM candles'):
        lk.sql("SELECT nope FROM candles")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC" (got'),
        ("SELECT 1,\n  'a  b'::INTEGER", "line 2: Conversion Error: Could not convert string 'a  b' to INT32 (got"),
        ("SELECT *\nFROM candels", "Catalog Error: Table with name candels does not exist! Did you mean"),
    ],
)
def test_a_query_error_is_one_line(lk: lake.Lake, statement: str, said: str) -> None:
    with pytest.raises(QueryError) as refused:
        lk.frame(statement)
    assert str(refused.value).startswith(said)
    assert len(str(refused.value).splitlines()) == 1


def test_an_error_while_running_is_a_query_error_too(lk: lake.Lake) -> None:
    with pytest.raises(QueryError, match="Could not convert string"):
        lk.frame("SELECT symbol::INTEGER FROM candles")


def test_a_relation_keeps_its_snapshot_however_late_it_is_read(lk: lake.Lake) -> None:
    before = lk.sql("SELECT count(*), min(close) FROM candles")
    expected = lk.sql("SELECT count(*), min(close) FROM candles").fetchall()
    lk.write("candles", market.candles("ETHUSDT", START, 6000, price=3000.0, seed=3))
    lk.drain()
    lk.compact()
    lk.vacuum(grace_hours=0)
    assert before.fetchall() == expected


def test_parameters_are_bound_by_place_and_by_name(lk: lake.Lake) -> None:
    assert lk.frame("SELECT count(*) n FROM candles WHERE symbol = ?", ["BTCUSDT"])["n"][0] == 6005
    assert lk.frame("SELECT count(*) n FROM candles WHERE open_time < $t", {"t": FIRST})["n"][0] == 0


def test_times_are_utc_whatever_the_zone_of_the_machine(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    found = lk.frame(
        "SELECT min(open_time) t, min(open_time)::VARCHAR s FROM candles WHERE open_time >= '2026-01-01 00:00'"
    )
    assert found["t"][0] == FIRST
    assert found["s"][0].startswith("2026-01-01 00:00:00+00")
    assert found.schema["t"] == pl.Datetime("us", "UTC")


def test_files_outside_the_condition_are_not_even_listed(lk: lake.Lake) -> None:
    lk.write("candles", market.candles("BTCUSDT", START + 40 * 86_400_000_000, 6000, price=90_000.0, seed=1))
    plan = lk.sql("SELECT * FROM candles WHERE open_time < '2026-01-05'").explain()
    del plan
    count = lk.sql("SELECT count(DISTINCT period) FROM candles WHERE open_time < '2026-01-05'").fetchall()
    assert count == [(1,)]


def test_show_tables_and_describe_work(lk: lake.Lake) -> None:
    names = {row[0] for row in lk.sql("SHOW TABLES").fetchall()}
    assert {"candles", "trades", "candle_gaps"} <= names
    assert lk.sql("DESCRIBE candles").fetchall()[0][0] == "venue"


def listed(lk: lake.Lake, statement: str, column: int = 0) -> list[str]:
    return sorted(row[column] for row in lk.sql(statement).fetchall())


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("SHOW TABLES", 0),
        ("show tables;", 0),
        ("SELECT * FROM (SHOW TABLES)", 0),
        ("SHOW ALL TABLES", 2),
        ("DESCRIBE", 2),
        ("SELECT table_name FROM information_schema.tables", 0),
        ("SELECT view_name FROM duckdb_views() WHERE NOT internal", 0),
        ("SELECT DISTINCT table_name FROM information_schema.columns", 0),
    ],
)
def test_the_catalogue_lists_datasets_and_views_and_nothing_else(lk: lake.Lake, statement: str, column: int) -> None:
    assert listed(lk, statement, column) == sorted([*registry.names(), *views()])


def test_the_catalogue_says_the_types_that_the_rows_have(lk: lake.Lake) -> None:
    asked = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name LIKE 'cand%les'"
    described = [tuple(row[:2]) for row in lk.sql("DESCRIBE candles").fetchall()]
    assert lk.sql(asked).fetchall() == described


def test_a_table_may_be_named_by_a_text_and_shows_its_hot_rows(lk: lake.Lake) -> None:
    assert lk.sql("SELECT count(*) FROM query_table('can' || 'dles')").fetchall() == [(6005,)]
    assert lk.sql("SELECT n, 'show' FROM query('SELECT count(*) n FROM can' || 'dles')").fetchall() == [(6005, "show")]


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("FROM candles", 6005),
        ("TABLE candles", 6005),
        ("WITH x AS (FROM candles) FROM x", 6005),
        ("VALUES (1), (2)", 2),
        ("SUMMARIZE candles", 14),
        ("DESCRIBE candles", 14),
        ("DESCRIBE SELECT close FROM candles", 1),
        ("SHOW candles", 14),
        ("PIVOT candles ON timeframe IN ('1m', '5m') USING count(*) GROUP BY symbol", 1),
        ("SELECT * FROM (PIVOT candles ON timeframe IN ('1m') USING count(*) GROUP BY symbol)", 1),
        ("UNPIVOT (SELECT open, close FROM candles) ON open, close INTO NAME n VALUE v", 12_010),
    ],
)
def test_every_way_to_read_is_allowed(lk: lake.Lake, statement: str, rows: int) -> None:
    assert lk.frame(statement).height == rows


@pytest.mark.parametrize(
    "statement",
    [
        "PIVOT candles ON timeframe USING count(*)",
        "SELECT * FROM (PIVOT candles ON timeframe USING count(*))",
        "EXPLAIN ANALYZE PIVOT candles ON timeframe USING count(*)",
    ],
)
def test_a_pivot_without_its_values_is_refused_with_the_way_to_write_it(lk: lake.Lake, statement: str) -> None:
    with pytest.raises(ReadOnlyError, match=r"looks its values up.*PIVOT \.\.\. ON column IN"):
        lk.sql(statement)


def test_a_pivot_without_its_values_works_when_more_than_reading_is_allowed(lk: lake.Lake) -> None:
    asked = "PIVOT candles ON timeframe USING count(*) GROUP BY symbol"
    assert lk.frame(asked, allow_external=True).rows() == [("BTCUSDT", 6005)]


@pytest.mark.parametrize("asked", ["SELECT INTERVAL 1 MONTH", "SELECT 1::UNION(a INTEGER, b VARCHAR)"])
def test_a_result_that_polars_has_no_type_for_is_a_query_error(lk: lake.Lake, asked: str) -> None:
    assert lk.sql(asked).fetchall()
    with pytest.raises(QueryError, match="does not fit a Polars frame.*Cast the column"):
        lk.frame(asked)


def test_a_lazy_relation_raises_errors_of_its_own_when_it_is_read(lk: lake.Lake) -> None:
    relation = lk.sql("SELECT symbol::INTEGER FROM candles")
    with pytest.raises(duckdb.Error, match="Could not convert string"):
        relation.pl()


def test_a_data_file_that_is_gone_is_a_query_error(lk: lake.Lake) -> None:
    for file in Path(lk.uri("candles")).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(QueryError, match=r"part-.*\.parquet: a data file is gone\. .*vacuumed: tag"):
        lk.sql("SELECT * FROM candles")


def test_a_version_that_was_vacuumed_is_one_sentence(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        for close in (1.5, 1.6):
            lk.candles.write([[1_767_225_600_000, 1.0, 2.0, 1.0, close, 5.0]], "1m", symbol="A")
            lk.drain()
        first = lk.version() - 1
    with lake.open(tmp_path / "lake") as lk:
        assert lk.vacuum(grace_hours=0).files_before == 1
        with pytest.raises(QueryError, match=r"a data file is gone\. An earlier version may have been vacuumed"):
            lk.at(version=first).read("candles")
        assert lk.read("candles")["close"].to_list() == [1.6]


@pytest.mark.parametrize(
    ("sql", "params", "told"),
    [
        (5, None, r"a statement is a text \(got 5\)"),
        ("SELECT '\udcff'", None, "in UTF-8"),
        ("SELECT ?", 5, r"parameters are a list of values, or \{name: value\} \(got 5\)"),
        ("SELECT ?", "x", r"parameters are a list of values, or \{name: value\} \(got 'x'\)"),
        ("SELECT ?", [object()], "Unable to transform python value"),
        ("SELECT ?", [], "Values were not provided"),
    ],
)
def test_a_wrong_call_is_one_clear_error(lk: lake.Lake, sql: Any, params: Any, told: str) -> None:
    with pytest.raises(LakeError, match=told):
        lk.sql(sql, params)


def test_threads_may_ask_at_once(lk: lake.Lake) -> None:
    answers: list[int] = []

    def ask() -> None:
        answers.extend(lk.sql("SELECT count(*) FROM candles").fetchall()[0][0] for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [6005] * 80


def test_read_takes_conditions_as_sql_or_as_values(lk: lake.Lake) -> None:
    assert lk.read("candles", where="close > 0").height == 6005
    assert lk.read("candles", where={"symbol": "BTC/USDT", "timeframe": ["1m", "5m"]}).height == 6005
    assert lk.read("candles", where={"open_time": "2026-01-01T00:00:00Z"}).height == 1
    assert lk.read("candles", where={"quote_volume": None}).height == 0
    with pytest.raises(lake.LakeError, match="no column 'colour'"):
        lk.read("candles", where={"colour": 1})


def test_the_candle_gaps_view_finds_the_holes_between_candles(tmp_path: Path) -> None:
    frame = market.candles("BTCUSDT", START, 100, price=1.0, seed=1)
    with lake.open(tmp_path) as lk:
        lk.candles.write(pl.concat([frame[:10], frame[13:50], frame[51:]]), "1m")
        found = lk.read("candle_gaps").select("gap_start", "gap_end", "missing").rows()
    times = frame["open_time"]
    assert found == [(times[10], times[12], 3), (times[50], times[50], 1)]


def test_a_published_catalogue_opens_read_only_in_plain_duckdb(lk: lake.Lake) -> None:
    path = lk.publish()
    with duckdb.connect(str(path), read_only=True) as other:
        assert other.sql("SELECT count(*) FROM candles").fetchall() == [(6005,)]
        assert other.sql("SELECT count(*) FROM trades").fetchall() == [(0,)]
        assert other.sql("SELECT comment FROM duckdb_views() WHERE view_name = 'candle_gaps'").fetchall()[0][0]


def test_a_published_catalogue_stays_readable_after_compaction_and_vacuum(lk: lake.Lake) -> None:
    path = lk.publish()
    lk.compact()
    lk.vacuum(grace_hours=0)
    with duckdb.connect(str(path), read_only=True) as other:
        assert other.sql("SELECT count(*) FROM candles").fetchall() == [(6005,)]


def test_other_engines_see_the_same_rows(lk: lake.Lake) -> None:
    lk.drain()
    columns = [
        "venue",
        "symbol",
        "timeframe",
        "open_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "trade_count",
        "period",
    ]
    ours = lk.frame(f"SELECT {', '.join(columns)} FROM candles ORDER BY symbol, open_time")
    theirs = pl.scan_delta(lk.uri("candles")).select(columns).sort("symbol", "open_time").collect()
    assert theirs.equals(ours)


def test_a_select_may_be_explained(lk: lake.Lake) -> None:
    assert lk.sql("EXPLAIN SELECT * FROM candles").fetchall()
    assert lk.sql("EXPLAIN ANALYZE SELECT count(*) FROM candles").fetchall()
    assert lk.sql("-- why é\nEXPLAIN /* how */ (ANALYZE, FORMAT json) FROM candles WHERE symbol = ')'").fetchall()
    assert lk.sql("EXPLAIN (SELECT 1) UNION (SELECT 2)").fetchall()


def test_views_take_their_parameters_as_variables(lk: lake.Lake) -> None:
    given = {"time_zone": "Asia/Tokyo", "periods_per_year": 252, "now": FIRST}
    asked = "SELECT day_of(TIMESTAMPTZ '2026-01-01 20:00+00')::VARCHAR d, periods_per_year() p, as_of_now() t"
    assert lk.frame(asked, variables=given).rows() == [("2026-01-02", 252.0, FIRST)]
    assert lk.frame(asked).row(0)[:2] == ("2026-01-01", 365.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"zone": "UTC"}, "unknown variable"),
        ({"time_zone": "Mars/Base"}, "no such time zone"),
        ({"time_zone": "x'; DROP"}, "no such time zone"),
        ({"periods_per_year": 0}, "must be a number above 0"),
        ({"now": datetime(2026, 1, 1)}, "naive"),  # noqa: DTZ001 - that is the point
    ],
)
def test_a_wrong_variable_is_one_clear_error(lk: lake.Lake, given: dict[str, object], message: str) -> None:
    with pytest.raises(LakeError, match=message):
        lk.frame("SELECT 1", variables=given)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 10), (50, 100), (0, 0)])
def test_a_rate_has_the_wilson_interval_that_statistics_teaches(lk: lake.Lake, k: int, n: int) -> None:
    low, high = lk.frame(f"SELECT wilson_low({k}, {n}), wilson_high({k}, {n})").row(0)
    if n == 0:
        assert low is None
        assert high is None
        return
    z = NormalDist().inv_cdf(0.975)
    for bound in (low, high):  # the interval's ends are where the score statistic is z
        if 0 < bound < 1:
            assert abs(k / n - bound) / (bound * (1 - bound) / n) ** 0.5 == pytest.approx(z)
    assert 0 <= low <= k / n <= high <= 1


def test_none_among_wanted_values_means_the_nulls_too(lk: lake.Lake) -> None:
    lk.write("trades", [{"trade_id": "a", "symbol": "BTCUSDT", "strategy": s} for s in ("x",)])
    lk.write("trades", [{"trade_id": "b", "symbol": "BTCUSDT"}])
    assert sorted(lk.read("trades", {"strategy": ["x", None]})["trade_id"]) == ["a", "b"]
    assert lk.read("trades", {"strategy": None})["trade_id"].to_list() == ["b"]
    assert lk.read("trades", {"strategy": []}).height == 0
