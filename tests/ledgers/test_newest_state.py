"""A restarted bot's newest snapshot: data files tell it beside their rows, or it is found among these."""

from __future__ import annotations

import math
import random
import string
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import lake
from lake.errors import CorruptLakeError
from lake.spec import registry
from lake.spec.times import to_micros
from lake.store.cold.newest import Newest, newest_told

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def files(path: Path) -> list[Path]:
    return sorted((path / "bot_states").rglob("*.parquet"))


def without_notes(path: Path) -> None:
    """Write the data files again as an engine does that knows nothing of what they tell beside their rows."""
    for file in files(path):
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table, file, row_group_size=1_024)
        assert newest_told(pq.read_metadata(file).metadata, "a") is None


def without_rows(path: Path) -> None:
    """Overwrite all rows in the data files, so that only their footers can be read."""
    for file in files(path):
        raw = bytearray(file.read_bytes())
        footer = int.from_bytes(raw[-8:-4], "little") + 8
        raw[4:-footer] = bytes(len(raw) - footer - 4)
        file.write_bytes(raw)


def with_damaged_notes(path: Path) -> None:
    for file in files(path):
        raw, count = file.read_bytes(), 0
        for bot in (b"a", b"b", b"c"):
            packed = pq.read_metadata(file).metadata[b"tradelake.newest:" + bot]
            raw, count = raw.replace(packed, packed[:-1] + bytes([packed[-1] ^ 1])), count + raw.count(packed)
        assert count == 3
        file.write_bytes(raw)


def with_exchanged_names(path: Path) -> None:
    for file in files(path):
        raw, name = file.read_bytes(), b"tradelake.newest:"
        damaged = (
            raw.replace(name + b"a", name + b"?").replace(name + b"b", name + b"a").replace(name + b"?", name + b"b")
        )
        assert damaged != raw
        file.write_bytes(damaged)


@pytest.fixture
def settled(tmp_path: Path) -> Iterator[Path]:
    """A lake with the snapshots of three bots, in one file of several row groups."""
    with lake.open(tmp_path) as lk:
        for bot, last in (("a", 2_999), ("b", 1_500), ("c", 3)):
            moments = [NOON + n * timedelta(minutes=1) for n in range(last + 1)]
            rows = [
                {
                    "bot_id": bot,
                    "snapshot_time": at,
                    "state": {"n": n},
                    "trading_halted": n == last,
                    "peak_equity": n / 7,
                }
                for n, at in enumerate(moments)
            ]
            lk.write("bot_states", rows)
        lk.drain()
        lk.compact("bot_states")
        lk.vacuum(grace_hours=0)
    assert len(files(tmp_path)) == 1
    return tmp_path


@pytest.mark.parametrize("done", [None, without_notes, without_rows, with_damaged_notes, with_exchanged_names])
def test_the_newest_of_each_bot_is_found_as_it_was_written(settled: Path, done: Any) -> None:
    if done is not None:
        done(settled)
    with lake.open(settled) as lk:
        for bot, last in (("a", 2_999), ("b", 1_500), ("c", 3)):
            state = lk.bots.latest_state(bot)
            assert state is not None
            assert (state["bot_id"], state["state"], state["trading_halted"]) == (bot, {"n": last}, True)
            assert (state["snapshot_time"], state["total_pnl"]) == (NOON + last * timedelta(minutes=1), None)
            assert state["peak_equity"] == last / 7


@pytest.mark.parametrize("done", [None, without_notes])
@pytest.mark.parametrize("saved", [(1, 1), (1, 2), (2, 1)])
def test_an_older_file_in_the_place_of_the_newest_is_named_and_tells_no_state(
    tmp_path: Path, saved: tuple[int, int], done: Any
) -> None:
    at = 0
    found: list[Path] = []
    with lake.open(tmp_path) as lk:
        for count in saved:
            for _ in range(count):
                at += 1
                lk.bots.save_state("a", state=at, snapshot_time=NOON + at * timedelta(minutes=1))
            lk.drain()
            found += [file for file in files(tmp_path) if file not in found]
    older, newest = found
    newest.write_bytes(older.read_bytes())
    if done is not None:
        done(tmp_path)
    with (
        lake.open(tmp_path) as lk,
        pytest.raises(CorruptLakeError, match=f"{newest.name}.*not the one that the log describes"),
    ):
        lk.bots.latest_state("a")


