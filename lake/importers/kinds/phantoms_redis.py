"""Redis ``phantom:*``, ``mr_phantom:*`` and ``scalp_phantom:*``: phantoms that are followed, and those that have ended.

What the bot counted of them (``phantom:wr:STRATEGY``, ``phantom:blocked:YYYYMMDD``) is compared with ours and kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import orjson

from lake.errors import InvalidRowError, SourceError
from lake.importers.base import Check, Known, Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.kinds.phantom_map import REDIS_PHANTOMS
from lake.importers.mapping import IMPORTED
from lake.importers.reading.redis import RedisStore, named, records
from lake.importers.report import Difference
from lake.importers.rules import constant, first_of, option, text
from lake.importers.twins import base_of

_KIND = "phantoms-redis"
_LANDED = "SELECT phantom_id, strategy, extra FROM phantoms WHERE list_contains(?, left(phantom_id, ?))"
_STRATEGIES = {"phantom": None, "mr_phantom": "mr", "scalp_phantom": "scalp"}  # prefix of keys -> whose they are
_NAMED = text("strategy_name", "strategy")
_STRATEGY = {prefix: first_of(_NAMED, option("strategy"), constant(name)) for prefix, name in _STRATEGIES.items()}
_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})")
_WON = {"1": 1, "0": 0, "win": 1, "loss": 0, "true": 1, "false": 0}
_Read = Callable[[Notes], Iterator[Row | Refused]]


class PhantomsRedis:
    """Reads the phantoms of a bot."""

    name = _KIND
    summary = "Redis phantom:active, phantom:completed and their kin; win rates and blocked are compared and kept"

    def tables(self, source: str, _options: Options) -> Iterable[Table | Check]:
        """Those that are followed, those that have ended, and then what was counted of them."""
        store = RedisStore(source)
        made: list[Table | Check] = []
        families = _Families()
        for prefix in _STRATEGIES:
            tables = [replace(one, look=families.look) for one in _tables(store, prefix, _map(prefix, families))]
            made += [replace(one, moved=_rows([o for o in tables if o is not one])) for one in tables]
        checks = [check for prefix in _STRATEGIES for check in _checks(store, prefix)]
        if not made and not checks:
            todo = "Is it in another database (redis://host/NUMBER)?"
            raise SourceError("there are no keys phantom:*", where=store.where, value=store.some_keys(), todo=todo)
        return [*made, *checks]


def _map(prefix: str, families: _Families) -> RowMap:
    strategy = _STRATEGY[prefix]
    name = families.id_in(prefix, REDIS_PHANTOMS.columns["phantom_id"], strategy)
    return replace(REDIS_PHANTOMS, columns={**REDIS_PHANTOMS.columns, "phantom_id": name, "strategy": strategy})


class _Families:
    """Which keys have had which phantom: one that other keys had before, with another strategy, is named after its own.

    Rows of one family with the same id are numbered when they land, so a number would not tell families apart. Whose
    a phantom is that the lake has, is known by the keys that it is from: they may have forgotten it meanwhile. One that
    its keys have told before stays under the name that it got then, though the first may have got a strategy since.
    """

    def __init__(self) -> None:
        self._whose: dict[str, dict[str, Any]] = {}  # id -> prefix -> strategy
        self._landed: set[tuple[str, str, Any]] = set()  # names, prefixes and strategies as the lake has them

    def look(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Ask the lake whose the phantoms of some rows are."""
        names = {name for row in rows if (name := _name(row, options)) is not None} - self._whose.keys()
        if lk is None or not names:
            return
        for landed, strategy, extra in lk.frame(_LANDED, [sorted(names), len(next(iter(names)))]).iter_rows():
            told = _told(orjson.loads(extra or "{}").get(IMPORTED, {}), options)
            self._landed.update((base_of(landed), prefix, found) for prefix, found in told)
            of = {prefix for prefix, _ in told}
            if landed in names and of:
                self._whose[landed] = dict.fromkeys((prefix for prefix in _STRATEGIES if prefix in of), strategy)

    def id_in(self, prefix: str, facts: Rule, strategy: Rule) -> Rule:
        """The id of phantoms under a prefix of keys."""

        def read(row: Row, options: Options) -> Any:
            name, mine = facts.read(row, options), strategy.read(row, options)
            had = self._whose.setdefault(name, {})
            had.setdefault(prefix, mine)
            first, own = next(iter(had)), f"{name}-{_STRATEGIES[prefix] or prefix}"
            for landed in (name, own):
                if (landed, prefix, mine) in self._landed:
                    return landed
            return name if prefix == first or had[first] == mine else own

        return Rule((*facts.names, *strategy.names), read)


def _told(imported: Mapping[str, Any], options: Options) -> list[tuple[str, Any]]:
    """Under which prefixes of keys a phantom of the lake was found, and with which strategy."""
    return [
        (prefix, _STRATEGY[prefix].read(found, options))
        for label, found in imported.items()
        for prefix in _STRATEGIES
        if label.startswith(f"{_KIND}:{prefix}:")
    ]


def _name(row: Row, options: Options) -> str | None:
    """The id of a phantom by its facts; None of one that is refused when it is mapped."""
    try:
        name: str = REDIS_PHANTOMS.columns["phantom_id"].read(row, options)
    except InvalidRowError:
        return None
    return name


def _tables(store: RedisStore, prefix: str, rows: RowMap) -> Iterator[Table]:
    """One for each stage: of several keys of it, of which none corrects what another tells."""
    for stage, read in (("active", _active), ("completed", _completed)):
        name = f"{prefix}:{stage}"
        keys = store.keys(name, f"{name}:*")
        if keys:
            told = partial(_of_keys, [partial(read, store, key) for key in keys])
            yield Table(keys[0] if len(keys) == 1 else f"{name}, {len(keys)} keys", (rows,), told, label=name)


