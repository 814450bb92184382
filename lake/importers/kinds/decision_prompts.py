"""Versions of prompts of a bot that asks a language model, beside those that the lake has of others.

One version at a time is in use. Of several that a database says to be, the newest is; where the lake has another in
use that is not this database's, it stays, and that is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Row, RowMap, Rule
from lake.importers.mapping import IMPORTED
from lake.importers.nested import together
from lake.importers.reading.database import Database
from lake.importers.rules import flag, found, moment, option, text
from lake.importers.spellings import snake_and_camel

_IN_USE = "SELECT version, prompt_text, extra FROM prompt_versions WHERE is_active ORDER BY created_at, version"
_LABEL = "decisions-postgres:prompt_versions"  # under which versions are kept as they were found
_TEXT = snake_and_camel("prompt_text")
_ACTIVE, _REGISTERED = flag(*snake_and_camel("is_active")), moment(*snake_and_camel("created_at"))


def _is_in_use(row: Row, options: Options) -> bool | None:
    """Whether a version is in use: one at a time is."""
    said: bool | None = _ACTIVE.read(row, options)
    return said and not row.get("superseded")


PROMPTS = RowMap(
    "prompt_versions",
    {
        "version": text("version"),
        "name": text("name"),
        "description": text("description"),
        "prompt_text": text(*_TEXT),
        "is_active": Rule(snake_and_camel("is_active"), _is_in_use),
        "created_at": _REGISTERED,
        "extra": together(bot_id=option("bot_id")),
    },
    held=frozenset({"superseded"}),
)


class Prompts:
    """Versions of prompts beside those of the lake.

    Which another bot has given to another text, and are named after their own here, ``bot:version``; and whether the
    lake has one in use that is none of this database's: that one stays the only one.
    """

    def __init__(self) -> None:
        self._renamed: dict[str, str] = {}
        self._in_use = ""
        self._gone: list[str] = []  # in use in the lake, and no longer in the database that they are from
        self._notes = Notes()

    def rows(self, db: Database, options: Options, notes: Notes) -> Iterator[Row]:
        """The versions; of several that are said to be in use the newest is. They are few."""
        self._notes = notes
        return _prompts(db, options, notes)

    def look(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find a version that is in use in the lake, and will be when all of these have landed."""
        active = [row for row in rows if _active_since(row, options) is not None and not row.get("superseded")]
        if lk is None or not active:
            return
        over = [str(row.get("version")) for row in rows if _is_over(row)]
        in_use = lk.frame(_IN_USE).rows(named=True)
        others = [there for there in in_use if not _is_given_up(active[0], over, options, there)]
        known = {str(row.get("version")) for row in rows}
        self._gone = [there["version"] for there in others if _is_gone(there, known, options)]
        left = [there["version"] for there in others if there["version"] not in self._gone]
        named = active[0]["version"]
        if self._gone:
            gone = ", ".join(self._gone)
            self._notes.tell(f"{gone} of the lake is no longer in this database, and {named} takes its place")
        if left:
            self._in_use = left[-1]
            self._notes.tell(f"{named} is said to be in use, and {self._in_use} of the lake is: it stays the only one")

    def before(self, lk: Any, _rows: Sequence[Row]) -> None:
        """Put versions out of use that their database has deleted since."""
        for version in self._gone:
            lk.prompts.patch(version, is_active=False)
        self._gone = []

    def _is_in_use(self, row: Row, options: Options) -> bool | None:
        said: bool | None = _is_in_use(row, options)
        return said and not self._in_use

    def apart(self, there: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row under a version of its own, if the lake's is another bot's and says something else."""
        theirs, mine = (orjson.loads(one.get("extra") or "{}").get("bot_id") for one in (there, row))
        if not theirs or not mine or theirs == mine or there.get("prompt_text") == row.get("prompt_text"):
            return None
        version = self._renamed[row["version"]] = f"{mine}:{row['version']}"
        return {**row, "version": version}

    def version(self, named: Rule) -> Rule:
        """The version that a row names, as it is named here."""

        def read(row: Row, options: Options) -> str | None:
            said: str | None = named.read(row, options)
            return None if said is None else self._renamed.get(said, said)

        return Rule(named.names, read)

    def map(self) -> RowMap:
        """What a version becomes."""
        active = Rule(_ACTIVE.names, self._is_in_use)
        return replace(PROMPTS, apart=self.apart, columns={**PROMPTS.columns, "is_active": active})


def _is_given_up(active: Row, over: Collection[str], options: Options, there: Mapping[str, Any]) -> bool:
    """Whether a version in use in the lake is the one that is here, or one that this database has given up since."""
    kept = orjson.loads(there["extra"] or "{}")
    theirs = kept.get("bot_id") or ""
    own = there["version"].removeprefix(f"{options.bot_id}:")
    if own == str(active.get("version")):
        is_one = there["prompt_text"] == found(active, _TEXT)[1]
        return is_one or not theirs or not options.bot_id or theirs == options.bot_id
    return own in over and theirs == options.bot_id and _LABEL in kept.get(IMPORTED, {})


def _is_gone(there: Mapping[str, Any], known: Collection[str], options: Options) -> bool:
    """Whether a version in use in the lake is of this bot's database, by what the caller says, and no longer in it."""
    kept = orjson.loads(there["extra"] or "{}")
    own = there["version"].removeprefix(f"{options.bot_id}:")
    is_ours = bool(options.bot_id) and kept.get("bot_id") == options.bot_id and _LABEL in kept.get(IMPORTED, {})
    return is_ours and own not in known


def _is_over(row: Row) -> bool:
    """Whether a version is said to be no longer in use."""
    try:
        return _ACTIVE.read(row, Options()) is False
    except InvalidRowError:
        return False  # it is refused when it is mapped


def _prompts(db: Database, options: Options, notes: Notes) -> Iterator[Row]:
    rows = list(db.rows("prompt_versions", notes, ("id",) if "id" in db.columns("prompt_versions") else ()))
    active = sorted(filter(None, (_active_since(row, options) for row in rows)))
    if len(active) > 1:
        notes.tell(f"{len(active)} versions are said to be in use: the newest is taken for it, {active[-1][1]}")
    older = {version for _, version in active[:-1]}
    yield from ({**row, "superseded": True} if str(row.get("version")) in older else row for row in rows)


def _active_since(row: Row, options: Options) -> tuple[datetime, str] | None:
    """When a version that is in use was registered, and its name; None of any other."""
    try:
        at = _REGISTERED.read(row, options) if _ACTIVE.read(row, options) else None
    except InvalidRowError:
        return None  # it is refused when it is mapped
    return None if at is None else (at, str(row.get("version")))
