"""Whether what data files tell beside their rows is true: the newest row of each bot is compared with the rows.

A file never changes, so a note that differs is damage, or comes with a file that another program made of one of ours
with its metadata. The rows are what counts: the mend is to write the file again, whose notes are made of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lake.errors import CorruptLakeError
from lake.store.cold.edit import Edit, Landed
from lake.store.cold.files import DataFile
from lake.store.cold.newest import Notes
from lake.store.cold.table import ColdTable
from lake.store.cold.table_state import TableState


def wrong_notes(table: ColdTable, file: DataFile) -> list[str]:
    """The values whose note in a file is damaged, or is not their newest row in it; rows of files without are not read.

    Raises:
        CorruptLakeError: the rows cannot be read.
    """
    path = f"{table.folder}/{file.path}"
    try:
        with table.reader.open(path) as opened:  # as it is now: the footers that are kept may be older than damage
            notes = Notes(table.ds, opened.metadata.metadata)
            for group in range(opened.metadata.num_row_groups if notes else 0):
                notes.see(opened.read_row_group(group))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorruptLakeError(
            f"its rows cannot be read: {error}", where=path, todo="Restore it from a backup."
        ) from error
    return notes.wrong()


def mend_notes(table: ColdTable, files: Sequence[DataFile]) -> None:
    """Write files again, with the same rows, in one commit; those that are gone meanwhile have no say any more.

    Raises:
        CorruptLakeError: the rows cannot be read.
        CommitConflictError: others won the race every time.
    """
    paths = {file.path for file in files}

    def plan(state: TableState) -> Edit:
        told = [file for file in state.files.values() if file.path in paths]
        made = [table.rewritten(file, lambda rows: rows) for file in told]
        added = tuple(file for file in made if file is not None)
        return Edit(tuple(told), added, Landed(), frozenset(), data_change=False)

    table.commit(plan, operation="OPTIMIZE")
