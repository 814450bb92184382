"""Candles as they are given: a table or rows, what ``resample`` gives among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from lake.errors import UsageError
from lake.spec import registry
from lake.spec.frames import Checked, check_frame
from lake.spec.symbols import canonical
from lake.spec.tables import as_given, as_polars, is_rows, stacked

_DS = registry.get("candles")
_BARS, _EXPECTED, _PARTIAL = "bars", "expected", "partial"
_CCXT = ("open_time", "open", "high", "low", "close", "volume")  # a row of fetch_ohlcv
MARKS = frozenset((_BARS, _EXPECTED, _PARTIAL))
_EXACT = frozenset(column.name for column in _DS.columns if column.exact)
_YES = ("true", "1")
_WHY = (
    "a partial candle, of which finer ones are missing: leave out bars, expected and partial to write it all the same"
)


def checked(data: Any, constants: Mapping[str, Any] | None = None) -> Checked:
    """The candles of a table or rows, sorted out as :func:`lake.spec.frames.check_frame` does.

    The columns that ``resample`` adds are left out; what they call partial is no candle of its timeframe and refused.
    Rows may be lists of six values as ccxt's ``fetch_ohlcv`` gives them.

    Raises:
        UsageError: a row that is neither a mapping nor such a list, or one that says otherwise than ``constants``.
    """
    if is_rows(data) and not isinstance(data, str | bytes):
        rows = [_named(row) for row in data]
        return _agreeing(_of_rows(rows, constants), {name for row in rows for name in row}, constants)
    frame = as_polars(data, exact=_EXACT)
    return _agreeing(_of_table(frame, constants), frame.columns, constants)


def _of_table(frame: pl.DataFrame, constants: Mapping[str, Any] | None) -> Checked:
    marks = [name for name in frame.columns if name in MARKS]
    if not marks:
        return check_frame(_DS, frame, constants=constants)
    partial = _partial(frame)
    refused = frame.filter(partial).with_columns(pl.lit(_WHY).alias("reason"))
    return _with_refused(check_frame(_DS, frame.filter(~partial).drop(marks), constants=constants), refused)


def _agreeing(found: Checked, told: Collection[str], constants: Mapping[str, Any] | None) -> Checked:
    """The candles, unless they are told to be of another series than the call says; an empty venue says nothing."""
    for name, value in (constants or {}).items():
        series = found.good.get_column(name)
        wanted = canonical(value) if name == "symbol" else value
        if name in told and value and (others := series.filter(series != wanted)).len():
            todo = f"Leave out the column {name!r}, or use `lk.write('candles', ...)`, which takes rows of any series."
            raise UsageError(f"the call says {wanted!r}", where=f"candles.{name}", value=others[0], todo=todo)
    return found


def unmarked(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """One row without what ``resample`` adds to it, and why it is no candle; None where it may be one."""
    if MARKS.isdisjoint(row):
        return row, None
    return {name: value for name, value in row.items() if name not in MARKS}, _WHY if _is_partial(row) else None


def stacked_candles(frames: Mapping[str, Any]) -> pl.DataFrame | None:
    """Tables of the same columns as one, each with its symbol; None where they are not, or name another one."""
    together = stacked(frames, "symbol", exact=_EXACT)
    if together is None:
        return None
    first = next(iter(frames.values()))  # the columns of all are the same
    if "symbol" in getattr(getattr(first, "index", None), "names", ()):
        return None
    if "symbol" in list(first.columns) and not all(_names_alone(table, symbol) for symbol, table in frames.items()):
        return None
    return together


def _names_alone(table: Any, symbol: str) -> bool:
    """Whether a Polars or pandas frame names no symbol but this one."""
    return all(isinstance(name, str) and canonical(name) == canonical(symbol) for name in table["symbol"].unique())


def _named(row: Any) -> Any:
    """A row by its columns."""
    if not isinstance(row, list | tuple):
        return row
    if len(row) != len(_CCXT):
        todo = f"A list holds {', '.join(_CCXT)}; name other columns in a mapping."
        raise UsageError("which value is which?", where="candles", value=row, todo=todo)
    return dict(zip(_CCXT, row, strict=True))


def _of_rows(rows: Sequence[Any], constants: Mapping[str, Any] | None) -> Checked:
    plain = [unmarked(row) if isinstance(row, Mapping) else (row, None) for row in rows]
    refused = [row for row, (_, why) in zip(rows, plain, strict=True) if why is not None]
    found = check_frame(_DS, [row for row, why in plain if why is None], constants=constants)
    return _with_refused(found, as_given(refused, [_WHY] * len(refused))) if refused else found


def _with_refused(found: Checked, refused: pl.DataFrame) -> Checked:
    if refused.is_empty():
        return found
    bad = refused if found.bad.is_empty() else pl.concat([found.bad, refused], how="diagonal_relaxed")
    return Checked(found.good, bad)


def _partial(frame: pl.DataFrame) -> pl.Series:
    """Which rows of a table are marked as partial."""
    found = pl.Series([False]).new_from_index(0, frame.height)
    if _PARTIAL in frame.columns:
        said = frame.get_column(_PARTIAL).cast(pl.String).str.to_lowercase()
        found = found | said.is_in(_YES).fill_null(value=False)
    if _BARS in frame.columns and _EXPECTED in frame.columns:
        bars, expected = (frame.get_column(name).cast(pl.Float64, strict=False) for name in (_BARS, _EXPECTED))
        found = found | (bars < expected).fill_null(value=False)
    return found


def _is_partial(row: Mapping[str, Any]) -> bool:
    bars, expected = row.get(_BARS), row.get(_EXPECTED)
    fewer = isinstance(bars, int | float) and isinstance(expected, int | float) and bars < expected
    return fewer or str(row.get(_PARTIAL)).lower() in _YES
