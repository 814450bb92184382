"""The catalogue that other tools open: whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

import lake
from lake.errors import QueryError, StorageError, UsageError
from lake.query.publish import publish
from lake.spec import registry
from lake.store import versions
from lake.store.location import resolve
from tests.helpers import candles, write_candles


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="b1") as opened:
        write_candles(opened, range(6000))
        yield opened


def count(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as other:
        return int(other.sql("SELECT count(*) FROM candles").fetchall()[0][0])


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_publishing_leaves_one_file_and_no_draft(lk: lake.Lake, tmp_path: Path) -> None:
    target = tmp_path / "out" / "mine.duckdb"
    target.parent.mkdir()
    assert lk.publish(target) == target
    assert names(target.parent) == {"mine.duckdb"}
    assert count(target) == 6000


def test_a_failed_publish_leaves_the_old_catalogue_and_its_tag(lk: lake.Lake, tmp_path: Path) -> None:
    path = lk.publish()
    before, tagged = names(path.parent), lk.tags()["published"]
    write_candles(lk, range(6000, 12_000))
    files = {p: p.read_bytes() for p in (path.parent / "candles").rglob("*.parquet")}
    for file in files:
        file.write_bytes(b"no parquet at all")
    with pytest.raises(QueryError, match=r"(?s)lake\.duckdb: DuckDB refuses a view.*`lake verify`"):
        lk.publish()
    assert names(path.parent) == before
    assert lk.tags()["published"] == tagged
    for file, kept in files.items():
        file.write_bytes(kept)
    assert count(lk.publish()) == 12_000


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("missing/lake.duckdb", "missing: there is no such folder"),
        (".", "there is a folder"),
        ("file.txt/lake.duckdb", "file.txt: there is no such folder"),
        ("x" * 300, "the catalogue cannot be written|File name too long"),
    ],
)
def test_a_target_that_cannot_be_written_is_told_and_leaves_nothing(
    lk: lake.Lake, tmp_path: Path, target: str, told: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "file.txt").touch()
    with pytest.raises(StorageError, match=told):
        lk.publish(out / target)
    assert names(out) == {"file.txt"}
    assert "published" not in lk.tags()


def test_a_lake_on_s3_asks_for_httpfs_before_anything_else(
    lk: lake.Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where DuckDB keeps extensions
    remote = resolve("s3://bots/lake", {"endpoint_url": "http://127.0.0.1:1"})
    with pytest.raises(StorageError, match=r"s3://bots/lake: .*extension httpfs.*INSTALL httpfs"):
        publish(tmp_path / "x.duckdb", remote, lk.store.snapshot(registry.names()))
    assert not (tmp_path / "x.duckdb").exists()


def test_a_replaced_tag_is_there_at_every_moment(lk: lake.Lake) -> None:
    lk.publish()
    location = lk.store.location
    delete, deleted = location.delete, []
    location.delete = lambda paths: deleted.extend(paths) or delete(paths)  # type: ignore[method-assign, func-returns-value]
    write_candles(lk, range(6000, 12_000))
    lk.publish()
    del location.delete
    assert deleted == []
    assert lk.tags()["published"] == versions.current(lk.store)


def test_a_catalogue_leaves_out_what_models_may_remember_as_the_lake_did_when_it_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"symbol": "BTCUSDT", "recommendation": "LONG", "confidence": 0.6, "prompt_version": "v1"}
    rows = [
        {**said, "decision_id": f"d{month}", "model_version": "m'1", "analyzed_at": f"2025-{month:02}-01T00:00Z"}
        for month in range(1, 10)
    ]
    told = "SELECT decisions, inside_training_period FROM prompt_performance"
    monkeypatch.setenv("LAKE_KNOWLEDGE_CUTOFFS", "m*=2025-03-31")
    with lake.open(tmp_path / "lake", bot_id="b1") as lk:
        lk.write("decisions", rows)
        path, expected = lk.publish(), lk.sql(told).fetchall()
    assert expected == [(6, 3)]
    monkeypatch.delenv("LAKE_KNOWLEDGE_CUTOFFS")
    with duckdb.connect(str(path), read_only=True) as other:
        assert other.sql(told).fetchall() == expected
        other.execute("SET VARIABLE knowledge_cutoffs = '[]'")
        assert other.sql(told).fetchall() == [(9, 0)]
    with lake.open(tmp_path / "lake", bot_id="b1") as lk, duckdb.connect(str(lk.publish()), read_only=True) as other:
        assert other.sql(told).fetchall() == lk.sql(told).fetchall() == [(9, 0)]


def test_what_is_published_is_what_the_tag_keeps(lk: lake.Lake) -> None:
    lk.candles.write(candles(range(6000, 6005)), "1m", venue="binance")
    path = lk.publish()
    assert lk.at(tag="published").sql("SELECT count(*) FROM candles").fetchall() == [(6005,)]
    assert count(path) == 6005


def test_the_tag_of_the_catalogue_is_nobody_elses(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="the tag goes with the published catalogue"):
        lk.tag("published")
    assert lk.tags() == {}
