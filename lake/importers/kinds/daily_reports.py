"""daily_reports.json: what a bot made of its own trades, day by day; compared with what the lake makes, and kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from lake.errors import SourceError
from lake.importers.addresses import existing_file
from lake.importers.base import Check, Notes, Options, Refused, Row
from lake.importers.kinds.beside import beside
from lake.importers.kinds.signal_bot import objects
from lake.importers.reading.jsons import JsonText, broken, documents, items, names, text_value, told_of_end
from lake.importers.report import Difference
from lake.importers.rules import found
from lake.importers.values import known_number

_LISTS = ("reports", "daily_reports")
_OTHERS = ("weekly_reports", "monthly_reports", "metadata")
_SQL = Path(__file__).with_suffix(".sql")
_NUMBERS = {  # ours -> theirs, in one version or another, and what may lie between the two
    "signals_seen": (("total_signals", "signals_generated"), 0.0),
    "trades_closed": (("closed_trades", "completed_trades", "completed_signals"), 0.0),
    "trades_active": (("active_trades", "active_signals"), 0.0),
    "wins": (("wins",), 0.0),
    "losses": (("losses",), 0.0),
    "breakevens": (("breakeven",), 0.0),
    "win_rate": (("win_rate", "accuracy"), 0.051),  # they are rounded to 66.7
    "total_pnl": (("total_pnl",), 0.005),
    "total_percent": (("total_profit",), 0.005),
}


class DailyReports:
    """Reads daily_reports.json."""

    name = "daily-reports"
    summary = "daily_reports.json: compared with the lake's own daily report, and kept as told"

    def tables(self, source: str, _options: Options) -> Iterable[Check]:
        """The reports, compared; those of weeks and months beside them."""
        path = existing_file(source)
        yield Check("reports", "trades", partial(_rows, path), _differences)
        yield Check("others", "trades", partial(beside, path, _is_of_days))


def _is_of_days(name: str) -> bool:
    return name in _LISTS or _day(name) is not None


def _rows(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    with JsonText(path) as text:
        if text.peek() not in {"[", "{"}:
            raise SourceError("not a JSON file" if text.peek() else "the file is empty", where=str(path))
        for first in documents(text, notes):
            if first not in {"[", "{"}:
                yield broken(text, notes)
                break
            for row in objects(items(text, notes) if first == "[" else _of_object(text, notes)):
                is_dated = isinstance(row, Refused) or _day(row.get("date")) is not None
                yield row if is_dated else Refused(row, "a report without a date")
        told_of_end(text, notes)


def _of_object(text: JsonText, notes: Notes) -> Iterator[Any]:
    """The reports in a list, or by their dates."""
    strangers: list[str] = []
    count = 0
    for name in names(text, notes):
        if name in _LISTS and text.peek() == "[":
            count += 1
            yield from items(text, notes)
            continue
        value = text_value(text, notes)
        if _day(name) is not None or isinstance(value, Refused):
            count += 1
            yield {"date": name, **value} if isinstance(value, dict) else value
        elif name not in _OTHERS:
            strangers.append(name)
        elif value:
            notes.tell(f"{name} are kept as told, and not compared")
    if strangers and not count:
        raise SourceError("it has no reports", where=str(text.path), value=strangers[:5], todo="Is it of another kind?")


def _day(value: Any) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _differences(lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Difference]:
    """The newest report of each day against the lake's numbers; earlier ones were made before the day was over."""
    if lk is None or not rows:
        return
    newest: dict[date | None, Row] = {}
    for row in sorted(rows, key=lambda row: str(row.get("timestamp", ""))):
        newest[_day(row["date"])] = row
    zone = {"time_zone": options.tz} if options.tz else None
    asked = [options.mode, options.mode]
    ours = {day["day"]: day for day in lk.frame(_SQL.read_text("utf-8"), asked, variables=zone).to_dicts()}
    for day, row in sorted(newest.items(), key=lambda pair: str(pair[0])):
        for name, (theirs, apart) in _NUMBERS.items():
            value = known_number(found(row, theirs)[1])
            held = float(ours.get(day, {}).get(name) or 0.0)
            if value is not None and abs(held - value) > apart:
                yield Difference("daily_report", str(day), name, held, value)
