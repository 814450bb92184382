"""The files of a signal bot's backtests: which there are, and the runs and totals that they hold.

A file holds one run, or a list of runs, or the totals of the newest run of each symbol and timeframe. Folders named
after a day hold copies of older ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from lake.errors import SourceError
from lake.importers.addresses import existing
from lake.importers.base import Notes, Refused, Row
from lake.importers.mapping import plain
from lake.importers.reading.jsons import JsonText, broken, documents, items, names, text_value, told_of_end
from lake.importers.rules import found
from lake.store.walking import files_below

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SIGNS = frozenset({"total_trades", "total_signals", "total_win", "total_pnl", "total_profit_pct"})
_PERIOD = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}\S*) to ([0-9]{4}-[0-9]{2}-[0-9]{2}\S*)")
_NAMED = 10
UNKNOWN = "no backtest of a known shape"


@dataclass(frozen=True, slots=True)
class BacktestFile:
    """One file.

    Attributes:
        path: where it is.
        name: as reports call it.
        day: of the archive's folder that it is in; empty when it is in none.
    """

    path: Path
    name: str
    day: str = ""


def backtest_files(source: str) -> list[BacktestFile]:
    """The file that a path names, or those in a folder; archived ones last, by day.

    Raises:
        SourceError: there is nothing, or no backtest among it.
    """
    path = existing(source)
    if path.is_file():
        return [BacktestFile(path, path.name, path.parent.name if _DAY.fullmatch(path.parent.name) else "")]
    every = [file for file in files_below(path) if file.name.endswith((".json", ".json.gz"))]
    of_them = [f for f in every if not f.name.startswith(("_", ".")) and "backtest" in _told(path, f).lower()]
    if not of_them:
        raise SourceError("there are no backtests in it", where=source, todo="Name the folder or file that has them.")
    found_here = (BacktestFile(file, _told(path, file), _archived(file.relative_to(path.parent))) for file in of_them)
    return sorted(found_here, key=lambda file: (file.day, file.name))


def _told(folder: Path, file: Path) -> str:
    return str(file.relative_to(folder.parent))


def _archived(path: Path) -> str:
    days = [part for part in path.parts[:-1] if _DAY.fullmatch(part)]
    return days[-1] if days else ""


def runs(files: Iterable[BacktestFile], notes: Notes) -> Iterator[Row | Refused]:
    """The runs in some files, each with what it is told apart by: ``content``, ``file`` and the times of its period."""
    for file in files:
        for row in _pieces(file, notes):
            if not isinstance(row, dict):
                yield row if isinstance(row, Refused) else Refused({"file": file.name, "found": row}, "not an object")
            elif "SYM_TF" not in row:
                yield (
                    _identified(row, file)
                    if _SIGNS & row.keys()
                    else Refused({"file": file.name, "holds": [*row][:_NAMED]}, UNKNOWN)
                )


def totals(files: Iterable[BacktestFile], notes: Notes) -> Iterator[Row]:
    """The totals in some files, one for each symbol and timeframe."""
    for file in files:
        for row in _pieces(file, notes):
            if isinstance(row, dict) and "SYM_TF" in row:
                yield _identified(row, file)


def _identified(row: dict[str, Any], file: BacktestFile) -> Row:
    content = orjson.dumps(plain(row), option=orjson.OPT_SORT_KEYS)
    period = _PERIOD.fullmatch(str(row.get("period", "")).strip())
    written = file.day or datetime.fromtimestamp(file.path.stat().st_mtime, UTC).isoformat()
    more = {"start": period[1], "end": period[2]} if period else {}
    return {"content": hashlib.sha256(content).hexdigest()[:16], "file": file.name, "written": written, **more, **row}


def _pieces(file: BacktestFile, notes: Notes) -> Iterator[Any]:
    """Runs, and totals under the name that stands for symbol and timeframe, ``SYM_TF``."""
    with JsonText(file.path) as text:
        if text.peek() not in {"[", "{"}:
            notes.tell(f"{file.name} is {'no JSON file' if text.peek() else 'empty'}", failed=True)
            return
        for first in documents(text, notes):
            if first not in {"[", "{"}:
                yield broken(text, notes)
                break
            yield from items(text, notes) if first == "[" else _of_object(text, notes)
        told_of_end(text, notes)


def _of_object(text: JsonText, notes: Notes) -> Iterator[Any]:
    whole: dict[str, Any] = {}
    is_list = False
    for name in names(text, notes):
        if name == "backtests" and text.peek() == "[":
            is_list = True
            yield from items(text, notes)
            continue
        value = text_value(text, notes)
        if isinstance(value, Refused):
            yield value
            return
        whole[name] = value
    results = whole.get("results")
    if isinstance(results, dict):
        for name, value in results.items():
            symbol, _, timeframe = name.rpartition("_")
            told = value if isinstance(value, dict) else {"value": value}
            yield {
                "SYM_TF": name,
                "symbol": symbol,
                "timeframe": timeframe,
                "timestamp": whole.get("timestamp"),
                **told,
            }
    elif whole and not is_list and not text.stuck:
        yield whole


def listed(run: Row) -> list[Any]:
    """The trades of a run."""
    trades = found(run, ("trades",))[1]
    return trades if isinstance(trades, list) else []
