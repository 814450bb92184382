"""Of ingests of one market on several hosts, one at a time has its turn in the bucket."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import pytest

import lake
from lake.errors import StorageError
from lake.sources import bucket_turns
from lake.sources.bucket_turns import bucket_turn
from lake.sources.ingest import ingest
from lake.sources.market_turns import FOLDER
from lake.sources.report import IngestReport
from lake.store.location import Location, resolve
from tests.s3_servers import S3Service
from tests.sources.made import START, csv_text, written

MARKET = f"{FOLDER}/market"
Trade = tuple[int, int, int]  # number, time in ms, price


@pytest.fixture
def place(moto: S3Service, monkeypatch: pytest.MonkeyPatch) -> Location:
    monkeypatch.setattr(bucket_turns, "_LOOK_SECONDS", 0.01)
    return resolve(f"s3://{moto.new_bucket()}/lake", moto.options)


def test_one_at_a_time_has_the_turn(place: Location) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            with bucket_turn(place, MARKET, "BTC"):
                inside.append(number)
                most.append(len(inside))
                Event().wait(0.01)
                inside.remove(number)

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20
    assert len(place.list_names(MARKET)) == 1


def test_the_turn_of_a_host_that_is_gone_is_taken_over_and_said_so(
    place: Location, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bucket_turns, "_STALE_SECONDS", 0.2)
    place.write(f"{MARKET}/7", b"gone 1 abc 0")
    with caplog.at_level(logging.WARNING, "lake.ingest"), bucket_turn(place, MARKET, "BTC"):
        assert list(place.list_names(MARKET)) == ["8"]
    told = [record.message for record in caplog.records if record.name == "lake.ingest"]
    assert told == ["gone ingests trades of BTC: this ingest waits until it has ended"]
    assert place.read(f"{MARKET}/8") == b"free"


def test_who_is_at_work_keeps_the_turn_however_long_it_takes(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_turns, "_RENEW_SECONDS", 0.02)
    monkeypatch.setattr(bucket_turns, "_STALE_SECONDS", 1.0)
    order: list[str] = []

    def wait() -> None:
        with bucket_turn(place, MARKET, "BTC"):
            order.append("other")

    other = Thread(target=wait)
    with bucket_turn(place, MARKET, "BTC"):
        other.start()
        other.join(2.5)
        order.append("mine")
    other.join()
    assert order == ["mine", "other"]


def test_an_error_inside_gives_the_turn_back(place: Location) -> None:
    with pytest.raises(ValueError, match="inside"), bucket_turn(place, MARKET, "BTC"):
        raise ValueError("inside")
    assert place.read(f"{MARKET}/1") == b"free"


def _trades(folder: Path, place: int, trades: Sequence[Trade]) -> Path:
    rows: list[list[object]] = [[n, price, 1, price, time, "True", "True"] for n, time, price in trades]
    return written(folder, f"BTCUSDT-trades-2024-{place:04d}.csv", csv_text(rows))


def _host(name: str, uri: str, moto: S3Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> lake.Lake:
    """The lake as another host has it: with hot logs and locks of its own."""
    monkeypatch.setenv("LAKE_HOT_FOLDER", str(tmp_path / name))
    return lake.open(uri, bot_id=name, storage_options=moto.options)


def test_two_hosts_that_ingest_trades_of_a_market_at_once_lose_none(
    place: Location, moto: S3Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [(1, START + 1_000, 100), (2, START + 65_000, 101)]
    second = [(3, START + 75_000, 105), (4, START + 130_000, 106)]
    reports: list[IngestReport] = []
    with (
        _host("one", place.uri, moto, tmp_path, monkeypatch) as one,
        _host("other", place.uri, moto, tmp_path, monkeypatch) as two,
    ):
        other = Thread(target=lambda: reports.append(ingest(two, _trades(tmp_path, 2, second))))

        def begin(_: object) -> None:
            other.start()
            other.join(1.0)  # without turns it would have ended by then

        reports.append(ingest(one, _trades(tmp_path, 1, first), progress=begin))
        other.join()
        two.drain()
        one.drain()  # what settles last is kept
        counts = two.frame("SELECT trade_count, close FROM candles ORDER BY open_time").rows()
    assert [report.failed for report in reports] == [(), ()]
    assert counts == [(1, 100.0), (2, 105.0), (1, 106.0)]


@pytest.mark.parametrize("during_commit", [False, True])
def test_a_host_that_stood_still_until_another_took_its_turn_over_refuses_and_run_again_makes_the_candles_whole(
    place: Location, moto: S3Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, during_commit: bool
) -> None:
    monkeypatch.setattr(bucket_turns, "_STALE_SECONDS", 0.2)  # nobody renews a turn meanwhile, as if it stood still
    mine = _trades(tmp_path, 1, [(1, START + 1_000, 100), (2, START + 65_000, 101)])
    others = _trades(tmp_path, 2, [(3, START + 75_000, 105), (4, START + 130_000, 106)])
    with (
        _host("one", place.uri, moto, tmp_path, monkeypatch) as one,
        _host("other", place.uri, moto, tmp_path, monkeypatch) as two,
    ):

        def meanwhile(*_: object, **__: object) -> None:
            if not two.frame("SELECT 1 FROM candles").height:
                ingest(two, others)

        with monkeypatch.context() as patch:
            if during_commit:
                write = one.writer.write_frame
                patch.setattr(one.writer, "write_frame", lambda *a, **k: (meanwhile(), write(*a, **k))[1])
            with pytest.raises(StorageError, match=r"another host has taken its turn at trades of .*Run it again"):
                ingest(one, mine, progress=None if during_commit else meanwhile)
        assert one.frame("SELECT 1 FROM candles").height == (3 if during_commit else 2)
        assert [file.status for file in ingest(one, mine).files] == ["done"]
        counts = one.frame("SELECT trade_count, close FROM candles ORDER BY open_time").rows()
    assert counts == [(1, 100.0), (2, 105.0), (1, 106.0)]
