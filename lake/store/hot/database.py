"""The SQLite file behind a hot log: append, read, settle. One writer process; any number of readers."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from lake.errors import HotLogError
from lake.store.hot.entry import Stored

SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, dataset TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS live (dataset TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (dataset, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settled (dataset TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = """
CREATE TABLE IF NOT EXISTS columns (dataset TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
    PRIMARY KEY (dataset, name)) WITHOUT ROWID
"""
_VERSION = 1
# A commit that overwrites a part of the write-ahead log takes about 0.2 ms, one that makes it longer 0.35 (ext4). So a
# writer gives it its size beforehand, 1 MiB in 2 to 6 ms, and a checkpoint begins it anew when it is full.
_PAGES = 256
# so many entries go in by one statement, during which other threads run: executemany would stop them at each entry
_TOGETHER = 64
_INSERTS = [f"INSERT OR IGNORE INTO log VALUES {', '.join(['(?, ?, ?)'] * count)}" for count in range(_TOGETHER + 1)]


class HotDatabase:
    """A connection to one hot file. Not for use by two threads at once; its owner sees to that."""

    def __init__(self, path: Path, *, durability: str = "full", busy_timeout_ms: int = 5000) -> None:
        self.path = path
        self._connection = sqlite3.connect(
            path, timeout=busy_timeout_ms / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(f"PRAGMA synchronous={SYNCHRONOUS[durability]}")
            if self._connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                self._connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={_VERSION};COMMIT;")
        except sqlite3.Error:
            self._connection.close()
            raise

    def reserve(self) -> None:
        """Give the write-ahead log its size beforehand, by a large entry that is taken back. For its writer only."""
        pages = self._connection.execute(f"PRAGMA wal_autocheckpoint={_PAGES}").fetchone()[0]
        size = pages * self._connection.execute("PRAGMA page_size").fetchone()[0]
        log = Path(f"{self.path}-wal")
        if log.exists() and log.stat().st_size >= size:
            return
        cached = self._connection.execute("PRAGMA cache_size").fetchone()[0]
        self._connection.execute("PRAGMA cache_size=10")  # what does not fit is written out before it is committed
        with suppress(sqlite3.OperationalError), self._taken_back():  # a full disk may still take small entries
            self._connection.execute("INSERT INTO log VALUES (-1, '', zeroblob(?))", (size,))
        self._connection.execute(f"PRAGMA cache_size={cached}")

    @contextmanager
    def _taken_back(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def set_durability(self, durability: str) -> None:
        """Change how far a write goes before it is acknowledged: "full" or "normal"."""
        self._connection.execute(f"PRAGMA synchronous={SYNCHRONOUS[durability]}")

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the file."""
        self._connection.close()

    def append(self, entries: Sequence[tuple[int, str, bytes]]) -> None:
        """Add (sequence, dataset, payload) entries, all or none; on return they are durable."""
        count = len(entries)
        if count <= _TOGETHER:
            self._connection.execute(_INSERTS[count], list(chain.from_iterable(entries)))
            return
        with self.transaction():
            for first in range(0, count, _TOGETHER):
                self.append(entries[first : first + _TOGETHER])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; an error inside undoes what was done and goes on to the caller."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction_for_reading(self) -> Iterator[None]:
        """Several reads of one moment."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()  # nothing was written

    def since(self, sequence: int, dataset: str | None = None, limit: int = -1) -> list[Stored]:
        """Entries after ``sequence``, in order."""
        where, values = ("", ()) if dataset is None else (" AND dataset = ?", (dataset,))
        rows = self._connection.execute(
            f"SELECT seq, dataset, payload FROM log WHERE seq > ?{where} ORDER BY seq LIMIT ?",
            (sequence, *values, limit),
        )
        return [Stored(*row) for row in rows]

    def backwards(self, dataset: str) -> Generator[Stored]:
        """A dataset's entries, newest first, read as they are asked for; to be closed when no more are wanted."""
        cursor = self._connection.execute(
            "SELECT seq, dataset, payload FROM log WHERE dataset = ? ORDER BY seq DESC", (dataset,)
        )
        try:
            for row in cursor:
                yield Stored(*row)
        finally:
            cursor.close()

    def last(self) -> int:
        """The highest sequence number ever given out here; -1 for none."""
        found = self._connection.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM log), -1), coalesce((SELECT max(seq) FROM settled), -1))"
        ).fetchone()
        return int(found[0])

    def data_version(self) -> int:
        """Changes when another connection has committed."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def settled(self) -> dict[str, int]:
        """Dataset -> the sequence up to which its entries are in the cold table and gone from here."""
        return dict(self._connection.execute("SELECT dataset, seq FROM settled").fetchall())

    def settle(self, dataset: str, upto: int, opened: Mapping[str, tuple[int, bytes]], closed: Iterable[str]) -> None:
        """Let go of a dataset's entries up to ``upto``; keep the rows that are still open at hand."""
        with self.transaction():
            self._connection.execute("DELETE FROM log WHERE dataset = ? AND seq <= ?", (dataset, upto))
            self._connection.executemany(
                "DELETE FROM live WHERE dataset = ? AND key = ?", [(dataset, key) for key in closed]
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO live VALUES (?, ?, ?, ?)",
                [(dataset, key, seq, payload) for key, (seq, payload) in opened.items()],
            )
            self._connection.execute(
                "INSERT INTO settled VALUES (?, ?) ON CONFLICT (dataset) DO UPDATE SET seq = max(seq, excluded.seq)",
                (dataset, upto),
            )

    def live(self) -> list[Stored]:
        """The open rows of all datasets that were settled; each payload is an array of one row."""
        return [Stored(*row) for row in self._connection.execute("SELECT seq, dataset, payload FROM live ORDER BY seq")]

    def datasets(self) -> dict[str, tuple[int, int]]:
        """Dataset -> (entries waiting, their oldest sequence)."""
        rows = self._connection.execute("SELECT dataset, count(*), min(seq) FROM log GROUP BY dataset")
        return {name: (count, oldest) for name, count, oldest in rows}

    def declare(self, columns: Iterable[tuple[str, str, str]]) -> None:
        """Note (dataset, name, type) of the columns that rows here may have, for older versions that drain them."""
        fresh = set(columns) - {(ds, *column) for ds, known in self.declared().items() for column in known.items()}
        if fresh:
            with self.transaction():
                self._connection.execute(_COLUMNS)
                self._connection.executemany("INSERT OR REPLACE INTO columns VALUES (?, ?, ?)", sorted(fresh))

    def declared(self) -> dict[str, dict[str, str]]:
        """Dataset -> column -> type, as noted by its writers; empty in a file that none has noted any in."""
        found: dict[str, dict[str, str]] = {}
        if self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'columns'").fetchone():
            for dataset, name, kind in self._connection.execute("SELECT dataset, name, type FROM columns"):
                found.setdefault(dataset, {})[name] = kind
        return found

    def is_sound(self) -> bool:
        """Whether every page can be read: a quick look at the whole file."""
        try:
            return bool(self._connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                return False
            raise

    def check(self) -> list[str]:
        """SQLite's own integrity check; empty when all is well."""
        rows = [r[0] for r in self._connection.execute("PRAGMA integrity_check")]
        return [] if rows == ["ok"] else rows

    def backup_to(self, path: Path) -> None:
        """A consistent copy while writing goes on."""
        target = sqlite3.connect(path)
        try:
            self._connection.backup(target)
        finally:
            target.close()


HOT_ERRORS = (sqlite3.Error, OSError)


@contextmanager
def as_lake_error(path: Path) -> Iterator[None]:
    """What goes wrong in SQLite, in the lake's words.

    Raises:
        HotLogError: the file is locked, damaged, or cannot be read or written.
    """
    try:
        yield
    except HOT_ERRORS as error:
        raise HotLogError(
            f"the hot log cannot be used now: {error}",
            where=str(path),
            todo="Try again when its user has let go of it.",
        ) from error


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file's content is damaged, and not only out of reach."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
