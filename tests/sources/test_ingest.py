"""Resumption, duplicates, order and accounting of an ingest."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from lake.errors import StorageError
from lake.sources import landing
from lake.sources.base import CANDLES, Options
from lake.sources.ingest import Progress, ingest
from lake.sources.landing import REPLACED, fates
from lake.sources.report import COUNTS
from lake.sources.shape import HALF_BUILT
from tests.sources.made import START, csv_text, kline_rows, written
from tests.sources.recorder import Receipt, RecordingLake


@pytest.fixture
def lk(tmp_path: Path) -> RecordingLake:
    return RecordingLake(tmp_path / "lake")


def _counts(file: object) -> tuple[int, ...]:
    return tuple(getattr(file, name) for name in COUNTS)


def test_identical_rows_of_a_file_are_duplicates(lk: RecordingLake, tmp_path: Path) -> None:
    rows = kline_rows(10)
    (file,) = ingest(lk, written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(rows + rows[:3]))).files
    assert _counts(file) == (13, 10, 0, 3, 0)
    assert file.reasons == {"the same row stands in the file again": 3}


def test_a_half_built_bar_gives_way_to_its_final_row(lk: RecordingLake, tmp_path: Path) -> None:
    rows = kline_rows(3)
    half = [*rows[1][:5], 1, *rows[1][6:]]
    (file,) = ingest(lk, written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text([rows[0], half, rows[1], rows[2]]))).files
    assert _counts(file) == (4, 3, 0, 1, 0)
    assert file.reasons == {"superseded by a later row of the file at the same time": 1}
    assert lk.rows["candles"]["volume"].to_list() == [10, 11, 12]


def test_a_broken_last_row_does_not_push_out_a_whole_one(lk: RecordingLake, tmp_path: Path) -> None:
    rows = kline_rows(2)
    broken = [rows[1][0], 100, 90, 120, 100, *rows[1][5:]]
    (file,) = ingest(lk, written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text([*rows, broken]))).files
    assert (file.landed, file.rows_in) == (2, 3)
    assert lk.rows["candles"]["high"].to_list() == [102, 103]


def test_files_that_overlap_balance_row_by_row(lk: RecordingLake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    written(folder, "BTCUSDT-1m-2024-01-01.csv", csv_text(kline_rows(10)))
    other = kline_rows(10, start=START + 5 * 60_000)  # the first five at known times, with other prices
    written(folder, "BTCUSDT-1m-2024-01-02.csv", csv_text(other))
    written(folder, "BTCUSDT-1m-2024-01-03.csv", csv_text(other[3:6]))
    first, second, third = ingest(lk, folder).files
    assert (_counts(first), _counts(second), _counts(third)) == ((10, 10, 0, 0, 0), (10, 5, 5, 0, 0), (3, 0, 0, 3, 0))
    assert lk.rows["candles"].height == 15


def test_the_result_does_not_depend_on_how_much_is_gathered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for day in range(1, 9):
        written(folder, f"BTCUSDT-1m-2024-01-0{day}.csv", csv_text(kline_rows(20, start=START + day * 7 * 60_000)))
    whole = RecordingLake(tmp_path / "a")
    expected = ingest(whole, folder).as_dict()
    monkeypatch.setattr(landing, "GATHER_ROWS", 17)
    pieces = RecordingLake(tmp_path / "b")
    assert ingest(pieces, folder, workers=3).as_dict() == expected
    assert pieces.commits > whole.commits == 1
    assert pieces.rows["candles"].sort("open_time").equals(whole.rows["candles"].sort("open_time"))


def test_a_few_rows_of_several_series_are_held_against_no_more_of_the_lake(tmp_path: Path) -> None:
    class Asked(RecordingLake):
        """Counts the rows that it hands out."""

        given = 0

        def sql(self, query: str, params: Sequence[object] = ()) -> duckdb.DuckDBPyRelation:
            found = super().sql(query, params)
            self.given += found.pl().height
            return found

    lk, minute, day = Asked(tmp_path / "lake"), 60_000, 86_400_000
    midnight = START // day * day
    for symbol in ("BTCUSDT", "ETHUSDT"):
        written(tmp_path / "old", f"{symbol}-1m-2024-01.csv", csv_text(kline_rows(3 * 1440)))
        written(tmp_path / "old", f"{symbol}-1d-2024-01.csv", csv_text(kline_rows(3, day, start=midnight)))
    ingest(lk, tmp_path / "old")
    lk.given = 0
    written(tmp_path / "new", "BTCUSDT-1m-2024-01-01.csv", csv_text(kline_rows(2)))
    written(tmp_path / "new", "ETHUSDT-1m-2024-01-03.csv", csv_text(kline_rows(2, start=START + 2 * day + minute)))
    written(tmp_path / "new", "BTCUSDT-1d-2024.csv", csv_text(kline_rows(3, day, start=midnight)))
    totals = ingest(lk, tmp_path / "new").totals
    assert (totals["duplicate"] + totals["updated"], lk.given) == (7, 7)


@pytest.mark.parametrize("kill_at", range(4))
def test_an_interrupted_ingest_continues_and_ends_where_a_whole_one_ends(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path, kill_at: int
) -> None:
    folder = tmp_path / "in"
    for number in range(5):
        written(folder, f"SYM{number}USDT-1m-2024-01.csv", csv_text(kline_rows(30)))
    monkeypatch.setattr(landing, "GATHER_ROWS", 30)
    lk.fail_at_commit = kill_at
    with pytest.raises(InterruptedError):
        ingest(lk, folder)
    lk.fail_at_commit = None
    report = ingest(lk, folder)
    assert lk.rows["candles"].height == 150
    assert report.balanced
    assert sum(f.status == "already there" for f in report.files) == kill_at
    assert report.totals["landed"] == 150 - 30 * kill_at


def test_a_file_that_changed_is_read_again(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(kline_rows(10)))
    ingest(lk, path)
    written(tmp_path, path.name, csv_text(kline_rows(12)))
    (file,) = ingest(lk, path).files
    assert _counts(file) == (12, 2, 0, 10, 0)


def test_the_same_file_with_other_options_is_read_again(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(kline_rows(10)))
    ingest(lk, path)
    (file,) = ingest(lk, path, Options(venue="other")).files
    assert (file.landed, sorted(lk.rows["candles"]["venue"].unique())) == (10, ["binance", "other"])


def test_the_same_file_in_the_folder_of_another_market_is_read_there(lk: RecordingLake, tmp_path: Path) -> None:
    text = json.dumps([row[:6] for row in kline_rows(3)])
    for folder in ("binance", "kraken", "kraken/futures", "kraken/old"):
        ingest(lk, written(tmp_path / folder, "BTC_USDT-1m.json", text))
    held = lk.rows["candles"].group_by("venue", "symbol").len().sort("venue", "symbol").rows()
    assert held == [("", "BTCUSDT", 3), ("binance", "BTCUSDT", 3), ("kraken", "BTCUSDT", 3), ("kraken", "BTCUSDT.P", 3)]


def test_a_file_that_was_moved_where_it_means_the_same_is_not_read_again(lk: RecordingLake, tmp_path: Path) -> None:
    for folder in ("old", "new"):
        (file,) = ingest(lk, written(tmp_path / folder, "BTCUSDT-1m-2024-01.csv", csv_text(kline_rows(3)))).files
    assert file.status == "already there"


def test_a_failed_file_is_not_remembered(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "BTC_USDT-1m.json", b"[[1,2")
    assert ingest(lk, path).files[0].status == "failed"
    written(tmp_path, path.name, json.dumps([[row[0], 1.0, 1.0, 1.0, 1.0, 1.0] for row in kline_rows(3)]))
    assert ingest(lk, path).files[0].landed == 3


def test_a_file_of_which_no_row_was_taken_tells_so_again_and_is_not_quarantined_twice(
    lk: RecordingLake, tmp_path: Path
) -> None:
    path = written(
        tmp_path, "BTC_USDT-8m.json", json.dumps([[row[0], 1.0, 1.0, 1.0, 1.0, 1.0] for row in kline_rows(3)])
    )
    first, second = ingest(lk, path), ingest(lk, path)
    assert (first.files[0].status, second.files[0].status) == ("done", "already there")
    for report in (first, second):
        assert report.refused == report.files
        assert report.files[0].reasons == {"unknown timeframe '8m'": 3}
        assert "refused whole: 1 files" in report.text()
    assert len(lk.quarantined) == 3


def test_what_the_lake_cannot_take_is_no_fault_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full(RecordingLake):
        def write(self, dataset: str, frame: pl.DataFrame) -> Receipt:
            raise StorageError("the disk is full", where=dataset)

    monkeypatch.setattr("lake.sources.ingest.GATHER_ROWS", 10)  # so that the second file is written while it is read
    for day in (1, 2):
        count, start = (5, START) if day == 1 else (50, START + 86_400_000)
        written(tmp_path / "in", f"BTCUSDT-1m-2024-01-0{day}.csv", csv_text(kline_rows(count, start=start)))
    with pytest.raises(StorageError, match="the disk is full"):
        ingest(Full(tmp_path / "lake"), tmp_path / "in")
    report = ingest(RecordingLake(tmp_path / "lake"), tmp_path / "in")
    assert (report.totals["landed"], report.failed) == (55, ())


def _trades(first: int, last: int) -> str:
    """Binance trades ``first`` to ``last`` (ids), one every 7 s."""
    rows = [
        [i, 100 + i % 5, 1, 100 + i % 5, START + i * 7_000, "True" if i % 2 else "False", "True"]
        for i in range(first, last)
    ]
    return csv_text(rows)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "cuts", [((0, 600),), ((0, 200), (200, 600)), ((0, 350), (100, 600)), ((0, 600), (150, 300), (590, 600))]
)
def test_trades_cut_into_files_anyhow_fold_into_the_same_candles(lk: RecordingLake, tmp_path: Path, cuts) -> None:
    folder = tmp_path / "in"
    for number, (first, last) in enumerate(cuts):
        written(folder, f"BTCUSDT-trades-2024-01-0{number + 1}.csv", _trades(first, last))
    report = ingest(lk, folder)
    repeated = sum(last - first for first, last in cuts) - 600
    assert (report.totals["landed"], report.totals["duplicate"], report.balanced) == (600, repeated, True)
    candles = lk.rows["candles"].sort("open_time")
    assert candles.height == 70
    assert candles["trade_count"].sum() == 600
    assert (candles["open"][0], candles["trade_count"][0], candles["taker_buy_volume"].sum()) == (100.0, 9, 300.0)


def test_a_file_that_starts_inside_a_candle_does_not_replace_the_whole_one(lk: RecordingLake, tmp_path: Path) -> None:
    ingest(lk, written(tmp_path, "BTCUSDT-trades-2024-01.csv", _trades(0, 600)))
    whole = lk.rows["candles"].sort("open_time")
    (file,) = ingest(lk, written(tmp_path, "BTCUSDT-trades-2024-02.csv", _trades(100, 300))).files
    assert (file.duplicate, file.updated, file.balanced) == (200, 0, True)
    assert lk.rows["candles"].sort("open_time").equals(whole)


def test_trades_in_many_batches_fold_as_in_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = written(tmp_path, "BTCUSDT-trades-2024-01.csv", _trades(0, 600))
    whole = RecordingLake(tmp_path / "a")
    ingest(whole, path)
    monkeypatch.setattr("lake.sources.csvs.BATCH_ROWS", 13)
    pieces = RecordingLake(tmp_path / "b")
    ingest(pieces, path)
    assert pieces.rows["candles"].sort("open_time").equals(whole.rows["candles"].sort("open_time"))


def test_trades_that_come_after_their_candle_was_closed_are_quarantined(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path
) -> None:
    lines = _trades(0, 60).splitlines()
    monkeypatch.setattr("lake.sources.csvs.BATCH_ROWS", 20)
    path = written(tmp_path, "BTCUSDT-trades-2024-01.csv", "\n".join(lines[1:] + lines[:1]) + "\n")
    (file,) = ingest(lk, path).files
    assert _counts(file) == (60, 59, 0, 0, 1)
    assert next(iter(file.reasons)).startswith("the trade comes after its candle was closed")


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        (1, "nan", "price is not a price: NaN"), (1, "0", "price is not a price: 0.0"),
        (1, "-5", "price is not a price: -5.0"), (1, "inf", "price is not a price: inf"), (1, "", "price is missing"),
        (1, "abc", "price is not a number: abc"), (2, "nan", "quantity is not a size: NaN"),
        (2, "-1", "quantity is not a size: -1.0"), (3, "inf", "quote_quantity is not a size: inf"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", range(3))
def test_a_bad_trade_is_refused_alone_and_the_good_ones_of_its_minute_make_the_candle(
    lk: RecordingLake, tmp_path: Path, column: int, text: str, reason: str, place: int
) -> None:
    rows: list[list[object]] = [[n, 100 + n, 1, 100 + n, START + n, "true", "true"] for n in range(3)]
    rows[place][column] = text
    (file,) = ingest(lk, written(tmp_path, "BTCUSDT-trades-2024-01-01.csv", csv_text(rows))).files
    assert (_counts(file), file.reasons) == ((3, 2, 0, 0, 1), {reason: 1})
    good = [100.0 + n for n in range(3) if n != place]
    columns = ("open", "close", "volume", "quote_volume", "trade_count")
    assert lk.rows["candles"].select(columns).rows() == [(good[0], good[1], 2.0, sum(good), 2)]
    assert [q["source"] for q in lk.quarantined] == [file.path]


def test_an_aggregate_that_stands_for_no_trade_is_refused_alone(lk: RecordingLake, tmp_path: Path) -> None:
    rows: list[list[object]] = [[n, 100, 1, 2 * n, 2 * n + 1, START + n, "true", "true"] for n in range(3)]
    rows[1][4] = -9
    (file,) = ingest(lk, written(tmp_path, "BTCUSDT-aggTrades-2024-01-01.csv", csv_text(rows))).files
    assert _counts(file) == (3, 2, 0, 0, 1)
    assert lk.rows["candles"]["trade_count"].to_list() == [4]


def test_a_cost_that_is_not_given_is_price_times_quantity(lk: RecordingLake, tmp_path: Path) -> None:
    rows: list[list[object]] = [[n, 100, 2, "nan", START + n, "true", "true"] for n in range(2)]
    ingest(lk, written(tmp_path, "BTCUSDT-trades-2024-01-01.csv", csv_text(rows)))
    assert lk.rows["candles"]["quote_volume"].to_list() == [400.0]


def test_rows_that_replace_those_of_another_file_are_said_to(lk: RecordingLake, tmp_path: Path) -> None:
    first = written(tmp_path, "a/BTCUSDT-1m-2024-01.csv", csv_text(kline_rows(10)))
    second = written(tmp_path, "b/BTCUSDT-1m-2024-01.csv", csv_text([[*r[:5], 7, *r[6:]] for r in kline_rows(4)]))
    files = ingest(lk, [first, second]).files
    assert [dict(file.reasons) for file in files] == [{}, {REPLACED: 4}]
    assert f"4 x {REPLACED}" in ingest(lk, first, Options(time_unit="ms")).text()


def test_trades_and_aggtrades_of_one_market_are_not_added_up(lk: RecordingLake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    written(folder, "BTCUSDT-trades-2024-01-01.csv", _trades(0, 40))
    rows = [[i, 100, 1, 2 * i, 2 * i + 1, START + i * 14_000, "True", "True"] for i in range(20)]
    written(folder, "BTCUSDT-aggTrades-2024-01-01.csv", csv_text(rows))  # type: ignore[arg-type]
    report = ingest(lk, folder)
    assert report.balanced
    assert lk.rows["candles"]["trade_count"].sum() == 40


def test_a_perpetual_is_told_by_its_folder(lk: RecordingLake, tmp_path: Path) -> None:
    for folder in ("spot", "futures/um"):
        written(
            tmp_path / "data", f"{folder}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.csv", csv_text(kline_rows(3))
        )
    written(
        tmp_path / "data",
        "futures/um/BTCUSDT-fundingRate-2024-01.csv",
        "calc_time,funding_interval_hours,last_funding_rate\n1704067200000,8,0.0003\n",
    )
    ingest(lk, tmp_path / "data")
    assert sorted(lk.rows["candles"]["symbol"].unique()) == ["BTCUSDT", "BTCUSDT.P"]
    assert lk.rows["market_metrics"].select("symbol", "metric", "value").rows() == [
        ("BTCUSDT.P", "funding_rate", 0.0003)
    ]


def test_open_interest_and_ratios_of_a_futures_dump_become_market_metrics(lk: RecordingLake, tmp_path: Path) -> None:
    header = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_long_short_ratio\n"
    lines = "2024-03-01 00:05:00,BTCUSDT,79000.5,4900000000.25,1.2\n2024-03-01 00:10:00,BTCUSDT,79001,,oops\n"
    written(tmp_path / "data", "BTCUSDT-metrics-2024-03-01.csv", header + lines)
    report = ingest(lk, tmp_path / "data")
    (found,) = report.files
    assert (found.rows_in, found.quarantined) == (5, 1)  # an empty cell is no row
    first, second = datetime(2024, 3, 1, 0, 5, tzinfo=UTC), datetime(2024, 3, 1, 0, 10, tzinfo=UTC)
    rows = lk.rows["market_metrics"].select("venue", "symbol", "metric", "time", "value").sort("time", "metric").rows()
    assert rows == [
        ("binance", "BTCUSDT.P", "long_short_ratio", first, 1.2),
        ("binance", "BTCUSDT.P", "open_interest", first, 79000.5),
        ("binance", "BTCUSDT.P", "open_interest_value", first, 4900000000.25),
        ("binance", "BTCUSDT.P", "open_interest", second, 79001.0),
    ]


def test_a_bybit_cache_is_strings_newest_first(lk: RecordingLake, tmp_path: Path) -> None:
    rows = [[str(cell) for cell in (*row[:6], 777)] for row in reversed(kline_rows(5, 300_000))]
    document = {"symbol": "BTCUSDT", "interval": "5", "start_ms": START, "end_ms": START + 1, "rows": rows}
    ingest(lk, written(tmp_path, "cache.json", json.dumps(document)))
    ours = lk.rows["candles"].sort("open_time")
    assert ours.select("venue", "symbol", "timeframe").unique().rows() == [("bybit", "BTCUSDT", "5m")]
    assert ours["open_time"].dt.epoch("ms").to_list() == [row[0] for row in kline_rows(5, 300_000)]
    assert ours["quote_volume"].to_list() == [777.0] * 5


@pytest.mark.parametrize("description", [True, False])
def test_an_octobot_file_lands_the_bars_that_had_closed_when_it_was_collected(
    lk: RecordingLake, tmp_path: Path, description: bool
) -> None:
    opened = START // 1000
    path = tmp_path / "collected.data"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table ohlcv (timestamp, exchange_name, symbol, time_frame, candle)")
        for number in range(3):
            candle = json.dumps([opened + number * 60, 1.0, 2.0, 0.5, 1.5, 7.0])
            row = (opened + number * 60 + 60, "binance", "BTC/USDT", "1m", candle)
            connection.execute("insert into ohlcv values (?, ?, ?, ?, ?)", row)
        if description:
            connection.execute("create table description (timestamp, version)")
            connection.execute("insert into description values (?, '1.1')", (opened + 120.5,))
        connection.commit()
    (file,) = ingest(lk, path).files
    late = {HALF_BUILT: 1} if description else {}
    assert (_counts(file), file.reasons) == ((3, 3 - len(late), 0, 0, len(late)), late)
    assert [json.loads(q["row"])["open_time"] for q in lk.quarantined] == [opened + 120] * len(late)


def test_a_wrapped_ccxt_file_says_its_symbol_and_timeframe(lk: RecordingLake, tmp_path: Path) -> None:
    rows = [[row[0], 1.0, 2.0, 1.0, 1.5, None] for row in kline_rows(4, 3_600_000)]
    for key in ("ohlcv", "data"):
        document = {"symbol": "BTC/USDT:USDT", "timeframe": "1h", key: rows}
        ingest(lk, written(tmp_path, f"{key}.json", json.dumps(document)))
    assert lk.rows["candles"].select("symbol", "timeframe").unique().rows() == [("BTCUSDT.P", "1h")]
    assert lk.rows["candles"].height == 4


def test_progress_is_told_after_every_file(lk: RecordingLake, tmp_path: Path) -> None:
    for number in range(3):
        written(tmp_path / "in", f"SYM{number}USDT-1m-2024-01.csv", csv_text(kline_rows(5)))
    seen: list[Progress] = []
    ingest(lk, tmp_path / "in", progress=seen.append)
    assert [(p.files_done, p.files) for p in seen] == [(1, 3), (2, 3), (3, 3)]


def test_fates_follow_the_order_of_the_rows_like_a_perfect_store() -> None:
    rng = random.Random(7)
    key = {"venue": "", "symbol": "B", "timeframe": "1m"}
    for _ in range(30):
        minutes = [START + rng.randrange(6) * 60_000 for _ in range(20)]
        rows = [{**key, "open_time": t, "close": float(rng.randrange(2))} for t in minutes]
        table = pl.DataFrame(rows).with_columns(pl.col("open_time").cast(pl.Datetime("ms", "UTC")))
        table = table.select(
            pl.col(n).cast(k) if n in table.columns else pl.lit(None, dtype=k).alias(n) for n, k in CANDLES.items()
        )
        held = table.head(5).unique(["open_time"], keep="last", maintain_order=True)
        known = dict(zip(held["open_time"], held["close"], strict=True))
        expected = []
        for time, close in table[5:].select("open_time", "close").iter_rows():
            expected.append("landed" if time not in known else "duplicate" if known[time] == close else "updated")
            known[time] = close
        assert fates("candles", held, table[5:]).to_list() == expected
