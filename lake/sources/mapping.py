"""Column maps in TOML: what a table's columns are called, and what its rows do not say."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from lake.errors import SourceError, UsageError

OPTIONS = ("symbol", "timeframe", "venue", "time_unit", "tz")


def map_file(path: Path) -> dict[str, Any]:
    """The options that a map file holds: texts under their names, and ``columns``, our column -> name in the file.

    Raises:
        SourceError: it cannot be read as TOML.
        UsageError: it has an unknown key, or a value that is no text.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"not a TOML file: {error}", where=str(path), todo="Mend it.") from error
    columns = found.get("columns", {})
    texts = {**{name: value for name, value in found.items() if name != "columns"}, **_table(columns, path)}
    for name, value in texts.items():
        if name in found and name not in OPTIONS:
            raise UsageError(
                "unknown key", where=str(path), value=name, todo=f"Known are columns, {', '.join(OPTIONS)}."
            )
        if not isinstance(value, str):
            raise UsageError(f"{name} must be a text", where=str(path), value=value)
    return found


def _table(columns: Any, path: Path) -> dict[str, Any]:
    if not isinstance(columns, dict):
        raise UsageError("columns must be a table", where=str(path), value=columns, todo="Write [columns] above them.")
    return columns
