"""How often processes of this host have written rows straight to a remote table, past their hot logs.

Such a table is not asked before each change of a row whether it has changed; what was written here is told here.
"""

from __future__ import annotations

from pathlib import Path

from lake.store.location.local_errors import storage_errors


def note_commit(folder: Path, dataset: str) -> None:
    """Leave word of one beside the hot logs, in ``folder``; to be called once it is made, while others wait for it.

    Raises:
        StorageError: nothing can be written there.
    """
    with storage_errors(str(folder), ""), (folder / f"{dataset}.commits").open("ab") as noted:
        noted.write(b".")  # the size is the number, which two that come at once do not spoil


def commits(folder: Path, dataset: str) -> int:
    """How many there were of a dataset."""
    try:
        return (folder / f"{dataset}.commits").stat().st_size
    except FileNotFoundError:
        return 0