def _of_keys(read: Sequence[_Read], notes: Notes) -> Iterator[Row | Refused]:
    return (row for rows in read for row in rows(notes))


def _rows(tables: Sequence[Table]) -> Callable[[Notes], Iterator[Row | Refused | Known]]:
    return lambda notes: (row for table in tables for row in table.rows(notes))


def _active(store: RedisStore, key: str, notes: Notes) -> Iterator[Row | Refused]:
    """Phantoms by symbol: a list each, or one; in a hash, one JSON text or a key each."""
    symbol = key.partition(":active")[2].lstrip(":")
    if store.kind(key) not in {"string", "hash"} or symbol:
        for entry in records(store, key, notes):
            yield from _phantoms(symbol, entry)
        return
    for name, value in named(store, key, notes):
        yield from _phantoms(name, value)


def _phantoms(symbol: str, value: Any) -> Iterator[Row | Refused]:
    for phantom in value if isinstance(value, list) else [value]:
        if isinstance(phantom, dict):
            yield {"symbol": symbol, **phantom} if symbol else phantom
        elif isinstance(phantom, Refused):
            yield phantom
        elif phantom is not None:
            yield Refused({symbol: phantom}, "not an object")


def _completed(store: RedisStore, key: str, notes: Notes) -> Iterator[Row | Refused]:
    for entry in records(store, key, notes):
        yield from _phantoms("", entry)


def _checks(store: RedisStore, prefix: str) -> Iterator[Check]:
    rates = store.keys(f"{prefix}:wr:*", f"{prefix}:wr")
    if rates:
        rows = partial(_rates, store, prefix, rates)
        yield Check(f"{prefix}:wr", "phantoms", rows, _compare_rates, needs_rows=True)
    blocked = store.keys(f"{prefix}:blocked:*")
    if blocked:
        rows = partial(_blocked, store, prefix, blocked)
        yield Check(f"{prefix}:blocked", "signals", rows, _compare_blocked, needs_rows=True)


def _rates(store: RedisStore, prefix: str, keys: Sequence[str], _notes: Notes) -> Iterator[Row | Refused]:
    """One row for each list: the strategy, how many outcomes it holds, and how many of them were wins."""
    for key in keys:
        strategy = key.removeprefix(f"{prefix}:wr").lstrip(":") or _STRATEGIES[prefix] or ""
        words = [raw.decode("utf-8", "replace").strip().lower() for raw in store.members(key)]
        strange = [word for word in words if word not in _WON]
        if strange or not words:
            yield Refused({"key": key, "found": strange[:5]}, "no list of 1 and 0")
            continue
        told = "".join(str(_WON[word]) for word in words)  # newest first
        yield {"key": key, "strategy": strategy, "n": len(words), "wins": told.count("1"), "outcomes": told}


def _compare_rates(lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Difference]:
    """Decided phantoms and wins of the last 200 (a strategy that is not in the lake has none)."""
    if lk is None:
        return
    ours = {row["strategy"]: row for row in lk.read("phantom_win_rate").to_dicts()}
    for row in rows:
        held = ours.get(row["strategy"] or None, {"n": 0, "wins": 0, "win_rate": None})
        theirs = {"n": row["n"], "wins": row["wins"], "win_rate": 100 * row["wins"] / row["n"]}
        for column, value in theirs.items():
            own = held[column]
            if own is None or abs(own - value) > 1e-9:
                yield Difference("phantom_win_rate", row["strategy"], column, own, value)


def _blocked(store: RedisStore, prefix: str, keys: Sequence[str], _notes: Notes) -> Iterator[Row | Refused]:
    """One row for each counter: its day, its strategy where it has one, and how often it was blocked."""
    for key in keys:
        day, _, strategy = key.removeprefix(f"{prefix}:blocked:").partition(":")
        if store.kind(key) == "hash":
            counted = [(name, raw) for name, raw in store.fields(key)]
        else:
            counted = [(strategy, store.value(key))] if store.kind(key) == "string" else []
        if not counted:
            yield Refused({"key": key}, "no counter")
        for name, raw in counted:
            yield _counter(key, day, name or _STRATEGIES[prefix] or "", raw)


def _counter(key: str, day: str, strategy: str, raw: bytes) -> Row | Refused:
    digits = _DAY.fullmatch(day)
    count = raw.decode("utf-8", "replace").strip()
    if digits is None or not count.isdigit():
        return Refused({"key": key, "found": count[:100]}, "no counter of a day")
    try:
        at = date(*map(int, digits.groups()))
    except ValueError:
        return Refused({"key": key}, "no such day")
    return {"key": key, "day": at, "strategy": strategy, "blocked": int(count)}


def _compare_blocked(lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Difference]:
    """Blocked signals by day, and by day and strategy where the counter names one."""
    if lk is None:
        return
    sql = "SELECT day, strategy, sum(blocked)::BIGINT AS n FROM blocked_signals GROUP BY ALL"
    ours = lk.frame(sql).to_dicts()
    for row in rows:
        wanted = row["strategy"]
        mine = [o["n"] for o in ours if o["day"] == row["day"] and (not wanted or o["strategy"] == wanted)]
        if sum(mine) != row["blocked"]:
            key = ", ".join(filter(None, (row["day"].isoformat(), wanted)))
            yield Difference("blocked_signals", key, "blocked", sum(mine), row["blocked"])
