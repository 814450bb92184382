"""Rows of the registry: which versions there are, in which stage, and the moves between stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
import polars as pl

from lake.clock import now_micros
from lake.errors import LifeCycleError, UnknownModelError
from lake.ledgers.base import Ledger, changed
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.query.read import read
from lake.store.hot.entry import Row

_DATASET = "model_versions"


class Versions(Ledger):
    """The stages of versions; of each name (and symbol and regime) one at a time is live."""

    dataset = _DATASET

    def __init__(self, writer: Writer, engine: Engine) -> None:
        super().__init__(writer, engine)

    def all(self, where: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Rows, oldest first; all columns."""
        return read(self._engine, _DATASET, dict(where or {}) or None).sort("created_at", "version")

    def row(self, version: str) -> dict[str, Any]:
        """One version.

        Raises:
            UnknownModelError: there is none of that name.
        """
        found = self.get(str(version))
        if found is None:
            raise UnknownModelError(
                "no such version", where="models", value=version, todo="`lake models list` has them all."
            )
        return found

    def insert(self, row: Mapping[str, Any]) -> Receipt:
        """A new version.

        Raises:
            LifeCycleError: there is one of that name.
        """

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is not None:
                raise LifeCycleError(
                    "there is such a version", where=f"models, {row['version']}", todo="Give this one another name."
                )
            return row

        return changed((row["version"],), *self._writer.change(_DATASET, (row["version"],), fold))

    def promote(self, version: str) -> Receipt:
        """Make a version the live one of its name, symbol and regime, and retire the one that was, in one commit.

        Of several at once the last one holds, and knows the others as live before it.

        Raises:
            UnknownModelError: there is no such version.
            LifeCycleError: its file was removed.
        """
        wanted = self.row(version)
        receipt, covered = self._staged(wanted, version)
        while not self._landed(wanted) <= covered:  # others were saved, and perhaps promoted, meanwhile
            receipt, covered = self._staged(wanted, version)
        return receipt

    def _staged(self, wanted: Mapping[str, Any], version: str) -> tuple[Receipt, set[str]]:
        names = self._landed(wanted) | {version}
        seen = _Seen()
        with self._writer.transaction():
            for name in sorted(names - {version}):
                self._writer.change(_DATASET, (name,), partial(_retired, name, seen))
            receipt = changed((version,), *self._writer.change(_DATASET, (version,), partial(_live, version, seen)))
        return receipt, names

    def _landed(self, like: Mapping[str, Any]) -> set[str]:
        rows = self._engine.frame(
            f"SELECT version FROM {_DATASET} WHERE name = ? AND coalesce(symbol, '') = ? AND coalesce(regime, '') = ?",
            [like["name"], like["symbol"] or "", like["regime"] or ""],
        )
        return set(rows["version"].to_list())

    def last_live(self, name: str, symbol: str, regime: str) -> dict[str, Any] | None:
        """The version that is live for these alone, or was the last to be; None where none ever was."""
        rows = self.all({"name": name}).filter(
            pl.col("symbol").fill_null("") == symbol,
            pl.col("regime").fill_null("") == regime,
            pl.col("promoted_at").is_not_null() | (pl.col("stage") == "live"),
        )
        return rows.sort(pl.col("stage") == "live", "promoted_at").row(-1, named=True) if rows.height else None

    def rollback(self, head: Mapping[str, Any]) -> tuple[Receipt, str]:
        """Retire the live version, and make the last one live that was before it and was not retired by hand.

        Args:
            head: the live version, or the one that was live last.

        Returns:
            What was written, and which version is live now.

        Raises:
            LifeCycleError: there is none to go back to whose file is still there, or another one is live meanwhile.
        """
        before = stack(head["live_before"])
        while before and not _may_come_back(self.row(before[-1])):
            before.pop()
        if not before:
            raise LifeCycleError(
                "no version was live before it, or all were retired or their files removed",
                where=f"models, {head['version']}", todo="Promote the version that you want.",
            )  # fmt: skip
        version, now = before[-1], now_micros()
        names = self._landed(head)

        def leave(known: Row | None) -> Mapping[str, Any]:
            if known is None or known.get("stage") != head["stage"]:
                raise LifeCycleError(
                    "it is not what it was any more", where=f"models, {head['version']}",
                    todo="Look again, then roll back.",
                )  # fmt: skip
            retired = {"stage": "retired", "retired_at": now} if head["stage"] == "live" else {}
            return {**retired, "live_before": None}

        def come(known: Row | None) -> Mapping[str, Any]:
            if known is None or not _may_come_back(known):
                raise LifeCycleError("it was retired meanwhile", where=f"models, {version}", todo="Roll back again.")
            return {"stage": "live", "retired_at": None, "live_before": before[:-1], "promoted_at": now}

        with self._writer.transaction():
            self._writer.change(_DATASET, (head["version"],), leave)
            for name in sorted(names - {head["version"], version}):
                self._writer.change(_DATASET, (name,), partial(_retired, name, _Seen()))
            receipt = changed((version,), *self._writer.change(_DATASET, (version,), come))
        return receipt, version

    def retire(self, version: str) -> Receipt:
        """Take a version out of use, so that no rollback goes back to it; none of its name is live then, if it was."""
        self.row(version)

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None or known.get("withdrawn_at") is not None:
                return None
            now = now_micros()
            retired = {} if known.get("stage") == "retired" else {"stage": "retired", "retired_at": now}
            return {**retired, "withdrawn_at": now}

        return changed((version,), *self._writer.change(_DATASET, (version,), fold))

    def forget_file(self, version: str) -> bool:
        """Say that a version's file is gone; False if it is live by now, so that the file has to stay."""

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            return None if known is None or known.get("stage") == "live" else {"path": None}

        return self._writer.change(_DATASET, (version,), fold)[1] is not None


