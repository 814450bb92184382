"""A lake whose candles are one settled file, and another process that replaces and vacuums it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lake
from tests.helpers import write_candles

ROWS = 6000  # a bulk write: straight to a data file


@contextmanager
def settled_candles(tmp_path: Path, *, are_removed: bool = False) -> Iterator[lake.Lake]:
    """The lake, opened anew so that it holds nothing yet; where the candles are removed, a version later."""
    with lake.open(tmp_path / "lake", bot_id="b1") as writer:
        write_candles(writer, range(ROWS))
    if are_removed:
        with lake.open(tmp_path / "lake") as job:
            job.retain({"candles": 0})
    with lake.open(tmp_path / "lake", bot_id="b1") as opened:
        yield opened


def replace_files(uri: str) -> tuple[str, ...]:
    """As another process: remove all candles, so that no new version needs their files, and vacuum without grace."""
    with lake.open(uri) as job:
        job.retain({"candles": 0})
        return tuple(job.vacuum(grace_hours=0).files)


def count(view: Any) -> int:
    """How many candles can be read."""
    return int(view.frame("SELECT count(close) FROM candles").item())
