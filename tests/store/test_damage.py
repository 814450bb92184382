"""Damage: what a power cut leaves is repaired at open, what cannot be repaired is found and named; backups."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pyarrow.parquet as pq
import pytest

import lake
from lake.errors import BackupError, CorruptLakeError, NewerLakeError, NotALakeError
from lake.store.backup import backup, restore
from tests.helpers import closes, trade, trade_ids, write_candles


@pytest.fixture
def checkpointed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake whose trades have a checkpoint after every second commit; t0 to t5 are settled, t6 and t7 are not."""
    monkeypatch.setenv("LAKE_CHECKPOINT_EVERY", "2")
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(6):
            lk.write("trades", trade(number))
            lk.drain()
        lk.write("trades", trade(6))
        lk.write("trades", trade(7))
    return tmp_path


ALL = [f"t{n}" for n in range(8)]


def log_of(path: Path, ending: str) -> list[Path]:
    return sorted((path / "trades" / "_delta_log").glob(f"*{ending}"))


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def zeroed_inside(file: Path) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[:200] + bytes(len(raw) // 3) + raw[200 + len(raw) // 3 :])


DAMAGES = pytest.mark.parametrize("damage", [truncated, emptied, zeroed, zeroed_inside])


@DAMAGES
def test_a_torn_newest_checkpoint_is_done_without(checkpointed: Path, damage: Callable[[Path], None]) -> None:
    damage(log_of(checkpointed, ".checkpoint.parquet")[-1])
    with lake.open(checkpointed, bot_id="b1") as lk:
        assert trade_ids(lk) == ALL
        for number in range(8, 12):
            lk.write("trades", trade(number))
            lk.drain()
        assert len(trade_ids(lk)) == 12
        assert lk.verify().ok


def test_a_checkpoint_without_a_column_is_done_without(checkpointed: Path) -> None:
    newest = log_of(checkpointed, ".checkpoint.parquet")[-1]
    pq.write_table(pq.read_table(newest).drop_columns("txn"), newest)
    with lake.open(checkpointed, bot_id="b1") as lk:
        assert trade_ids(lk) == ALL


def test_a_checkpoint_is_read_without_pandas(checkpointed: Path) -> None:
    reading = f"with lake.open({str(checkpointed)!r}) as lk: lk.store.table('trades').state()"
    code = f"import sys, lake\n{reading}\nprint('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("damage", [truncated, emptied, zeroed])
def test_a_torn_pointer_to_the_checkpoint_is_done_without(checkpointed: Path, damage: Callable[[Path], None]) -> None:
    damage(checkpointed / "trades" / "_delta_log" / "_last_checkpoint")
    with lake.open(checkpointed, bot_id="b1") as lk:
        assert trade_ids(lk) == ALL


@pytest.mark.parametrize("damage", [truncated, emptied, zeroed])
def test_a_torn_newest_log_entry_is_set_aside(checkpointed: Path, damage: Callable[[Path], None]) -> None:
    with lake.open(checkpointed, bot_id="b1") as lk, pytest.raises(ZeroDivisionError):
        lk.drain(step=lambda name: 1 / 0 if name == "drain:settle" else None)  # hot has not let go yet
    damage(log_of(checkpointed, ".json")[-1])
    with lake.open(checkpointed, bot_id="b1") as lk:
        assert trade_ids(lk) == ALL
        lk.drain()
        assert trade_ids(lk) == ALL
        assert lk.verify().ok
    assert log_of(checkpointed, ".torn")


def test_verify_says_that_the_newest_entry_is_torn_and_mends_it_when_asked(checkpointed: Path) -> None:
    with lake.open(checkpointed, bot_id="b1") as lk, pytest.raises(ZeroDivisionError):
        lk.drain(step=lambda name: 1 / 0 if name == "drain:settle" else None)
    truncated(log_of(checkpointed, ".json")[-1])
    with lake.open(checkpointed) as lk:
        assert [f.what for f in lk.verify().findings] == ["a log entry is torn"]
        assert lk.verify(repair=True).ok
        assert lk.verify().ok
        assert trade_ids(lk) == ALL


def test_a_torn_entry_in_the_middle_is_refused_by_name(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(4):
            lk.write("trades", trade(number))
            lk.drain()
    truncated(log_of(tmp_path, ".json")[2])
    with lake.open(tmp_path) as lk:
        with pytest.raises(CorruptLakeError, match=r"00002.json: a log entry is torn"):
            lk.read("trades")
        assert [f.what for f in lk.verify().findings] == ["a log entry is torn"]


def test_a_log_without_its_beginning_is_refused_and_not_begun_anew(checkpointed: Path) -> None:
    for file in log_of(checkpointed, ".checkpoint.parquet"):
        truncated(file)
    log_of(checkpointed, ".json")[0].unlink()
    with lake.open(checkpointed, bot_id="b1") as lk:
        with pytest.raises(CorruptLakeError, match="trades"):
            lk.read("trades")
        with pytest.raises(CorruptLakeError, match="trades"):
            lk.drain()


def settled_file(path: Path) -> Path:
    return next(p for p in (path / "candles").rglob("*.parquet") if "_delta_log" not in p.parts)


def missing(file: Path) -> None:
    file.unlink()


def without_pages(file: Path) -> None:
    """Overwrite all rows, so that only the footer can be read."""
    raw = file.read_bytes()
    footer = int.from_bytes(raw[-8:-4], "little") + 8
    file.write_bytes(raw[:4] + bytes(len(raw) - footer - 4) + raw[-footer:])


def repeated(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(pq.read_table(file).take([0, 0, *range(2, table.num_rows)]), file)
    entry = file.parents[2] / "_delta_log" / f"{1:020d}.json"
    lines = [json.loads(line) for line in entry.read_text().splitlines()]
    for action in lines:
        if "add" in action:
            action["add"]["size"] = file.stat().st_size
    entry.write_text("\n".join(json.dumps(line) for line in lines))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (missing, "the file is missing"),
        (truncated, r"it has \d+ bytes, the log says \d+"),
        (zeroed, "a data file cannot be read"),
        (without_pages, "its rows cannot be read"),
        (repeated, "[12] keys occur more than once"),
    ],
)
def test_verify_finds_and_names_damaged_data(tmp_path: Path, damage: Callable[[Path], None], told: str) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        assert lk.verify().ok
        report = lk.verify()
        assert (report.tables, report.files, report.rows) == (1, 1, 6000)
    damage(settled_file(tmp_path))
    with lake.open(tmp_path) as lk:
        report = lk.verify()
        assert not report.ok
        assert len(report.findings) == 1
        assert report.findings[0].where.startswith("candles/timeframe=1m/period=2024-01")
        assert re.search(told, report.findings[0].what)


def test_one_bit_that_turned_in_a_data_file_never_keeps_verify_from_its_report(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(20):
            lk.bots.save_state(state={"n": number})
        lk.drain()
    [file] = (tmp_path / "bot_states").rglob("period=*/*.parquet")
    raw, chance = file.read_bytes(), random.Random(3)
    footer = len(raw) - int.from_bytes(raw[-8:-4], "little") - 8
    found = 0
    for at in [*range(footer, len(raw), 61), *(chance.randrange(footer) for _ in range(30))]:
        damaged = bytearray(raw)
        damaged[at] ^= 1 << chance.randrange(8)
        file.write_bytes(damaged)
        with lake.open(tmp_path) as lk:
            found += not lk.verify().ok
    assert found > 20


def test_verify_finds_a_damaged_hot_log(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for number in range(50):
            lk.write("trades", trade(number))
    file = next((tmp_path / "_hot").glob("*.db"))
    file.write_bytes(file.read_bytes()[:4096] + bytes(file.stat().st_size - 4096))
    with lake.open(tmp_path) as lk:
        assert {f.where for f in lk.verify().findings} == {str(file)}


def test_a_newer_lake_a_foreign_folder_and_a_missing_lake_are_refused(tmp_path: Path) -> None:
    lake.open(tmp_path / "lk").close()
    format_file = tmp_path / "lk" / "_lake" / "format.json"
    format_file.write_text('{"format": 99}')
    with pytest.raises(NewerLakeError, match=r"format 99, this version reads up to 1. Upgrade"):
        lake.open(tmp_path / "lk")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").write_text("")
    with pytest.raises(NotALakeError, match=r"holds other files and no lake .*thesis.doc"):
        lake.open(tmp_path / "other")
    (tmp_path / "begun" / "_lake").mkdir(parents=True)  # all that a cut-off creation leaves
    lake.open(tmp_path / "begun").close()
    with pytest.raises(NotALakeError, match="there is no lake here"):
        lake.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_a_backup_restores_to_an_equal_lake(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lk", bot_id="b1") as lk:
        write_candles(lk, range(6000))
        lk.tag("one")
        write_candles(lk, range(10), close=2.0)
        lk.write("trades", trade(1, status="open"))
        lk.drain()
        lk.write("trades", trade(2))
        backup(lk.store, tmp_path / "copy")
        restore(tmp_path / "copy", str(tmp_path / "again"))
        with lake.open(tmp_path / "again", create=False) as again:
            assert trade_ids(again) == ["t1", "t2"]
            assert closes(again) == closes(lk)
            assert set(closes(again.at(tag="one")).values()) == {1.5}
            assert again.verify().ok
            again.drain(every_writer=True)
            assert trade_ids(again) == ["t1", "t2"]
        with pytest.raises(BackupError, match="the target holds something already"):
            backup(lk.store, tmp_path / "copy")
    with pytest.raises(BackupError, match="there is something already"):
        restore(tmp_path / "copy", str(tmp_path / "again"))
    with pytest.raises(BackupError, match="it is no complete backup"):
        restore(tmp_path / "lk", str(tmp_path / "new"))


def test_a_backup_taken_while_it_is_written_drained_and_compacted_is_one_moment(tmp_path: Path) -> None:
    done = Event()

    def work(lk: lake.Lake) -> None:
        number = 0
        while not done.is_set():
            with lk.transaction():
                lk.write("trades", trade(number))
                lk.write("decisions", {"decision_id": f"t{number}", "symbol": "BTCUSDT"})
            number += 1
            if number % 3 == 0:
                lk.drain()
            if number % 20 == 0:
                lk.compact()
                lk.vacuum(grace_hours=0)

    with lake.open(tmp_path / "lk", bot_id="b1") as lk, lake.open(tmp_path / "lk") as job:
        lk.write("trades", trade("first"))
        lk.write("decisions", {"decision_id": "tfirst", "symbol": "BTCUSDT"})
        writer = Thread(target=work, args=(lk,))
        writer.start()
        try:
            for turn in range(6):
                before = trade_ids(job)
                backup(job.store, tmp_path / f"copy{turn}")
                with lake.open(tmp_path / f"copy{turn}", create=False) as copy:
                    found = trade_ids(copy)
                    assert set(before) <= set(found)
                    assert len(set(found)) == len(found)
                    assert sorted(copy.read("decisions")["decision_id"]) == found, "half a transaction"
                    assert copy.verify().ok
        finally:
            done.set()
            writer.join()
