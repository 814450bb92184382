"""The lake at one version, which nothing changes any more: what data sets are made from, and made from again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.store import versions
from lake.store.snapshot import Snapshot
from lake.store.store import Store


class Pinned:
    """All tables at the versions given, whose files stay until this is closed, or gone.

    Args:
        store: of the lake.
        datasets: the version of every table; -1, or nothing, for one that did not exist.
    """

    def __init__(self, store: Store, datasets: Mapping[str, int]) -> None:
        self.store = store
        self.datasets = dict(datasets)
        versions.hold(store, self, self.datasets)
        self.engine = Engine(store.location, partial(store.at, self.datasets))

    def snapshot(self, *names: str) -> Snapshot:
        """These tables as they were."""
        return self.store.at(self.datasets, names)

    def close(self) -> None:
        """Let go of the files, and of what answers queries."""
        self.engine.close()
        self.store.lease.let_go(self)


def pin(writer: Writer, at: Any = None) -> Pinned:
    """The lake as it is now, all that waits in this host's hot logs settled; or as it was.

    Args:
        writer: drains.
        at: a version's number, {dataset: version}, the name of a tag, or a time.

    Raises:
        UnknownVersionError: there was no such version or time.
        InvalidTimeError: neither a version, nor a tag, nor a time.
    """
    store = writer.store
    if at is None:
        writer.drain(every_writer=True)
        return Pinned(store, store.snapshot(registry.names()).versions())
    if isinstance(at, Mapping) or (isinstance(at, int) and not isinstance(at, bool)):
        return Pinned(store, versions.find(store, version=at, time=None, tag=None).datasets)
    if isinstance(at, str) and at in versions.tags(store):
        return Pinned(store, versions.tagged(store, at).datasets)
    return Pinned(store, versions.find(store, version=None, time=at, tag=None).datasets)
