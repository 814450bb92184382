"""Trades that are read in several runs make the candles that one run over all files makes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

from lake.sources import ingest as ingest_module
from lake.sources import landing
from lake.sources.base import KEYS, Options
from lake.sources.held_trades import FOLDER
from lake.sources.ingest import ingest
from lake.sources.report import IngestReport
from tests.sources.made import START, csv_text, written
from tests.sources.recorder import Receipt, RecordingLake

Trade = tuple[int, int, int]  # number, time in ms, price
Namer = Callable[[Path, int, Sequence[Trade]], Path]


def _made(rng: random.Random, count: int, least: int = 0) -> list[Trade]:
    """Trades in order of time, ``least`` ms apart or more, none for minutes now and then."""
    trades, time = [], START
    for number in range(count):
        time += rng.choice([least, 1, 900, 7_000, 7_000, 50_000, 400_000])
        trades.append((number, time, 100 + rng.randrange(9)))
    return trades


def _binance(folder: Path, place: int, trades: Sequence[Trade]) -> Path:
    rows = [[n, price, 1 + n % 3, price * (1 + n % 3), time, "True" if n % 2 else "False", "True"]
            for n, time, price in trades]  # fmt: skip
    return written(folder, f"BTCUSDT-trades-2024-{place:04d}.csv", csv_text(rows))  # type: ignore[arg-type]


def _freqtrade(folder: Path, place: int, trades: Sequence[Trade]) -> Path:
    rows = [[time, f"t-{n}", None, "buy", float(price), 1.0 + n % 3, None] for n, time, price in trades]
    return written(folder, f"{place}/BTC_USDT-trades.json", json.dumps(rows))


def _kraken(folder: Path, place: int, trades: Sequence[Trade]) -> Path:
    rows = [[f"{time // 1000}.{time % 1000:03d}", price, 1 + n % 3] for n, time, price in trades]
    return written(folder, f"{place}/XBTEUR.csv", csv_text(rows))  # type: ignore[arg-type]


def _spans(rng: random.Random, trades: list[Trade], overlap: int) -> list[list[Trade]]:
    """The trades cut into runs of neighbours, which may overlap."""
    cuts = [0, *sorted(rng.sample(range(1, len(trades)), 6)), len(trades)]
    return [trades[max(0, a - rng.randint(0, overlap)) : b] for a, b in pairwise(cuts)]


def _dealt(rng: random.Random, trades: list[Trade]) -> list[list[Trade]]:
    """The trades dealt out like cards, some of them twice."""
    files: list[list[Trade]] = [[] for _ in range(5)]
    for trade in trades:
        for place in rng.sample(range(5), rng.choice([1, 1, 1, 2])):
            files[place].append(trade)
    return [file for file in files if file]


def _candles(lk: RecordingLake) -> pl.DataFrame:
    return lk.rows["candles"].sort(KEYS["candles"])


def _in_runs(rng: random.Random, lk: RecordingLake, paths: list[Path], options: Options) -> None:
    """The files in any order, one or some at a time, each lake's report balanced."""
    left = rng.sample(paths, len(paths))
    while left:
        count = rng.randint(1, 3)
        report = ingest(lk, left[:count], options)
        assert report.balanced
        assert report.failed == ()
        left = left[count:]


@pytest.mark.parametrize("timeframe", ["1m", "15m", "1d"])
@pytest.mark.parametrize(
    ("namer", "dealt", "overlap"),
    [(_binance, False, 0), (_binance, False, 20), (_binance, True, 0), (_freqtrade, False, 0), (_kraken, False, 0)],
)
def test_several_runs_end_where_one_run_over_all_files_ends(
    tmp_path: Path, namer: Namer, dealt: bool, overlap: int, timeframe: str
) -> None:
    rng, options = random.Random(f"{namer.__name__} {dealt} {overlap}"), Options(timeframe=timeframe)
    for number in range(2):
        trades = _made(rng, 150, least=0 if namer is _binance else 1)  # only numbers tell the order of one moment
        files = _dealt(rng, trades) if dealt else _spans(rng, trades, overlap)
        folder = tmp_path / str(number)
        paths = [namer(folder / "in", place, file) for place, file in enumerate(files)]
        whole, parts = RecordingLake(folder / "whole"), RecordingLake(folder / "parts")
        ingest(whole, paths, options)
        _in_runs(rng, parts, paths, options)
        assert _candles(whole)["trade_count"].sum() == 150
        assert _candles(parts).equals(_candles(whole)), (number, timeframe)


