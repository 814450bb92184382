"""Views of the datasets whose rows are decisions, with each input as it was when the row was decided.

Where no row of a snapshot says that an input was written over, which statistics tell, such a view is the dataset
itself: that is bound and computed in a third of the time.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from lake.spec import registry
from lake.spec.dataset import CHANGED_INPUTS, Dataset, Inputs, Type
from lake.store.cold.table_state import TableState

_KINDS = {
    Type.FLOAT: "DOUBLE",
    Type.INT: "BIGINT",
    Type.BOOL: "BOOLEAN",
    Type.TIMESTAMP: "BIGINT",  # microseconds
}


def as_decided() -> dict[str, str]:
    """Name of the view -> its text, such as a ``.sql`` file of the other views has it."""
    return {f"{ds.name}_as_decided": _view(ds, ds.inputs) for ds in registry.all_datasets() if ds.inputs is not None}


def untouched(states: Mapping[str, TableState], hot: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Name of the view -> its text, for those of the datasets of a snapshot in which no input was written over."""
    decided = [ds for ds in registry.all_datasets() if ds.inputs is not None and ds.name in states]
    return {
        f"{ds.name}_as_decided": f"SELECT * FROM {ds.name}"
        for ds in decided
        if _is_null(hot[ds.name]) and all(CHANGED_INPUTS in file.empty for file in states[ds.name].files.values())
    }


def _is_null(rows: pl.DataFrame) -> bool:
    return rows[CHANGED_INPUTS].null_count() == rows.height


def _view(ds: Dataset, inputs: Inputs) -> str:
    kinds = {name: _KINDS.get(ds.column(name).type, "VARCHAR") for name in inputs.columns}
    shape = ", ".join(f'"{name}": {{"was": "{kind}", "changed_at": "BIGINT"}}' for name, kind in kinds.items())
    columns = [f"{_then(ds, name)} AS {name}" for name in inputs.columns]
    return "\n".join(
        (
            f"-- The {ds.name}, each with its inputs as they were when it was decided, whatever was written later.",
            f"-- Inputs are {', '.join(inputs.columns)};",
            f"-- all other columns are as they are now. Where {CHANGED_INPUTS} is NULL nothing was written over.",
            "SELECT * EXCLUDE (kept) REPLACE (",
            ",\n".join(f"    {column}" for column in columns),
            ")",
            f"FROM (SELECT *, from_json({CHANGED_INPUTS}, '{{{shape}}}') AS kept FROM {ds.name})",
        )
    )


def _then(ds: Dataset, name: str) -> str:
    change = f"struct_extract(kept, '{name}')"
    was = f"struct_extract({change}, 'was')"
    was = f"make_timestamptz({was})" if ds.column(name).type is Type.TIMESTAMP else was
    return f"CASE WHEN struct_extract({change}, 'changed_at') IS NULL THEN {name} ELSE {was} END"
