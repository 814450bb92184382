"""Alerts: what was advised when a position reached a checkpoint, and what still waits for advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake.ledgers.base import changed
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.query.read import text_asked
from lake.spec.times import from_micros
from lake.store.hot.entry import Row

_ALERTS = """
SELECT a.* FROM checkpoint_alerts AS a LEFT JOIN positions AS p USING (position_id)
WHERE (NOT $unanswered OR a.recommendation IS NULL)
    AND CASE
        WHEN $position_id IS NOT NULL THEN position_id = $position_id
        WHEN $unanswered AND p.status NOT IN ('active', 'open') THEN false
        ELSE $bot = '' OR p.bot_id = $bot
    END
ORDER BY position_id, a.level"""


def reached(writer: Writer, position_id: str, level: int, price: float, moment: int) -> None:
    """Keep that a position reached a level, as an alert without a recommendation, unless it has one."""
    key = f"{position_id}/{level}"
    made = {"alert_id": key, "position_id": position_id, "level": level, "price": price, "alerted_at": moment}
    writer.change("checkpoint_alerts", (key,), lambda known: None if known else made)


def advised(writer: Writer, position_id: str, level: int, moment: int, words: Mapping[str, Any]) -> Receipt:
    """Keep what was advised on a level; an alert that waited for it keeps its time and gets ``answered_at``."""
    key = f"{position_id}/{level}"
    first = {"alert_id": key, "position_id": position_id, "level": level, "alerted_at": moment}

    def fold(known: Row | None) -> Mapping[str, Any]:
        if known is None:
            return {**first, **words}
        if known.get("recommendation") is None:
            return {"answered_at": from_micros(moment).isoformat(), **words}
        return words

    return changed((key,), *writer.change("checkpoint_alerts", (key,), fold))


def find(writer: Writer, engine: Engine, position_id: str | None, *, unanswered: bool) -> list[dict[str, Any]]:
    """Alerts of a position by level, or of all positions of the bot; of those, unanswered ones while they are held."""
    wanted = None if position_id is None else text_asked("positions", "position_id", position_id)
    asked = {"position_id": wanted, "unanswered": unanswered, "bot": writer.bot}
    return engine.frame(_ALERTS, asked).drop("period", strict=False).to_dicts()
