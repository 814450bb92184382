"""Logs of AI-Trader: what a model wrote on a day, and what it held after each thing it did.

Holdings tell no price: that is the money that changed hands for the amount. Ids of rows repeat, so their lines name
them, counted without those that are there again; where a row continues another than the one before it, money and
holdings do not fit, and there is no fill.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import orjson

from lake.errors import InvalidRowError
from lake.importers.base import Known, Notes, Options, Refused, Row, RowMap, Rule
from lake.importers.keys import Keys
from lake.importers.kinds.nofx import NO_SYMBOL
from lake.importers.kinds.repeated_lines import Lines
from lake.importers.reading.json_lines import lines_of
from lake.importers.reading.members import Member
from lake.importers.rules import (
    constant,
    first_of,
    gathered,
    identity,
    moment,
    number,
    one_of,
    option,
    symbol,
    text,
    whole,
)
from lake.importers.values import known_number
from lake.importers.wording import counted

_WORD_FOR_WORD = "as is what was asked: nothing tells whether they were given twice, so each is a decision"
_CASH = "CASH"
_NEAR = 0.01  # of an amount: holdings are kept in four digits
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T_]\d{2}[:-]\d{2}[:-]\d{2})?")
_LAYOUT = {"log", "position"}
_SIDES = {"BUY": "BUY", "BUY_CRYPTO": "BUY", "SELL": "SELL", "SELL_CRYPTO": "SELL", "NO_TRADE": None}
_CALLS = {"BUY": "LONG", "BUY_CRYPTO": "LONG", "SELL": None, "SELL_CRYPTO": None, "NO_TRADE": "HOLD"}

_BOT = first_of(option("bot_id"), text("model"))
_DATE = moment("date")
_LINE = whole("line")
_PLACE = "place"  # of an answer among those of its line
_FIRST = identity("answer", text("model"), _DATE, _LINE)
_OTHER = identity("answer", text("model"), _DATE, _LINE, whole(_PLACE))
_ANSWER = Rule((*_OTHER.names,), lambda row, options: (_OTHER if row[_PLACE] else _FIRST).read(row, options))
_LANDED = "SELECT decision_id, raw_response FROM decisions WHERE list_contains(?, decision_id)"
_ASKED = "asked at"  # line and place from which on an answer was asked
_MOST_ASKED = 1_000  # lines before an answer; a file has few between two
ANSWERS = RowMap(
    "decisions",
    {
        "decision_id": _ANSWER,
        "bot_id": _BOT,
        "symbol": constant(NO_SYMBOL),
        "reasoning": text("answer"),
        "raw_response": gathered("messages"),
        "market_snapshot": gathered("prompt"),
        "model_version": text("model"),
        "analyzed_at": _DATE,
    },
    held=frozenset({"answer", "messages", "prompt", _ASKED, _PLACE}),
)


class Answers:
    """The ids of answers: one that was imported while its question had no answer yet is the same.

    It was named after the last line that there was then, and holds what was asked until then.
    """

    def __init__(self) -> None:
        self._asked: dict[str, str] = {}  # own id -> that of the question

    @property
    def map(self) -> RowMap:
        """What an answer becomes."""

        def read(row: Row, options: Options) -> str:
            own: str = _ANSWER.read(row, options)
            return self._asked.get(own, own)

        return replace(ANSWERS, columns={**ANSWERS.columns, "decision_id": Rule(_ANSWER.names, read)})

    def look(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find questions that the lake has without their answers, or has had so."""
        before = {name: (own, row) for row in rows for name, own in _questions(row, options)}
        if lk is None or not before:
            return
        for name, response in lk.frame(_LANDED, [list(before)]).iter_rows():
            own, row = before[name]
            told = orjson.loads(response or "{}").get("messages")
            if told and row["messages"][: len(told)] == told:
                self._asked[own] = name


def _questions(row: Row, options: Options) -> Iterator[tuple[str, str]]:
    """The ids that a question may have had before its last line was there, each with the one that it has now."""
    with suppress(InvalidRowError):  # it is refused when it is mapped
        own, (first, place) = _ANSWER.read(row, options), row[_ASKED]
        for line in range(max(first, row["line"] - _MOST_ASKED), row["line"]):
            yield _ANSWER.read({**row, "line": line, _PLACE: place if line == first else 0}, options), own


def _symbol(row: Row, options: Options) -> Any:
    return symbol("symbol").read(row, options) if row.get("symbol") else NO_SYMBOL


def _traded(row: Row, _options: Options) -> bool:
    return bool(row["has_moved"]) and _SIDES.get(str(row["action"]).upper()) is not None


ACTIONS = RowMap(
    "decisions",
    {
        "decision_id": identity("decision", text("model"), _DATE, _LINE),
        "bot_id": _BOT,
        "symbol": Rule(("symbol",), _symbol),
        "recommendation": one_of(_CALLS, "action"),
        "entry_price": number("price_by_cash"),
        "model_version": text("model"),
        "traded": Rule(("action", "has_moved"), _traded),
        "analyzed_at": _DATE,
    },
    when=lambda row: row.get("action") is not None,
)
FILLS = RowMap(
    "fills",
    {
        "fill_id": identity("fill", text("model"), _DATE, _LINE),
        "bot_id": _BOT,
        "symbol": Rule(("symbol",), _symbol),
        "side": one_of(_SIDES, "action"),
        "quantity": number("amount"),
        "price": number("price_by_cash"),
        "mode": option("mode", "paper"),
        "executed_at": _DATE,
    },
    sums={"quantity": "amount"},
    when=lambda row: row.get("price_by_cash") is not None,
)
STATES = RowMap(
    "bot_states",
    {"bot_id": _BOT, "snapshot_time": _DATE, "state": gathered("positions")},
    when=lambda row: row.get("action") is None,
)


