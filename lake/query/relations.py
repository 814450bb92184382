"""The SQL that shows one dataset of a snapshot as one table: its files, and the hot rows that override them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from lake.spec.dataset import Dataset, Type
from lake.spec.schema import arrow_schema
from lake.store.cold.files import Bounds, DataFile
from lake.store.cold.frames import bounds_of
from lake.store.cold.parquet import token_of
from lake.store.cold.table_state import TableState
from lake.store.location import Location

_TYPES = {
    Type.STRING: "VARCHAR",
    Type.INT: "BIGINT",
    Type.FLOAT: "DOUBLE",
    Type.BOOL: "BOOLEAN",
    Type.TIMESTAMP: "TIMESTAMPTZ",
    Type.DATE: "DATE",
    Type.JSON: "VARCHAR",
}


def hot_name(ds: Dataset) -> str:
    """Name under which a dataset's hot rows are registered."""
    return f"__hot_{ds.name}"


def select(ds: Dataset, location: Location, state: TableState, hot: pl.DataFrame, bounds: Mapping[str, Bounds]) -> str:
    """The SELECT for a dataset.

    Files outside ``bounds`` are left out. Only files that may hold a key which is also in hot pay
    for looking: the others are read as they are.
    """
    files = [f for f in state.files.values() if f.may_hold(bounds)]
    if not files:
        return _from_hot(ds) if hot.height else nothing(ds)
    if not hot.height:
        return _from_files(ds, location, state, files)
    shadow = bounds_of(hot, ds.key)
    touched = [f for f in files if f.may_hold(shadow)]
    clear = [f for f in files if f not in touched]
    parts = [_from_files(ds, location, state, clear)] if clear else []
    if touched:
        keys = ", ".join(f'"{name}"' for name in ds.key)
        parts.append(
            f"SELECT * FROM ({_from_files(ds, location, state, touched)}) ANTI JOIN {hot_name(ds)} USING ({keys})"
        )
    return "\nUNION ALL ".join([*parts, _from_hot(ds)])


def by_file(ds: Dataset, location: Location, state: TableState, files: Sequence[DataFile]) -> str:
    """The SELECT for some files of a dataset, each row with the address of its file as ``filename``."""
    return _from_files(ds, location, state, files, ("filename",))


def nothing(ds: Dataset) -> str:
    """The dataset's columns in their types, without rows."""
    columns = ", ".join(f'NULL::{_type(ds, name)} AS "{name}"' for name in column_names(ds))
    return f"SELECT {columns} WHERE false"


def column_names(ds: Dataset) -> list[str]:
    """Columns of the dataset's table, in their order."""
    return list(arrow_schema(ds).names)


def _columns(ds: Dataset) -> str:
    """The columns as SQL; quoted, since a name may be a word of the language."""
    return ", ".join(f'"{name}"' for name in column_names(ds))


def _from_files(
    ds: Dataset, location: Location, state: TableState, files: Sequence[DataFile], besides: Sequence[str] = ()
) -> str:
    paths = ", ".join(_quoted(location.url(f"{ds.name}/{f.path}")) for f in files)
    options = ["hive_partitioning = false"]
    if state.partitioned_by:
        types = ", ".join(f"'{name}': {_type(ds, name)}" for name in state.partitioned_by)
        options = ["hive_partitioning = true", f"hive_types = {{{types}}}"]
    options += [f"{name} = true" for name in besides]
    whole = state.columns.issuperset(column_names(ds)) and all(token_of(file.path) for file in files)
    if state.evolved or not whole:
        return _evolved(ds, paths, options, besides)
    columns = ", ".join((_filled(ds, frozenset.intersection(*(file.empty for file in files))), *besides))
    return f"SELECT {columns} FROM read_parquet([{paths}], {', '.join(options)})"


def _filled(ds: Dataset, empty: frozenset[str]) -> str:
    """The columns as SQL, those that hold nothing as nulls: DuckDB neither reads these nor asks what they hold."""
    shown = (f'NULL::{_type(ds, name)} AS "{name}"' if name in empty else f'"{name}"' for name in column_names(ds))
    return ", ".join(shown)


def _evolved(ds: Dataset, paths: str, options: Sequence[str], besides: Sequence[str]) -> str:
    """Older and foreign files lack columns: they are matched by name, with an empty table that names them all."""
    every = ", ".join([*options, "union_by_name = true"])
    columns = ", ".join((_columns(ds), *besides))
    return f"SELECT {columns} FROM ({nothing(ds)} UNION ALL BY NAME SELECT * FROM read_parquet([{paths}], {every}))"


def _from_hot(ds: Dataset) -> str:
    return f"SELECT {_columns(ds)} FROM {hot_name(ds)}"


def _type(ds: Dataset, name: str) -> str:
    column = ds.by_name.get(name)
    return "VARCHAR" if column is None else _TYPES[column.type]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
