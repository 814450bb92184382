"""Convert a column to its canonical type, a whole column at a time, and say which values did not fit."""

from __future__ import annotations

import polars as pl

from lake.errors import InvalidTimeError
from lake.spec import symbols
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.rows import json_text
from lake.spec.schema import UTC_MICROS, polars_schema
from lake.spec.times import LATEST, UNITS
from lake.spec.times import magnitude as unit_of

EARLIEST = 0

_YES, _NO = ["true", "yes", "t", "1"], ["false", "no", "f", "0"]


def converted(ds: Dataset, column: Column, given: pl.Series, unit: str | None) -> pl.Series:
    """The column in its canonical type; values that do not fit are null."""
    where = f"{ds.name}.{column.name}"
    if column.type is Type.TIMESTAMP:
        return _times(given, unit, where)
    if column.type is Type.JSON:
        return _documents(given)
    if column.type is Type.BOOL:
        return _flags(given)
    if column.type in (Type.FLOAT, Type.INT):
        return _numbers(column, given)
    if column.type is Type.DATE:
        return given.str.to_date(strict=False) if given.dtype == pl.String else given.cast(pl.Date, strict=False)
    return _texts(column, given).cast(polars_schema(ds)[column.name])


def reason_for(column: Column, given: pl.Series, done: pl.Series) -> pl.Series | None:
    """Per row why its value does not fit, null where it does; None when all fit."""
    if not column.required and done.null_count() == given.null_count():
        return None
    if done.null_count() == 0:
        return None
    lost = done.is_null() & (given.is_not_null() & ~_is_nan(given) | pl.Series([column.required]))
    if not lost.any():
        return None
    shown = given.cast(pl.String, strict=False).fill_null("nothing") if given.dtype != pl.Object else given.cast(pl.String)
    frame = pl.DataFrame({"lost": lost, "shown": shown})
    text = f"{column.name}: {_wanted(column)}, got "
    return frame.select(pl.when("lost").then(pl.concat_str(pl.lit(text), pl.col("shown")))).to_series()


def _wanted(column: Column) -> str:
    if column.choices:
        return f"one of {', '.join(column.choices)} is wanted"
    if column.type in (Type.FLOAT, Type.INT):
        low = "" if column.minimum is None else f" of at least {column.minimum:g}"
        high = "" if column.maximum is None else f" of at most {column.maximum:g}"
        return f"a {'finite' if column.type is Type.FLOAT else 'whole'} number{low}{high} is wanted"
    return f"a {column.type.value} is wanted"


def _is_nan(given: pl.Series) -> pl.Series:
    return given.is_nan().fill_null(False) if given.dtype.is_float() else pl.Series([False]).new_from_index(0, len(given))


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
        done = _from_text(given, where)
    elif given.dtype.is_numeric():
        done = _from_numbers(given, unit, where)
    elif given.dtype == pl.Null:
        done = given.cast(UTC_MICROS)
    else:
        raise InvalidTimeError("no times", where=where, value=str(given.dtype), todo="Give aware times or epoch numbers.")
    physical = done.to_physical()
    if len(done) and (physical.min() is not None) and (physical.min() < EARLIEST or physical.max() >= LATEST):  # type: ignore[operator]
        done = pl.DataFrame({"t": done}).select(pl.when(pl.col("t").to_physical().is_between(EARLIEST, LATEST - 1)).then("t")).to_series()
    return done.alias(given.name)


def _from_numbers(given: pl.Series, unit: str | None, where: str) -> pl.Series:
    values = given.drop_nulls()
    if values.is_empty():
        return given.cast(pl.Int64).cast(UTC_MICROS)
    low, high = float(values.min() or 0), float(values.max() or 0)  # type: ignore[arg-type]
    if unit is None:
        units = {unit_of(low), unit_of(high)}
        if len(units) != 1 or None in units:
            raise InvalidTimeError(
                "epoch times in mixed or unknown units", where=where, value=(low, high), todo="Give one unit a call, or name it."
            )
        unit = units.pop()
    if unit == "ns":
        return (given.cast(pl.Int64) // 1000).cast(UTC_MICROS)
    factor = 1_000_000 // UNITS[unit or "us"]
    if given.dtype.is_float():
        return (given * factor).round().cast(pl.Int64, strict=False).cast(UTC_MICROS)
    return (given.cast(pl.Int64) * factor).cast(UTC_MICROS)


def _from_text(given: pl.Series, where: str) -> pl.Series:
    zoned = given.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$")
    naive = given.filter(~zoned.fill_null(True))
    if len(naive):
        raise InvalidTimeError("times without a zone", where=where, value=naive.head(1).to_list(), todo="Add their offset, for example Z.")
    return given.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)


def _numbers(column: Column, given: pl.Series) -> pl.Series:
    kind = pl.Float64() if column.type is Type.FLOAT else pl.Int64()
    done = given
    if given.dtype != kind:
        if column.type is Type.INT and (given.dtype.is_float() or given.dtype == pl.String):
            number = given.cast(pl.Float64, strict=False)
            done = pl.DataFrame({"n": number}).select(pl.when(pl.col("n") == pl.col("n").round()).then("n")).to_series().cast(kind, strict=False)
        else:
            done = given.cast(kind, strict=False)
    if done.null_count() == len(done):
        return done.alias(column.name)
    low, high = done.min(), done.max()
    finite = not done.dtype.is_float() or bool(done.is_finite().all())
    fits = (column.minimum is None or low >= column.minimum) and (column.maximum is None or high <= column.maximum)  # type: ignore[operator]
    if finite and fits:
        return done.alias(column.name)
    test = pl.col("n").is_finite() if done.dtype.is_float() else pl.lit(True)
    if column.minimum is not None:
        test = test & (pl.col("n") >= column.minimum)
    if column.maximum is not None:
        test = test & (pl.col("n") <= column.maximum)
    return pl.DataFrame({"n": done}).select(pl.when(test).then("n").alias(column.name)).to_series()


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
        return given.struct.json_encode()
    return pl.Series(given.name, [None if v is None else json_text(v) for v in given.to_list()], dtype=pl.String)


def _texts(column: Column, given: pl.Series) -> pl.Series:
    done = given if given.dtype == pl.String else given.cast(pl.String)
    if column.name == "symbol":
        return _mapped(done, symbols.canonical)
    if column.choices:
        known = {c.lower(): c for c in column.choices}
        return _mapped(done, lambda text: known.get(text.strip().lower()))
    return done


def _mapped(given: pl.Series, function: object) -> pl.Series:
    """The function of each value, called once for each distinct one; untouched when it changes none."""
    distinct = given.unique().drop_nulls().to_list()
    pairs = {value: function(value) for value in distinct}  # type: ignore[operator]
    if all(before == after for before, after in pairs.items()):
        return given
    return given.replace_strict(list(pairs), list(pairs.values()), default=None, return_dtype=pl.String)
