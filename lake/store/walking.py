"""Files in a folder, without those of lakes in it: the lake that they go to often lies among them."""

from __future__ import annotations

import os
from pathlib import Path

from lake.store.opening import FORMAT_FILE


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and of those below it, in order of their names; none that belongs to a lake."""
    found = []
    for at, folders, names in os.walk(folder):
        here = Path(at)
        if (here / FORMAT_FILE).is_file():
            folders.clear()
        else:
            found += [file for name in names if (file := here / name).is_file()]
    return sorted(found)
