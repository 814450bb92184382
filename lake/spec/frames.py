"""Check a whole table: the rows that fit in canonical columns, the others as given with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from lake.clock import now_micros, uuid7
from lake.errors import InvalidRowError, UnknownColumnError, UsageError
from lake.spec.convert import converted, reason_for
from lake.spec.dataset import Dataset
from lake.spec.decode import with_period
from lake.spec.schema import PERIOD, polars_schema

_TIME_NAMES = ("date", "timestamp", "time", "datetime")


@dataclass(frozen=True)
class Checked:
    """A table, sorted out.

    Attributes:
        good: rows that fit, in exactly the dataset's columns.
        bad: the others, as they were given, with their ``reason``.
    """

    good: pl.DataFrame
    bad: pl.DataFrame


def check_frame(
    ds: Dataset, data: Any, *, unit: str | None = None, constants: Mapping[str, Any] | None = None
) -> Checked:
    """Check a table of rows.

    Args:
        data: a Polars or pandas frame (times may be its index), an Arrow table or batch, or rows.
        unit: of numeric times: s, ms, us or ns; by default each column's magnitude decides.
        constants: values for columns that the table does not have.

    Raises:
        InvalidTimeError: times without a zone, or in mixed units.
        UnknownColumnError: columns that the dataset does not have and cannot keep.
        InvalidRowError: a required column is missing as a whole.
    """
    given = _renamed(ds, as_polars(data))
    frame = _with_constants(ds, given, constants or {})
    frame = _with_unknown(ds, frame)
    columns, reasons = [], []
    for name in polars_schema(ds):
        if name == PERIOD:
            continue
        series = converted(ds, ds.by_name[name], frame.get_column(name), unit)
        columns.append(series)
        reason = reason_for(ds.by_name[name], frame.get_column(name), series)
        if reason is not None:
            reasons.append(reason)
    done = pl.DataFrame(columns)
    if not reasons:
        return Checked(with_period(ds, done), given.clear().with_columns(pl.lit("").alias("reason")))
    why = pl.DataFrame([r.alias(str(i)) for i, r in enumerate(reasons)]).select(
        pl.concat_str(pl.all(), separator="; ", ignore_nulls=True).alias("reason")
    )["reason"]
    fits = why.str.len_bytes() == 0
    bad = given.filter(~fits).with_columns(why.filter(~fits).alias("reason"))
    return Checked(with_period(ds, done.filter(fits)), bad)


def as_polars(data: Any) -> pl.DataFrame:
    """A Polars frame of whatever holds a table."""
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        frame = pl.from_arrow(data)
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()
    if isinstance(data, Mapping):
        return pl.DataFrame(data, strict=False)
    if type(data).__module__.startswith("pandas"):
        named = data.index.name is not None or str(data.index.dtype).startswith("datetime")
        whole = data.rename_axis("open_time" if data.index.name is None else data.index.name).reset_index() if named else data
        return pl.from_pandas(whole)
    if isinstance(data, (list, tuple)):
        return pl.DataFrame(list(data), infer_schema_length=None, strict=False) if data else pl.DataFrame()
    raise UsageError("no table", value=type(data).__name__, todo="Give a Polars or pandas frame, an Arrow table, or rows.")


def _renamed(ds: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
    """Common names of the event time are accepted where the dataset's own is absent."""
    if ds.event_time in frame.columns:
        return frame
    for name in frame.columns:
        if name.lower() in _TIME_NAMES and name not in ds.by_name:
            return frame.rename({name: ds.event_time})
    return frame


def _with_constants(ds: Dataset, frame: pl.DataFrame, constants: Mapping[str, Any]) -> pl.DataFrame:
    schema = polars_schema(ds)
    added: list[pl.Series] = []
    for name, kind in schema.items():
        if name == PERIOD or name in frame.columns:
            continue
        if name in constants:
            added.append(pl.Series(name, [constants[name]]).new_from_index(0, frame.height))
        elif name == ds.generated_id:
            added.append(pl.Series(name, [uuid7() for _ in range(frame.height)], dtype=pl.String))
        else:
            default = (ds.defaults or {}).get(name)
            if default is None and ds.by_name[name].required and frame.height:
                raise InvalidRowError(
                    "a required column is missing", where=f"{ds.name}.{name}", value=frame.columns, todo=f"Give {name!r}."
                )
            value = now_micros() if default == "now" else default
            kept = pl.Int64() if default == "now" else kind
            added.append(pl.Series(name, [value], dtype=kept).new_from_index(0, frame.height))
    return frame.with_columns(added) if added else frame


def _with_unknown(ds: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
    """Columns that the specification does not know go into ``extra`` as JSON, or are refused."""
    unknown = [n for n in frame.columns if n not in ds.by_name and n != PERIOD]
    if not unknown:
        return frame
    if "extra" not in ds.by_name:
        raise UnknownColumnError(
            f"no such column: {', '.join(unknown)}", where=ds.name, todo=f"It has: {', '.join(ds.by_name)}. Leave the others out."
        )
    kept = frame.select(pl.struct(unknown).struct.json_encode()).to_series()
    return frame.with_columns(kept.alias("extra"))
