"""Local folders: the contract, and what the operating system may answer."""

from __future__ import annotations

import multiprocessing
import os
import resource
from pathlib import Path

import pytest

from lake.errors import StorageError, UsageError
from lake.store.location import Location, resolve
from tests.store.location_contract import LocationContract


@pytest.fixture
def place(tmp_path: Path) -> Location:
    return resolve(str(tmp_path / "lake"))


class TestLocal(LocationContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Location:
        return resolve(str(tmp_path / "new" / "lake"))


class TestAddress:
    def test_a_file_address_a_home_and_a_relative_path_are_made_absolute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        wanted = f"{tmp_path}/a b"
        assert resolve("~/a b").uri == resolve("./x/../a b/").uri == resolve(f"file://{tmp_path}/a%20b").uri == wanted
        assert resolve(tmp_path / "a b").uri == wanted

    def test_a_local_place_has_no_options_for_delta_and_no_file_system_object(self, place: Location) -> None:
        assert place.is_local
        assert dict(place.delta_options) == {}
        with pytest.raises(UsageError, match="needs no file system object"):
            _ = place.filesystem

    @pytest.mark.parametrize("uri", ["gs://bucket/x", "http://host/x", "file://otherhost/x", ""])
    def test_an_address_of_another_kind_is_refused(self, uri: str) -> None:
        with pytest.raises(UsageError, match="no lake can be kept there|names a path of this machine|is empty"):
            resolve(uri)

    def test_nothing_is_made_before_the_first_file(self, tmp_path: Path) -> None:
        resolve(str(tmp_path / "lake")).read_or_none("x")
        assert list(tmp_path.iterdir()) == []


class TestFailures:
    def test_a_file_where_the_folder_should_be_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        place = resolve(str(tmp_path / "file"))
        for call in (lambda: place.read_or_none("x"), lambda: place.create("x", b""), place.check_writable):
            with pytest.raises(StorageError, match="part of the path is a file, not a folder"):
                call()
        with pytest.raises(StorageError, match="part of the path is a file, not a folder"):
            place.open_output("a/b")

    def test_a_folder_where_a_file_should_be_is_said_so(self, place: Location) -> None:
        place.write("a/b", b"")
        with pytest.raises(StorageError, match="there is a folder where a file should be"):
            place.write("a", b"")
        assert list(place.list_names("")) == ["a"]

    def test_a_folder_that_may_not_be_used_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "lake").mkdir(mode=0o000)
        answers = in_a_child(_denied, str(tmp_path / "lake"))
        assert answers == ["permission denied"] * 4

    def test_a_write_that_fails_half_way_leaves_the_old_bytes_and_no_rest(self, tmp_path: Path) -> None:
        answers = in_a_child(_fill_up, str(tmp_path))
        assert answers == ["the file would be larger than is allowed"] * 3
        assert (tmp_path / "x").read_bytes() == b"old"
        assert [p.name for p in tmp_path.iterdir() if p.name != "big.parquet"] == ["x"]

    def test_a_temporary_file_that_a_crash_left_is_never_listed(self, place: Location, tmp_path: Path) -> None:
        place.write("log/0.json", b"1")
        (tmp_path / "lake" / "log" / f".1.json.{'0' * 32}.tmp").write_bytes(b"half")
        assert list(place.list_names("log")) == ["0.json"]
        assert [e.path for e in place.list("")] == ["log/0.json"]

    def test_a_folder_that_someone_removed_is_made_again(self, place: Location, tmp_path: Path) -> None:
        place.write("a/b", b"1")
        (tmp_path / "lake" / "a" / "b").unlink()
        (tmp_path / "lake" / "a").rmdir()
        assert place.create("a/b", b"2")
        assert place.read("a/b") == b"2"


def in_a_child(work: object, *arguments: str) -> list[str]:
    """Run ``work`` in a fresh process, whose limits die with it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return list(pool.apply(work, arguments))  # type: ignore[arg-type]


def _denied(folder: str) -> list[str]:
    """What each call says to a user who may do nothing there."""
    place = resolve(folder)
    if os.geteuid() == 0:
        os.setuid(65534)
    answers = []
    for call in (
        lambda: place.read_or_none("x"),
        lambda: place.exists("x"),
        lambda: place.list_names(""),
        place.check_writable,
    ):
        try:
            call()
        except StorageError as error:
            answers.append(error.what)
    return answers


def _fill_up(folder: str) -> list[str]:
    """Write more than the process may; what each way of writing says."""
    import signal

    place = resolve(folder)
    place.write("x", b"old")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    def out() -> None:
        with place.open_output("big.parquet") as file:
            file.write(b"x" * 4_000_000)

    answers = []
    for call in (lambda: place.write("x", b"y" * 10_000), lambda: place.create("y", b"y" * 10_000), out):
        try:
            call()
        except StorageError as error:
            answers.append(error.what)
    return answers
