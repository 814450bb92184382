"""Sums of the decisions in large files, computed once in a process and kept in memory.

The views of prompts are made of these sums and of the decisions in all other files and in hot. Who looks back, or at
some days, sums up all decisions: what was known then is not in the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import polars as pl
import pyarrow as pa

from lake.query import relations
from lake.query.as_decided import untouched
from lake.query.kept import Kept, Key, large, worth
from lake.query.variables import Variables, assignments
from lake.query.views import views
from lake.spec import registry
from lake.store.cold.files import DataFile
from lake.store.cold.table_state import TableState
from lake.store.location import Location
from lake.store.snapshot import Snapshot

MACROS = {"prompt_sums": "sums_by_prompt", "confidence_sums": "sums_by_confidence"}  # what views ask -> what sums up
_NAME = "decisions"
_DECISIONS = registry.get(_NAME)
_DECIDED = "decisions_as_decided"
_WINDOW = {"now", "days"}


class DecisionSums:
    """Sums of one lake's decisions.

    Args:
        location: the lake.
        kept: where they are kept.
    """

    def __init__(self, location: Location, kept: Kept) -> None:
        self._location = location
        self._kept = kept

    def show(self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, variables: Variables, macro: str) -> None:
        """Let a macro of this cursor, one of ``MACROS``, use what is kept; without large files it stays as it is."""
        if _WINDOW & variables.keys():
            return
        settings = assignments({name: value for name, value in variables.items() if name == "knowledge_cutoffs"})
        sums = self._sums(cursor, snapshot, settings, MACROS[macro])
        if not sums:
            return
        state, hot = snapshot.states[_NAME], snapshot.hot[_NAME]
        others = replace(state, files={path: f for path, f in state.files.items() if path not in sums})
        live = _decided(relations.select(_DECISIONS, self._location, others, hot, {}), others, hot)
        kept, rest = f"__kept_{macro}", f"__rest_{macro}"
        cursor.register(kept, pa.concat_tables(sums.values()))
        cursor.execute(f"CREATE TEMP VIEW {rest} AS {live}")
        cursor.execute(
            f"CREATE TEMP MACRO {macro}(decisions_table) AS TABLE "
            f"SELECT * FROM {kept} UNION ALL SELECT * FROM {MACROS[macro]}('{rest}', '')"
        )

    def _sums(
        self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, settings: Sequence[str], summing: str
    ) -> dict[str, pa.Table]:
        """File -> its sums; those of files that are not known yet are computed in one pass."""
        files: dict[Key, DataFile] = {(summing, f.path, *settings): f for f in large(_DECISIONS, snapshot)}

        def compute(new: Sequence[Key]) -> dict[Key, pa.Table | None]:
            asked = {key: files[key] for key in new}
            with cursor.cursor() as other:
                for setting in settings:
                    other.execute(setting)
                parts = self._computed(other, snapshot, list(asked.values()), summing)
            return {key: self._worth(parts, file) for key, file in asked.items()}

        found = self._kept.all_of(list(files), compute)
        return {files[key].path: sums for key, sums in found.items() if sums is not None}

    def _computed(
        self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, files: Sequence[DataFile], summing: str
    ) -> dict[str, pl.DataFrame]:
        """Address of a file -> the sums of its decisions."""
        part = replace(snapshot.states[_NAME], files={f.path: f for f in files})
        rows = relations.by_file(_DECISIONS, self._location, part, files)
        cursor.execute(f"CREATE TEMP VIEW {_DECIDED} AS {_decided(rows, part, snapshot.hot[_NAME].clear())}")
        sums = cursor.sql(f"SELECT * FROM {summing}('{_DECIDED}', filename)").pl()
        return {str(address): rows for (address,), rows in sums.partition_by("part", as_dict=True).items()}

    def _worth(self, parts: dict[str, pl.DataFrame], file: DataFile) -> pa.Table | None:
        """The sums of a file; None where they are so many that they spare nothing, or DuckDB calls it otherwise."""
        sums = parts.get(self._location.url(f"{_NAME}/{file.path}"))
        return None if sums is None else worth(sums.with_columns(part=pl.lit("")).to_arrow(), file)


def _decided(rows: str, part: TableState, hot: pl.DataFrame) -> str:
    """The view of decisions as they were made, of the rows of a part of a snapshot alone."""
    text = untouched({_NAME: part}, {_NAME: hot}).get(_DECIDED, views()[_DECIDED].sql)
    return f"WITH decisions AS ({rows}) {text}"
