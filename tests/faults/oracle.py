"""What a lake must hold, told by what its killed writers had said."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import lake
from tests.faults.victim import BLOCK

Held = dict[str, dict[str, float]]
QUERIES = {
    "trades": "SELECT trade_id, pnl FROM trades",
    "decisions": "SELECT decision_id, cost_usd FROM decisions",
}
BLOCKS = f"""
    SELECT symbol || '-' || CAST(block * {BLOCK} AS VARCHAR),
        min(close), max(close), count(*), count(DISTINCT open_time)
    FROM (SELECT *, (epoch_ms(open_time) - 1704067200000) // 60000 // {BLOCK} AS block FROM candles)
    GROUP BY symbol, block
"""


class Oracle:
    """Follows the words of writers, each of which writes keys of its own."""

    def __init__(self) -> None:
        self.held: Held = {"trades": {}, "decisions": {}, "candles": {}}
        self.acknowledged = 0

    def follow(self, lines: Iterable[str]) -> Held | None:
        """Take over what one writer was told is durable; what it was trying when it died, if anything."""
        trying: Held | None = None
        for line in lines:
            if not line.endswith("\n"):
                break  # cut off in the middle of a word
            said: dict[str, Any] = json.loads(line)
            if "try" in said:
                trying = said["try"]
            elif "done" in said:
                self.take(said["done"])
                self.acknowledged += 1
                trying = None
        return trying

    def take(self, doing: Held) -> None:
        for dataset, rows in doing.items():
            self.held[dataset].update(rows)

    def compare(self, lk: lake.Lake, trying: Iterable[Held | None]) -> None:
        """Fail unless the lake holds what was acknowledged, and of what was tried all or nothing."""
        found = read(lk)
        for doing in trying:
            landed = doing is not None and all(
                found[dataset].get(key) == value for dataset, rows in doing.items() for key, value in rows.items()
            )
            if doing is not None and landed:
                self.take(doing)
        assert found == self.held


def read(lk: lake.Lake) -> Held:
    """Dataset -> key -> value; fails when a key is there twice, or a block in part."""
    found: Held = {}
    for dataset, query in QUERIES.items():
        rows = lk.sql(query).fetchall()
        found[dataset] = dict(rows)
        assert len(found[dataset]) == len(rows), f"{dataset}: a key is there twice"
    blocks = lk.sql(BLOCKS).fetchall()
    assert all(low == high and rows == times == BLOCK for _, low, high, rows, times in blocks), "a block in part"
    found["candles"] = {name: low for name, low, *_ in blocks}
    return found
