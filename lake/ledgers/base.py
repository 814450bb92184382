"""What every ledger is: words for writing and asking about one dataset, over one writer and one query engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from lake.errors import UnknownRowError, UsageError
from lake.ledgers.changes import patch_row
from lake.ledgers.current import Key, key_given
from lake.ledgers.receipt import Receipt
from lake.ledgers.transaction import Fold
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.numbers import is_nothing, is_null
from lake.spec.rows import flat_checks, row_checker
from lake.store.hot.entry import Row

_PLAIN = frozenset({str, float, int, bool, type(None), dict, list, datetime})  # none of these types is a null of pandas


class Ledger:
    """One dataset's vocabulary.

    Rows that a method takes may be given as a dict, as keyword arguments, or both.
    """

    dataset: str

    def __init__(self, writer: Writer, engine: Engine) -> None:
        self._writer = writer
        self._engine = engine
        self._ds = registry.get(self.dataset)
        self._id = self._ds.key[0]
        self._flat = flat_checks(self._ds).row
        self._new = writer.new_rows(self._ds)

    def _as_given(
        self,
        row: Mapping[str, Any] | None,
        fields: Mapping[str, Any],
        apart: frozenset[str],
        more: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """The checked row of keyword arguments that are stored as they are given; None of any others.

        That is told by the check itself, and spares them what :func:`given` looks for: a tenth of recording a row.

        Args:
            row: what was given as a dict.
            fields: the keyword arguments.
            apart: names that the step looks at before the check.
            more: what the step adds.
        """
        if row is not None or not fields or not apart.isdisjoint(fields):
            return None
        return self._flat({**fields, **more} if more else fields)

    def _inserted(self, row: dict[str, Any], fields: Mapping[str, Any], fold: Fold) -> Receipt | None:
        """Write the checked row of keyword arguments under a fresh id, or theirs as :meth:`NewRows.insert_first`."""
        return self._new.insert_first(row, fold) if self._id in fields else self._new.insert(row)

    def get(self, key: str) -> dict[str, Any] | None:
        """The row of that id as the lake holds it now, times aware and JSON as text; None when there is none."""
        try:
            wanted = list(key_given(self._ds, key))
        except UnknownRowError:
            return None
        found = self._engine.frame(f"SELECT * FROM {self.dataset} WHERE {self._ds.key[0]} = ?", wanted)
        return found.row(0, named=True) if found.height else None

    def patch(self, key: str, /, **changes: Any) -> Receipt:
        """Change some columns of one row; None takes a value away, unknown fields are kept in extra.

        Raises:
            UnknownRowError: there is no such row.
            InvalidRowError: a value does not fit.
        """
        return patch_row(self._writer, self.dataset, key, changes)

    def _unknown(self, key: Any) -> UnknownRowError:
        return UnknownRowError(f"no such row in {self.dataset}", where=self._ds.key[0], value=key)


def given(row: Mapping[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """A row given as a dict, as keyword arguments, or both; the arguments win.

    An id that is empty or NaN is none, and so are the nulls of pandas.

    Raises:
        UsageError: neither, or something that is no dict.
    """
    if row is not None and not isinstance(row, Mapping):
        raise UsageError("a row is a dict", value=row, todo="Give {column: value}, or keyword arguments.")
    whole = {**row, **more} if row else more
    if not whole:
        raise UsageError("a row without any value", todo="Give {column: value}, or keyword arguments.")
    if not _PLAIN.issuperset(map(type, whole.values())):
        whole = {name: None if is_null(value) else value for name, value in whole.items()}
    for name in _ids(tuple(whole)):
        value = whole[name]
        if not value if type(value) is str else is_nothing(value):
            whole = {other: value for other, value in whole.items() if other != name}
    return whole


@lru_cache(maxsize=1024)
def _ids(names: tuple[Any, ...]) -> tuple[Any, ...]:
    """Those of ids; a bot gives rows with the same names again and again."""
    return tuple(name for name in names if str(name).endswith("_id"))


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row that is given again tells of a known one: None tells nothing, nor do the nulls of pandas and NaN."""
    return {name: value for name, value in row.items() if value is not None and not is_nothing(value)}


def stated(ds: Dataset, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row that is given states of a known one: no defaults, no nulls; its values are checked.

    Raises:
        InvalidRowError: a value does not fit.
    """
    whole = row_checker(ds)(row)
    other_names = {name for name in row if str(name).lower() in ds.time_aliases}
    names = {name for name in row if row[name] is not None} | ({ds.event_time} if other_names else set())
    unknown = {name: row[name] for name in names - ds.by_name.keys() - other_names}
    return {name: value for name, value in whole.items() if name in names} | unknown


def changed(key: Key, before: Row | None, after: Row | None) -> Receipt:
    """The receipt of a change of one row."""
    if after is None or before == after:
        return Receipt.of_one("unchanged", key)
    return Receipt.of_one("inserted" if before is None else "updated", key)
