"""Rows that turned out to be none: taken out of the lake, if they are still what they were when that was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from lake.ledgers.writer import Writer
from lake.spec.dataset import Dataset
from lake.spec.decode import rows_to_frame
from lake.store.cold.edit import OvertakenError
from lake.store.cold.removing import remove

_TRIES = 3  # while others go on changing rows


def remove_unless_changed(writer: Writer, ds: Dataset, rows: Sequence[dict[str, Any]]) -> int:
    """Remove rows from hot and cold; what has become of them meanwhile, by whomever, stays.

    What waits in hot is settled before. Not to be called inside a transaction.

    Args:
        writer: of the lake.
        ds: their dataset.
        rows: as they were looked up, each key once.

    Returns:
        How many are gone.
    """
    store, frame = writer.store, rows_to_frame(ds, rows)

    @contextmanager
    def while_none_waits() -> Iterator[None]:
        with store.alone() as is_alone:
            waiting = store.waiting_writers([ds.name]) if is_alone else ()
            keys = store.snapshot([ds.name]).hot[ds.name].select(ds.key) if waiting else frame.select(ds.key).clear()
            if not is_alone or frame.join(keys, on=list(ds.key), how="semi").height:
                raise OvertakenError
            yield

    for _ in range(_TRIES if rows else 0):
        if store.waiting_writers([ds.name]):
            writer.drain(every_writer=True)
        with suppress(OvertakenError):
            return remove(store.table(ds.name), frame, while_none_waits)
    return 0
