"""Views of the datasets whose rows are decisions, with each input as it was when the row was decided."""

from __future__ import annotations

from lake.spec import registry
from lake.spec.dataset import CHANGED_INPUTS, Dataset, Inputs, Type

_KINDS = {
    Type.FLOAT: "DOUBLE",
    Type.INT: "BIGINT",
    Type.BOOL: "BOOLEAN",
    Type.TIMESTAMP: "BIGINT",  # microseconds
}


def as_decided() -> dict[str, str]:
    """Name of the view -> its text, such as a ``.sql`` file of the other views has it."""
    return {f"{ds.name}_as_decided": _view(ds, ds.inputs) for ds in registry.all_datasets() if ds.inputs is not None}


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
