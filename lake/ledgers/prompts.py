"""Prompts: the versions of a prompt, of which one at a time is in use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from lake.errors import LifeCycleError, UsageError
from lake.ledgers.base import Ledger, changed
from lake.ledgers.receipt import Receipt
from lake.ledgers.transaction import Transaction
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.query.read import read
from lake.spec.patch import folder
from lake.store.hot.entry import Row


class Prompts(Ledger):
    """Registers prompts, says which one is in use, and compares them; ``lk.prompts``."""

    dataset = "prompt_versions"

    def __init__(self, writer: Writer, engine: Engine) -> None:
        super().__init__(writer, engine)
        self._registered: set[str] = set()  # also those that wait for the end of a transaction, which no query sees

    def register(
        self, version: str, prompt_text: str, name: str = "", description: str = "", *, activate: bool = False
    ) -> Receipt:
        """Register a version of a prompt; the same again changes nothing, a new name or description does.

        Args:
            version: names it, such as "v3".
            prompt_text: what the model is told. It cannot change: other words are another version.
            name: of the prompt.
            description: what is different about it.
            activate: put it to use at once, in the same commit.

        Raises:
            LifeCycleError: the version is registered with another text.
            InvalidRowError: a value does not fit.
            UsageError: a prompt without a text.
        """
        if not prompt_text or not str(prompt_text).strip():
            raise UsageError("a prompt has a text", where="prompt_text", value=prompt_text)
        version = str(version)
        words = {key: value for key, value in (("name", name), ("description", description)) if value}

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                return {"version": version, "prompt_text": prompt_text, "is_active": False, **words}
            if known.get("prompt_text") != prompt_text:
                raise _other_text(version)
            return None if all(known.get(key) == value for key, value in words.items()) else words

        with self._writer.transaction():
            receipt = changed((version,), *self._writer.change(self.dataset, (version,), fold))
            self._registered.add(version)
            covered = self._put_to_use(version)[1] if activate else set()
        if activate:
            self._outlast(version, covered)
        return receipt

    def activate(self, version: str) -> Receipt:
        """Put a version to use, and every other out of use, in one commit; of several at once the last one holds.

        Inside ``lk.transaction()`` it is put to use with the rest of the block, in the place of those, too, that others
        have registered and put to use while the block ran.

        Raises:
            UnknownRowError: no such version is registered.
        """
        version = str(version)
        with self._writer.transaction():
            receipt, covered = self._put_to_use(version)
        self._outlast(version, covered)
        return receipt

    def patch(self, key: str, /, **changes: Any) -> Receipt:
        """Change some columns of one version, or put it out of use; unknown fields are kept in extra.

        Raises:
            UnknownRowError: no such version is registered.
            LifeCycleError: its text would change, or it would be in use beside another one.
            InvalidRowError: a value does not fit.
        """
        version = str(key)

        def fold(known: Row | None) -> Mapping[str, Any]:
            if known is None:
                raise self._unknown(version)
            made = folder(self._ds)(known, changes)
            if made["prompt_text"] != known["prompt_text"]:
                raise _other_text(version)
            if made.get("is_active") and not known.get("is_active"):
                where, todo = f"prompt_versions, {version}", f"Call lk.prompts.activate({version!r})."
                raise LifeCycleError("it takes the place of the one in use", where=where, todo=todo)
            return changes

        return changed((version,), *self._writer.change(self.dataset, (version,), fold))

    def active(self) -> dict[str, Any] | None:
        """The version in use, with its text; None when none is."""
        found = read(self._engine, self.dataset, "is_active").sort("created_at", "version")
        return found.row(-1, named=True) if found.height else None

    def compare(self, *versions: str, days: int | None = None, **variables: Any) -> pl.DataFrame:
        """How versions did: accuracy, result, cost, latency, each with its n; the view prompt_performance.

        Which one is better, and whether that is more than luck, says ``lk.comparison.prompts()``.

        Args:
            versions: which; all when none is named.
            days: only decisions of so many days before now.
            variables: now.
        """
        where = {"prompt_version": list(versions)} if versions else None
        window = {} if days is None else {"days": days}
        return read(self._engine, "prompt_performance", where, {**window, **variables})

    def _landed(self) -> set[str]:
        return set(self._engine.frame(f"SELECT version FROM {self.dataset}")["version"].to_list())

    def _put_to_use(self, version: str) -> tuple[Receipt, set[str]]:
        """Say of every version whether it is the one in use; of which that was said is told beside the receipt.

        All are written, also those that stay as they are, and always in the same order: whoever writes the same rows
        at the same moment, in this process or another, is then wholly before or wholly after.
        """
        receipt, covered = Receipt(), set()
        for name in sorted({version} | self._landed() | self._registered):
            before, after = self._writer.change(self.dataset, (name,), partial(self._used, version, name))
            if before is not None:
                covered.add(name)
            if name == version:
                receipt = changed((version,), before, after)
        transaction = self._writer.open_transaction()
        if transaction is not None:
            transaction.checks.append(partial(self._cover, transaction, version, covered))
        return receipt, covered

    def _cover(self, transaction: Transaction, version: str, covered: set[str]) -> None:
        """Put those out of use, at the end of a transaction, that came while it ran."""
        own = transaction.get(self._ds, (version,))
        if own is None or not own.get("is_active"):  # what put it to use was undone
            return
        for name in sorted(self._landed() - covered):
            key = (name,)
            transaction.change(self._ds, key, partial(self._used, version, name))

    def _used(self, version: str, name: str, known: Row | None) -> Mapping[str, Any] | None:
        if known is None and name == version:
            raise self._unknown(version)
        return None if known is None else {"is_active": name == version}

    def _outlast(self, version: str, covered: set[str]) -> None:
        """Do it again while there are versions that came meanwhile: they may have been put to use, too."""
        while not self._landed() <= covered:
            with self._writer.transaction():
                covered = self._put_to_use(version)[1]


def _other_text(version: str) -> LifeCycleError:
    return LifeCycleError(
        "it is registered with another text",
        where=f"prompt_versions, {version}",
        todo="Give the new text a version of its own.",
    )
