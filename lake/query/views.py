"""The analytic views: one ``.sql`` file each, whose head comment is its documentation; and those made of the specs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

from lake.errors import SpecError
from lake.query.as_decided import as_decided
from lake.spec import registry


@dataclass(frozen=True)
class View:
    """One view: its name, what it tells, and its SELECT."""

    name: str
    doc: str
    sql: str

    @property
    def summary(self) -> str:
        """The first sentence of its documentation."""
        return re.split(r"(?<=[.?])\s", self.doc, maxsplit=1)[0].replace("\n", " ")

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Datasets and views that its SQL names."""
        return tuple(name for name in mentioned(self.sql) if name != self.name)


@cache
def views() -> dict[str, View]:
    """All views by name."""
    return {name: _parse(name, text) for name, text in sorted(_texts().items())}


@cache
def _texts() -> dict[str, str]:
    folder = resources.files("lake.query") / "views"
    files = {f.name[:-4]: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith(".sql")}
    return {**files, **as_decided()}


def _parse(name: str, text: str) -> View:
    head: list[str] = []
    body: list[str] = []
    for line in text.splitlines():
        (head if line.startswith("--") and not body else body).append(line)
    if not head:
        raise SpecError("a view begins with the comment that documents it", where=f"{name}.sql")
    return View(name, "\n".join(line.removeprefix("--").strip() for line in head), "\n".join(body).strip().rstrip(";"))


@cache
def _names() -> re.Pattern[str]:
    names = [*registry.names(), *_texts()]
    return re.compile(r"\b(" + "|".join(sorted(names, key=len, reverse=True)) + r")\b", re.IGNORECASE)


def mentioned(sql: str) -> tuple[str, ...]:
    """Names of datasets and views that occur in the text: all it reads, perhaps a few more."""
    return tuple(sorted({m.lower() for m in _names().findall(sql)}))


def closure(names: tuple[str, ...]) -> tuple[list[str], list[View]]:
    """Datasets that ``names`` need in the end, and the views among them in the order to make them."""
    known, datasets, ordered = views(), [], []

    def visit(name: str) -> None:
        if name in registry.names():
            if name not in datasets:
                datasets.append(name)
        elif known[name] not in ordered:
            for needed in known[name].needs:
                visit(needed)
            ordered.append(known[name])

    for name in names:
        visit(name)
    return datasets, ordered