def answers(files: Iterable[Member], notes: Notes) -> Iterator[Row | Refused]:
    """Each answer of a model with what it was asked before; what was asked without an answer is one, too."""
    lines = again = 0
    for file in files:
        said = Keys()
        model, day = _model(file), _DAY.search("/".join(file.path.parts[-2:]))
        common = {"model": model, "date": day.group().replace("_", " ") if day else None}
        asked: list[Any] = []
        number_ = place = 0
        first = (0, 0)
        with closing(file.open()) as opened:
            for number_, found in enumerate(lines_of(opened, notes)):
                lines += 1
                place = 0
                if not isinstance(found, dict):
                    yield found if isinstance(found, Refused) else Refused(found, "not an object")
                    continue
                common["model"] = found.get("signature") or model
                messages = found.get("new_messages")
                for message in messages if isinstance(messages, list) else [messages]:
                    first = first if asked else (number_, place)
                    asked.append(message)
                    if isinstance(message, dict) and message.get("role") == "assistant":
                        told = json.dumps(asked, sort_keys=True)
                        again += told in said
                        said.add(told)
                        yield _answered(common, asked, first, (number_, place))
                        place, asked = place + 1, []
        if asked:
            yield _answered(common, asked, first, (number_, place))
    notes.tell(f"{counted(lines, 'line')} of messages: each answer is a decision, with what was asked before it")
    if again:
        notes.tell(f"{counted(again, 'answer is', 'answers are')} in their file again, {_WORD_FOR_WORD}")


def _answered(
    common: dict[str, Any], messages: list[Any], first: tuple[int, int], ends: tuple[int, int]
) -> dict[str, Any]:
    said = [m for m in messages if isinstance(m, dict)]
    asked = [m.get("content") for m in said if m.get("role") != "assistant"]
    last = said[-1] if said and said[-1].get("role") == "assistant" else {}
    where = {_ASKED: first, "line": ends[0], _PLACE: ends[1]}
    return {**common, **where, "messages": messages, "prompt": asked, "answer": last.get("content")}


def actions(files: Iterable[Member], notes: Notes) -> Iterator[Row | Refused | Known]:
    """What was done, and at which price by the money that it moved.

    Lines that are in their file again count once, also where they are numbered: an event has the number that it has in
    a file without them.
    """
    odd = again = 0
    for file in files:
        before: Row = {}
        model, lines, line = _model(file), Lines(), -1
        with closing(file.open()) as opened:
            for found in lines_of(opened, notes):
                is_again = lines.is_again(found)
                line += not is_again
                if not isinstance(found, dict) or not isinstance(found.get("positions"), dict):
                    yield found if isinstance(found, Refused) else Refused(found, "no positions")
                    continue
                if is_again:
                    again += 1
                    yield Known(found)
                    continue
                row = _action(found, before)
                odd += row["price_by_cash"] is None and _SIDES.get(str(row["action"]).upper()) is not None
                yield {**row, "model": model, "line": line}
                before = found["positions"]
    if odd:
        notes.tell(f"{counted(odd, 'action')} did not move money and holdings as told: decisions without a fill")
    if again:
        notes.tell(f"{counted(again, 'line is', 'lines are')} in their file again: the same events, unchanged")


def _action(found: Row, before: Row) -> Row:
    """A line with what its action is, and what came of it."""
    told = found.get("this_action")
    action: Row = told if isinstance(told, dict) else {}
    kept = {name: action.get(name) for name in ("action", "symbol", "amount")}
    paid, moved = _price(before, found["positions"], action), found["positions"] != before
    return {**found, **kept, "price_by_cash": paid, "has_moved": moved}


def shape_of(file: Member) -> str:
    """``positions`` or ``messages``, by the first line that can be read; empty for another kind of file."""
    with closing(file.open()) as opened:
        for found in lines_of(opened, Notes()):
            if isinstance(found, dict):
                return "positions" if "positions" in found else "messages" if "new_messages" in found else ""
    return ""


def _model(file: Member) -> str:
    """The folder that is named after it; days and kinds of logs have folders of their own."""
    parents = [part for part in reversed(file.path.parent.parts) if part not in _LAYOUT and not _DAY.fullmatch(part)]
    return parents[0] if parents else ""


def _price(before: Row, after: Row, action: Row) -> float | None:
    """Money for the amount, if both went the way that the action says."""
    way = {"BUY": 1, "SELL": -1}.get(_SIDES.get(str(action.get("action")).upper()) or "")
    amount, name = action.get("amount"), str(action.get("symbol"))
    told = (amount, before.get(_CASH), after.get(_CASH), before.get(name, 0.0), after.get(name))
    values = [number for value in told if (number := known_number(value)) is not None]
    if way is None or len(values) < len(told) or not values[0]:
        return None
    wanted, cash, left, held, holds = values
    moved, paid = way * (holds - held), way * (cash - left)
    return paid / wanted if paid > 0 and abs(moved - wanted) <= _NEAR * wanted else None
