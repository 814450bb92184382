"""Builds that are cut off: what they leave behind is told from builds under way, and goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.learn.datasets import stored
from lake.learn.features import register
from tests.learn.dataset_lakes import SMALL, opened

register(SMALL)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with opened(tmp_path / "lake", 30) as found:
        yield found


def cut_off(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, where: str, **asked: Any) -> list[Path]:
    """Kill a build of ``cut`` there; the files that it leaves."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stored, where, killed)
        with pytest.raises(KeyboardInterrupt):
            lk.datasets.build("cut", "phantoms", "small", **asked)
    return list((Path(lk.uri("candles")).parent / "_lake/datasets/cut").rglob("*.*"))


def test_a_build_that_was_cut_off_keeps_no_versions_for_ever(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    (data,) = cut_off(lk, monkeypatch, "keep_manifest")
    (tag,) = lk.tags()
    lk.datasets.build("cut", "phantoms", "small", symbols="BTCUSDT")
    assert tag in lk.tags(), "it may still be under way"
    os.utime(data, (0, 0))
    lk.datasets.build("cut", "phantoms", "small", symbols="ETHUSDT")
    assert tag not in lk.tags()
    assert not data.exists()
    assert sorted(lk.tags()) == sorted(manifest.tag for manifest in lk.datasets.list())


def test_no_build_leaves_versions_without_a_folder_that_tells_of_them(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cut_off(lk, monkeypatch, "written") == []
    assert not lk.tags()
    lk.datasets.build("cut", "phantoms", "small")
    with monkeypatch.context() as patched:
        patched.setattr(stored, "remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            lk.datasets.delete("cut")
    assert not lk.tags()


def test_what_another_builds_again_while_old_builds_are_cleared_is_kept(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, dict[str, Any]] = {}
    for more in ({}, {"symbols": "BTCUSDT"}):
        files = cut_off(lk, monkeypatch, "keep_manifest", **more)
        asked |= {file.parent.name: more for file in files if file.parent.name not in asked}
    for file in files:
        os.utime(file, (0, 0))
    assert len(files) == len(asked) == 2
    again: list[str] = []
    remove = stored.remove

    def slowly(location: Any, name: str, hash_: str) -> None:
        remove(location, name, hash_)
        if not again:
            (other,) = set(asked) - {hash_}
            again.append(other)
            lk.datasets.build("cut", "phantoms", "small", **asked[other])

    monkeypatch.setattr(stored, "remove", slowly)
    lk.datasets.build("cut", "phantoms", "small", symbols="ETHUSDT")
    assert {manifest.hash for manifest in lk.datasets.list("cut")} > set(again)
    assert len(again) == 1
