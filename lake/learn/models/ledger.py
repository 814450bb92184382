"""Rows of the registry: which versions there are, in which stage, and the moves between stages."""

from __future__ import annotations

from collections.abc import Mapping
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
        lives: dict[str, list[str]] = {}
        with self._writer.transaction():
            for name in sorted(names - {version}):
                self._writer.change(_DATASET, (name,), partial(_retired, name, lives))
            receipt = changed((version,), *self._writer.change(_DATASET, (version,), partial(_live, version, lives)))
        return receipt, names

    def _landed(self, like: Mapping[str, Any]) -> set[str]:
        rows = self._engine.frame(
            f"SELECT version FROM {_DATASET} WHERE name = ? AND coalesce(symbol, '') = ? AND coalesce(regime, '') = ?",
            [like["name"], like["symbol"] or "", like["regime"] or ""],
        )
        return set(rows["version"].to_list())

    def rollback(self, live: Mapping[str, Any]) -> tuple[Receipt, str]:
        """Retire the live version, and make the one live that was before it; which that is.

        Raises:
            LifeCycleError: none was live before it whose file is still there, or it is not live any more.
        """
        before = [v for v in stack(live["live_before"]) if self.row(v)["path"] is not None]
        if not before:
            raise LifeCycleError(
                "no version was live before it, or its file was removed", where=f"models, {live['version']}",
                todo="Promote the version that you want.",
            )  # fmt: skip
        version, now = before[-1], now_micros()
        names = self._landed(live)

        def leave(known: Row | None) -> Mapping[str, Any]:
            if known is None or known.get("stage") != "live":
                raise LifeCycleError(
                    "it is not live any more", where=f"models, {live['version']}", todo="Look again, then roll back."
                )
            return {"stage": "retired", "retired_at": now, "live_before": None}

        def come(_: Row | None) -> Mapping[str, Any]:
            return {"stage": "live", "retired_at": None, "live_before": before[:-1], "promoted_at": now}

        with self._writer.transaction():
            self._writer.change(_DATASET, (live["version"],), leave)
            for name in sorted(names - {live["version"], version}):
                self._writer.change(_DATASET, (name,), partial(_retired, name, {}))
            receipt = changed((version,), *self._writer.change(_DATASET, (version,), come))
        return receipt, version

    def retire(self, version: str) -> Receipt:
        """Take a version out of use; none of its name is live then, if it was."""
        self.row(version)

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None or known.get("stage") == "retired":
                return None
            return {"stage": "retired", "retired_at": now_micros()}

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


def _retired(name: str, lives: dict[str, list[str]], known: Row | None) -> Mapping[str, Any] | None:
    """Retire the live one, and note what was live before it; every other stays as it is."""
    lives.pop(name, None)
    if known is None or known.get("stage") != "live":
        # written again as it is, so that a promotion at the same moment is wholly before this one, or after it
        return None if known is None else {"stage": known.get("stage")}
    lives[name] = stack(known.get("live_before"))
    return {"stage": "retired", "retired_at": now_micros()}


def _live(version: str, lives: Mapping[str, list[str]], known: Row | None) -> Mapping[str, Any] | None:
    if known is None or known.get("path") is None:
        raise LifeCycleError("its file was removed", where=f"models, {version}", todo="Train it again.")
    if known.get("stage") == "live" and not lives:
        return {"stage": "live"}
    before = [*(line for name, older in lives.items() for line in (*older, name))]
    return {"stage": "live", "promoted_at": now_micros(), "retired_at": None, "live_before": before}