def test_of_a_damaged_file_the_newest_state_is_told_as_it_was_or_the_file_is_named(tmp_path: Path) -> None:
    refused = 0
    with lake.open(tmp_path) as lk:
        lk.bots.save_state("a", state=7)
        lk.drain()
    [file] = files(tmp_path)
    raw = file.read_bytes()
    for at in range(0, len(raw), len(raw) // 150):
        file.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        with lake.open(tmp_path) as lk:
            try:
                state = lk.bots.latest_state("a")
            except CorruptLakeError:
                refused += 1
                continue
        assert state is not None
        assert (state["bot_id"], state["state"]) == ("a", 7)
    assert refused


def test_rows_that_cannot_be_decoded_are_named_with_their_file(settled: Path) -> None:
    without_notes(settled)
    without_rows(settled)
    with lake.open(settled) as lk, pytest.raises(CorruptLakeError, match=files(settled)[0].name):
        lk.bots.latest_state("a")


def with_older_notes(path: Path) -> None:
    """As from a program that changed rows of a file of ours and wrote it with the metadata that it had."""
    [file] = files(path)
    told = pq.read_metadata(file).metadata
    made = Newest(registry.get("bot_states"))
    made.see(pq.read_table(file, partitioning=None, filters=[("snapshot_time", "<", NOON + timedelta(hours=1))]))
    raw = file.read_bytes()
    for name, packed in made.told().items():
        if name.endswith(b":a"):
            assert len(packed) <= len(told[name])
            shown = packed.ljust(len(told[name]), b"\n")  # which base64 passes over
            raw = raw.replace(told[name], shown)
    file.write_bytes(raw)


@pytest.mark.parametrize(
    ("done", "bots"),
    [(with_older_notes, "'a'"), (with_damaged_notes, "'a', 'b', 'c'"), (with_exchanged_names, "'a', 'b'")],
)
def test_verify_finds_notes_that_are_not_of_the_newest_rows_and_mends_them_when_asked(
    settled: Path, done: Any, bots: str
) -> None:
    with lake.open(settled) as lk:
        assert lk.verify().ok
        whole = lk.verify()
    done(settled)
    with lake.open(settled) as lk:
        frame = lk.read("bot_states")
        report = lk.verify()
        assert [(f.where.split("/")[0], f.what) for f in report.findings] == [
            ("bot_states", f"its note of the newest row is wrong for bot_id {bots}")
        ]
        assert (report.rows, report.files) == (whole.rows, whole.files)
        assert lk.verify(repair=True).ok
        assert lk.verify().ok
        assert lk.read("bot_states").equals(frame)
        assert [(state := lk.bots.latest_state(bot)) and state["state"]["n"] for bot in "abc"] == [2_999, 1_500, 3]
        [file] = DeltaTable(lk.uri("bot_states")).file_uris()
    assert newest_told(pq.read_metadata(file).metadata, "a") is not None


@pytest.mark.parametrize("done", [None, without_notes])
def test_verify_reads_no_rows_of_files_that_tell_nothing(settled: Path, done: Any) -> None:
    for step in (done, without_notes):
        if step is not None:
            step(settled)
    with lake.open(settled) as lk:
        assert "newest" not in "".join(finding.what for finding in lk.verify().findings)


def test_verify_names_a_file_that_tells_something_and_whose_rows_cannot_be_read(settled: Path) -> None:
    without_rows(settled)
    with lake.open(settled) as lk:
        [finding] = lk.verify().findings
        assert not lk.verify(repair=True).ok
    assert finding.what


def test_what_a_file_tells_is_its_newest_row_in_each_of_many_orders(tmp_path: Path) -> None:
    random_ = random.Random(7)
    with lake.open(tmp_path, bot_id="a") as lk:
        for number in range(200):
            bot = random_.choice("abcdé")
            at = NOON + timedelta(minutes=random_.randint(0, 500))
            state = {"n": number, "text": "".join(random_.choices(string.printable, k=random_.choice((0, 5, 400))))}
            lk.bots.save_state(bot, state=state, snapshot_time=at, total_pnl=random_.uniform(-1e9, 1e9))
            if random_.random() < 0.1:
                lk.drain()
            if random_.random() < 0.02:
                lk.compact()
        lk.drain()
        frame = lk.read("bot_states")
        assert DeltaTable(lk.uri("bot_states")).to_pyarrow_table().num_rows == frame.height
        assert pl.scan_delta(lk.uri("bot_states")).collect().height == frame.height
    told = 0
    for file in files(tmp_path):
        duckdb.read_parquet(str(file)).fetchall()
        rows = pq.read_table(file, partitioning=None).to_pylist()
        for bot in "abcdé":
            newest = max((r for r in rows if r["bot_id"] == bot), key=lambda r: r["snapshot_time"], default=None)
            found = newest_told(pq.read_metadata(file).metadata, bot)
            told += found is not None
            expected = None if newest is None else {n: v for n, v in newest.items() if v is not None}
            if expected is not None:
                expected["snapshot_time"] = to_micros(expected["snapshot_time"])
            assert found == expected
    assert told > 50
    with lake.open(tmp_path) as lk:
        for bot in "abcdé":
            state = lk.bots.latest_state(bot)
            assert state is not None
            newest_time = frame.filter(bot_id=bot)["snapshot_time"].max()
            assert state["snapshot_time"] == newest_time


def test_states_too_large_to_be_told_are_found_among_the_rows(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(400_000).hex()
    with lake.open(tmp_path) as lk:
        lk.bots.save_state("large", state=noise)
        lk.bots.save_state("small", state=1)
        lk.drain()
    [file] = files(tmp_path)
    metadata = pq.read_metadata(file).metadata
    assert [newest_told(metadata, bot) is None for bot in ("large", "small")] == [True, False]
    with lake.open(tmp_path) as lk:
        for bot, state in (("large", noise), ("small", 1)):
            found = lk.bots.latest_state(bot)
            assert found is not None
            assert found["state"] == state


def test_an_infinite_number_of_other_engines_is_not_told_as_none_at_all() -> None:
    newest = Newest(registry.get("bot_states"))
    newest.see(pa.table({"bot_id": ["a", "b"], "snapshot_time": [1, 2], "total_pnl": [math.inf, 2.0]}))
    told = newest.told()
    assert newest_told(told, "a") is None
    assert newest_told(told, "b") == {"bot_id": "b", "snapshot_time": 2, "total_pnl": 2.0}


def test_other_datasets_tell_nothing_beside_their_rows() -> None:
    for name in registry.names():
        assert (Newest(registry.get(name))._of == "bot_id") is (name == "bot_states")


def test_a_file_that_another_engine_put_in_another_order_tells_the_newest_once_a_row_is_corrected(
    tmp_path: Path,
) -> None:
    moments = [NOON + n * timedelta(minutes=1) for n in range(3_000)]
    with lake.open(tmp_path) as lk:
        lk.write(
            "bot_states", [{"bot_id": "a", "snapshot_time": at, "state": {"n": n}} for n, at in enumerate(moments)]
        )
        lk.drain()
        DeltaTable(lk.uri("bot_states")).optimize.z_order(["state"])
        lk.write("bot_states", [{"bot_id": "a", "snapshot_time": moments[5], "state": {"n": -5}}])
        lk.drain()
        told = [newest_told(pq.read_metadata(file).metadata, "a") for file in files(tmp_path)]
        assert any(row is not None and row["state"] == '{"n":2999}' for row in told)
    with lake.open(tmp_path) as lk:
        state = lk.bots.latest_state("a")
    assert state is not None
    assert state["state"] == {"n": 2_999}


def rows_of(*rows: tuple[str, int, str]) -> pa.Table:
    bots, times, states = zip(*rows, strict=True)
    return pa.table({"bot_id": bots, "snapshot_time": times, "state": states})


def test_no_older_row_is_told_where_the_newest_is_too_large() -> None:
    noise = random.Random(1).randbytes(400_000).hex()
    newest = Newest(registry.get("bot_states"))
    newest.see(rows_of(("a", 1, "1"), ("b", 5, "5")))
    newest.see(rows_of(("a", 2, noise), ("b", 4, "4")))
    newest.see(rows_of(("a", 1, "1")))
    assert newest_told(newest.told(), "a") is None
    assert newest_told(newest.told(), "b") == {"bot_id": "b", "snapshot_time": 5, "state": "5"}


@pytest.mark.parametrize("padding", [0, 20_000])
def test_what_is_told_beside_the_rows_of_many_bots_is_bounded_with_their_names(padding: int) -> None:
    noise = random.Random(1).randbytes(50).hex()
    bots = [f"{number:05d}{'x' * padding}" for number in range(300)]
    newest = Newest(registry.get("bot_states"))
    newest.see(rows_of(*[(bot, at, f"{at}{noise}") for bot in bots for at in (1, 2)]))
    told = newest.told()
    assert 0 < sum(len(name) + len(packed) for name, packed in told.items()) <= 256 << 10
    found = [newest_told(told, bot) for bot in bots]
    assert len(told) == sum(row is not None for row in found) >= (1 if padding else 300)
    expected = [{"bot_id": bot, "snapshot_time": 2, "state": f"2{noise}"} for bot in bots]
    assert all(row in (None, wanted) for row, wanted in zip(found, expected, strict=True))


def test_of_thousands_of_bots_with_large_states_few_rows_are_packed() -> None:
    packed = []
    newest = Newest(registry.get("bot_states"))
    with pytest.MonkeyPatch.context() as patch:
        compress = zlib.compress
        patch.setattr("lake.store.cold.newest.zlib.compress", lambda text, level: packed.append(text) or compress(text))
        newest.see(rows_of(*[(f"bot{number}", 1, f"{number}" * 5_000) for number in range(4_000)]))
    assert 0 < sum(map(len, packed)) <= 4 << 20
    assert all(newest_told(newest.told(), f"bot{n}")["state"] == f"{n}" * 5_000 for n in (0, 1, 10))  # type: ignore[index]


def test_a_snapshot_that_waits_is_the_newest_once_a_newer_one_was_removed(tmp_path: Path) -> None:
    def saved(lk: lake.Lake, bot: str, minutes: int) -> None:
        lk.bots.save_state(bot, state=minutes, snapshot_time=NOON + minutes * timedelta(minutes=1))

    def newest(lk: lake.Lake) -> list[Any]:
        return [(state := lk.bots.latest_state(bot)) and state["state"] for bot in "ab"]

    with lake.open(tmp_path, bot_id="other") as other, lake.open(tmp_path, bot_id="own") as lk:
        saved(other, "b", 5)
        for bot in "ab":
            saved(lk, bot, 1)
            saved(lk, bot, 10)
        assert newest(lk) == [10, 10]
        lk.drain()
        assert newest(lk) == [10, 10]
        saved(other, "b", 7)
        DeltaTable(lk.uri("bot_states")).delete("state = '10'")
        assert newest(lk) == [1, 7]
        saved(lk, "a", 5)
        assert newest(lk) == [5, 7]
        lk.drain()
        assert newest(lk) == newest(other) == [5, 7]
        assert lk.read("bot_states")["state"].sort().to_list() == ["1", "1", "5", "5", "7"]


def test_a_bot_named_with_half_a_character_has_no_snapshot(tmp_path: Path) -> None:
    with lake.open(tmp_path) as lk:
        for bot in ("a", "\U0001f600"):
            lk.bots.save_state(bot, state=1)
        lk.drain()
    with lake.open(tmp_path) as lk:
        assert lk.bots.latest_state("b\ud800") is None
