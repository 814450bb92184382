"""The newest rows of some keys, hot and cold together: however many rows a table has, it is not read through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
import pyarrow as pa

from lake.spec.dataset import Dataset
from lake.spec.schema import arrow_schema
from lake.store.cold.files import Bounds
from lake.store.cold.lookup import Asked
from lake.store.store import Store


def rows_of(
    store: Store,
    ds: Dataset,
    keys: pl.DataFrame,
    columns: Sequence[str],
    within: Mapping[str, Bounds] | None = None,
    version: int | None = None,
) -> Iterator[pl.DataFrame]:
    """The lake's rows of some keys, in canonical columns, piece by piece.

    Args:
        store: of the lake.
        ds: their dataset.
        keys: in the columns of its key.
        columns: which are wanted, the key's among them.
        within: column -> between which values all of the rows surely lie, times as microseconds.
        version: of the cold table, whose rows alone are meant then; the newest and what waits in hot, when left out.
    """
    key = list(ds.key)
    snapshot = store.snapshot([ds.name]) if version is None else store.at({ds.name: version}, [ds.name])
    waiting = snapshot.hot[ds.name].join(keys, on=key, how="semi")
    if waiting.height:
        yield waiting.select(columns)
        keys = keys.join(waiting, on=key, how="anti")
    if keys.height:
        schema = pa.schema([arrow_schema(ds).field(name) for name in columns])
        yield from store.table(ds.name).rows_of(snapshot.states[ds.name], Asked(keys, within), schema)
