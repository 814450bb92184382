"""What this process's writer knows of its own latest rows, without asking the disk.

It answers at each write: is this key new, is the row any different, and what is a change made on top of. Rows that
were drained are forgotten unless they are still open; then the cold table is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from threading import Lock
from typing import Any
from weakref import WeakSet

from lake.errors import LakeError, UnknownRowError, UsageError
from lake.spec import registry
from lake.spec.dataset import Dataset
from lake.spec.rows import converter
from lake.store.drain import is_open
from lake.store.hot.entry import Entry, Row, Stored
from lake.store.hot.group import Batch

Key = tuple[Any, ...]

_KEYS: dict[str, Callable[[Row], Key]] = {}
_CONVERTERS: dict[str, tuple[Callable[[Any], Any], ...]] = {}


def key_of(ds: Dataset, row: Row) -> Key:
    """The row's key; a checked row has all of its columns."""
    return (_KEYS.get(ds.name) or _keys(ds))(row)


def _keys(ds: Dataset) -> Callable[[Row], Key]:
    found = _KEYS[ds.name] = itemgetter(*ds.key) if len(ds.key) > 1 else _single(ds.key[0])
    return found


def key_given(ds: Dataset, key: Any) -> Key:
    """A key as callers give it, a value, a tuple or a dict of its columns, in canonical form.

    Raises:
        UsageError: it does not have the key's columns.
        UnknownRowError: an id that is empty, which no row has.
        InvalidRowError: one of its values does not fit.
    """
    if type(key) is tuple and len(key) == 1 == len(ds.key) and key[0] is not None:  # as ledgers give it
        name = key[0]
        if ds.generated_id is not None and type(name) is str and name.isascii() and name:
            return key
        return (_identified(ds, key, _converters(ds)[0](name)),)
    if isinstance(key, Mapping):
        values = [key.get(name, (ds.defaults or {}).get(name)) for name in ds.key]
    else:
        values = list(key) if isinstance(key, tuple) else [key]
    if len(values) != len(ds.key) or any(v is None for v in values):
        raise UsageError(f"a key of {ds.name} has {', '.join(ds.key)}", value=key)
    return tuple(_identified(ds, key, convert(value)) for convert, value in zip(_converters(ds), values, strict=True))


def _identified(ds: Dataset, key: Any, value: Any) -> Any:
    if value is None:
        raise UnknownRowError(f"no row of {ds.name} has an empty id", where=ds.key[0], value=key)
    return value


def _converters(ds: Dataset) -> tuple[Callable[[Any], Any], ...]:
    found = _CONVERTERS.get(ds.name)
    if found is None:
        found = _CONVERTERS[ds.name] = tuple(converter(ds, ds.column(name)) for name in ds.key)
    return found


def _single(name: str) -> Callable[[Row], Key]:
    return lambda row: (row[name],)


_PROMISED = 2**63 - 1  # the number of a version that waits for the disk: above any that was given out
_REFUSED = -1  # that of one which found no place on it


class Version:
    """One version of a row: the number it was acknowledged under, and by which writer; "" is this process's own.

    One that waits for the disk, or that was refused, knows which was before it.
    """

    __slots__ = ("before", "row", "sequence", "writer")

    def __init__(self, sequence: int, row: Row, writer: str = "", before: Version | None = None) -> None:
        self.sequence = sequence
        self.row = row
        self.writer = writer
        self.before = before


Rows = Mapping[tuple[str, Key], Row]  # by dataset and key, in the order of their entries, one each
Promise = tuple[int, str, Key, Version]  # a version that waits for the disk: in which entry, of which dataset and key


