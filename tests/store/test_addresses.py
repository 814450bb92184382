"""A local lake is one lake, however its path is written."""

from __future__ import annotations

from pathlib import Path

import pytest

import lake
from lake.store.location import resolve
from tests.helpers import trade, trade_ids


@pytest.mark.parametrize("form", ["link", "file", "relative"])
def test_one_process_may_open_a_lake_by_its_path_and_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    linked = {
        "link": tmp_path / "link" / "lake",
        "file": (tmp_path / "link" / "lake").as_uri(),
        "relative": "link/lake",
    }
    with lake.open(tmp_path / "real" / "lake", bot_id="b1") as one, lake.open(linked[form], bot_id="b1") as two:
        assert one.location.uri == two.location.uri == str(tmp_path / "real" / "lake")
        assert one.store.writer() is two.store.writer()
        one.write("trades", trade(1))
        two.write("trades", trade(2))
        assert trade_ids(one) == trade_ids(two) == ["t1", "t2"]
        assert two.drain().entries == {"trades": 2}


def test_a_lake_behind_a_link_can_be_made_before_the_folder_is_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "later", target_is_directory=True)
    with lake.open(tmp_path / "link") as lk:
        assert lk.sql("SELECT count(*) FROM trades").fetchall() == [(0,)]
    assert (tmp_path / "later" / "_lake" / "format.json").exists()
    assert resolve(tmp_path / "link").uri == str(tmp_path / "later")
