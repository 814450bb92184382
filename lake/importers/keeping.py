"""What a store derived of its own rows, kept as it says it: findings of ``data_quality`` that no statistics count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from lake.clock import now_micros
from lake.importers.base import Row
from lake.importers.mapping import plain
from lake.importers.plan import write
from lake.spec import registry
from lake.spec.rows import row_checker

DATASET = "data_quality"
CHECK = "imported"
_CHARACTERS = 24
_KNOWN = f"SELECT finding_id FROM {DATASET} WHERE finding_id IN (SELECT unnest(?))"
_TOLD = (
    f"SELECT DISTINCT details ->> $path AS told FROM {DATASET} WHERE \"check\" = '{CHECK}' AND dataset = $about "
    "AND details ->> '$.source' = $source AND details ->> '$.bot_id' = $bot AND list_contains($told, details ->> $path)"
)


def kept(lk: Any, about: str, label: str, bot_id: str, told: tuple[str, Sequence[str]]) -> set[str]:
    """Which digests of derived rows have been kept before.

    Args:
        lk: an open lake.
        about, label, bot_id: as of :class:`Keeping`.
        told: the name under which rows carry a digest, and those that are asked for.
    """
    asked = {"about": about, "source": label, "bot": bot_id, "path": f"$.said.{told[0]}", "told": list(told[1])}
    return set(lk.frame(_TOLD, asked)["told"].to_list()) if told[1] else set()


class Keeping:
    """Keeps derived rows of one table, each once.

    Args:
        lk: an open lake; None when there is none yet, in a plan.
        about: the dataset that they were derived of.
        label: names the kind and table.
        bot_id: whose they are.
        told_by: the name under which a row carries a digest of what it tells, where it is not all of it.
    """

    def __init__(self, lk: Any, about: str, label: str, bot_id: str, told_by: str = "") -> None:
        self._lk, self._about, self._label, self._bot_id, self._told_by = lk, about, label, bot_id, told_by
        self._check = row_checker(registry.get(DATASET))
        self._seen: set[str] = set()
        self.landed = self.unchanged = 0

    def take(self, rows: Sequence[Row], *, is_plan: bool) -> None:
        """Keep those that are not kept yet; in a plan only count them."""
        made = {self._name(row, finding): finding for row in rows if (finding := self._finding(row))}
        known = self._seen.union(self._stored(list(made)))
        fresh = [finding for name, finding in made.items() if name not in known]
        self._seen.update(made)
        self.landed += len(fresh)
        self.unchanged += len(rows) - len(fresh)
        if fresh and not is_plan:
            write(self._lk, DATASET, fresh)

    def _name(self, row: Row, finding: dict[str, Any]) -> str:
        return str(row[self._told_by] if self._told_by else finding["finding_id"])

    def _stored(self, names: list[str]) -> Iterable[str]:
        if self._lk is None or not names:
            return []
        if self._told_by:
            return kept(self._lk, self._about, self._label, self._bot_id, (self._told_by, names))
        stored: list[str] = self._lk.frame(_KNOWN, [names])["finding_id"].to_list()
        return stored

    def _finding(self, row: Row) -> dict[str, Any]:
        said = {"source": self._label, "bot_id": self._bot_id, "said": plain(row)}
        digest = hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_CHARACTERS]
        return self._check({
            "finding_id": f"{CHECK}-{digest}", "check": CHECK, "dataset": self._about, "severity": "info",
            "details": said, "time": now_micros(),
        })  # fmt: skip
