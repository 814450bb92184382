"""Backups: what they hold besides tables, and that a copy that was cut off is no lake."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import lake
from lake.errors import BackupError, NotALakeError
from lake.sources.ingest import ingest
from lake.store import backup as backup_module
from lake.store.backup import backup, restore
from lake.store.hot.claim import host_name
from lake.store.location import Location
from tests.helpers import trade, trade_ids, write_candles
from tests.locations import WatchedLocation
from tests.s3_servers import S3Service
from tests.sources.made import START, csv_text, written

Trades = Sequence[tuple[int, int, int]]


def _trades(folder: Path, day: int, trades: Trades) -> Path:
    rows = [[n, price, 1, price, time, "True", "True"] for n, time, price in trades]
    return written(folder, f"BTCUSDT-trades-2024-01-0{day}.csv", csv_text(rows))  # type: ignore[arg-type]


def _counts(lk: lake.Lake) -> list[int]:
    return lk.candles.read("BTCUSDT", "1m", columns=("trade_count",))["trade_count"].to_list()


def test_a_restored_lake_goes_on_ingesting_where_the_other_was(tmp_path: Path) -> None:
    first = _trades(tmp_path, 1, [(1, START + 1_000, 100), (2, START + 65_000, 101)])
    refused = written(tmp_path, "BTC_USDT-8m.json", f"[[{START}, 1.0, 1.0, 1.0, 1.0, 1.0]]")
    with lake.open(tmp_path / "lk") as lk:
        ingest(lk, [first, refused])
        backup(lk.store, tmp_path / "copy")
    restore(tmp_path / "copy", str(tmp_path / "again"))
    with lake.open(tmp_path / "again", create=False) as again:
        told = ingest(again, [first, refused])
        assert [file.status for file in told.files] == ["already there", "already there"]
        assert told.refused == told.files[1:]
        ingest(again, _trades(tmp_path, 2, [(3, START + 75_000, 105), (4, START + 130_000, 106)]))
        assert _counts(again) == [1, 2, 1]


def test_trades_that_an_ingest_replaces_while_they_are_copied_are_copied_as_they_are_then(tmp_path: Path) -> None:
    class Busy(WatchedLocation):
        """Another ingest lets go of the kept trades just before they are read."""

        def before(self, call: str, paths: Sequence[str]) -> None:
            if call == "read_or_none" and paths[0] in kept:
                with lake.open(tmp_path / "lk") as other:
                    ingest(other, second)

    first = _trades(tmp_path, 1, [(1, START + 1_000, 100), (2, START + 65_000, 101)])
    second = _trades(tmp_path, 2, [(3, START + 75_000, 105), (4, START + 130_000, 106)])
    third = _trades(tmp_path, 3, [(5, START + 131_000, 107)])
    with lake.open(tmp_path / "lk") as lk:
        ingest(lk, first)
        kept = [entry.path for entry in lk.location.list("_ingest_trades")]
        lk.store.location = Busy(lk.location)
        backup(lk.store, tmp_path / "copy")
    restore(tmp_path / "copy", str(tmp_path / "again"))
    with lake.open(tmp_path / "again", create=False) as again:
        assert ingest(again, [first, second, third]).balanced
        assert _counts(again) == [1, 2, 2]


@pytest.mark.parametrize("work", ["backup", "restore"])
def test_a_copy_that_was_cut_off_is_no_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str) -> None:
    class Cut(WatchedLocation):
        """Ends after some files."""

        left = 3

        def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            super().write(path, data, durable=durable)

    inner = backup_module.resolve
    target = tmp_path / ("copy" if work == "backup" else "again")

    def resolved(uri: str, options: None) -> Location:
        place = inner(uri, options)
        return Cut(place) if place.uri == str(target) else place

    with lake.open(tmp_path / "lk", bot_id="b1") as lk:
        for number in range(3):
            lk.write("trades", trade(number))
            lk.drain()
        if work == "restore":
            backup(lk.store, tmp_path / "copy")
        monkeypatch.setattr(backup_module, "resolve", resolved)
        copy = (
            partial(backup, lk.store, target) if work == "backup" else partial(restore, tmp_path / "copy", str(target))
        )
        with pytest.raises(KeyboardInterrupt):
            copy()
    with pytest.raises(NotALakeError, match="holds other files and no lake"):
        lake.open(target)


def test_a_backup_in_the_lake_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    with lake.open(tmp_path / "lake", bot_id="b1") as lk:
        write_candles(lk, range(3))
        lk.drain()
        for target in ("lake/candles/today", "lake/../lake/today", "link/today"):
            with pytest.raises(BackupError, match="the target is in the lake"):
                backup(lk.store, tmp_path / target)
        assert backup(lk.store, tmp_path / "lake-today").files
    assert not (tmp_path / "lake" / "today").exists()


def test_what_a_former_name_of_the_host_left_unsettled_is_in_a_backup(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lk", bot_id="b1") as lk:
        lk.write("trades", trade(1))
    for file in (tmp_path / "lk" / "_hot").glob("b1@*"):
        file.rename(file.with_name(file.name.replace(f"@{host_name()}", "@before")))
    with lake.open(tmp_path / "lk") as lk:
        backup(lk.store, tmp_path / "copy")
    restore(tmp_path / "copy", str(tmp_path / "again"))
    with lake.open(tmp_path / "again", create=False) as again:
        again.drain(host="before")
        assert trade_ids(again) == ["t1"]


def test_a_backup_restored_to_a_bucket_has_what_had_not_settled(
    tmp_path: Path, moto: S3Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto.options.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LAKE_HOT_FOLDER", str(tmp_path / "hot"))
    with lake.open(tmp_path / "lk", bot_id="b1") as lk:
        write_candles(lk, range(3))
        lk.write("trades", trade(1))
        lk.drain()
        lk.write("trades", trade(2))
        backup(lk.store, tmp_path / "copy")
    address = f"s3://{moto.new_bucket()}/lake"
    restore(tmp_path / "copy", address)
    with lake.open(address, create=False) as again:
        assert trade_ids(again) == ["t1", "t2"]
        again.drain(every_writer=True)
        assert trade_ids(again) == ["t1", "t2"]
        assert list(again.location.list("_hot")) == []
        again.location.delete([entry.path for entry in again.location.list("")])
    with pytest.raises(BackupError, match="this host has hot logs of that address"):
        restore(tmp_path / "copy", address)
