"""What commands print: tables for people, JSON for programs, through one object."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table


class Output:
    """Prints results as text, or as one JSON document with ``--json``."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._console = Console()

    @property
    def interactive(self) -> bool:
        """Whether a person watches: progress is shown only then."""
        return not self.as_json and sys.stderr.isatty()

    def result(self, data: Mapping[str, Any], text: str | None = None) -> None:
        """One result: its JSON, or ``text`` (by default a line for each field)."""
        if self.as_json:
            click.echo(as_json(data))
            return
        width = max([16, *map(len, data)]) + 2
        lines = (f"{name:<{width}}{shown(value)}".rstrip() for name, value in data.items())
        click.echo(text if text is not None else "\n".join(lines))

    def rows(self, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
        """Rows of a table."""
        if self.as_json:
            click.echo(as_json(list(rows)))
            return
        names = list(columns if columns is not None else rows[0] if rows else ())
        if not names:
            return
        if not self._console.is_terminal:
            self._plain_table(rows, names)
            return
        table = Table(*names, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(shown(row.get(name)) for name in names))
        self._console.print(table)

    def _plain_table(self, rows: Sequence[Mapping[str, Any]], names: list[str]) -> None:
        cells = [names, *([shown(row.get(n)) for n in names] for row in rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
        for line in cells:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def as_json(data: Any) -> str:
    """A document; numbers that JSON does not have (NaN, infinities) are null."""
    return orjson.dumps(data, default=plain, option=orjson.OPT_NON_STR_KEYS).decode()


def shown(value: Any) -> str:
    """A value for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(v)}".rstrip() for name, v in value.items())
    return str(value)


def plain(value: Any) -> Any:
    """A value for JSON."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (set, tuple)):
        return list(value)
    return str(value)
