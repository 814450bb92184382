"""Outcomes of decisions that their trades tell: of those whose trades have ended, or say something else by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib import resources
from typing import Any

import polars as pl

from lake.clock import now_micros
from lake.ledgers.changes import change_many
from lake.ledgers.current import Key
from lake.ledgers.outcomes import OUTCOME, are_over, outcome_of, with_former
from lake.ledgers.transaction import Fold
from lake.ledgers.unseen import Unseen
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.decode import frame_to_rows
from lake.spec.patch import folder
from lake.store.hot.claim import file_name
from lake.store.hot.entry import Row
from lake.store.removed import removed_before

_FOLLOWED = ("trade", "candles")  # outcomes that nobody gave; what the trade says takes their place
_TAKEN = (*OUTCOME, "ambiguous", "outcome_source", "outcome_recorded_at")
_BATCH = 500  # decisions whose outcomes land together
_MANY = 100_000  # decisions from which on looking at all of them is no more work
_DECISIONS = registry.get("decisions")


@dataclass(frozen=True, slots=True)
class Traded:
    """What became of the decisions whose trades have ended.

    Attributes:
        resolved: those whose outcome was recorded.
        corrected: those whose outcome was replaced or withdrawn, since their trades say something else now.
    """

    resolved: int = 0
    corrected: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts, for JSON."""
        return asdict(self)


def resolve_traded(writer: Writer, engine: Engine) -> Traded:
    """Take the outcomes of decisions from their trades, of the writer's bot or of all.

    Looked at are decisions and trades that were written since the last call, whichever process made it; once a day
    all of them, since a trade may have left one decision for another.
    """
    bot = file_name(writer.bot) if writer.bot else ""
    unseen = Unseen(writer.store, f"resolve-traded-{bot}", ("decisions", "trades"))
    ids = None if unseen.is_whole else _touched(unseen, engine)
    trades = {} if ids is not None and not ids else _trades(engine, writer.bot, ids)
    done = {True: 0, False: 0}
    names, retired = list(trades), removed_before(writer.store.location, "trades")
    for first in range(0, len(names), _BATCH):
        folds: dict[Key, Fold] = {
            (name,): partial(followed, trades[name], now_micros(), retired) for name in names[first : first + _BATCH]
        }
        for before, after in change_many(writer, "decisions", folds):
            if after is not None:
                done[(before or {}).get("outcome_recorded_at") is None] += 1
    if writer.open_transaction() is None:
        unseen.keep()
    return Traded(done[True], done[False])


def followed(trades: Sequence[Row], moment: int, retired: int | None, known: Row | None) -> Mapping[str, Any] | None:
    """What its trades say of a decision, unless it says so already, or its outcome was given.

    An outcome that was taken from trades of which none is closed any more, or of which one goes on after all, is
    withdrawn. One that was taken from trades of which retention, which reached up to ``retired``, may have removed
    some stays: the others do not tell it.
    """
    if known is None or not may_follow(known) or _may_lack_trades(known, trades, retired):
        return None
    if known.get("outcome_source") == "trade" and not are_over(trades):
        history = with_former(known)
        return {**dict.fromkeys(_TAKEN), **_as_before(known, trades), "outcome_history": history}  # not over after all
    found = {**outcome_of(known, {}, trades), "outcome_source": "trade"}
    if known.get("outcome_recorded_at") is None:
        return {**found, "outcome_recorded_at": moment}
    found = {**dict.fromkeys((*OUTCOME, "ambiguous")), **found}
    if agrees(known, found):
        return None
    return {**found, "outcome_history": with_former(known), "outcome_recorded_at": moment}


def _as_before(known: Row, trades: Sequence[Row]) -> dict[str, Any]:
    """What goes with a withdrawn outcome: what was said of its trade, as far as the trades tell it themselves."""
    own = [row for row in trades if row.get("decision_id") == known["decision_id"]]
    if not own:
        return {}
    back = {"trade_id": None} if known.get("trade_id") in {row["trade_id"] for row in own} else {}
    return {**back, "traded": any(row["status"] in {"open", "closed"} for row in own)}


def may_follow(known: Row) -> bool:
    """Whether the outcome of a decision is still to come, or was taken from its trades or candles."""
    return known.get("outcome_recorded_at") is None or known.get("outcome_source") in _FOLLOWED


def _may_lack_trades(known: Row, trades: Sequence[Row], retired: int | None) -> bool:
    """Whether its outcome may be of trades that are no longer there: of several, or of one that is not among these."""
    if retired is None or known.get("outcome_source") != "trade" or known["analyzed_at"] >= retired:
        return False
    return known.get("trade_id") not in {row["trade_id"] for row in trades}


def agrees(known: Row, values: Mapping[str, Any]) -> bool:
    """Whether a decision says all this already."""
    made = folder(_DECISIONS)(known, values)
    return all(made.get(name) == known.get(name) for name in values)


def _touched(unseen: Unseen, engine: Engine) -> list[str] | None:
    """Decisions that may have an outcome to take, since they or their trades were written; None for all of them."""
    decisions = unseen.rows("decisions", ("decision_id", "recommendation", "outcome_recorded_at", "outcome_source"))
    is_open = pl.col("outcome_recorded_at").is_null() & pl.col("recommendation").is_in(["LONG", "SHORT"])
    asked = decisions.filter(is_open | pl.col("outcome_source").is_in(_FOLLOWED))["decision_id"]
    trades = unseen.rows("trades", ("trade_id", "decision_id"))
    if max(len(asked), trades.height) > _MANY:
        return None
    found = {*asked, *trades["decision_id"].drop_nulls()}
    if trades.height:
        sql = "SELECT decision_id FROM decisions WHERE trade_id IN (SELECT unnest(?::VARCHAR[]))"
        found |= set(engine.frame(sql, [trades["trade_id"].to_list()])["decision_id"])
    return sorted(found)


def _trades(engine: Engine, bot: str, ids: list[str] | None) -> dict[str, list[Row]]:
    """Decision -> the trades that decide its outcome, where they have something to say."""
    sql = (resources.files("lake.ledgers") / "traded_decisions.sql").read_text(encoding="utf-8")
    frame = engine.frame(sql, {"bot": bot, "ids": ids})
    found: dict[str, list[Row]] = {}
    rows = frame_to_rows(registry.get("trades"), frame.drop("for_decision"))
    for name, row in zip(frame["for_decision"], rows, strict=True):
        found.setdefault(name, []).append(row)
    return found
