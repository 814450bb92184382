"""Cold tables: unique keys, few files, cheap upserts, whatever writes at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import lake
from lake.errors import CommitConflictError
from lake.spec import registry
from lake.spec.frames import check_frame
from lake.store import maintain
from lake.store.cold import table as cold_table
from lake.store.cold.merge import MERGE_ROWS
from tests.helpers import candles, closes, finished, metric, spawned, trade, trade_ids, write_candles


def files(lk: lake.Lake, dataset: str = "candles") -> dict[str, int | None]:
    """Path -> rows of the live files."""
    return {f.path: f.rows for f in lk.store.table(dataset).state().files.values()}


def counts(receipt: object) -> tuple[int, int, int]:
    return receipt.inserted, receipt.updated, receipt.unchanged  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [100, 6000])  # through hot, and straight to cold
def test_an_upsert_says_what_was_new_changed_and_the_same(tmp_path: Path, size: int) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert counts(write_candles(lk, range(size))) == (size, 0, 0)
        assert counts(write_candles(lk, range(size))) == (0, 0, size)
        lk.drain()
        assert counts(write_candles(lk, range(size))) == (0, 0, size)
        done = lk.drain().landed
        assert (done.inserted, done.updated) == (0, 0)
        lk.candles.write(candles(range(10), 9.0), "1m", venue="binance")
        assert counts(write_candles(lk, range(size // 2, size + 10), close=1.5)) == (10, 0, size - size // 2)
        assert counts(write_candles(lk, range(5, 15), close=2.0)) == (0, 10, 0)
        lk.drain()
        assert closes(lk) == {n: 9.0 if n < 5 else 2.0 if n < 15 else 1.5 for n in range(size + 10)}
        assert lk.verify().ok


def test_of_rows_of_one_key_in_one_write_the_last_lands(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        both = candles([1] * 3000 + [2] * 3000).with_row_index("n")
        receipt = lk.candles.write(both.with_columns(volume=both["n"].cast(float)).drop("n"), "1m", venue="binance")
        assert (receipt.inserted, receipt.rows) == (2, 6000)
        assert sorted(r[0] for r in lk.sql("SELECT volume FROM candles").fetchall()) == [2999.0, 5999.0]


def test_a_bulk_write_replaces_rows_that_are_open(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", [trade(n, status="open", pnl=1.0) for n in range(3)])
        lk.drain()
        many = [trade(n, status="closed" if n else "open", pnl=5.0) for n in (0, 1, *range(10, 6000))]
        assert counts(lk.write("trades", pl.DataFrame(many))) == (5990, 2, 0)
        ds = registry.get("trades")
        known = {row["trade_id"]: row["pnl"] for row in lk.writer.hot().current.open_rows(ds)}
        assert known == {"t0": 5.0, "t2": 1.0}
        assert lk.write("trades", trade(1, status="open", pnl=1.0)).updated == 1
        assert lk.read("trades", {"trade_id": "t1"})["status"].to_list() == ["open"]
    with lake.open(tmp_path, bot_id="b1") as lk:
        known = {row["trade_id"]: row["pnl"] for row in lk.writer.hot().current.open_rows(ds)}
        assert known == {"t0": 5.0, "t1": 1.0, "t2": 1.0}


def test_a_row_whose_partition_changes_moves_and_is_there_once(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("trades", trade(1, created_at="2023-05-01T00:00:00Z"))
        lk.write("trades", trade(2, created_at="2023-05-01T00:00:00Z"))
        lk.drain()
        lk.write("trades", trade(1, created_at="2024-05-01T00:00:00Z"))
        assert trade_ids(lk) == ["t1", "t2"]
        assert lk.drain().landed.updated == 1
        assert trade_ids(lk) == ["t1", "t2"]
        assert lk.sql("SELECT max(year(created_at)) FROM trades WHERE trade_id = 't1'").fetchall() == [(2024,)]
        lk.compact()
        assert trade_ids(lk) == ["t1", "t2"]


def test_a_late_correction_rewrites_only_the_file_that_holds_it(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        day, size = 1440, MERGE_ROWS // 16
        for month in (0, 60, 120):
            write_candles(lk, range(month * day, month * day + 6000))
        write_candles(lk, range(200 * day, 200 * day + size))  # too large to be merged with others
        before = files(lk)
        write_candles(lk, [60 * day + 5], close=3.0)
        lk.drain()
        after = files(lk)
        assert len(before.keys() - after.keys()) == 1
        assert before[next(iter(before.keys() - after.keys()))] == 6000
        assert closes(lk)[60 * day + 5] == 3.0
        write_candles(lk, [500 * day])
        lk.drain()
        assert after.items() <= files(lk).items(), "a new key rewrites nothing"


def _overlap(path: str, writer: int) -> None:
    with lake.open(path, bot_id=f"b{writer}") as lk:
        for turn in range(8):
            start = turn * 500
            lk.candles.write(candles(range(start, start + 5500), close=writer + 1.0), "1m", venue="binance")
            lk.write("trades", [trade(n, pnl=float(writer)) for n in range(turn * 3, turn * 3 + 6)])
            lk.drain()


def test_three_processes_that_write_the_same_keys_leave_each_key_once(tmp_path: Path) -> None:
    finished(*(spawned(_overlap, str(tmp_path), writer) for writer in range(3)))
    with lake.open(tmp_path) as lk:
        found = closes(lk)
        assert found.keys() == set(range(7 * 500 + 5500))
        assert set(found.values()) <= {1.0, 2.0, 3.0}
        assert trade_ids(lk) == sorted(f"t{n}" for n in range(27))
        assert lk.verify().ok


def upsert(lk: lake.Lake, minutes: range, close: float = 1.5) -> None:
    """A commit as a writer on another host makes it: its hot log is not ours to drain."""
    constants = {"timeframe": "1m", "venue": "binance"}
    ds = registry.get("candles")
    lk.store.table("candles").upsert(check_frame(ds, candles(minutes, close), constants=constants).good)


def test_a_commit_that_loses_a_race_is_planned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path, bot_id="b2") as other:
        write_candles(lk, range(10))
        lk.drain()
        plans = 0
        table = lk.store.table("candles")
        plan_upsert = table._plan_upsert

        def overtaken(state: object, frame: object, **how: object) -> object:
            nonlocal plans
            plans += 1
            edit = plan_upsert(state, frame, **how)
            if plans == 1:  # the other commits between plan and commit
                upsert(other, range(5, 15), close=2.0)
            return edit

        monkeypatch.setattr(table, "_plan_upsert", overtaken)
        write_candles(lk, range(10, 20), close=3.0)
        lk.drain()
        assert plans == 2
        assert closes(lk) == {n: 1.5 if n < 5 else 2.0 if n < 10 else 3.0 for n in range(20)}


OVERTAKEN = """
import sys
import lake
from tests.helpers import write_candles
from tests.store.test_cold import upsert

