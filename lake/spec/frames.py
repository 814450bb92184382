"""Check a whole table: the rows that fit in canonical columns, the others as given with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import polars as pl

from lake.clock import now_micros, uuid7
from lake.errors import InvalidRowError, UnknownColumnError, UsageError
from lake.spec.convert import converted, is_nan, reason_for
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.decode import keys_to_frame, rows_to_frame, with_period
from lake.spec.rows import converter, json_text, merged_extra, row_checker
from lake.spec.rules import broken
from lake.spec.schema import PERIOD, polars_schema
from lake.spec.tables import as_given, as_polars
from lake.spec.times import from_micros, is_slice, known_unit, refuse_mixed_units, to_micros

_NO_REASON = pl.Series("reason", [], dtype=pl.String)


@dataclass(frozen=True)
class Checked:
    """A table, sorted out.

    Attributes:
        good: rows that fit, in exactly the dataset's columns.
        bad: the others, as they were given, with their ``reason``.
        undated: time column -> keys of rows that did not say it, for which the clock stands there; a row whose key was
            made is not among them.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    undated: Mapping[str, pl.DataFrame] = field(default_factory=dict)


def check_frame(
    ds: Dataset, data: Any, *, unit: str | None = None, constants: Mapping[str, Any] | None = None
) -> Checked:
    """Check a table of rows.

    Args:
        data: a Polars or pandas frame (times may be its index), an Arrow table or batch, or rows.
        unit: of numeric times: s, ms, us or ns; by default each column's magnitude decides.
        constants: values for columns that the table does not have.

    Raises:
        InvalidTimeError: a column of times without a zone, or in mixed units.
        UnknownColumnError: columns that the dataset does not have and cannot keep.
        InvalidRowError: a required column is missing as a whole, or a constant does not fit.
    """
    known_unit(unit)
    fixed = _canonical(ds, constants or {})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _check_rows(ds, data, unit, fixed)
    given = _renamed(ds, as_polars(_with_documents(ds, data)))
    frame = _with_unknown(ds, _completed(ds, given, fixed))
    columns, reasons = [], []
    for column in ds.columns:
        raw = frame.get_column(column.name)
        if column.name in fixed and column.name not in given.columns:
            columns.append(raw)  # one canonical value in every row
            continue
        series = _with_defaults(ds, column, raw, converted(ds, column, raw, unit))
        columns.append(series)
        reason = reason_for(column, raw, series)
        if reason is not None:
            reasons.append(reason)
    done = pl.DataFrame(columns)
    why = broken(ds.rules, done)
    checked = _sorted_out(ds, given, done, reasons if why is None or not (why != "").any() else [*reasons, why])
    return replace(checked, undated=_undated(ds, frame, done, fixed))


def _with_documents(ds: Dataset, data: Any) -> Any:
    """A pandas frame whose maps and lists are texts of their own: a Polars column gives all of them the same fields."""
    if not (type(data).__module__.startswith("pandas") and hasattr(data, "columns") and data.columns.is_unique):
        return data
    mixed = {str(name) for name, kind in data.dtypes.items() if str(kind) == "object"}
    names = [c.name for c in ds.columns if c.type is Type.JSON and c.name in mixed]
    told = {
        name: [json_text(v, f"{ds.name}.{name}") if isinstance(v, Mapping | list) else v for v in data[name]]
        for name in names
    }
    return data.assign(**told) if told else data


