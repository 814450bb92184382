"""Inputs as they were decided, where versions of a row meet: in a drain, in the cold table, in a reader's view of hot.

Ledgers keep what an input was when they change a row they know. A whole row that was written without knowing of the
one before, by another process, another host or in bulk, is caught here; so nothing gets past.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import polars as pl

from lake.clock import now_micros
from lake.spec.dataset import CHANGED_INPUTS, Dataset
from lake.spec.decode import frame_to_rows
from lake.spec.inputs import changes_of, joined, with_changes, with_inputs
from lake.store.hot.entry import Row
from lake.store.hot.mirror import SEQUENCE

#: When the oldest of the versions was written that a row stands for, and its inputs where they were others (JSON).
FIRST_VERSION = FIRST_AT, FIRST = "__first_at", "__first"
_ROW, _HASH, _KEPT = "__row", "__hash", "__kept"


def newest_versions(ds: Dataset, rows: pl.DataFrame, *, dated: bool) -> pl.DataFrame:
    """Of versions in the order they were written, the last of each key with what its inputs were.

    Args:
        ds: a dataset with inputs.
        rows: canonical, with ``__sequence``, which is the moment of writing in microseconds.
        dated: with ``__first_at`` and ``__first``, for :func:`with_stored_inputs`.

    Returns:
        The same columns without ``__sequence``.
    """
    last = rows.unique(subset=list(ds.key), keep="last", maintain_order=True)
    chains = _chains(ds, rows) if last.height < rows.height else None
    last = last.drop(SEQUENCE)
    if chains is not None and chains.height:
        last = last.join(chains, on=list(ds.key), how="left", maintain_order="left")
        kept = pl.coalesce(_KEPT, CHANGED_INPUTS).alias(CHANGED_INPUTS)
        last = last.with_columns(kept).drop(_KEPT, *(() if dated else (FIRST,)))
    return _dated(ds, last, rows) if dated else last


def _dated(ds: Dataset, last: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    key = list(ds.key)
    if FIRST not in last.columns:
        last = last.with_columns(pl.lit(None, pl.String).alias(FIRST))
    first = rows.unique(subset=key, keep="first").select(*key, pl.col(SEQUENCE).alias(FIRST_AT))
    return last.join(first, on=key, how="left", maintain_order="left")


def with_stored_inputs(ds: Dataset, stored: pl.DataFrame, rows: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Rows that take the place of stored ones, with what these say of their inputs; the same frame where none does.

    Args:
        ds: of them.
        stored: rows of the cold table.
        rows: the new ones, unique keys.
        first: ``__first_at`` and ``__first`` of each of ``rows``; without columns for rows that are written now.
    """
    if ds.inputs is None:
        return rows
    key, names = list(ds.key), [*ds.inputs.columns, CHANGED_INPUTS]
    own = pl.DataFrame([*rows.select(*key, *names).get_columns(), *first.get_columns()]).with_row_index(_ROW)
    both = own.join(stored.select(*key, *names), on=key, how="inner", suffix=" stored")
    differs = [pl.col(n).ne_missing(pl.col(f"{n} stored")) for n in names]
    both = both.filter(pl.any_horizontal(*differs, *([pl.col(FIRST).is_not_null()] if first.width else [])))
    if both.is_empty():
        return rows
    places = both[_ROW].sort()
    changed = rows[places]
    olds = {_key(ds, row): row for row in frame_to_rows(ds, stored.join(changed.select(key), on=key, how="semi"))}
    now, given = now_micros(), first[places].to_dicts() if first.width else [{}] * changed.height
    kept = [
        _met(ds, olds[_key(ds, row)], row, told.get(FIRST), told.get(FIRST_AT, now)).get(CHANGED_INPUTS)
        for row, told in zip(frame_to_rows(ds, changed), given, strict=True)
    ]
    column = rows[CHANGED_INPUTS].scatter(places, pl.Series(kept, dtype=pl.String))
    return rows.with_columns(column)


def _met(ds: Dataset, stored: Row, row: dict[str, Any], first: str | None, at: int) -> Row:
    """A row that meets the stored version; between the two there may have been others."""
    if first is None:
        return with_inputs(ds, stored, row, at)
    known = changes_of(with_inputs(ds, stored, orjson.loads(first), at))
    return with_changes(row, joined(known, changes_of(row)))


def _chains(ds: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """Keys whose versions have different inputs: what these were, and those of the first version."""
    key = list(ds.key)
    inputs = () if ds.inputs is None else ds.inputs.columns
    told = rows.select(*key, rows.select(*inputs, CHANGED_INPUTS).hash_rows().alias(_HASH)).unique()
    several = told.filter(told.select(key).is_duplicated()).select(key)
    versions = rows.join(several, on=key, how="semi", maintain_order="left") if several.height else rows.clear()
    chains: dict[Any, list[tuple[int, dict[str, Any]]]] = {}
    for row, sequence in zip(frame_to_rows(ds, versions), versions[SEQUENCE].to_list(), strict=True):
        chains.setdefault(_key(ds, row), []).append((sequence, row))
    found = [(*each, _last(ds, chain).get(CHANGED_INPUTS), _first(ds, chain[0][1])) for each, chain in chains.items()]
    kept = {_KEPT: pl.String, FIRST: pl.String}
    return pl.DataFrame(found, schema={**{name: rows.schema[name] for name in key}, **kept}, orient="row")


def _last(ds: Dataset, chain: Sequence[tuple[int, dict[str, Any]]]) -> Row:
    row = chain[0][1]
    for sequence, version in chain[1:]:
        row = with_inputs(ds, row, version, sequence)
    return row


def _first(ds: Dataset, row: Row) -> str:
    """What of a version its inputs are told by, as JSON text."""
    inputs = ds.inputs
    names = () if inputs is None else (*inputs.columns, *inputs.decided_at, *inputs.pending, CHANGED_INPUTS)
    return orjson.dumps({name: row[name] for name in (*names, ds.ends_at or "") if name in row}).decode()


def _key(ds: Dataset, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ds.key)