class Watch:
    """Keys of one dataset whose rows have changed since they were last taken from here."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.keys: set[Key] = set()


class CurrentRows:
    """Dataset -> key -> version, for rows that wait in hot or are open.

    ``order`` is held while versions are made of what is here and take their place in the log, so that no two
    threads fold changes into the same version.
    """

    def __init__(self, stored: Iterable[Stored], writer: str) -> None:
        self.order = Lock()
        self._writer = writer
        self._rows: dict[str, dict[Key, Version]] = {}
        self._lock = Lock()
        self._watches: dict[str, WeakSet[Watch]] = {}
        for entry in stored:
            self.put(registry.get(entry.dataset), entry.rows(), entry.sequence)

    def watch(self, dataset: str) -> Watch:
        """From now on the keys of a dataset whose rows change, by whomever, for as long as the watch is held."""
        made = Watch(dataset)
        with self._lock:
            self._watches.setdefault(dataset, WeakSet()).add(made)
        return made

    def news(self, watch: Watch) -> set[Key]:
        """The keys that a watch has gathered, which begins anew."""
        with self._lock:
            found, watch.keys = watch.keys, set()
        return found

    def notice(self, watch: Watch, keys: Iterable[Key]) -> None:
        """Let a watch gather keys too."""
        with self._lock:
            watch.keys.update(keys)

    def _changed(self, dataset: str, keys: Iterable[Key]) -> None:
        for watch in self._watches.get(dataset, ()):
            watch.keys.update(keys)

    def datasets(self) -> list[str]:
        """Names of the datasets of which rows are known."""
        with self._lock:
            return [name for name, rows in self._rows.items() if rows]

    def get(self, ds: Dataset, key: Key) -> Row | None:
        """The latest version of that key, None when it is not known here."""
        known = self._rows.get(ds.name)
        found = known.get(key) if known else None
        return found.row if found else None

    def versions(self, ds: Dataset) -> Mapping[Key, Version]:
        """The latest version of each key of a dataset, now and later."""
        found = self._rows.get(ds.name)
        if found is None:
            with self._lock:
                found = self._rows.setdefault(ds.name, {})
        return found

    def version(self, ds: Dataset, key: Key) -> Version | None:
        """:meth:`get` with what is known of that version."""
        known = self._rows.get(ds.name)
        return known.get(key) if known else None

    def number(self, ds: Dataset, key: Key) -> int:
        """Under which number the latest version of that key was acknowledged; 0 when that is not known here."""
        found = self.version(ds, key)
        return found.sequence if found else 0

    def put(self, ds: Dataset, rows: Iterable[Row], sequence: int, writer: str = "") -> None:
        """Note rows that were acknowledged under ``sequence``, unless later versions are known."""
        with self._lock:
            known = self._rows.setdefault(ds.name, {})
            for row in rows:
                key = key_of(ds, row)
                before = known.get(key)
                if before is None or self._is_before(before, sequence, writer):
                    known[key] = Version(sequence, row, writer)
                    self._changed(ds.name, [key])

    def _is_before(self, version: Version, sequence: int, writer: str) -> bool:
        """Whether a version counts less than one of that number; of two alike, as for all who read both logs."""
        if version.sequence != sequence:
            return version.sequence < sequence
        return (version.writer or self._writer) < (writer or self._writer)

    def promise(self, entries: Iterable[Entry], made: list[Promise]) -> None:
        """Note versions that are on their way to the disk, so that the next change is made on top of them.

        Each is in ``made`` before it is noted: who is broken off, by Ctrl-C, can :meth:`withdraw` them.
        """
        with self._lock:
            for number, (name, rows) in enumerate(entries):
                key_in = _KEYS.get(name) or _keys(registry.get(name))
                known = self._rows.setdefault(name, {})
                for row in rows:
                    key = key_in(row)
                    version = Version(_PROMISED, row, "", known.get(key))
                    made.append((number, name, key, version))
                    known[key] = version
                if name in self._watches:
                    self._changed(name, map(key_in, rows))

    def note_first(self, rows: Rows, sequence: int, is_known: Callable[[], bool]) -> bool:
        """:meth:`note_new`, unless there is a version of one, or another thread makes one now; then False."""
        if self.order.locked():  # who waits here keeps the log from others
            return False
        with self.order, self._lock:  # nor may a look put there what another process wrote just now
            return not is_known() and self._noted(rows, sequence)

    def note_new(self, rows: Rows, sequence: int) -> bool:
        """Note rows that nobody has another version of, numbered from ``sequence`` on."""
        with self._lock:
            return self._noted(rows, sequence)

    def _noted(self, rows: Rows, sequence: int) -> bool:
        for (name, key), row in rows.items():
            known = self._rows.get(name)
            if known is None:
                known = self._rows[name] = {}
            known[key] = Version(sequence, row)
            if name in self._watches:
                self._changed(name, (key,))
            sequence += 1
        return True

    def take_back(self, rows: Rows) -> None:
        """The disk refused what :meth:`note_new` or :meth:`note_first` noted."""
        promises = []
        for (name, key), row in rows.items():
            version = self._rows.get(name, {}).get(key)
            while version is not None and version.row is not row:
                version = version.before
            if version is not None:
                promises.append((0, name, key, version))
        self.withdraw(promises)

    def promise_first(self, rows: Iterable[tuple[str, Key, Row, object]]) -> list[Promise | None]:
        """:meth:`promise` for (dataset, key, row, ...), one entry for each dataset; None for one that has a version."""
        made: list[Promise | None] = []
        entries: dict[str, int] = {}
        with self._lock:
            for dataset, key, row, _ in rows:
                known = self._rows.setdefault(dataset, {})
                if key in known:
                    made.append(None)
                    continue
                version = known[key] = Version(_PROMISED, row)
                made.append((entries.setdefault(dataset, len(entries)), dataset, key, version))
                if dataset in self._watches:
                    self._changed(dataset, (key,))
        return made

    def committed(self, promises: Sequence[Promise], wrote: Callable[[int], object], batch: Batch) -> None:
        """What became of versions is known: they are durable under the batch's numbers, or were refused.

        A commit that was broken off (by Ctrl-C) may be durable: the versions count until the log is read again.

        Args:
            promises: the versions.
            wrote: is told how many are durable.
            batch: their entries.
        """
        if isinstance(batch.error, LakeError) or not batch.sequences:
            self.withdraw(promises)
            return
        for entry, _, _, version in promises:
            version.sequence, version.before = batch.sequences[entry], None
        wrote(len(promises))

    @staticmethod
    def rest_on_refused(promises: Sequence[Promise]) -> bool:
        """Whether one of the versions was made on top of one that was refused since."""
        for _, _, _, version in promises:
            before = version.before
            if before is not None and before.sequence == _REFUSED:
                return True
        return False

    def withdraw(self, promises: Sequence[Promise]) -> None:
        """The versions were refused: what was before holds, unless a later one was made already.

        When that is refused in its turn, what was before all of them holds.
        """
        with self._lock:
            for _, dataset, key, version in reversed(promises):
                version.sequence = _REFUSED
                known = self._rows[dataset]
                if known.get(key) is not version:
                    continue
                self._changed(dataset, [key])
                before = version.before
                while before is not None and before.sequence == _REFUSED:
                    before = before.before
                if before is None:
                    del known[key]
                else:
                    known[key] = before

    def forget(self, settled: Mapping[str, Mapping[str, int]]) -> None:
        """Forget rows that are settled, dataset -> writer -> up to which number, unless they are open."""
        with self._lock:
            for name, numbers in settled.items():
                ds = registry.get(name)
                known = self._rows.get(name, {})
                for key in [k for k, v in known.items() if _is_settled(v, numbers) and not is_open(ds, v.row)]:
                    del known[key]

    def settled_rows(self, ds: Dataset, settled: Mapping[str, int]) -> list[Row]:
        """Rows whose newest version known here is in the cold table, where others may have put a later one."""
        with self._lock:
            return [v.row for v in self._rows.get(ds.name, {}).values() if _is_settled(v, settled)]

    def renew(self, ds: Dataset, row: Row, settled: Mapping[str, int]) -> bool:
        """Take in a row of the cold table, unless a version is known that is not settled; whether it was news."""
        key = key_of(ds, row)
        with self._lock:
            known = self._rows.setdefault(ds.name, {})
            found = known.get(key)
            if found is None and not is_open(ds, row):
                return False
            if found is not None and (not _is_settled(found, settled) or found.row == row):
                return False
            self._changed(ds.name, [key])
            if is_open(ds, row):
                known[key] = Version(0, row)
            else:
                del known[key]
            return True

    def open_rows(self, ds: Dataset) -> list[Row]:
        """Rows of the dataset whose life goes on."""
        with self._lock:
            return [v.row for v in self._rows.get(ds.name, {}).values() if is_open(ds, v.row)]


def _is_settled(version: Version, settled: Mapping[str, int]) -> bool:
    return version.sequence <= settled.get(version.writer, -1) or not version.sequence
