"""How often processes of this host have committed to a remote table.

Such a table is not asked before each change of a row whether it has changed; what was committed here is told here.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from lake.store.cold.table import ColdTable


def telling(table: ColdTable, folder: Path) -> ColdTable:
    """The table, which leaves word of its commits beside the hot logs in ``folder`` where it is remote."""
    if not table.location.is_local:
        table.log.landed = partial(note_commit, folder, table.folder)
    return table


def note_commit(folder: Path, dataset: str) -> None:
    """Leave word of one; where that cannot be done, others ask the table some seconds later."""
    with suppress(OSError), (folder / f"{dataset}.commits").open("ab") as noted:
        noted.write(b".")  # the size is the number, which two that come at once do not spoil


def commits(folder: Path, dataset: str) -> int:
    """How many there were of a dataset."""
    try:
        return (folder / f"{dataset}.commits").stat().st_size
    except FileNotFoundError:
        return 0