@pytest.mark.parametrize("kill_at", range(3))
def test_runs_that_are_killed_and_run_again_end_there_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kill_at: int
) -> None:
    rng = random.Random(kill_at)
    trades = _made(rng, 400)
    paths = [_binance(tmp_path / "in", place, file) for place, file in enumerate(_spans(rng, trades, 10))]
    whole, parts = RecordingLake(tmp_path / "whole"), RecordingLake(tmp_path / "parts")
    ingest(whole, paths)
    monkeypatch.setattr(landing, "GATHER_ROWS", 15)
    monkeypatch.setattr(ingest_module, "GATHER_ROWS", 15)
    monkeypatch.setattr("lake.sources.csvs.BATCH_ROWS", 20)
    ingest(parts, paths[2:4])
    parts.fail_at_commit = parts.commits + kill_at
    with pytest.raises(InterruptedError):
        ingest(parts, paths[:5])
    parts.fail_at_commit = None
    ingest(parts, paths[5:])
    ingest(parts, paths)
    assert _candles(parts).equals(_candles(whole))


def test_a_second_day_adds_to_the_candle_that_it_shares_with_the_first(tmp_path: Path) -> None:
    first = [(1, START + 1_000, 100), (2, START + 65_000, 101)]
    second = [(3, START + 75_000, 105), (4, START + 130_000, 106)]
    lk = RecordingLake(tmp_path / "lake")
    ingest(lk, _binance(tmp_path, 1, first))
    (file,) = ingest(lk, _binance(tmp_path, 2, second)).files
    assert (file.landed, file.updated) == (1, 1)
    shared = _candles(lk).row(1, named=True)
    assert [shared[n] for n in ("open", "low", "close", "volume", "trade_count")] == [101.0, 101.0, 105.0, 4.0, 2]


def test_trades_are_kept_no_longer_than_their_candle_is_open(tmp_path: Path) -> None:
    trades = _made(random.Random(5), 300)
    lk = RecordingLake(tmp_path / "lake")
    for place in range(10):
        ingest(lk, _binance(tmp_path, place, trades[place * 30 : place * 30 + 30]))
        kept = pl.concat(pl.read_parquet(p) for p in (tmp_path / "lake" / FOLDER).rglob("*.parquet"))
        first, last = trades[0][1] // 60_000, trades[place * 30 + 29][1] // 60_000
        minutes = (kept["time"].dt.epoch("ms") // 60_000).unique().sort().to_list()
        assert minutes == [first, last]


@pytest.mark.parametrize("namer", [_binance, _freqtrade, _kraken])
def test_a_file_whose_newest_trade_stands_first_makes_the_same_candles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, namer: Namer
) -> None:
    monkeypatch.setattr("lake.sources.csvs.BATCH_ROWS", 40)
    trades = [(n, time // 500 * 500, price) for n, time, price in _made(random.Random(9), 150)]
    falling, rising = RecordingLake(tmp_path / "a"), RecordingLake(tmp_path / "b")
    report = ingest(falling, namer(tmp_path / "falling", 0, trades[::-1]))
    ingest(rising, namer(tmp_path / "rising", 0, trades))
    assert (report.totals["landed"], report.totals["quarantined"]) == (150, 0)
    assert _candles(falling).equals(_candles(rising))


def test_a_file_of_trades_without_ids_that_grew_does_not_count_them_twice(tmp_path: Path) -> None:
    trades = _made(random.Random(6), 100)
    lk, whole = RecordingLake(tmp_path / "lake"), RecordingLake(tmp_path / "whole")
    for count in (40, 70, 100):
        ingest(lk, _kraken(tmp_path, 0, trades[:count]))
    ingest(whole, _kraken(tmp_path, 1, trades))
    assert _candles(lk).equals(_candles(whole))


def test_a_damaged_file_leaves_no_trade_behind(tmp_path: Path) -> None:
    lk = RecordingLake(tmp_path / "lake")
    path = written(tmp_path, "BTC_USDT-trades.json", json.dumps([[START, "t", None, "buy", 1.0, 1.0, 1.0]] * 3)[:-20])
    assert ingest(lk, path).files[0].status == "failed"
    assert not (tmp_path / "lake" / FOLDER).exists()


def _with_one_damaged(folder: Path) -> list[Path]:
    """Three files of trades of one market; of the second one the last row is in another unit of time."""
    trades = _made(random.Random(7), 90)
    paths = [_binance(folder, place, trades[place * 30 : place * 30 + 30]) for place in range(3)]
    number, time, price = trades[59]
    paths[1].write_text(paths[1].read_text() + csv_text([[number + 1, price, 1, price, time * 1000, "True", "True"]]))
    return paths


@pytest.mark.parametrize(("workers", "gather"), [(1, 1000), (3, 1000), (2, 5)])
def test_a_damaged_file_of_trades_does_not_keep_the_others_of_its_market_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int, gather: int
) -> None:
    monkeypatch.setattr(ingest_module, "GATHER_ROWS", gather)
    monkeypatch.setattr(landing, "GATHER_ROWS", gather)
    monkeypatch.setattr("lake.sources.csvs.BATCH_ROWS", 10)  # so that the damage is met when candles are made already
    first, second, third = _with_one_damaged(tmp_path / "in")
    lk, whole = RecordingLake(tmp_path / "lake"), RecordingLake(tmp_path / "whole")
    report = ingest(lk, [first, second, third], workers=workers)
    assert [file.status for file in report.files] == ["done", "failed", "done"]
    assert "epoch times in mixed units" in report.failed[0].error
    assert report.totals["landed"] == 60
    ingest(whole, [first, third])
    assert _candles(lk).equals(_candles(whole))


def test_a_damaged_file_of_trades_that_is_mended_adds_its_own_to_the_others(tmp_path: Path) -> None:
    paths = _with_one_damaged(tmp_path / "in")
    lk, whole = RecordingLake(tmp_path / "lake"), RecordingLake(tmp_path / "whole")
    ingest(lk, paths)
    paths[1].write_text("".join(paths[1].read_text().splitlines(keepends=True)[:-1]))
    assert [file.status for file in ingest(lk, paths).files] == ["already there", "done", "already there"]
    ingest(whole, paths)
    assert _candles(lk).equals(_candles(whole))


@pytest.mark.parametrize(("damage", "sentence"), [("cut", "are damaged"), ("gone", "another ingest reads trades")])
def test_kept_trades_that_cannot_be_read_are_one_sentence(tmp_path: Path, damage: str, sentence: str) -> None:
    trades = _made(random.Random(8), 40)
    lk = RecordingLake(tmp_path / "lake")
    ingest(lk, _binance(tmp_path, 1, trades[:20]))
    (kept,) = (tmp_path / "lake" / FOLDER).rglob("*.parquet")
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:50])
    else:
        listed = lk.location.list(str(kept.parent.relative_to(tmp_path / "lake")))
        lk.location.list = lambda prefix: listed if FOLDER in prefix else []  # type: ignore[method-assign]
        kept.unlink()
    before = _candles(lk)
    (file,) = ingest(lk, _binance(tmp_path, 2, trades[20:])).files
    assert (file.status, sentence in file.error) == ("failed", True)
    assert _candles(lk).equals(before)


