"""The past of a lake: versions, times, tags, retention, vacuum, evolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.clock import MICROS_PER_DAY, now_micros
from lake.errors import SchemaChangeError, UnknownVersionError, UsageError
from lake.spec import registry
from lake.spec.dataset import Column, Dataset, Type
from lake.store import maintain, versions
from tests.helpers import closes, finished, metric, spawned, trade, trade_ids, write_candles

Respecify = Callable[..., Dataset]


@pytest.fixture
def respecify(monkeypatch: pytest.MonkeyPatch) -> Respecify:
    """Puts a changed specification of a dataset in the place of the declared one."""
    declared = dict(registry._all())

    def put(name: str, **changes: Any) -> Dataset:
        changed = replace(declared[name], **changes)
        monkeypatch.setattr(registry, "_all", lambda: {**declared, name: changed})
        return changed

    return put


def data_files(path: Path, dataset: str = "candles") -> set[str]:
    return {str(p.relative_to(path)) for p in (path / dataset).rglob("*.parquet") if "_delta_log" not in p.parts}


def test_the_lake_is_read_as_it_was_at_a_version_a_time_and_a_tag(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert lk.version() == 0
        write_candles(lk, range(6000))
        first, at = lk.version(), datetime.now(UTC)
        write_candles(lk, range(3000, 9000), close=2.0)
        lk.write("trades", trade(1))
        lk.tag("before-retrain")
        write_candles(lk, [1], close=3.0)
        lk.write("trades", trade(2))
        lk.drain()
        for view in (lk.at(version=first), lk.at(time=at), lk.at(time=int(at.timestamp() * 1e6))):
            assert closes(view) == dict.fromkeys(range(6000), 1.5)
            assert trade_ids(view) == []
        tagged = lk.at(tag="before-retrain")
        assert closes(tagged) == {n: 1.5 if n < 3000 else 2.0 for n in range(9000)}
        assert trade_ids(tagged) == ["t1"]
        assert tagged.read("trades")["trade_id"].to_list() == ["t1"]
        assert trade_ids(lk.at(version=lk.version())) == trade_ids(lk) == ["t1", "t2"]
        assert lk.read("trades", as_of=at).is_empty()
        lk.write("trades", trade(3))
        assert trade_ids(lk.at(time=datetime.now(UTC))) == ["t1", "t2"], "what waits in hot is not settled"


def test_what_never_was_is_refused(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        with pytest.raises(UnknownVersionError, match=r"no such version \(got 99\). They run from 0 to 2"):
            lk.at(version=99)
        lk.tag("one")
        with pytest.raises(UnknownVersionError, match="no such tag .*There are: one"):
            lk.at(tag="two")
        with pytest.raises(UsageError, match="the tag exists"):
            lk.tag("one")
        with pytest.raises(UsageError, match="name one of version, time and tag"):
            lk.at(version=1, tag="one")
        with pytest.raises(UsageError, match="a tag is letters"):
            lk.tag("../escape")


def test_retention_removes_only_what_is_older_and_never_what_is_open(tmp_path: Path) -> None:
    now = now_micros()
    with lake.open(tmp_path, bot_id="b1") as lk:
        for day in range(40):
            lk.write(
                "trades", trade(day, created_at=now - day * MICROS_PER_DAY, status="open" if day == 35 else "closed")
            )
        lk.drain()
        version = lk.version()
        planned = lk.retain({"trades": 30}, dry_run=True)
        assert planned["trades"].rows_removed == 9 - 1 + 1
        assert lk.version() == version
        done = maintain.retain(lk.store, {"trades": 30}, now=now)
        assert done["trades"].rows_removed == 9 - 1
        assert trade_ids(lk) == sorted(f"t{d}" for d in [*range(31), 35])
        assert trade_ids(lk.at(version=version)) == sorted(f"t{d}" for d in range(40))
        assert lk.verify().ok


def test_retention_is_off_unless_the_settings_ask_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        assert lk.retain() == {}
    monkeypatch.setenv("LAKE_RETENTION_DAYS", "candles=30")
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert lk.retain()["candles"].rows_removed == 6000
        assert closes(lk) == {}


def test_vacuum_removes_what_nothing_needs_and_a_dry_run_nothing(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        write_candles(lk, range(6000), close=2.0)
        lk.tag("kept")
        write_candles(lk, range(6000), close=3.0)
        everything = data_files(tmp_path)
        assert lk.vacuum().files == (), "younger than the grace of readers"
        planned = lk.vacuum(dry_run=True, grace_hours=0)
        assert data_files(tmp_path) == everything
        done = lk.vacuum(grace_hours=0)
        assert done == planned
        assert everything - data_files(tmp_path) == set(done.files)
        assert len(done.files) == 1
        assert set(closes(lk.at(tag="kept")).values()) == {2.0}
        assert set(closes(lk).values()) == {3.0}
        versions.delete_tag(lk.store, "kept")
    with lake.open(tmp_path) as lk:
        assert len(lk.vacuum(grace_hours=0).files) == 1
        assert set(closes(lk).values()) == {3.0}
        assert lk.verify().ok


def test_vacuum_leaves_files_whose_commit_is_under_way(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path) as job:
        write_candles(lk, range(6000))
        table = lk.store.table("candles")
        sync = table.location.sync

        def interrupted(paths: list[str]) -> None:
            job.vacuum(grace_hours=0)
            sync(paths)

        table.location.sync = interrupted  # type: ignore[method-assign]
        write_candles(lk, range(6000, 12_000))
        del table.location.sync
        assert len(closes(lk)) == 12_000
        assert lk.verify().ok


@pytest.mark.parametrize("began", ["before the table", "after it"])
def test_a_relation_stays_readable_after_compaction_and_vacuum(tmp_path: Path, began: str) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path) as job:
        if began == "before the table":
            assert closes(lk) == {}
        for turn in range(3):
            write_candles(lk, range(turn * 6000, turn * 6000 + 6000))
        relation = lk.sql("SELECT count(DISTINCT open_time), sum(volume) FROM candles")
        job.compact()
        job.vacuum(grace_hours=0)
        assert relation.fetchall() == [(18_000, float(sum(range(18_000))))]


def test_a_view_of_the_past_stays_readable_after_vacuum(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path) as job:
        write_candles(lk, range(6000))
        version = lk.version()
        write_candles(lk, range(6000), close=2.0)
        assert set(closes(lk).values()) == {2.0}
        past = lk.at(version=version)
        job.vacuum(grace_hours=0)
        assert set(closes(past).values()) == {1.5}


def _read_late(path: str, ready: Any, go: Any) -> None:
    with lake.open(path) as lk:
        relation = lk.sql("SELECT count(DISTINCT open_time), sum(volume) FROM candles")
        ready.set()
        assert go.wait(60)
        assert relation.fetchall() == [(18_000, float(sum(range(18_000))))]


def test_a_reader_in_another_process_keeps_its_files_and_gives_them_back(tmp_path: Path) -> None:
    context = get_context("spawn")
    ready, go = context.Event(), context.Event()
    with lake.open(tmp_path, bot_id="b1") as lk:
        for turn in range(3):
            write_candles(lk, range(turn * 6000, turn * 6000 + 6000))
    reader = spawned(_read_late, str(tmp_path), ready, go)
    assert ready.wait(60)
    with lake.open(tmp_path) as job:
        job.compact()
        assert job.vacuum(grace_hours=0).files == ()
        go.set()
        finished(reader)
    with lake.open(tmp_path) as job:
        assert len(job.vacuum(grace_hours=0).files) == 3


def test_a_nullable_column_can_be_added_to_an_existing_lake(tmp_path: Path, respecify: Respecify) -> None:
    ds = registry.get("market_metrics")
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("market_metrics", [metric(n) for n in range(3)])
        lk.drain()
        lk.write("market_metrics", metric(3))
        lk.tag("narrow")
    respecify("market_metrics", columns=(*ds.columns, Column("note", Type.STRING, "what it is about")))
    with lake.open(tmp_path, bot_id="b1") as lk:
        assert lk.read("market_metrics")["note"].to_list() == [None] * 4
        lk.write("market_metrics", {**metric(1), "note": "changed"})
        lk.write("market_metrics", {**metric(9), "note": "new"})
        for _ in range(2):
            rows = lk.sql("SELECT note FROM market_metrics ORDER BY time").fetchall()
            assert rows == [(None,), ("changed",), (None,), (None,), ("new",)]
            lk.drain()
        lk.compact()
        assert lk.sql("SELECT count(*), count(note) FROM market_metrics").fetchall() == [(5, 2)]
        assert lk.at(tag="narrow").read("market_metrics").height == 4
        assert lk.verify().ok


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: (*c, Column("note", Type.STRING, "n", required=True)),
         "note as required string; the stored table has no such"),
        (lambda c: tuple(replace(x, type=Type.STRING, minimum=None) if x.name == "value" else x for x in c),
         "the specification says string, the stored table double"),
    ],
    ids=["required column", "other type"],
)  # fmt: skip
def test_a_forbidden_change_is_refused_with_both_versions(
    tmp_path: Path, respecify: Respecify, change: Callable[[Any], Any], told: str
) -> None:
    ds = registry.get("market_metrics")
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("market_metrics", metric(1))
        lk.drain()
    respecify("market_metrics", columns=change(ds.columns))
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("market_metrics", {**metric(2), "note": "x"} if "note" in told else {**metric(2), "value": "1"})
        with pytest.raises(SchemaChangeError, match=told):
            lk.drain()