def stack(live_before: Any) -> list[str]:
    """The versions that were live before one, the last one last."""
    if not live_before:
        return []
    found: list[str] = orjson.loads(live_before) if isinstance(live_before, str | bytes) else list(live_before)
    return found


@dataclass
class _Seen:
    """What a promotion met: of live versions those that were live before them; of former ones also since when."""

    live: dict[str, list[str]] = field(default_factory=dict)
    former: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    def line(self) -> list[str]:
        """The versions that were live so far, the last one last."""
        if self.live or not self.former:
            return [line for name, older in self.live.items() for line in (*older, name)]
        last = max(self.former, key=lambda name: self.former[name][0])
        return [*self.former[last][1], last]


def _may_come_back(row: Mapping[str, Any]) -> bool:
    """Whether its file is there, and nobody retired it by hand."""
    return row.get("path") is not None and row.get("withdrawn_at") is None


def _retired(name: str, seen: _Seen, known: Row | None) -> Mapping[str, Any] | None:
    """Retire the live one, and note what was live before it; every other stays as it is."""
    seen.live.pop(name, None)
    seen.former.pop(name, None)
    if known is None or known.get("stage") != "live":
        if known is not None and known.get("promoted_at") is not None:
            seen.former[name] = known["promoted_at"], stack(known.get("live_before"))
        # written again as it is, so that a promotion at the same moment is wholly before this one, or after it
        return None if known is None else {"stage": known.get("stage")}
    seen.live[name] = stack(known.get("live_before"))
    return {"stage": "retired", "retired_at": now_micros()}


def _live(version: str, seen: _Seen, known: Row | None) -> Mapping[str, Any] | None:
    if known is None or known.get("path") is None:
        raise LifeCycleError("its file was removed", where=f"models, {version}", todo="Train it again.")
    if known.get("stage") == "live" and not seen.live:
        return {"stage": "live"}
    if known.get("promoted_at") is not None:
        seen.former[version] = known["promoted_at"], stack(known.get("live_before"))
    before = seen.line()
    if before[-1:] == [version]:  # it was the last to be live, and is so again
        before.pop()
    anew = {"promoted_at": now_micros(), "retired_at": None, "withdrawn_at": None}
    return {"stage": "live", **anew, "live_before": before}