def test_a_damaged_file_keeps_its_own_sentence_when_the_others_of_its_market_fail_too(tmp_path: Path) -> None:
    first, second, third = _with_one_damaged(tmp_path / "in")
    lk = RecordingLake(tmp_path / "lake")
    ingest(lk, first)
    (kept,) = (tmp_path / "lake" / FOLDER).rglob("*.parquet")
    kept.write_bytes(kept.read_bytes()[:50])
    errors = [file.error for file in ingest(lk, [second, third]).files]
    assert ["epoch times in mixed units" in errors[0], "that an earlier run kept are damaged" in errors[1]] == [
        True,
        True,
    ]


class _Interrupted(RecordingLake):
    """A lake during whose first write somebody else does something, as far as that does not wait for the writer."""

    other: Thread | None = None

    def write(self, dataset: str, frame: pl.DataFrame) -> Receipt:
        other, self.other = self.other, None
        if other is not None:
            other.start()
            other.join(0.5)  # without turns it would have ended by then
        return super().write(dataset, frame)


def _at_once(lk: _Interrupted, mine: Path, others: Path) -> tuple[IngestReport, IngestReport]:
    """Two ingests, the second of which begins while the first one writes."""
    reports: list[IngestReport] = []
    lk.other = other = Thread(target=lambda: reports.append(ingest(lk, others)))
    first = ingest(lk, mine)
    other.join()
    return first, reports[0]


def test_of_two_ingests_of_a_market_at_once_the_second_sees_what_the_first_kept(tmp_path: Path) -> None:
    first = [(1, START + 1_000, 100), (2, START + 65_000, 101)]
    second = [(3, START + 75_000, 105), (4, START + 130_000, 106)]
    lk = _Interrupted(tmp_path / "lake")
    reports = _at_once(lk, _binance(tmp_path, 1, first), _binance(tmp_path, 2, second))
    assert [report.failed for report in reports] == [(), ()]
    assert _candles(lk)["trade_count"].to_list() == [1, 2, 1]


def test_an_ingest_that_waited_for_another_of_the_same_file_does_not_read_it_again(tmp_path: Path) -> None:
    lk = _Interrupted(tmp_path / "lake")
    path = _binance(tmp_path, 1, [(1, START + 1_000, 100)])
    reports = _at_once(lk, path, path)
    assert [report.files[0].status for report in reports] == ["done", "already there"]
    assert lk.commits == 1
