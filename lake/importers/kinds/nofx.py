"""Decision logs of nofx: one JSON file a cycle, in which a model looks at all its coins and decides about some.

What the model said is JSON in a string; what was done about it stands beside it. A cycle that failed decided nothing:
it is kept as a decision about nothing in particular, with the reason. The coins are perpetuals.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from lake.errors import InvalidRowError, SourceError
from lake.importers.base import Known, Notes, Options, Refused, Row, RowMap, Rule
from lake.importers.reading.members import Member
from lake.importers.rules import (
    first_of,
    gathered,
    identity,
    moment,
    one_of,
    price,
    share,
    text,
    whole,
    within,
)
from lake.importers.there import columns_of
from lake.importers.wording import counted
from lake.spec import registry
from lake.spec.symbols import from_binance
from lake.spec.times import to_micros

NO_SYMBOL = "ALL"  # as the log itself calls a decision about no coin in particular
_ACTIONS = {
    "OPEN_LONG": "LONG", "OPEN_SHORT": "SHORT", "HOLD": "HOLD", "WAIT": "HOLD", "CLOSE_LONG": None, "CLOSE_SHORT": None,
    "PARTIAL_CLOSE": None, "UPDATE_STOP_LOSS": None, "UPDATE_TAKE_PROFIT": None,
}  # fmt: skip
_TRADING = ("open_", "close_", "partial_")
_WORDS = {"ALL", "WAIT", "NONE", "HOLD"}
_SNAPSHOT = ("input_prompt", "account_state", "positions", "candidate_coins")
_ANSWER = ("cot_trace", "decision_json", "execution_log")
_MODEL = re.compile(r"_([A-Za-z][\w.-]*)_\d{9,}$")
_KEPT = 2_000
_DECODER = json.JSONDecoder()


def _symbol(row: Row, _options: Options) -> str:
    given = str(row.get("symbol") or NO_SYMBOL)
    return NO_SYMBOL if given.upper() in _WORDS else from_binance(given, perpetual=True)


def _traded(row: Row, _options: Options) -> bool:
    done = row.get("done") or {}
    return bool(done.get("success")) and str(row.get("action") or "").startswith(_TRADING)


def _skipped(row: Row, _options: Options) -> str | None:
    done = row.get("done") or {}
    why = done.get("error") or row.get("error_message")
    if not why and row.get("said") and not done:
        why = "it was not carried out"
    return why or None


_CYCLE = moment("timestamp")
PROMPTS = RowMap(
    "prompt_versions",
    {
        "version": text("prompt_version"),
        "name": text("prompt_name"),
        "prompt_text": text("system_prompt"),
        "created_at": _CYCLE,
    },
    held=frozenset({"system_prompt"}),
)
DECISIONS = RowMap(
    "decisions",
    {
        "decision_id": identity("decision", _CYCLE, whole("cycle_number"), whole("number")),
        "symbol": Rule(("symbol",), _symbol),
        "recommendation": one_of(_ACTIONS, "action"),
        "confidence": within("said", share("confidence")),
        "entry_price": within("done", price("price")),
        "stop_loss": within("said", price("stop_loss")),
        "take_profit": within("said", price("take_profit")),
        "reasoning": first_of(within("said", text("reasoning")), text("cot_trace")),
        "market_snapshot": gathered(*_SNAPSHOT),
        "raw_response": gathered(*_ANSWER),
        "prompt_version": text("prompt_version"),
        "model_version": text("model"),
        "traded": Rule(("done", "action"), _traded),
        "skip_reason": Rule(("done", "error_message"), _skipped),
        "analyzed_at": first_of(within("done", moment("timestamp")), _CYCLE),
    },
    held=frozenset({*_SNAPSHOT, *_ANSWER}),
)


def prompts(files: Iterable[Member], _notes: Notes) -> Iterator[Row]:
    """Each system prompt once, as of the first cycle that had it."""
    seen: set[str] = set()
    for cycle in (cycle for file in files for cycle in _cycles_in(file)):
        version = None if isinstance(cycle, Refused) else _version(cycle)
        if version is not None and version not in seen and not isinstance(cycle, Refused):
            seen.add(version)
            kept = {name: cycle.get(name) for name in ("timestamp", "system_prompt")}
            yield {**kept, "prompt_version": version, "prompt_name": "system prompt"}


def used_before(lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row | Known]:
    """System prompts; those that the lake has since a cycle before, which is not among these, are known."""
    keys = [{"version": row["prompt_version"]} for row in rows]
    there = columns_of(lk, registry.get(PROMPTS.dataset), keys, ["version", "created_at"])
    for row in rows:
        since, at = there.get((row["prompt_version"],)), _began(row, options)
        yield row if since is None or at is None or at <= since["created_at"] else Known(row)


def _began(row: Row, options: Options) -> int | None:
    """When a cycle began; None of one that is refused when it is mapped."""
    with suppress(InvalidRowError):
        at = _CYCLE.read(row, options)
        return None if at is None else to_micros(at)
    return None


def decisions(files: Iterable[Member], notes: Notes) -> Iterator[Row | Refused]:
    """What was decided in each cycle: what the model said with what was done about it."""
    cycles = empty = 0
    for file, cycle in ((each, cycle) for each in files for cycle in _cycles_in(each)):
        if isinstance(cycle, Refused):
            notes.tell(f"{file.path.name}: {cycle.reason}", failed=True)
            yield cycle
            continue
        cycles += 1
        common = {name: value for name, value in cycle.items() if name not in {"system_prompt", "decisions"}}
        found = _MODEL.search(file.path.parent.name) or _MODEL.search(file.path.parent.stem)
        common |= {"prompt_version": _version(cycle), "model": found.group(1) if found else None}
        pairs = list(_paired(cycle))
        empty += not pairs
        for number, (said, done) in enumerate(pairs or [({}, {})]):
            what = said or done
            about = {"symbol": what.get("symbol"), "action": what.get("action")}
            yield {**common, **about, "number": number, "said": said or None, "done": done or None}
    notes.tell(f"{counted(cycles, 'cycle')}, {empty:,} of them without a decision")


def is_cycle(found: Any) -> bool:
    """Whether a JSON value is the log of a cycle."""
    return isinstance(found, dict) and "timestamp" in found and bool(found.keys() & {"decision_json", "cot_trace"})


def _cycles_in(file: Member) -> Iterator[dict[str, Any] | Refused]:
    """The cycle of a file, or several, where files were joined; what cannot be read ends it."""
    try:
        with closing(file.open()) as opened:
            written = opened.read().decode("utf-8-sig", "replace").strip()
    except (EOFError, SourceError) as error:
        yield Refused({"file": file.path.name}, f"it cannot be read ({error})")
        return
    at = 0
    while at < len(written) or not at:
        try:
            found, end = _DECODER.raw_decode(written, at)
        except json.JSONDecodeError as error:
            yield Refused(written[at : at + _KEPT], f"no whole JSON value ({error.msg})")
            return
        yield found if is_cycle(found) else Refused(written[at : at + _KEPT], "not the log of a cycle")
        at = len(written) - len(written[end:].lstrip())


def _version(cycle: Row) -> str | None:
    prompt = cycle.get("system_prompt")
    return f"nofx-{hashlib.sha256(str(prompt).encode('utf-8', 'replace')).hexdigest()[:12]}" if prompt else None


def _paired(cycle: Row) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What was said and what was done of one coin and action; each at most once, the said ones first."""
    done = [d for d in cycle.get("decisions") or () if isinstance(d, dict)]
    for said in _said(cycle):
        match = next(
            (d for d in done if (d.get("symbol"), d.get("action")) == (said.get("symbol"), said.get("action"))), {}
        )
        if match:
            done.remove(match)
        yield said, match
    for rest in done:
        yield {}, rest


def _same(done: Row, said: Row) -> bool:
    return all(done.get(name) == said.get(name) for name in ("symbol", "action"))


def _said(cycle: Row) -> list[dict[str, Any]]:
    given = cycle.get("decision_json")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except json.JSONDecodeError:
            return []
    listed = given if isinstance(given, list) else [given]
    return [said for said in listed if isinstance(said, dict)]
