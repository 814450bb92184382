"""What every location promises; each kind of place subclasses this and gives ``place``."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from lake.errors import UsageError
from lake.store.location import Location


class LocationContract:
    @pytest.fixture
    def place(self) -> Location:
        raise NotImplementedError

    def test_a_file_that_was_written_is_read_back(self, place: Location) -> None:
        place.write("a/b.bin", b"\x00\xff" * 1000)
        assert place.read("a/b.bin") == b"\x00\xff" * 1000
        assert place.exists("a/b.bin")
        assert place.size("a/b.bin") == 2000

    def test_an_empty_file_is_a_file(self, place: Location) -> None:
        place.write("empty", b"")
        assert place.read("empty") == b""
        assert place.exists("empty")
        assert place.size("empty") == 0

    def test_a_missing_file_is_said_as_one(self, place: Location) -> None:
        assert place.read_or_none("none/such") is None
        assert not place.exists("none/such")
        with pytest.raises(FileNotFoundError, match="none/such"):
            place.read("none/such")
        with pytest.raises(FileNotFoundError, match="none/such"):
            place.size("none/such")

    def test_a_folder_is_not_a_file(self, place: Location) -> None:
        place.write("a/b", b"1")
        assert not place.exists("a")
        assert place.read_or_none("a") is None

    def test_writing_again_replaces(self, place: Location) -> None:
        place.write("x", b"long old content")
        place.write("x", b"new")
        assert place.read("x") == b"new"

    def test_create_refuses_what_exists_and_leaves_it_alone(self, place: Location) -> None:
        assert place.create("log/0.json", b"first")
        assert not place.create("log/0.json", b"second")
        assert place.read("log/0.json") == b"first"

    def test_create_succeeds_again_after_a_delete(self, place: Location) -> None:
        place.create("x", b"1")
        place.delete(["x"])
        assert place.create("x", b"2")
        assert place.read("x") == b"2"

    def test_of_many_creators_at_once_exactly_one_wins(self, place: Location) -> None:
        contenders = 8
        barrier = threading.Barrier(contenders)

        def contend(number: int) -> bool:
            barrier.wait(30)
            return place.create("log/7.json", f"{number}".encode())

        with ThreadPoolExecutor(contenders) as pool:
            won = list(pool.map(contend, range(contenders)))
        assert won.count(True) == 1
        assert place.read("log/7.json") == str(won.index(True)).encode()

    def test_deleting_what_is_missing_is_fine(self, place: Location) -> None:
        place.write("a", b"1")
        place.delete(["a", "b", "c/d"])
        assert not place.exists("a")
        place.delete([])

    def test_list_gives_every_file_below_a_folder_with_its_size_and_time(self, place: Location) -> None:
        before = time.time() - 5
        for path in ("t/x=1/a.parquet", "t/x=2/b.parquet", "t/_delta_log/0.json", "tt/c.parquet"):
            place.write(path, path.encode())
        found = {e.path: e for e in place.list("t")}
        assert set(found) == {"t/x=1/a.parquet", "t/x=2/b.parquet", "t/_delta_log/0.json"}
        assert found["t/x=1/a.parquet"].size == 15
        assert before < found["t/x=1/a.parquet"].modified_micros / 1e6 < time.time() + 5
        assert {e.path for e in place.list("")} == {*found, "tt/c.parquet"}

    def test_list_of_a_missing_folder_is_empty(self, place: Location) -> None:
        assert list(place.list("nowhere")) == []
        assert list(place.list_names("nowhere")) == []
        assert list(place.list_names("")) == []

    def test_list_names_gives_files_and_folders_of_one_level(self, place: Location) -> None:
        for path in ("t/a", "t/b/c", "t/b/d", "tt/e"):
            place.write(path, b"1")
        assert sorted(place.list_names("t")) == ["a", "b"]
        assert sorted(place.list_names("")) == ["t", "tt"]

    def test_a_listing_sees_what_was_written_a_moment_ago(self, place: Location) -> None:
        for number in range(5):
            place.write(f"log/{number}", b"1")
            assert len(list(place.list_names("log"))) == number + 1
            assert len(list(place.list("log"))) == number + 1
        place.delete(["log/0"])
        assert sorted(place.list_names("log")) == ["1", "2", "3", "4"]

    def test_names_with_odd_characters_come_back_as_they_went(self, place: Location) -> None:
        paths = ["t/symbol=BTC%2FUSDT/a b.json", "t/ü=é/#1?.json", "t/plus+and&.json"]
        for path in paths:
            place.write(path, path.encode())
        assert sorted(e.path for e in place.list("t")) == sorted(paths)
        for path in paths:
            assert place.read(path) == path.encode()

    @pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "a\0b"])
    def test_a_path_that_leaves_the_lake_is_refused_with_its_value(self, place: Location, path: str) -> None:
        with pytest.raises(UsageError, match="relative"):
            place.read_or_none(path)
        with pytest.raises(UsageError, match="relative"):
            place.write(path, b"")
        with pytest.raises(UsageError, match="relative"):
            place.delete([path])

    def test_parquet_goes_out_and_comes_in(self, place: Location) -> None:
        table = pa.table({"x": list(range(10_000)), "s": [str(n) for n in range(10_000)]})
        with place.open_output("t/p=1/f.parquet") as out, pq.ParquetWriter(out, table.schema) as writer:
            writer.write_table(table)
        place.sync(["t/p=1/f.parquet"])
        assert pq.read_table(place.open_input("t/p=1/f.parquet"), columns=["x"]).equals(table.select(["x"]))
        assert pq.read_metadata(place.open_input("t/p=1/f.parquet")).num_rows == 10_000
        assert place.size("t/p=1/f.parquet") > 10_000

    def test_sync_of_a_missing_file_is_said_or_needless(self, place: Location) -> None:
        if place.is_local:
            with pytest.raises(FileNotFoundError):
                place.sync(["none"])
        else:
            place.sync(["none"])

    def test_the_check_for_writing_leaves_nothing_behind(self, place: Location) -> None:
        place.check_writable()
        place.probe_conditional_put()
        assert list(place.list("")) == []

    def test_delta_and_polars_and_duckdb_read_it_by_its_address(self, place: Location) -> None:
        options = dict(place.delta_options)
        write_deltalake(place.url("t"), pa.table({"x": [1, 2, 3]}), storage_options=options or None)
        assert "_delta_log" in place.list_names("t")
        assert pl.scan_delta(place.url("t"), storage_options=options or None).collect()["x"].sum() == 6
        files = [place.url(e.path) for e in place.list("t") if e.path.endswith(".parquet")]
        assert len(files) == len(DeltaTable(place.url("t"), storage_options=options or None).file_uris()) == 1
        connection = duckdb.connect()
        if not place.is_local:
            connection.register_filesystem(place.filesystem)
        assert connection.execute("SELECT sum(x) FROM read_parquet(?)", [files]).fetchall() == [(6,)]
