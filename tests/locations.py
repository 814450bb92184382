"""Locations that count, or that fail where a test says so, around a real one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import IO, Any, TypeVar

from lake.store.location import Entry, Location

T = TypeVar("T")


class WatchedLocation:
    """Hands every call on to ``inner``; subclasses look on in :meth:`before` and :meth:`after`."""

    def __init__(self, inner: Location) -> None:
        self.inner = inner

    def before(self, call: str, paths: Sequence[str]) -> None:
        """Called first; what it raises is raised, and nothing is done."""

    def after(self, call: str, paths: Sequence[str]) -> None:
        """Called when all is done; what it raises is raised in place of the answer."""

    def _do(self, call: str, paths: Sequence[str], work: Callable[[], T]) -> T:
        self.before(call, paths)
        answer = work()
        self.after(call, paths)
        return answer

    @property
    def uri(self) -> str:
        return self.inner.uri

    @property
    def is_local(self) -> bool:
        return self.inner.is_local

    @property
    def delta_options(self) -> Mapping[str, str]:
        return self.inner.delta_options

    @property
    def filesystem(self) -> Any:
        return self.inner.filesystem

    def url(self, path: str) -> str:
        return self.inner.url(path)

    def read(self, path: str) -> bytes:
        return self._do("read", [path], lambda: self.inner.read(path))

    def read_or_none(self, path: str) -> bytes | None:
        return self._do("read_or_none", [path], lambda: self.inner.read_or_none(path))

    def exists(self, path: str) -> bool:
        return self._do("exists", [path], lambda: self.inner.exists(path))

    def stamp(self, folder: str) -> int | None:
        return self.inner.stamp(folder)

    def glance(self, folder: str) -> int | None:
        return self.inner.glance(folder)

    def close(self) -> None:
        self.inner.close()

    def size(self, path: str) -> int:
        return self._do("size", [path], lambda: self.inner.size(path))

    def create(self, path: str, data: bytes) -> bool:
        return self._do("create", [path], lambda: self.inner.create(path, data))

    def write(self, path: str, data: bytes, *, durable: bool = True) -> None:
        self._do("write", [path], lambda: self.inner.write(path, data, durable=durable))

    def delete(self, paths: Sequence[str]) -> None:
        self._do("delete", paths, lambda: self.inner.delete(paths))

    def list(self, prefix: str) -> Iterator[Entry]:
        return self._do("list", [prefix], lambda: self.inner.list(prefix))

    def list_names(self, folder: str) -> Sequence[str]:
        return self._do("list_names", [folder], lambda: self.inner.list_names(folder))

    def open_output(self, path: str) -> IO[bytes]:
        return self._do("open_output", [path], lambda: self.inner.open_output(path))

    def open_input(self, path: str) -> Any:
        return self._do("open_input", [path], lambda: self.inner.open_input(path))

    def sync(self, paths: Sequence[str]) -> None:
        self._do("sync", paths, lambda: self.inner.sync(paths))

    def check_writable(self) -> None:
        self._do("check_writable", [], self.inner.check_writable)

    def probe_conditional_put(self) -> None:
        self._do("probe_conditional_put", [], self.inner.probe_conditional_put)


class CountingLocation(WatchedLocation):
    """Counts calls by name, and keeps their order in ``calls``."""

    def __init__(self, inner: Location) -> None:
        super().__init__(inner)
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    def before(self, call: str, paths: Sequence[str]) -> None:
        self.calls.append((call, tuple(paths)))

    @property
    def counts(self) -> Counter[str]:
        """Call -> how often."""
        return Counter(call for call, _ in self.calls)


@dataclass(frozen=True)
class Fault:
    """What goes wrong at one call.

    Attributes:
        call: name of the call, such as ``create``.
        error: what is raised.
        nth: which of the matching calls fails, counted from 1; 0 for each of them.
        path: part of a path that the call must be about; ``""`` for any.
        landed: the call is done before the error is raised, as when a reply is lost on its way.
    """

    call: str
    error: BaseException
    nth: int = 1
    path: str = ""
    landed: bool = False


class FaultyLocation(WatchedLocation):
    """Fails as ``faults`` say."""

    def __init__(self, inner: Location, *faults: Fault) -> None:
        super().__init__(inner)
        self._faults = faults
        self._seen: Counter[int] = Counter()
        self._lock = Lock()

    def before(self, call: str, paths: Sequence[str]) -> None:
        self._strike(call, paths, landed=False)

    def after(self, call: str, paths: Sequence[str]) -> None:
        self._strike(call, paths, landed=True)

    def _strike(self, call: str, paths: Sequence[str], *, landed: bool) -> None:
        for number, fault in enumerate(self._faults):
            if fault.call != call or fault.landed is not landed or not any(fault.path in p for p in paths or [""]):
                continue
            with self._lock:
                self._seen[number] += 1
                due = fault.nth in (0, self._seen[number])
            if due:
                raise fault.error
