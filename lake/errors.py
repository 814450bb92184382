"""Every error that Tradelake raises.

Each says what is wrong, where, with which value, and what to do next, in one sentence a
person can act on; the same facts are attributes, so that a program can act on them too.
"""

from __future__ import annotations


class LakeError(Exception):
    """Base of all errors of the lake.

    Args:
        what: what is wrong, as a clause without a full stop.
        where: the path, dataset, column, file or row it happened at.
        value: the offending value, shown with ``repr``; left out when None.
        todo: what the reader can do next.
    """

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", value: object = None, todo: str = "") -> None:
        self.what = what
        self.where = where
        self.value = value
        self.todo = todo
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """The whole message."""
        text = self.what if not self.where else f"{self.where}: {self.what}"
        if self.value is not None:
            shown = repr(self.value)
            text += f" (got {shown if len(shown) <= 200 else shown[:197] + '...'})"
        if not self.todo:
            return text
        ended = text.endswith((".", "?", "!"))  # a question, or what another program said
        return f"{text} {self.todo}" if ended else f"{text}. {self.todo}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[LakeError], state: dict[str, object]) -> LakeError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    Exception.__init__(error, error.sentence())
    return error


class UsageError(LakeError):
    """The call itself is wrong: an argument of the wrong kind, or two that exclude each other."""

    exit_status = 2


class NotALakeError(LakeError):
    """The address holds no lake, and creating one was not asked for."""


class NewerLakeError(LakeError):
    """The lake was written by a newer version of Tradelake than this one."""


class StorageError(LakeError):
    """The place that holds the bytes cannot be reached, or is not safe for what is asked of it."""


class UnsafeStoreError(StorageError):
    """An object store that ignores conditional writes, so that two writers would lose commits."""


class UnknownDatasetError(UsageError):
    """There is no dataset of that name."""


class UnknownColumnError(UsageError):
    """A dataset has no column of that name."""


class SpecError(LakeError):
    """A dataset specification contradicts itself."""


class SchemaChangeError(LakeError):
    """A specification differs from the stored table in a way that is not allowed."""


class InvalidRowError(LakeError):
    """A row does not fit its dataset; it was refused whole."""


class UnknownRowError(LakeError):
    """A dataset has no row of that key."""


class UnknownSymbolError(LakeError):
    """The lake holds nothing of that symbol."""

    exit_status = 2


class LifeCycleError(LakeError):
    """A row cannot take this step: its life ended already, or has not come so far."""


class InvalidTimeError(InvalidRowError):
    """A time that is naive, out of range, or of an unknown unit."""


class UnknownTimeframeError(InvalidRowError):
    """A candle timeframe that the lake does not hold."""

    exit_status = 2


class WriterBusyError(LakeError):
    """Another live process writes under the same bot id on this host."""


class HotLogError(LakeError):
    """The hot log cannot be used, nor its spool: the record was not accepted."""


class ClosedError(LakeError):
    """The lake, or the transaction, was closed before this call."""


class CommitConflictError(LakeError):
    """Other writers kept winning the race for the next table version."""


class ForeignTableError(LakeError):
    """A Delta table uses a feature that Tradelake does not write."""


class CorruptLakeError(LakeError):
    """Stored bytes are damaged in a way that cannot be repaired without losing rows."""


class UnknownVersionError(LakeError):
    """No such version, tag or time in the history that is kept."""


class ReadOnlyError(LakeError):
    """A statement or call that would write, attach or leave the lake, where only reading is allowed."""


class QueryError(LakeError):
    """SQL that cannot be run; the message is the engine's own, with the place."""

    exit_status = 2


class SourceError(LakeError):
    """An input file or service that cannot be read as what it claims to be."""


class MissingExtraError(LakeError):
    """A feature needs an optional package that is not installed."""


class BackupError(LakeError):
    """A backup that is incomplete, or a restore that would overwrite something."""


class LeakError(LakeError):
    """Features that depend on what was not known yet when the decision was made."""


class RebuildError(LakeError):
    """A data set that does not come out again as its manifest says."""


class NotEnoughRowsError(LakeError):
    """Too few labelled rows to learn from, or labels that are all alike."""


class FeatureMismatchError(LakeError):
    """Features that are not those that a model takes: missing, unknown, or of another type."""


class UnknownModelError(LakeError):
    """The lake holds no such model, or none of it is live."""