with lake.open(sys.argv[1], bot_id="b1") as lk, lake.open(sys.argv[1], bot_id="b2") as other:
    write_candles(lk, range(10))
    lk.drain()
    table, plans = lk.store.table("candles"), []
    plan_upsert = table._plan_upsert

    def overtaken(state, frame, **how):
        plans.append(state)
        edit = plan_upsert(state, frame, **how)
        if len(plans) == 1:
            upsert(other, range(5, 15), close=2.0)
        return edit

    table._plan_upsert = overtaken
    write_candles(lk, range(10, 20), close=3.0)
    lk.drain()
    print(len(plans))
"""


def test_losing_a_race_prints_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OVERTAKEN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_two_datasets_or_partitions_never_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path, bot_id="b2") as other:
        write_candles(lk, range(10))
        lk.drain()
        plans = 0
        table = lk.store.table("candles")
        plan_upsert = table._plan_upsert

        def overtaken(state: object, frame: object, **how: object) -> object:
            nonlocal plans
            plans += 1
            upsert(other, range(100 * 1440, 100 * 1440 + 10))
            return plan_upsert(state, frame, **how)

        monkeypatch.setattr(table, "_plan_upsert", overtaken)
        write_candles(lk, range(10, 20))
        lk.drain()
        assert plans == 1
        assert len(closes(lk)) == 30


def test_who_loses_every_race_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        monkeypatch.setattr(cold_table, "_ATTEMPTS", 3)
        monkeypatch.setattr(lk.store.table("candles").log, "commit", lambda *_: None)
        monkeypatch.setattr(cold_table.ColdTable, "_still_holds", lambda *_: False)
        monkeypatch.setattr(cold_table.ColdTable, "ready", cold_table.ColdTable.state)
        with pytest.raises(CommitConflictError, match="others kept winning the race"):
            write_candles(lk, range(6000))


def test_hundreds_of_small_drains_leave_few_files(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1", durability="normal") as lk:
        most = 0
        for number in range(300):
            write_candles(lk, [number])
            lk.drain()
            most = max(most, len(files(lk)))
        assert most <= 16
        assert closes(lk).keys() == set(range(300))
        assert lk.verify().ok


def test_compaction_keeps_rows_sorts_them_and_has_nothing_to_do_a_second_time(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        for symbol in ("ETHUSDT", "BTCUSDT", "ADAUSDT"):
            for start in (6000, 0):
                lk.candles.write(candles(range(start, start + 6000), symbol=symbol), "1m", venue="binance")
        lk.write("trades", [trade(n) for n in range(9)])
        lk.drain()
        before = lk.sql("SELECT * FROM candles ORDER BY symbol, open_time").pl()
        planned = lk.compact(dry_run=True)
        assert len(files(lk)) == planned.files_before - 1 > 1
        done = lk.compact()
        assert (done.files_before, done.files_after) == (planned.files_before, 2)
        assert lk.sql("SELECT * FROM candles ORDER BY symbol, open_time").pl().equals(before)
        table = lk.store.table("candles")
        stored = table.reader.read("candles", table.state().files.values(), {}, table.schema())
        rows = [
            row
            for piece in stored
            for row in zip(piece["symbol"].to_pylist(), piece["open_time"].to_pylist(), strict=True)
        ]
        assert rows == sorted(rows)
        assert lk.compact() == maintain.Maintained()
        assert lk.verify().ok


def test_compaction_makes_files_of_the_target_size(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lk", bot_id="b1") as lk:
        (tmp_path / "lk" / "_lake" / "settings.toml").write_text("target_file_mb = 1\n")
    with lake.open(tmp_path / "lk", bot_id="b1") as lk:
        noise = candles(range(44_000)).with_columns(pl.Series("volume", np.random.default_rng(1).random(44_000)))
        for symbol in "ABCDEFGH":
            lk.candles.write(noise.drop("symbol"), "1m", symbol=f"{symbol}AAUSDT", venue="binance")
        lk.compact()
        sizes = [f.size for f in lk.store.table("candles").state().files.values()]
        assert len(sizes) > 1
        assert max(sizes) < 2 << 20
        assert lk.sql("SELECT count(*) FROM candles").fetchall() == [(8 * 44_000,)]
        assert lk.compact().files_after == 0


def test_files_of_many_snapshots_hold_no_more_rows_than_declared(tmp_path: Path) -> None:
    most = registry.get("bot_states").file_rows
    assert most is not None
    rows = 5 * most // 2
    times = pl.int_range(rows, eager=True) * 1_000_000 + 1_735_689_600_000_000
    with lake.open(tmp_path / "lake") as lk:
        lk.write("bot_states", pl.DataFrame({"bot_id": "b", "snapshot_time": times}))
        lk.write("bot_states", pl.DataFrame({"bot_id": "c", "snapshot_time": times[:6_000]}))
        lk.compact()
        held = [file.rows or 0 for file in lk.store.table("bot_states").state().files.values()]
        assert len(held) == 3
        assert (sum(held), max(held) <= most) == (rows + 6_000, True)
        assert lk.compact() == maintain.Maintained()


def test_compaction_beside_a_writer_loses_nothing(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path) as job:
        for turn in range(10):
            write_candles(lk, range(turn * 20, turn * 20 + 30), close=float(turn + 1))
            lk.drain()
            job.compact()
        assert closes(lk) == {n: float(min(n // 20, 9) + 1) for n in range(210)}
        assert lk.verify().ok


def test_rows_of_metrics_are_found_again_by_their_key(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert lk.write("market_metrics", [metric(n) for n in range(20)]).inserted == 20
        lk.drain()
        again = lk.write("market_metrics", [metric(n, 2.0 if n == 3 else 1.0) for n in range(25)])
        assert counts(again) == (5, 1, 19)
