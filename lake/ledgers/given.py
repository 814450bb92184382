"""Rows as callers give them, made rows to store: signed by the bot, checked, with the times of their first version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lake.errors import LakeError
from lake.ledgers.classify import Classifier, Known
from lake.ledgers.current import Key, key_given, key_of
from lake.ledgers.transaction import Fold, Whole
from lake.spec.dataset import Dataset
from lake.spec.rows import RowChecker, row_checker
from lake.store.hot.entry import Row


class GivenRows:
    """What one lake makes of given rows.

    Args:
        bot: signs rows that name no other; "" signs none.
        classifier: finds the version of a row that the lake holds.
        known: what is known of rows without asking the disk, where a write stands.
    """

    def __init__(self, bot: str, classifier: Classifier, known: Callable[[], Known]) -> None:
        self._bot, self._classifier, self._known = bot, classifier, known
        self._checkers: dict[str, RowChecker] = {}

    def checker(self, ds: Dataset, rows: Sequence[Mapping[str, Any]] = ()) -> RowChecker:
        """What makes a given row one to store: signed, checked, with the times of its first version.

        Of several rows that are going to be given to it the settled versions are looked up together.
        """
        found = self._checkers.get(ds.name)
        if found is None:
            found = self._checkers[ds.name] = self._compiled(ds, self._find)
        return found if len(rows) < 2 else self._checker_of_many(ds, rows) or found

    def _find(self, ds: Dataset, key: Key) -> Row | None:
        return self._classifier.find(ds, key, self._known())

    def _checker_of_many(self, ds: Dataset, rows: Sequence[Mapping[str, Any]]) -> RowChecker | None:
        """None where no more than one row needs the times of its first version."""
        asked = set()
        for row in rows:
            if _is_named(ds, row) and ds.undated(row):
                try:
                    asked.add(key_given(ds, row))
                except LakeError:  # it is refused, or looked up by itself, when it is checked
                    continue
        if len(asked) < 2:
            return None
        known = self._known()
        stored = self._classifier.stored(ds, [dict(zip(ds.key, key, strict=True)) for key in asked], known)

        def find(ds: Dataset, key: Key) -> Row | None:
            return (known.get(ds, key) or stored.get(key)) if key in asked else self._find(ds, key)

        return self._compiled(ds, find)

    def _compiled(self, ds: Dataset, find: Callable[[Dataset, Key], Row | None]) -> RowChecker:
        check, defaults, bot = row_checker(ds), ds.defaults or {}, self._bot
        clocks = ds.clocks
        signs = bool(bot) and "bot_id" in ds.by_name
        signs_later = signs and "bot_id" in defaults  # the row is checked without it: nothing has to be copied

        def checked(given: Mapping[str, Any]) -> dict[str, Any]:
            row = check(self._signed(given) if signs and not signs_later else given)
            if signs_later and not row["bot_id"]:
                row["bot_id"] = bot
            for name in clocks:
                if given.get(name) is None:
                    return _with_first_times(ds, given, row, find)
            return row

        return checked

    def _signed(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """The row with this lake's bot as its writer, unless it names another."""
        return row if row.get("bot_id") else {**row, "bot_id": self._bot}

    def signing(self, ds: Dataset, fold: Fold) -> Fold:
        """The fold, with this lake's bot as the writer of a whole row that it makes, unless that names another."""
        if not self._bot or "bot_id" not in ds.by_name:
            return fold

        def signed(known: Row | None) -> Mapping[str, Any] | Whole | None:
            made = fold(known)
            if isinstance(made, Whole):
                if not made.row.get("bot_id"):
                    made.row["bot_id"] = self._bot
                return made
            return made if made is None or known is not None else self._signed(made)

        return signed


def _is_named(ds: Dataset, row: Mapping[str, Any]) -> bool:
    """Whether there may be a version of it already: its id was not made just now."""
    return ds.generated_id is None or row.get(ds.generated_id) is not None


def _with_first_times(
    ds: Dataset, given: Mapping[str, Any], row: dict[str, Any], find: Callable[[Dataset, Key], Row | None]
) -> dict[str, Any]:
    """A time that the clock filled in is the first version's: writing a row again does not make it newer."""
    if _is_named(ds, given) and (undated := ds.undated(given)):
        known = find(ds, key_of(ds, row)) or {}
        row.update((n, known[n]) for n in undated if n in known)
    return row
