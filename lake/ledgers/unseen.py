"""What has changed in datasets since a task last looked: it remembers which of their data files it has seen.

Data files never change, so rows that were changed since are in files that were not there, or wait in hot logs. What a
row was before is not told: a task for which that matters sees to it in the look at everything, once a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from lake.clock import MICROS_PER_DAY, now_micros
from lake.store.cold.frames import frame_of
from lake.store.snapshot import Snapshot
from lake.store.store import Store

_FOLDER = "_lake/seen"


class Unseen:
    """The datasets as a task finds them; made when it begins.

    Args:
        store: of the lake.
        task: its name, in letters that a file may have.
        names: of the datasets.
    """

    def __init__(self, store: Store, task: str, names: Sequence[str]) -> None:
        self._store = store
        self._path = f"{_FOLDER}/{task}.json"
        self._snapshot: Snapshot = store.snapshot(names)
        known = store.location.read_or_none(self._path)
        self._seen: dict[str, Any] = {"whole_at": 0, "files": {}} if known is None else orjson.loads(known)
        self._now = now_micros()

    @property
    def is_whole(self) -> bool:
        """Whether everything is to be looked at: for the first time, or for the first time in a day."""
        return bool(self._now - self._seen["whole_at"] > MICROS_PER_DAY)

    def rows(self, name: str, columns: Sequence[str]) -> pl.DataFrame:
        """Rows of a dataset in files that were not seen, and in hot logs; a row may be there in several versions."""
        seen = set(self._seen["files"].get(name, ()))
        fresh = [f for path, f in self._snapshot.states[name].files.items() if path not in seen]
        table = self._store.table(name)
        schema = pa.schema([table.schema().field(column) for column in columns])
        parts = [frame_of(t) for t in self._store.reader.read(name, fresh, {}, schema)]
        return pl.concat([self._snapshot.hot[name].select(columns), *(p.select(columns) for p in parts)])

    def keep(self) -> None:
        """Remember the files, now that what is in them was dealt with."""
        files = {name: sorted(state.files) for name, state in self._snapshot.states.items()}
        seen = {"whole_at": self._now if self.is_whole else self._seen["whole_at"], "files": files}
        if seen != self._seen:
            self._store.location.write(self._path, orjson.dumps(seen))
