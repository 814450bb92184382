"""Rows are found by their keys without reading a table through, and writes of wide rows stay within memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

import lake
from lake.errors import CorruptLakeError
from lake.spec import registry
from lake.spec.schema import arrow_schema
from lake.store import maintain
from lake.store.by_key import rows_of
from lake.store.cold import keys as cold_keys
from lake.store.cold import lookup as looking
from lake.store.cold import merge, reader
from lake.store.cold.files import DataFile
from lake.store.cold.lookup import Asked, Lookup
from lake.store.cold.merge import FAN, MERGE_BYTES, small_files_to_merge
from tests.helpers import trade

TRADES = registry.get("trades")
FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def scattered(number: int, **more: Any) -> dict[str, Any]:
    """A trade whose id tells nothing of when it was."""
    name, at = sha256(str(number).encode()).hexdigest(), FIRST + timedelta(minutes=number)
    return trade(number, **{"trade_id": name, "created_at": at, "pnl": float(number), **more})


def keys(numbers: Sequence[int]) -> pl.DataFrame:
    """The ids of those."""
    return pl.DataFrame({"trade_id": [scattered(number)["trade_id"] for number in numbers]})


def found(lk: lake.Lake, numbers: Sequence[int]) -> dict[str, float]:
    """What the lake has of those trades."""
    frames = rows_of(lk.store, TRADES, keys(numbers), ["trade_id", "pnl"])
    return {row[0]: row[1] for frame in frames for row in frame.rows()}


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    """A lake with 40,000 trades in one file of several row groups."""
    with lake.open(tmp_path, bot_id="b1") as opened:
        opened.write("trades", pl.DataFrame([scattered(n) for n in range(40_000)]))
        yield opened


def data_file(lk: lake.Lake) -> DataFile:
    """The one file of its trades."""
    (file,) = lk.store.table("trades").state().files.values()
    return file


@pytest.mark.parametrize("kept", [8_000_000, 0])  # whether there is room for what a file's keys hash to
def test_the_rows_of_some_keys_are_found_whatever_lies_between(
    lk: lake.Lake, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_MOST_HASHES", kept)
    asked = [*range(0, 40_000, 5_000), *range(50_000, 50_100)]
    for _ in range(2):
        assert found(lk, asked) == {scattered(n)["trade_id"]: float(n) for n in range(0, 40_000, 5_000)}
    assert found(lk, range(50_000, 51_000)) == {}


def test_a_version_that_waits_in_hot_is_the_newest(lk: lake.Lake) -> None:
    lk.write("trades", scattered(7, pnl=-1.0))
    lk.write("trades", scattered(50_000, pnl=-2.0))
    expected = {scattered(7)["trade_id"]: -1.0, scattered(8)["trade_id"]: 8.0, scattered(50_000)["trade_id"]: -2.0}
    assert found(lk, [7, 8, 50_000, 50_001]) == expected
    lk.drain()
    assert found(lk, [7, 8, 50_000, 50_001]) == expected


@pytest.mark.parametrize("small", [65_536, 100])  # up to how many rows the keys of a file are kept whole
def test_a_row_is_changed_where_it_lies(lk: lake.Lake, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_keys, "_FILE_ROWS", small)
    name = scattered(30_000)["trade_id"]
    assert lk.patch("trades", name, {"pnl": -1.0}).updated == 1
    assert lk.write("trades", scattered(50_000)).inserted == 1
    assert lk.write("trades", scattered(2, pnl=-2.0)).updated == 1
    lk.drain()
    assert found(lk, [2, 30_000, 50_000]) == {
        name: -1.0, scattered(2)["trade_id"]: -2.0, scattered(50_000)["trade_id"]: 50_000.0
    }  # fmt: skip


def test_new_keys_are_told_without_reading_a_file_again(lk: lake.Lake) -> None:
    file, schema = data_file(lk), arrow_schema(TRADES)
    lookup = Lookup(TRADES, lk.store.reader, "trades")
    assert not list(lookup.rows(file, Asked(keys([50_000])), schema))
    Path(lk.uri("trades"), file.path).unlink()
    assert not list(lookup.rows(file, Asked(keys(range(50_001, 50_200))), schema))
    with pytest.raises(CorruptLakeError, match="a data file cannot be read"):  # and one that is there is read
        list(lookup.rows(file, Asked(keys([5])), schema))


def test_what_is_known_of_a_file_goes_with_it(lk: lake.Lake) -> None:
    file, schema = data_file(lk), arrow_schema(TRADES)
    lookup = Lookup(TRADES, lk.store.reader, "trades")
    list(lookup.rows(file, Asked(keys([50_000])), schema))
    lookup.forget_all_but([])
    Path(lk.uri("trades"), file.path).unlink()
    with pytest.raises(CorruptLakeError, match="a data file cannot be read"):
        list(lookup.rows(file, Asked(keys([50_000])), schema))


def test_only_the_row_groups_that_hold_a_key_are_decoded_whole(lk: lake.Lake) -> None:
    file = data_file(lk)
    groups = lk.store.reader.footer(f"trades/{file.path}").metadata.num_row_groups
    lookup = Lookup(TRADES, lk.store.reader, "trades")
    assert groups > 2
    assert len(lookup.groups(file, Asked(keys([1])))) == 1
    assert len(lookup.groups(file, Asked(keys(range(0, 40_000, 100))))) == groups
    assert len(lookup.groups(file, Asked(keys([50_000])))) == 0


def test_a_large_file_is_decoded_piece_by_piece(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    file, schema = data_file(lk), arrow_schema(TRADES)
    groups = range(lk.store.reader.footer(f"trades/{file.path}").metadata.num_row_groups)
    assert len(list(lk.store.reader.pieces("trades", file, groups, schema))) == 1
    monkeypatch.setattr(reader, "_PIECE_BYTES", 1)
    pieces = [table.num_rows for table in lk.store.reader.pieces("trades", file, groups, schema)]
    assert len(pieces) == len(groups)
    assert sum(pieces) == 40_000
    assert len(found(lk, range(0, 40_000, 100))) == 400


def test_compaction_of_wide_rows_holds_fewer_of_them_at_once(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table, files = lk.store.table("trades"), [data_file(lk)]
    (whole,) = (piece for piece in maintain.sorted_pieces(table, files) if piece.height)
    monkeypatch.setattr(maintain, "_PIECE_BYTES", 1)
    pieces = [piece for piece in maintain.sorted_pieces(table, files) if piece.height]
    assert len(pieces) > 2
    assert pl.concat(pieces).equals(whole)


def test_compaction_of_files_whose_times_overlap_holds_no_more_than_a_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of imports of stores that are not in the order of time: each file has rows of the whole year."""
    monkeypatch.setattr(merge, "FAN", 100)
    monkeypatch.setattr(maintain, "_PIECE_ROWS", 4_000)
    with lake.open(tmp_path / "lake") as lk:
        for part in range(4):
            lk.write("trades", [scattered(n, extra=f'{{"note":"{n:0200d}"}}') for n in range(part, 40_000, 4)])
            lk.drain()
        table = lk.store.table("trades")
        files = list(table.state().files.values())
        pieces = [piece for piece in maintain.sorted_pieces(table, files) if piece.height]
    assert (len(files), sum(piece.height for piece in pieces)) == (4, 40_000)
    assert max(piece.height for piece in pieces) < 8_000
    for piece in pieces:
        held = piece.to_arrow(compat_level=pl.CompatLevel.newest()).get_total_buffer_size()
        assert held < 2 * piece.estimated_size()