def _undated(ds: Dataset, given: pl.DataFrame, done: pl.DataFrame, fixed: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    found = {}
    for name in ds.clocks:
        silent = given.get_column(name).is_null() | is_nan(given.get_column(name))
        if ds.generated_id is not None:
            silent &= given.get_column(ds.generated_id).is_not_null()
        if name not in fixed and silent.any():
            found[name] = done.filter(silent).select(ds.key)
    return found


def _sorted_out(ds: Dataset, given: pl.DataFrame, done: pl.DataFrame, reasons: Sequence[pl.Series]) -> Checked:
    if not reasons:
        none = given.clear().drop("reason") if "reason" in given.columns else given.clear()
        return Checked(with_period(ds, done), none.hstack([_NO_REASON]))
    why = pl.DataFrame([r.alias(str(i)) for i, r in enumerate(reasons)]).select(
        pl.concat_str(pl.all(), separator="; ", ignore_nulls=True).str.strip_suffix("; ").alias("reason")
    )["reason"]
    fits = why.str.len_bytes() == 0
    bad = given.filter(~fits).with_columns(why.filter(~fits).alias("reason"))
    return Checked(with_period(ds, done.filter(fits)), bad)


def _check_rows(ds: Dataset, rows: Sequence[Any], unit: str | None, fixed: Mapping[str, Any]) -> Checked:
    """Rows given one by one: each of its own shape, so each is checked by itself."""
    check = row_checker(ds)
    if unit is None:
        one_unit_each(ds, [row for row in rows if isinstance(row, Mapping)])
    good: list[dict[str, Any]] = []
    bad: list[Mapping[str, Any]] = []
    reasons = []
    undated: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            raise UsageError("a row is a mapping of columns to values", where=ds.name, value=row)
        try:
            timed = row if unit is None else _timed(ds, row, unit)
            given = {**fixed, **timed} if fixed else timed
            good.append(check(given))
            if ds.generated_id is None or given.get(ds.generated_id) is not None:
                for name in ds.undated(given):
                    undated.setdefault(name, []).append(good[-1])
        except InvalidRowError as error:
            bad.append(row)
            reasons.append(str(error))
    keys = {name: keys_to_frame(ds, silent) for name, silent in undated.items()}
    return Checked(rows_to_frame(ds, good), as_given(bad, reasons), keys)


def dicts(ds: Dataset, data: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Rows given one by one, each a dict.

    Raises:
        UsageError: something else is among them; it and its place are named.
        InvalidTimeError: epoch times in mixed units.
    """
    rows: list[Any] = [data] if isinstance(data, str | bytes) else list(data)
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UsageError(
                "a row is a dict", where=f"{ds.name}, row {number}", value=row, todo="Give {column: value}."
            )
    one_unit_each(ds, rows)
    return rows


def one_unit_each(ds: Dataset, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse rows whose epoch times, column by column, are in different units, as a table of them would be.

    Raises:
        InvalidTimeError: they are.
    """
    if len(rows) < 2:
        return
    for name in {n for row in rows for n in row} & (
        {c.name for c in ds.columns if c.type is Type.TIMESTAMP} | ds.time_aliases
    ):
        refuse_mixed_units((row.get(name) for row in rows), f"{ds.name}.{name}")


def _timed(ds: Dataset, row: Mapping[str, Any], unit: str) -> dict[str, Any]:
    times = {c.name for c in ds.columns if c.type is Type.TIMESTAMP} | ds.time_aliases
    return {
        name: from_micros(to_micros(value, unit=unit, where=f"{ds.name}.{name}"))
        if name in times and isinstance(value, (int, float)) and not isinstance(value, bool)
        else value
        for name, value in row.items()
    }


def _canonical(ds: Dataset, constants: Mapping[str, Any]) -> dict[str, Any]:
    return {name: converter(ds, ds.column(name))(value) for name, value in constants.items() if value is not None}


def _renamed(ds: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
    """Common names of the event time are accepted where the dataset's own is absent."""
    if ds.event_time in frame.columns:
        return frame
    for name in frame.columns:
        if name.lower() in ds.time_aliases and name not in ds.by_name:
            return frame.rename({name: ds.event_time})
    return frame


def _completed(ds: Dataset, frame: pl.DataFrame, fixed: Mapping[str, Any]) -> pl.DataFrame:
    """The frame with every column of the dataset: absent ones hold their constant, else null."""
    kinds = polars_schema(ds)
    added: list[pl.Series] = []
    for column in ds.columns:
        if column.name in frame.columns:
            continue
        value = fixed.get(column.name)
        filled = column.name == ds.generated_id or column.name in (ds.defaults or {})
        if value is None and column.required and not filled and frame.height:
            where = f"{ds.name}.{column.name}"
            raise InvalidRowError(
                "a required column is missing", where=where, value=frame.columns, todo=f"Give {column.name!r}."
            )
        added.append(_repeated(column, value, frame.height, kinds[column.name]))
    return frame.hstack(added) if added else frame  # with_columns would wake Polars' planner


def _repeated(column: Column, value: Any, height: int, kind: pl.DataType) -> pl.Series:
    """One canonical value in every row."""
    return _single(column.name, column.type, value, kind).new_from_index(0, height)


@lru_cache(maxsize=256)
def _single(name: str, kind: Type, value: Any, stored: pl.DataType) -> pl.Series:
    """One canonical value as a column of its own; kept, since most columns have the same one at each write."""
    if kind is Type.TIMESTAMP:
        return pl.Series(name, [value], dtype=pl.Int64).cast(stored)
    if kind is Type.DATE and value is not None:
        return pl.Series(name, [value], dtype=pl.String).str.to_date()
    return pl.Series(name, [value], dtype=stored)


def _with_defaults(ds: Dataset, column: Column, given: pl.Series, done: pl.Series) -> pl.Series:
    """What was not given gets its default or a fresh id; what was given and does not fit stays null."""
    if not done.null_count():
        return done
    if column.name == ds.generated_id:
        fresh = [value if value is not None else uuid7() for value in done.to_list()]
        return pl.Series(column.name, fresh, dtype=pl.String)
    default = (ds.defaults or {}).get(column.name)
    if default is None:
        return done
    absent = given.is_null() if column.exact else given.is_null() | is_nan(given)
    if not absent.any():
        return done
    value = now_micros() if default == "now" else default
    filling = _repeated(column, value, 1, polars_schema(ds)[column.name])
    if absent.all():
        return filling.new_from_index(0, len(done))
    return done.zip_with(~absent, filling.new_from_index(0, len(done)))


def _with_unknown(ds: Dataset, frame: pl.DataFrame) -> pl.DataFrame:
    """Columns that the specification does not know go into ``extra`` as JSON, or are refused."""
    unknown = [n for n in frame.columns if n not in ds.by_name and not _is_of_slices(ds, frame, n)]
    if not unknown:
        return frame
    if not ds.keeps_unknown:
        names, todo = ", ".join(unknown), f"It has: {', '.join(ds.by_name)}. Leave the others out."
        raise UnknownColumnError(f"no such column: {names}", where=ds.name, todo=todo)
    where = f"{ds.name}.extra"
    kept = []
    for more, given in zip(frame.select(unknown).to_dicts(), frame.get_column("extra").to_list(), strict=True):
        found = {name: value for name, value in more.items() if value is not None and not _is_slice(ds, name, value)}
        text = None if given is None else json_text(given, where)
        kept.append(merged_extra(text, found, where) if found else text)
    return frame.with_columns(pl.Series("extra", kept, dtype=pl.String))


def _is_of_slices(ds: Dataset, frame: pl.DataFrame, name: str) -> bool:
    """Whether a column tells nothing but the partition slices of rows that were read from the lake."""
    if name != PERIOD:
        return False
    values = frame.get_column(name).drop_nulls()
    if values.dtype == pl.String:
        values = values.unique()
    return all(_is_slice(ds, name, value) for value in values)


def _is_slice(ds: Dataset, name: str, value: Any) -> bool:
    return name == PERIOD and is_slice(value, ds.partition.period)
