from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lake
from lake.importers.there import held
from lake.ledgers.removing import remove_unless_changed
from lake.spec import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

DS = registry.get("trades")
AT = "2026-01-01T00:00:00Z"


def ended(number: int, **more: Any) -> dict[str, Any]:
    times = {"created_at": AT, "opened_at": AT, "closed_at": AT}
    return {"trade_id": f"t{number}", "symbol": "BTCUSDT", "status": "cancelled", **times, **more}


def looked_up(lk: Any, *names: str) -> list[dict[str, Any]]:
    return list(held(lk, DS, [{"trade_id": name} for name in names]).values())


def names(lk: Any) -> list[str]:
    return sorted(lk.read("trades")["trade_id"])


@pytest.mark.parametrize("is_settled", [False, True])
def test_rows_that_are_removed_are_gone_from_hot_and_cold_and_the_others_of_their_files_stay(
    tmp_path: Path, is_settled: bool
) -> None:
    with lake.open(tmp_path / "lake") as lk:
        lk.write("trades", [ended(number) for number in range(5)])
        if is_settled:
            lk.drain()
        before = looked_up(lk, "t1", "t3")
        assert remove_unless_changed(lk.writer, DS, before) == 2
        assert names(lk) == ["t0", "t2", "t4"]
        assert lk.write("trades", [ended(1)]).inserted == 1
        assert lk.verify().ok
    with lake.open(tmp_path / "lake") as lk:
        assert names(lk) == ["t0", "t1", "t2", "t4"]


def test_a_row_that_was_changed_since_it_was_looked_up_stays(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk, lake.open(tmp_path / "lake", bot_id="other") as other:
        lk.write("trades", [ended(1), ended(2)])
        before = looked_up(lk, "t1", "t2")
        other.patch("trades", "t1", {"exit_reason": "mine"})
        assert remove_unless_changed(lk.writer, DS, before) == 1
        assert names(lk) == ["t1"]
        assert remove_unless_changed(lk.writer, DS, before) == 0


def test_a_row_that_is_changed_while_it_is_removed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.open(tmp_path / "lake") as lk:
        lk.write("trades", [ended(1), ended(2)])
        lk.drain()
        before, alone, news = looked_up(lk, "t1", "t2"), lk.store.alone, ["mine"]

        @contextmanager
        def alone_after_news() -> Iterator[bool]:
            if news:
                lk.patch("trades", "t1", {"exit_reason": news.pop()})
            with alone() as is_alone:
                yield is_alone

        monkeypatch.setattr(lk.store, "alone", alone_after_news)
        assert remove_unless_changed(lk.writer, DS, before) == 1
        assert lk.read("trades")["exit_reason"].to_list() == ["mine"]
        assert lk.at(version=lk.version()).read("trades").height == 1
