"""A disk as many bots have it: child processes whose every sync takes longer, by a library loaded before libc's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


@contextmanager
def slower_syncs(milliseconds: float, work: Path) -> Iterator[None]:
    """Child processes started inside take so much longer for each fsync and fdatasync; needs Linux and a C compiler."""
    if not milliseconds:
        yield
        return
    library = work / "slow_sync.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, _SOURCE, "-ldl"], check=True)  # noqa: S607
    os.environ.update(LD_PRELOAD=str(library), SLOW_SYNC_US=str(int(milliseconds * 1_000)))
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"], os.environ["SLOW_SYNC_US"]
