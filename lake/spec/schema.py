"""A dataset's columns as Arrow and Polars schemas."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset, Type

PERIOD = "period"
UTC_MICROS = pl.Datetime("us", "UTC")
_ARROW = {
    Type.STRING: pa.string(),
    Type.JSON: pa.string(),
    Type.INT: pa.int64(),
    Type.FLOAT: pa.float64(),
    Type.BOOL: pa.bool_(),
    Type.TIMESTAMP: pa.timestamp("us", "UTC"),
    Type.DATE: pa.date32(),
}
_POLARS: dict[Type, pl.DataType] = {
    Type.STRING: pl.String(),
    Type.JSON: pl.String(),
    Type.INT: pl.Int64(),
    Type.FLOAT: pl.Float64(),
    Type.BOOL: pl.Boolean(),
    Type.TIMESTAMP: UTC_MICROS,
    Type.DATE: pl.Date(),
}
_made: dict[int, tuple[Dataset, pa.Schema, dict[str, pl.DataType]]] = {}


def arrow_schema(ds: Dataset) -> pa.Schema:
    """The table's Arrow schema: the columns in order, then ``period`` where rows are partitioned by time."""
    return _of(ds)[1]


def polars_schema(ds: Dataset) -> dict[str, pl.DataType]:
    """The same as Polars types."""
    return _of(ds)[2]


def nullable_field(name: str, kind: str) -> pa.Field | None:
    """An Arrow field for a column of a newer version of a dataset; None for a type that this version does not know."""
    known = {t.value: arrow for t, arrow in _ARROW.items()}
    return pa.field(name, known[kind]) if kind in known else None


def _of(ds: Dataset) -> tuple[Dataset, pa.Schema, dict[str, pl.DataType]]:
    found = _made.get(id(ds))
    if found is None:
        fields = [
            pa.field(c.name, _ARROW[c.type], nullable=not c.required, metadata={"comment": _comment(c.meaning, c.unit)})
            for c in ds.columns
        ]
        types = {c.name: _POLARS[c.type] for c in ds.columns}
        if PERIOD in ds.partitioned_by:
            fields.append(pa.field(PERIOD, pa.string(), metadata={"comment": "the slice of time of its partition"}))
            types[PERIOD] = pl.String()
        found = _made[id(ds)] = (ds, pa.schema(fields), types)
    return found


def _comment(meaning: str, unit: str) -> str:
    return f"{meaning} [{unit}]" if unit else meaning
