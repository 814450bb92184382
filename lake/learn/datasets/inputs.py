"""What bots recorded with their decisions, as typed feature columns: ``recorded.confidence``, ``features.rsi``, ..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from lake.errors import InvalidRowError, UsageError
from lake.learn.datasets.request import Request
from lake.learn.datasets.sources import DOCUMENTS, NOTES, RECORDED
from lake.learn.features import read_recorded

_KINDS = {"Float64": pl.Float64, "Int64": pl.Int64, "Boolean": pl.Boolean, "String": pl.String}


def recorded_features(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    """Typed columns, a row for each row, in order of their names; none where they are not asked for.

    A column of nulls alone says nothing and is left out, unless it is asked for by name.

    Raises:
        InvalidRowError: the values of a key are of several types; a mapping of types in the request decides.
        UsageError: a recorded column is asked for that the source does not have.
    """
    if request.recorded is False:
        return pl.DataFrame()
    rows = without_own_scores(rows, request)
    single = [n for n in rows.columns if n.startswith(RECORDED)]
    document = DOCUMENTS.get(request.source)
    if isinstance(request.recorded, Mapping):
        return _chosen(rows, request.recorded, single, document)
    found = rows.select(single).get_columns()
    if document is not None and rows[document].null_count() < rows.height:
        found += _all(rows, document).get_columns()
    held = [column for column in found if column.null_count() < rows.height]
    return pl.DataFrame(sorted(held, key=lambda column: column.name))


def without_own_scores(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    """The rows without the scores that models of the lake gave, unless the request keeps them.

    A row that is to be predicted has no such score yet: a model that leant on it would have nothing to lean on.
    """
    own, score = f"{NOTES}own_scores", f"{RECORDED}ml_score"
    if request.own_scores or own not in rows.columns:
        return rows
    return rows.with_columns(pl.when(~pl.col(own)).then(score).alias(score))


def _all(rows: pl.DataFrame, document: str) -> pl.DataFrame:
    try:
        return read_recorded(rows, document).frame
    except InvalidRowError as error:
        raise InvalidRowError(
            error.what, where=error.where, value=error.value, todo="Give recorded={'name': 'Float64', ...}, or False."
        ) from error


def _chosen(rows: pl.DataFrame, types: Mapping[str, Any], single: list[str], document: str | None) -> pl.DataFrame:
    inside = {n: t for n, t in types.items() if document is not None and n.startswith(f"{document}.")}
    strange = sorted(set(types) - set(inside) - set(single))
    if strange:
        known = [*single, *([f"{document}.<key>"] if document is not None else [])]
        todo = f"There are {', '.join(known)}."
        raise UsageError("the source records no such thing", where="recorded", value=strange, todo=todo)
    unknown = sorted(str(t) for t in types.values() if t not in _KINDS)
    if unknown:
        raise UsageError("an unknown type", where="recorded", value=unknown, todo=f"One of {', '.join(_KINDS)}.")
    found = [rows[n].cast(_KINDS[types[n]], strict=False) for n in single if n in types]
    if inside and document is not None:
        found += read_recorded(rows, document, inside, strict=False).frame.get_columns()
    return pl.DataFrame(sorted(found, key=lambda column: column.name))
