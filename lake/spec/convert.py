"""Convert a column to its canonical type, a whole column at a time, and say which values did not fit."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from lake.errors import InvalidRowError, InvalidTimeError
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.rows import Convert, converter, json_text
from lake.spec.schema import UTC_MICROS, polars_schema
from lake.spec.times import LATEST, UNITS, to_micros
from lake.spec.times import magnitude as unit_of

EARLIEST = 0
_FEW = 500  # values that Python and NumPy look through faster than Polars begins to

_NAIVE = r"^\s*\d{4}-\d{2}-\d{2}(?:[T ]\d{2}(?::?\d{2}){0,2}(?:[.,]\d+)?)?\s*$"
_YES, _NO = ["true", "yes", "t", "1"], ["false", "no", "f", "0"]


def converted(ds: Dataset, column: Column, given: pl.Series, unit: str | None) -> pl.Series:
    """The column in its canonical type; values that do not fit are null."""
    where = f"{ds.name}.{column.name}"
    if given.dtype == pl.Object:
        return _one_by_one(ds, column, given)
    if column.type is Type.TIMESTAMP:
        return _times(given, unit, where)
    if column.type is Type.JSON:
        return _documents(given)
    if column.type is Type.BOOL:
        return _flags(given)
    if column.type in (Type.FLOAT, Type.INT):
        return _numbers(column, given)
    if column.type is Type.DATE:
        return _days(given)
    return _texts(ds, column, given)


def reason_for(column: Column, given: pl.Series, done: pl.Series) -> pl.Series | None:
    """Per row why its value does not fit, null where it does; None when all fit."""
    if done.null_count() == 0 or (not column.required and given.null_count() == len(given)):
        return None
    said = given.is_not_null() if column.exact else given.is_not_null() & ~is_nan(given)
    if column.is_link and given.dtype == pl.String:
        said &= given != ""
    lost = done.is_null() & (said | pl.Series([column.required]))
    if not lost.any():
        return None
    frame = pl.DataFrame({"lost": lost, "shown": _shown(given).fill_null("nothing")})
    text = f"{column.name}: {_wanted(column)}, got "
    return frame.select(pl.when("lost").then(pl.concat_str(pl.lit(text), pl.col("shown")))).to_series()


def _wanted(column: Column) -> str:
    if column.choices:
        return f"one of {', '.join(column.choices)} is wanted"
    if column.type in (Type.FLOAT, Type.INT):
        kind, bounds = "finite" if column.type is Type.FLOAT else "whole", column.bounds()
        of = " of" if bounds.startswith("at") else ""
        return f"a {kind} number{of}{' ' if bounds else ''}{bounds} is wanted"
    return f"a {column.type.value} is wanted"


def is_nan(given: pl.Series) -> pl.Series:
    """Where a column of floats holds NaN; nowhere in others."""
    if given.dtype.is_float():
        return given.is_nan().fill_null(value=False)
    return pl.Series([False]).new_from_index(0, len(given))


def _shown(given: pl.Series) -> pl.Series:
    if given.dtype == pl.Object or given.dtype.is_nested():
        return pl.Series([None if v is None else repr(v) for v in given.to_list()], dtype=pl.String)
    return given.cast(pl.String, strict=False)


def _times(given: pl.Series, unit: str | None, where: str) -> pl.Series:
    if given.dtype == UTC_MICROS:
        done = given
    elif isinstance(given.dtype, pl.Datetime):
        if given.dtype.time_zone is None:
            raise InvalidTimeError(
                "times without a zone", where=where, value=given.drop_nulls().head(1).to_list(),
                todo='Give them one, for example frame.with_columns(pl.col("open_time").dt.replace_time_zone("UTC")).',
            )  # fmt: skip
        done = given.dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    elif given.dtype == pl.String:
        done = _from_text(given, unit, where)
    elif given.dtype.is_numeric():
        done = _from_numbers(given, unit, where)
    elif given.dtype == pl.Null:
        done = given.cast(UTC_MICROS)
    else:
        raise InvalidTimeError(
            "no times", where=where, value=str(given.dtype), todo="Give aware times or epoch numbers."
        )
    if not _in_range(done):
        done = (
            pl.DataFrame({"t": done})
            .select(pl.when(pl.col("t").to_physical().is_between(EARLIEST, LATEST - 1)).then("t"))
            .to_series()
        )
    return done.alias(given.name)


def _in_range(times: pl.Series) -> bool:
    """Whether all of them, nulls aside, are times that the lake keeps."""
    held = times.drop_nulls() if times.null_count() else times
    micros = held.to_numpy().view(np.int64)
    return not len(micros) or bool(micros.min() >= EARLIEST and micros.max() < LATEST)


def _from_numbers(given: pl.Series, unit: str | None, where: str) -> pl.Series:
    values = given.drop_nulls()
    if values.is_empty():
        return given.cast(pl.Int64, strict=False).cast(UTC_MICROS)
    low, high = float(values.min() or 0), float(values.max() or 0)  # type: ignore[arg-type]
    if unit is None:
        units = {unit_of(low), unit_of(high)}
        if len(units) != 1 or None in units:
            raise InvalidTimeError(
                "epoch times in mixed or unknown units",
                where=where,
                value=(low, high),
                todo="Give one unit a call, or name it.",
            )
        unit = units.pop()
    if unit == "ns":
        return (given.cast(pl.Int64, strict=False) // 1000).cast(UTC_MICROS)
    factor = 1_000_000 // UNITS[unit or "us"]
    if given.dtype.is_float():
        return (given * factor).round().cast(pl.Int64, strict=False).cast(UTC_MICROS)
    return (given.cast(pl.Int64) * factor).cast(UTC_MICROS)


def _from_text(given: pl.Series, unit: str | None, where: str) -> pl.Series:
    """Each distinct text by the rule for one value; a naive one refuses the column, another bad one its row."""
    naive = given.filter(given.str.contains(_NAIVE).fill_null(value=False))
    if len(naive):
        raise InvalidTimeError(
            "times without a zone", where=where, value=naive[0], todo="Add their offset, for example Z."
        )
    found = {text: _or_none(lambda value: to_micros(value, unit=unit, where=where), text) for text in _distinct(given)}
    return _replaced(given, found, pl.Int64()).cast(UTC_MICROS)


def _numbers(column: Column, given: pl.Series) -> pl.Series:
    kind = pl.Float64() if column.type is Type.FLOAT else pl.Int64()
    done = given if given.dtype == kind else _cast(given, kind)
    if _plainly_fit(column, done):
        return done.alias(column.name)
    if done.null_count() == len(done):
        return done.alias(column.name)
    low, high = done.min(), done.max()
    finite = not done.dtype.is_float() or math.isfinite(done.sum()) or bool(done.is_finite().all())
    fits = (column.least is None or low >= column.least) and (column.maximum is None or high <= column.maximum)  # type: ignore[operator]
    if finite and fits:
        return done.alias(column.name)
    test = pl.col("n").is_finite() if done.dtype.is_float() else pl.lit(True)
    if column.least is not None:
        test = test & (pl.col("n") >= column.least)
    if column.maximum is not None:
        test = test & (pl.col("n") <= column.maximum)
    return pl.DataFrame({"n": done}).select(pl.when(test).then("n").alias(column.name)).to_series()


def _plainly_fit(column: Column, done: pl.Series) -> bool:
    """Whether a column of numbers is full and within bounds: NumPy tells finite ones by their bounds alone."""
    if done.null_count() or not len(done):
        return False
    values = done.to_numpy()
    low, high = values.min(), values.max()  # NaN makes both NaN
    least = -math.inf if column.least is None else column.least
    most = math.inf if column.maximum is None else column.maximum
    return bool(math.isfinite(low) and math.isfinite(high) and low >= least and high <= most)


def _cast(given: pl.Series, kind: pl.DataType) -> pl.Series:
    """Numbers of another type, exactly; what is none, or no whole one where those are wanted, is null."""
    if given.dtype == pl.Boolean or given.dtype.is_nested() or given.dtype.is_temporal():
        return pl.Series(given.name, [None], dtype=kind).new_from_index(0, len(given))
    if given.dtype == pl.String:
        given = given.str.strip_chars()
    done = given.cast(kind, strict=False)
    if kind == pl.Float64() or given.dtype.is_integer():
        return done
    number = pl.DataFrame({"n": given.cast(pl.Float64, strict=False), "exact": done})
    if given.dtype != pl.String:
        number = number.with_columns(pl.lit(None, dtype=pl.Int64).alias("exact"))
    whole = pl.when(pl.col("n") == pl.col("n").round()).then("n").cast(pl.Int64, strict=False)
    return number.select(pl.coalesce("exact", whole).alias(given.name)).to_series()


def _days(given: pl.Series) -> pl.Series:
    """Days; a time is one only at midnight UTC."""
    if given.dtype == pl.String:
        return given.str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
    if isinstance(given.dtype, pl.Datetime):
        at = pl.col("t") if given.dtype.time_zone is None else pl.col("t").dt.convert_time_zone("UTC")
        whole = pl.when(at.dt.time() == pl.time(0)).then(at.dt.date())
        return pl.DataFrame({"t": given}).select(whole.alias(given.name)).to_series()
    if given.dtype in (pl.Date, pl.Null):
        return given.cast(pl.Date)
    return pl.Series(given.name, [None], dtype=pl.Date).new_from_index(0, len(given))


def _flags(given: pl.Series) -> pl.Series:
    if given.dtype in (pl.Boolean, pl.Null):
        return given.cast(pl.Boolean)
    text = given.cast(pl.String).str.to_lowercase().str.strip_suffix(".0")
    return pl.DataFrame({"t": text}).select(
        pl.when(pl.col("t").is_in(_YES)).then(True).when(pl.col("t").is_in(_NO)).then(False).alias(given.name)
    ).to_series()  # fmt: skip


def _documents(given: pl.Series) -> pl.Series:
    if given.dtype == pl.Null:
        return given.cast(pl.String)
    if isinstance(given.dtype, pl.Struct):
        encoded = given.struct.json_encode()  # which writes "null" for no struct at all
        return encoded.set(given.is_null(), None) if given.null_count() else encoded
    return pl.Series(given.name, [None if v is None else json_text(v) for v in given.to_list()], dtype=pl.String)


def _texts(ds: Dataset, column: Column, given: pl.Series) -> pl.Series:
    """Names by the rule for one value, once for each distinct one; plain text as it is."""
    if given.dtype in (pl.Boolean, pl.Binary) or given.dtype.is_nested():
        return pl.Series(column.name, [None], dtype=pl.String).new_from_index(0, len(given))
    done = given if given.dtype == pl.String else given.cast(pl.String)
    if column.name in ("symbol", "timeframe") or column.choices:
        rule = converter(ds, column)
        return _replaced(done, {text: _or_none(rule, text) for text in _distinct(done)}, pl.String())
    may_be_empty = not column.required or (ds.defaults or {}).get(column.name) == ""
    if may_be_empty and column.name != ds.generated_id and not column.is_link:
        return done
    empty = done == ""
    return done.set(empty, None) if empty.any() else done


def _distinct(given: pl.Series) -> list[str]:
    if len(given) <= _FEW:
        return [text for text in dict.fromkeys(given.to_list()) if text is not None]
    changes = (given.slice(1) != given.slice(0, len(given) - 1)).fill_null(value=True).arg_true()
    if len(changes) < len(given) // 8:  # names in runs: comparing neighbours takes a quarter of hashing each
        given = pl.concat([given.head(1), given.gather(changes + 1)])
    found: list[str] = given.unique().drop_nulls().to_list()
    return found


def _or_none(rule: Convert, value: object) -> object:
    try:
        return rule(value)
    except InvalidRowError:
        return None


def _replaced(given: pl.Series, found: dict[str, object], kind: pl.DataType) -> pl.Series:
    """Each value by what was found for it; the column itself when that changes none."""
    if kind == given.dtype and all(before == after for before, after in found.items()):
        return given
    if not found:
        return pl.Series(given.name, [None], dtype=kind).new_from_index(0, len(given))
    old, new = pl.Series(list(found), dtype=pl.String), pl.Series(list(found.values()), dtype=kind)
    return given.replace_strict(old, new, default=None, return_dtype=kind)


def _one_by_one(ds: Dataset, column: Column, given: pl.Series) -> pl.Series:
    """A column of Python objects, by the rule for one value."""
    rule = converter(ds, column)
    values = [None if value is None else _or_none(rule, value) for value in given.to_list()]
    if column.type is Type.TIMESTAMP:
        return pl.Series(column.name, values, dtype=pl.Int64).cast(UTC_MICROS)
    if column.type is Type.DATE:
        return pl.Series(column.name, values, dtype=pl.String).str.to_date()
    return pl.Series(column.name, values, dtype=polars_schema(ds)[column.name])