def many(count: int, rows: int, size: int) -> list[DataFile]:
    """Files of so many rows and bytes each."""
    return [DataFile(f"f{n}", size, {}, 0, f'{{"numRecords":{rows}}}') for n in range(count)]


def test_a_write_merges_no_more_bytes_than_memory_is_meant_for() -> None:
    narrow, wide = many(FAN, 100_000, MERGE_BYTES // FAN), many(FAN, 100_000, MERGE_BYTES // FAN + 1)
    assert len(small_files_to_merge(narrow, 100_000, set())) == FAN
    assert small_files_to_merge(wide, 100_000, set()) == ()


def test_files_that_a_write_touches_are_merged_with_it_up_to_that_too() -> None:
    touched = many(FAN, 1_000, MERGE_BYTES // 4)
    assert len(small_files_to_merge(touched, 10, {file.path for file in touched})) == 4


@pytest.mark.parametrize("groups", [0, 1])  # engines differ in whether they write one without rows
def test_a_file_of_another_engine_without_rows_holds_no_key(lk: lake.Lake, groups: int) -> None:
    none = arrow_schema(TRADES).empty_table()
    with pq.ParquetWriter(Path(lk.uri("trades"), "none.parquet"), none.schema) as writer:
        for _ in range(groups):
            writer.write_table(none)
    file, lookup = DataFile("none.parquet", 1, {}, 0, None), Lookup(TRADES, lk.store.reader, "trades")
    assert lk.store.reader.footer("trades/none.parquet").metadata.num_row_groups == groups
    assert list(lookup.rows(file, Asked(keys([1])), none.schema)) == []
    assert lookup.keys(file).height == 0


def test_a_column_is_empty_only_where_the_log_counts_its_rows_and_its_nulls() -> None:
    counted = DataFile("f", 1, {}, 0, '{"numRecords":2,"nullCount":{"pnl":2,"fees":1,"side":0}}')
    assert counted.empty == {"pnl"}
    assert DataFile("f", 1, {}, 0, '{"nullCount":{"pnl":null}}').empty == frozenset()
    assert DataFile("f", 1, {}, 0, None).empty == frozenset()
