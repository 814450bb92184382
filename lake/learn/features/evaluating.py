"""Expressions of a user's own, evaluated: what Polars cannot do with one is told as an error that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import polars as pl

from lake.errors import UsageError

Named = tuple[str, pl.Expr]
_TODO = "A feature is one value for each bar, of the type that it declares: Float64, unless dtype says so."


def with_columns(frame: pl.DataFrame, columns: Iterable[Named], where: str) -> pl.DataFrame:
    """The frame with these columns added.

    Args:
        frame: what the expressions are over.
        columns: name -> expression.
        where: whose they are, for the error.

    Raises:
        UsageError: one cannot be computed; it is named, with what Polars says.
    """
    return _evaluated(frame.with_columns, list(columns), where)


def selected(frame: pl.DataFrame, columns: Iterable[Named], where: str) -> pl.DataFrame:
    """These columns alone; see :func:`with_columns`."""
    return _evaluated(frame.select, list(columns), where)


def _evaluated(ask: Callable[..., pl.DataFrame], columns: Sequence[Named], where: str) -> pl.DataFrame:
    try:
        return ask(expr.alias(name) for name, expr in columns)
    except pl.exceptions.PolarsError as error:
        for name, expr in columns if len(columns) > 1 else ():
            _evaluated(ask, [(name, expr)], where)
        name = columns[0][0] if len(columns) == 1 else ", ".join(name for name, _ in columns)
        raise UsageError(
            f"the expression cannot be computed: {str(error).strip().splitlines()[0]}",
            where=f"{where}, {name}",
            value=type(error).__name__,
            todo=_TODO,
        ) from error
