"""The locations that tests inject keep the contract themselves, and fail exactly when told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lake.errors import StorageError
from lake.store.location import Location, resolve
from tests.locations import CountingLocation, Fault, FaultyLocation
from tests.store.location_contract import LocationContract


class TestCounting(LocationContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Location:
        return CountingLocation(resolve(tmp_path))


def test_calls_are_counted_in_order(tmp_path: Path) -> None:
    place = CountingLocation(resolve(tmp_path))
    place.write("a", b"1")
    place.read("a")
    place.read("a")
    assert place.counts == {"write": 1, "read": 2}
    assert place.calls == [("write", ("a",)), ("read", ("a",)), ("read", ("a",))]


def test_a_fault_strikes_the_call_it_names_and_no_other(tmp_path: Path) -> None:
    place = FaultyLocation(resolve(tmp_path), Fault("create", StorageError("broken"), nth=2, path="_log/"))
    assert place.create("_log/0", b"")
    assert place.create("other", b"")
    with pytest.raises(StorageError, match="broken"):
        place.create("_log/1", b"")
    assert not place.exists("_log/1")
    assert place.create("_log/1", b"")


def test_a_lost_reply_leaves_the_change(tmp_path: Path) -> None:
    place = FaultyLocation(resolve(tmp_path), Fault("create", StorageError("no reply"), landed=True))
    with pytest.raises(StorageError, match="no reply"):
        place.create("a", b"1")
    assert place.read("a") == b"1"
