"""Glances: the stamp of a folder that is held open is that of its path."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lake
from lake.store.location.glances import Glance
from lake.store.location.local import LocalLocation

OLD = 1_700_000_000_000_000_000


def _old(folder: Path) -> None:
    os.utime(folder, ns=(0, OLD))


def _made(root: Path) -> Path:
    """A folder two below the root; all of them were left alone for long."""
    folder = root / "trades" / "_delta_log"
    folder.mkdir(parents=True)
    for one in (folder, folder.parent, root):
        _old(one)
    return folder


def _remove(folder: Path) -> None:
    folder.rmdir()


def _add(folder: Path) -> None:
    (folder / "0.json").write_bytes(b"")


def _replace(folder: Path) -> None:
    folder.rmdir()
    folder.mkdir()


@pytest.mark.parametrize("change", [_add, _remove, _replace])
def test_what_is_done_to_a_folder_is_told_at_once(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder, place = _made(tmp_path), LocalLocation(str(tmp_path))
    assert [place.glance("trades/_delta_log") for _ in range(3)] == [OLD] * 3
    change(folder)
    told = place.glance("trades/_delta_log")
    assert told != OLD
    assert told == place.stamp("trades/_delta_log")


@pytest.mark.parametrize("above", ["", "trades"])
def test_a_folder_that_is_made_is_told_at_once(tmp_path: Path, above: str) -> None:
    place = LocalLocation(str(tmp_path))
    (tmp_path / above).mkdir(exist_ok=True)
    _old(tmp_path / above)
    assert [place.glance("trades/_delta_log") for _ in range(3)] == [0] * 3
    folder = tmp_path / "trades" / "_delta_log"
    folder.mkdir(parents=True)
    assert place.glance("trades/_delta_log") == folder.stat().st_mtime_ns


def test_a_folder_is_told_also_where_others_are_made_beside_it_all_the_time(tmp_path: Path) -> None:
    glance = Glance(str(tmp_path / "trades"), is_own=True)
    for number in range(20):
        (tmp_path / f"other{number}").mkdir()
        assert glance.stamp() == 0
    (tmp_path / "trades").mkdir()
    assert glance.stamp() == (tmp_path / "trades").stat().st_mtime_ns


def test_a_folder_that_was_put_in_the_place_of_another_is_told_within_a_second(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    glance = Glance(str(folder))
    assert glance.stamp() == OLD
    folder.parent.rename(tmp_path / "aside")
    folder.mkdir(parents=True)
    began = time.monotonic()
    while glance.stamp() == OLD:
        assert time.monotonic() - began < 30
        time.sleep(0.05)
    assert glance.stamp() == folder.stat().st_mtime_ns


def test_many_threads_are_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.store.location.glances._SECONDS", 0.0)  # each opens the folder anew
    folder = _made(tmp_path)
    glance = Glance(str(folder))
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: glance.stamp(), range(2000))) == {OLD}


def test_folders_are_let_go_with_the_lake(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("open files are counted in /proc, which this system has not")
    counts = []
    for _ in range(4):
        with lake.open(tmp_path, bot_id="b") as lk, lk.transaction():
            lk.trades.open(trade_id="t1", symbol="BTCUSDT", side="LONG", quantity=1.0, entry_price=100.0)
        counts.append(sum(1 for _ in descriptors.iterdir()))
    shutil.rmtree(tmp_path)
    assert counts[-1] <= counts[1]
