"""Logs of AI-Trader: what a model wrote on a day, and what it held after each thing it did.

Holdings tell no price: that is the money that changed hands for the amount. Ids of rows repeat, so their lines name
them; where a row continues another than the one before it, money and holdings do not fit, and there is no fill.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from lake.importers.base import Notes, Options, Refused, Row, RowMap, Rule
from lake.importers.kinds.nofx import NO_SYMBOL
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

_CASH = "CASH"
_NEAR = 0.01  # of an amount: holdings are kept in four digits
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T_]\d{2}[:-]\d{2}[:-]\d{2})?")
_LAYOUT = {"log", "position"}
_SIDES = {"BUY": "BUY", "BUY_CRYPTO": "BUY", "SELL": "SELL", "SELL_CRYPTO": "SELL", "NO_TRADE": None}
_CALLS = {"BUY": "LONG", "BUY_CRYPTO": "LONG", "SELL": None, "SELL_CRYPTO": None, "NO_TRADE": "HOLD"}

_BOT = first_of(option("bot_id"), text("model"))
_DATE = moment("date")
_LINE = whole("line")
ANSWERS = RowMap(
    "decisions",
    {
        "decision_id": identity("answer", text("model"), _DATE, _LINE),
        "bot_id": _BOT,
        "symbol": constant(NO_SYMBOL),
        "reasoning": text("answer"),
        "raw_response": gathered("messages"),
        "market_snapshot": gathered("prompt"),
        "model_version": text("model"),
        "analyzed_at": _DATE,
    },
    held=frozenset({"answer", "messages", "prompt"}),
)


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
    lines = 0
    for file in files:
        model, day = _model(file), _DAY.search("/".join(file.path.parts[-2:]))
        common = {"model": model, "date": day.group().replace("_", " ") if day else None}
        asked: list[Any] = []
        number_ = 0
        with closing(file.open()) as opened:
            for number_, found in enumerate(lines_of(opened, notes)):
                lines += 1
                if isinstance(found, Refused):
                    yield found
                    continue
                common["model"] = found.get("signature") or model
                messages = found.get("new_messages")
                for message in messages if isinstance(messages, list) else [messages]:
                    asked.append(message)
                    if isinstance(message, dict) and message.get("role") == "assistant":
                        yield _answered(common, asked, number_)
                        asked = []
        if asked:
            yield _answered(common, asked, number_)
    notes.tell(f"{counted(lines, 'line')} of messages: each answer is a decision, with what was asked before it")


def _answered(common: dict[str, Any], messages: list[Any], line: int) -> Row:
    said = [m for m in messages if isinstance(m, dict)]
    asked = [m.get("content") for m in said if m.get("role") != "assistant"]
    last = said[-1] if said and said[-1].get("role") == "assistant" else {}
    return {**common, "line": line, "messages": messages, "prompt": asked, "answer": last.get("content")}


def actions(files: Iterable[Member], notes: Notes) -> Iterator[Row | Refused]:
    """What was done, and at which price by the money that it moved."""
    odd = 0
    for file in files:
        before: Row = {}
        model = _model(file)
        with closing(file.open()) as opened:
            for line, found in enumerate(lines_of(opened, notes)):
                if isinstance(found, Refused) or not isinstance(found.get("positions"), dict):
                    yield found if isinstance(found, Refused) else Refused(found, "no positions")
                    continue
                action = found.get("this_action") or {}
                paid = _price(before, found["positions"], action)
                odd += paid is None and _SIDES.get(str(action.get("action")).upper()) is not None
                kept = {"action": action.get("action"), "symbol": action.get("symbol"), "amount": action.get("amount")}
                moved = found["positions"] != before
                yield {**found, **kept, "model": model, "line": line, "price_by_cash": paid, "has_moved": moved}
                before = found["positions"]
    if odd:
        notes.tell(f"{counted(odd, 'action')} did not move money and holdings as told: decisions without a fill")


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
