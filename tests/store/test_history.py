"""The past of a lake: versions, times, tags, retention, vacuum, evolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.clock import MICROS_PER_DAY, now_micros
from lake.errors import (
    InvalidTimeError,
    LakeError,
    SchemaChangeError,
    UnknownDatasetError,
    UnknownVersionError,
    UsageError,
)
from lake.spec import registry
from lake.spec.dataset import Column, Dataset, Type
from lake.store import retention, versions
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


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"version": True}, UsageError, r"version: a version is a whole number \(got True\)"),
        ({"version": "1"}, UsageError, r"a version is a whole number \(got '1'\)"),
        ({"version": 1.0}, UsageError, r"a version is a whole number \(got 1.0\)"),
        ({"version": -1}, UnknownVersionError, r"no such version \(got -1\). They run from 0 to 2"),
        ({"version": {"candle": 1}}, UnknownDatasetError, r"no such dataset \(got 'candle'\)"),
        ({"version": {"candles": 2}}, UnknownVersionError, r"candles: .*\(got 2\). They run from -1 .* to 1"),
        ({"version": {"candles": -2}}, UnknownVersionError, r"candles: no such version \(got -2\)"),
        ({"version": {"trades": 0}}, UnknownVersionError, r"trades: .*\(got 0\). They run from -1 .* to -1"),
        ({"version": {"candles": "1"}}, UsageError, r"candles: a version is a whole number \(got '1'\)"),
        ({"time": datetime(2199, 1, 1, tzinfo=UTC)}, UnknownVersionError, "time: that time is yet to come"),
        ({"time": datetime(2024, 1, 1)}, InvalidTimeError, "naive"),  # noqa: DTZ001 - that is the point
        ({"tag": 5}, UsageError, r"a tag is letters.*\(got 5\)"),
        ({"tag": "../x"}, UsageError, r"a tag is letters.*\(got '../x'\)"),
    ],
)
def test_a_version_that_cannot_be_is_told_with_its_value_and_the_range(
    tmp_path: Path, asked: dict[str, Any], error: type[LakeError], told: str
) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        with pytest.raises(error, match=told):
            lk.at(**asked)
        assert lk.at(version={"candles": 1}).read("candles").height == 6000
        assert lk.at(version={"candles": -1}).read("candles").height == 0


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
        done = retention.retain(lk.store, {"trades": 30}, now=now)
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


@pytest.mark.parametrize(
    ("days", "error", "told"),
    [
        ({"trade": 3}, UnknownDatasetError, r"no such dataset \(got 'trade'\)"),
        ({"trades": -1}, UsageError, r"trades: days to keep are a whole number from 0 to 100,000 \(got -1\)"),
        ({"trades": "30"}, UsageError, r"trades: .*\(got '30'\)"),
        ({"trades": 1.5}, UsageError, r"trades: .*\(got 1.5\)"),
        ({"trades": True}, UsageError, r"trades: .*\(got True\)"),
        ({"trades": 10**12}, UsageError, r"trades: .*\(got 1000000000000\)"),
        (30, UsageError, r"days are given by dataset \(got 30\)"),
    ],
)
def test_days_that_cannot_be_are_refused_and_nothing_goes(
    tmp_path: Path, days: Any, error: type[LakeError], told: str
) -> None:
    with lake.open(tmp_path, bot_id="b1") as lk:
        write_candles(lk, range(6000))
        for given in (days, {"candles": 0, **days} if isinstance(days, dict) else days):
            with pytest.raises(error, match=told):
                lk.retain(given)
        assert len(closes(lk)) == 6000


def test_retention_settles_what_waits_and_a_dry_run_counts_it(tmp_path: Path) -> None:
    old = {"created_at": now_micros() - 40 * MICROS_PER_DAY}
    with lake.open(tmp_path, bot_id="b1") as lk, lake.open(tmp_path, bot_id="b2") as other:
        lk.write(
            "trades", [trade(1, **old), trade(2, **old), trade(3, "open", **old), trade(4, created_at=now_micros())]
        )
        lk.drain()
        lk.write("trades", trade(1, **old, strategy="changed"))
        lk.write("trades", trade(5, **old))
        other.write("trades", trade(6, **old))
        assert lk.retain({"trades": 30}, dry_run=True)["trades"].rows_removed == 4
        assert trade_ids(lk) == ["t1", "t2", "t3", "t4", "t5", "t6"]
        assert lk.retain({"trades": 30})["trades"].rows_removed == 4
        assert trade_ids(lk) == ["t3", "t4"]


def test_retention_goes_by_days_where_the_event_is_a_day(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    rows = [{"bot_id": "b1", "date": today - timedelta(days=n), "trades": n} for n in range(40)]
    with lake.open(tmp_path, bot_id="b1") as lk:
        lk.write("performance_snapshots", rows)
        planned = lk.retain({"performance_snapshots": 30}, dry_run=True)["performance_snapshots"].rows_removed
        assert lk.retain({"performance_snapshots": 30})["performance_snapshots"].rows_removed == planned == 9
        assert lk.read("performance_snapshots")["date"].min() == today - timedelta(days=30)


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
