"""Repair what a power cut leaves of a log: a torn newest checkpoint, a torn newest entry.

Both can be dropped without loss. A checkpoint only repeats the log before it. A torn entry was
never durable, and the hot log lets go of rows only after their commit is; so its rows are still
there, and are drained again.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq

from lake.errors import CorruptLakeError
from lake.store.cold.log import DeltaLog
from lake.store.cold.table_state import TableState

_ENDING = ".checkpoint.parquet"


def load_and_mend(log: DeltaLog) -> TableState:
    """The newest state, after dropping a torn end.

    Raises:
        CorruptLakeError: the damage is not at the end.
    """
    try:
        state = log.load()
    except CorruptLakeError as error:
        if not drop_torn_entry(log, error.where):
            raise
        state = log.load()
    if log.checkpoint_is_doubtful:
        mend_checkpoints(log)
    return state


def mend_checkpoints(log: DeltaLog) -> list[str]:
    """Drop a newest checkpoint that cannot be read, and the pointer to it; what was dropped."""
    pointer = f"{log.folder}/_delta_log/_last_checkpoint"
    raw = log.location.read_or_none(pointer)
    if raw is None:
        return []
    try:
        path = f"{log.folder}/_delta_log/{int(json.loads(raw)['version']):020d}{_ENDING}"
    except (ValueError, KeyError, TypeError):
        log.location.delete([pointer])
        return [pointer]
    if log.location.exists(path) and _readable(log, path):
        return []
    log.location.delete([pointer, path])
    return [pointer, path]


def drop_torn_entry(log: DeltaLog, path: str) -> bool:
    """Set the torn log entry aside if it is the newest; False when others come after it."""
    newest = log.versions()[-1]
    if path != log.entry(newest):
        return False
    log.location.write(f"{path}.torn", log.location.read(path))
    log.location.delete([path])
    return True


def _readable(log: DeltaLog, path: str) -> bool:
    raw = log.location.read(path)  # what fails here is the storage, and no reason to drop anything
    try:
        pq.ParquetFile(pa.BufferReader(raw)).read()
    except (pa.ArrowInvalid, OSError):
        return False
    return True
