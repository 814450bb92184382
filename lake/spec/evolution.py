"""How a specification may differ from a table that older code made: new columns that may be null, nothing else."""

from __future__ import annotations

import pyarrow as pa

from lake.errors import SchemaChangeError
from lake.spec.dataset import Column, Dataset
from lake.spec.schema import arrow_schema


def added_columns(ds: Dataset, stored: pa.Schema) -> tuple[Column, ...]:
    """Columns of the specification that the stored table lacks.

    Columns that the table has and the specification does not are left alone: a newer bot wrote them.

    Raises:
        SchemaChangeError: a column changed its type, a new one is required, or an old one has become so.
    """
    wanted = arrow_schema(ds)
    added = []
    for field in wanted:
        if field.name in stored.names:
            _same_type(ds, field, stored.field(field.name))
            _still_nullable(ds, field, stored.field(field.name))
        elif not field.nullable:
            raise SchemaChangeError(
                f"the specification adds {field.name} as required {field.type}; the stored table has no such column",
                where=f"{ds.name}.{field.name}",
                todo="A new column must be nullable, since older rows have no value for it.",
            )
        elif field.name in ds.by_name:
            added.append(ds.column(field.name))
    return tuple(added)


def _same_type(ds: Dataset, wanted: pa.Field, stored: pa.Field) -> None:
    if _plain(wanted.type) != _plain(stored.type):
        raise SchemaChangeError(
            f"the specification says {wanted.type}, the stored table {stored.type}",
            where=f"{ds.name}.{wanted.name}",
            todo="A column keeps its type; add a new column under another name.",
        )


def _still_nullable(ds: Dataset, wanted: pa.Field, stored: pa.Field) -> None:
    if stored.nullable and not wanted.nullable and wanted.name in ds.by_name:
        raise SchemaChangeError(
            f"the specification says {wanted.type}, required; the stored table {stored.type}, which may be null",
            where=f"{ds.name}.{wanted.name}",
            todo="A column that may be null stays so, since older rows may have no value for it.",
        )


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind
