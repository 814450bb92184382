"""A first draft of a column map, guessed from the names of columns and from some of their values.

It works when it is fed back, and says beside each guess what it rests on, so that a person can look it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Any

from lake.errors import InvalidRowError, LakeError, SourceError
from lake.importers.base import Notes, Options, Refused, Row
from lake.importers.guessed_rules import guess, quoted
from lake.importers.guesses import CLUES, SPELLINGS, Clue
from lake.importers.headerless import guessed_names, is_data
from lake.importers.reading.tabular import Asked, tables_in, tabular
from lake.importers.values import as_number
from lake.spec import registry
from lake.spec.dataset import Dataset, Type

_SAMPLE = 500
_BETWEEN = 10.0  # a percentage is a hundred times as large as a fraction, before fees and leverage
_OPTIONS = ("symbol", "timeframe", "bot_id")  # which the command may say
_HEAD = """\
# A draft: look it over, then: lake import generic {source} --map-file FILE
# A rule is a column's name, or one of: text, number (scale; decimal, sign), price (0 is none), percent (stored 0.02,
# meant 2 %), fraction (stored 75, meant 0.75), whole, flag, side, symbol, base, timeframe, moment (unit, zone, layout),
# document, gathered, one_of (values), ended, constant, id (of our columns, the same at every import)."""


@dataclass
class Draft:
    """A map of one table while it is drafted.

    Attributes:
        asked: which rows.
        dataset: what they become.
        columns: our column -> rule, as TOML.
        used: their columns that are mapped.
        names: all of theirs.
        left_out: why columns of theirs are not mapped that ours are called after.
    """

    asked: Asked
    dataset: Dataset
    columns: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()
    left_out: list[str] = field(default_factory=list)


def suggest(source: str, options: Options | None = None) -> str:
    """A column map for a source, in TOML.

    Args:
        source: path or address.
        options: what is known: a symbol, timeframe, venue or zone that the rows do not say.

    Raises:
        SourceError: there is no such source, or none of its tables looks like anything that a dataset holds.
    """
    said = options or Options()
    drafts, others = [], []
    for table in tables_in(source):
        asked = _asked(source, table)
        rows = _sample(source, asked)
        draft = _drafted(asked, rows, said) if rows else None
        if draft is None:
            others.append(table or "the rows")
        else:
            drafts.append(draft)
    if not drafts:
        raise SourceError(
            "no table looks like one of ours", where=source, value=others[:10],
            todo="Candles and public trades in files are for `lake ingest`. Of other rows write a map by hand: "
            "dataset, [columns], of a CSV without a header also header = [...]; `lake describe` tells our columns.",
        )  # fmt: skip
    many = len(drafts) > 1
    parts = [_HEAD.format(source=source), *(_written(draft, many=many) for draft in drafts)]
    if others:
        parts.append(f"# like none of ours: {', '.join(others)}")
    return "\n\n".join(parts) + "\n"


def _asked(source: str, table: str) -> Asked:
    """The rows of a table; of a CSV that does not name its columns with names for them."""
    try:
        named = tabular(source, Asked(table))
        first = named.columns or ()
        if table or named.count is not None or not is_data(first):
            return Asked(table)
        header = tuple(f"column_{place}" for place in range(len(first)))
        rows = _sample(source, Asked(header=header))
        return Asked(header=guessed_names([[str(row.get(name) or "") for name in header] for row in rows]))
    except LakeError:
        return Asked(table)


def _sample(source: str, asked: Asked) -> list[Row]:
    try:
        rows = tabular(source, asked).rows(Notes())
        return [row for row in islice(rows, _SAMPLE) if not isinstance(row, Refused)]
    except LakeError:
        return []


def _drafted(asked: Asked, rows: Sequence[Row], options: Options) -> Draft | None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    clue = _clue(names)
    if clue is None:
        return None
    draft = Draft(asked, registry.get(clue.dataset), names=names)
    for column, name in _matches(draft.dataset, names, clue).items():
        made = guess(draft.dataset, draft.dataset.column(column), name, [row.get(name) for row in rows], options)
        if made.rule:
            draft.columns[column] = made.rule
            draft.used[column] = name
        elif made.why:
            draft.left_out.append(f"# {column}: not made of {quoted(name)}, {made.why}")
    for column, others in clue.also.items():
        same = next((other for other in others if other in draft.columns), None)
        if same is not None and column not in draft.columns:
            draft.columns[column], draft.used[column] = draft.columns[same], draft.used[same]
    _fill(draft, rows, options)
    return draft if _has_key(draft) else None


def _clue(names: Iterable[str]) -> Clue | None:
    """The dataset whose telling columns are there; of several the one with more of them."""
    fitting = [clue for clue in CLUES if all(_any_of(group, names, clue) for group in clue.needed)]
    return max(fitting, key=lambda clue: clue.weight, default=None)


def _any_of(columns: tuple[str, ...], names: Iterable[str], clue: Clue) -> bool:
    known = {_plain(name) for name in names}
    return any(_plain(spelling) in known for column in columns for spelling in _spellings(column, clue))


def _matches(ds: Dataset, names: Sequence[str], clue: Clue) -> dict[str, str]:
    """Our column -> theirs; each of theirs once, but a time may also be when a row was planned."""
    left = {_plain(name): name for name in reversed(names)}
    found: dict[str, str] = {}
    for column in ds.by_name:
        if column in {"extra", *clue.never}:
            continue
        spelled = next((s for s in _spellings(column, clue) if _plain(s) in left), None)
        if spelled is not None:
            found[column] = left.pop(_plain(spelled))
    for column, others in clue.also.items():
        same = next((found[other] for other in others if other in found), None)
        if same is not None:
            found.setdefault(column, same)
    return found


def _spellings(column: str, clue: Clue) -> tuple[str, ...]:
    return (column, *clue.spellings.get(column, ()), *SPELLINGS.get(column, ()))


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _is_fraction(draft: Draft, rows: Sequence[Row]) -> bool:
    """Whether results on own money are told as fractions, by the prices of the trades that tell them."""
    names = [draft.used.get(name, "") for name in ("pnl_percent", "entry_price", "exit_price")]
    ratios = []
    for row in rows:
        told, entry, out = (_read(row.get(name)) for name in names)
        moved = abs(out / entry - 1) if entry and out else 0.0
        if told and moved:
            ratios.append(abs(told) / moved)
    return bool(ratios) and median(ratios) < _BETWEEN


def _read(value: Any) -> float:
    try:
        return as_number("", value)
    except InvalidRowError:
        return 0.0


def _fill(draft: Draft, rows: Sequence[Row], options: Options) -> None:
    """What no column tells: a status by the end, a key by the facts, and what the caller said."""
    ds = draft.dataset
    if "pnl_percent" in draft.used and _is_fraction(draft, rows):
        name = quoted(draft.used["pnl_percent"])
        draft.columns["pnl_percent"] = f"{{ percent = {name} }}  # by the prices a fraction: 0.02 is 2 %"
    if "status" in ds.by_name and "status" not in draft.columns and ds.name == "trades":
        end = draft.used.get("closed_at") or draft.used.get("exit_price")
        draft.columns["status"] = f"{{ ended = {quoted(end)} }}" if end else '{ constant = "closed" }'
    for name in ("symbol", "timeframe", "venue"):
        value = getattr(options, name)
        if name in ds.by_name and name not in draft.columns and value:
            draft.values[name] = quoted(value)
    for name in ds.key:
        column = ds.column(name)
        is_free = column.type is Type.STRING and name in {ds.generated_id, "alert_id", "version"}
        if is_free and name not in draft.columns:
            facts = [c for c in ("symbol", "side", "direction", ds.event_time) if c in draft.columns]
            own = next((n for n in draft.names if _plain(n) in _ids(name) and _is_unique(rows, n)), None)
            if own is not None and name == "fill_id" and draft.used.get("trade_id") == own:
                del draft.columns["trade_id"], draft.used["trade_id"]  # it names the execution, and no round trip
            parts = ([own] if own else []) + facts
            if parts:
                draft.columns[name] = f"{{ id = [{', '.join(map(quoted, parts))}] }}"


def _ids(name: str) -> set[str]:
    """Names of columns that may tell rows apart; an order may be executed in several parts."""
    others = {"execid", "executionid", "txid"} if name == "fill_id" else {"orderid", "dealid", "ticket"}
    return {_plain(name), "id", "uuid", "tradeid", "externalid", *others}


def _is_unique(rows: Sequence[Row], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return None not in values and len(set(map(str, values))) == len(values)


def _has_key(draft: Draft) -> bool:
    ds = draft.dataset
    there = {
        *draft.columns,
        *draft.values,
        *(n for n, v in (ds.defaults or {}).items() if v != "now"),
        "symbol",
        "bot_id",
    }
    return all(name in there or name == "timeframe" for name in ds.key)


def _written(draft: Draft, *, many: bool) -> str:
    prefix = "tables." if many else ""
    lines = ["[[tables]]"] if many else []
    lines.append(f"dataset = {quoted(draft.dataset.name)}")
    if draft.asked.table:
        lines.append(f"table = {quoted(draft.asked.table)}")
    if draft.asked.header:
        named = ", ".join(map(quoted, draft.asked.header))
        lines.append(f"header = [{named}]  # it has none: named by what stands in the columns")
    lines += ["", f"[{prefix}columns]"]
    ordered = [c for c in draft.dataset.by_name if c in draft.columns]
    lines += [f"{column} = {draft.columns[column]}" for column in ordered]
    lines += [*draft.left_out, *_missing(draft)]
    if draft.values:
        lines += ["", f"[{prefix}values]", *(f"{name} = {value}" for name, value in draft.values.items())]
    sums = {
        c: draft.used[c]
        for c in ("pnl", "quantity")
        if c in draft.used and draft.columns[c].startswith((quoted(draft.used[c]), "{ number"))
    }
    if sums:
        lines += ["", f"[{prefix}sums]", *(f"{column} = {quoted(name)}" for column, name in sums.items())]
    left = [name for name in draft.names if name not in draft.used.values()]
    if left:
        kept = "kept in extra" if "extra" in draft.dataset.by_name else "left out, as the dataset has no place for them"
        lines.append(f"# not mapped, {kept}: {', '.join(left)}")
    return "\n".join(lines)


def _missing(draft: Draft) -> Iterator[str]:
    """What the rows do not say, and an option of the command may."""
    for name in ("symbol", "timeframe"):
        column = draft.dataset.by_name.get(name)
        is_needed = column is not None and column.required
        if is_needed and name not in draft.columns and name not in draft.values:
            yield f"# {name}: the rows do not say it, give --{name}"
