"""The report of one day, from the view daily_report: the same whenever it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from lake.errors import UsageError
from lake.lake import Lake


@dataclass(frozen=True, slots=True)
class DailyReport:
    """One day of a zone.

    Attributes:
        day: the day.
        time_zone: in which it begins and ends.
        modes: live, paper, backtest -> the figures that the view ``daily_report`` defines; empty when nothing
            was recorded up to that day.
    """

    day: date
    time_zone: str
    modes: Mapping[str, Mapping[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {"day": self.day.isoformat(), "time_zone": self.time_zone, "modes": dict(self.modes)}

    def text(self) -> str:
        """The report for people."""
        lines = [f"{self.day:%A}, {self.day} ({self.time_zone})"]
        for mode, row in self.modes.items():
            lines += _mode_lines(mode, row)
        return "\n".join(lines if self.modes else [*lines, "nothing was recorded"])


def daily_report(lk: Lake, day: date | str | None = None, *, time_zone: str = "UTC") -> DailyReport:
    """What happened on a day.

    Args:
        lk: the lake.
        day: a date, or its ISO text; yesterday when left out.
        time_zone: such as Europe/Berlin.

    Raises:
        UsageError: no date, or no zone.
    """
    wanted = _day(day, time_zone)
    asked = "SELECT * FROM daily_report WHERE day <= ? QUALIFY day = max(day) OVER ()"
    frame = lk.frame(asked, [wanted], variables={"time_zone": time_zone})
    return DailyReport(wanted, time_zone, {row["mode"]: _figures(row, wanted) for row in frame.to_dicts()})


def _figures(row: Mapping[str, Any], wanted: date) -> dict[str, Any]:
    """The row of that day; of a later day than any on which something happened, the trades that are still open."""
    figures = {name: value for name, value in row.items() if name not in {"day", "mode"}}
    if row["day"] == wanted:
        return figures
    return {n: v if n == "trades_active" else None if _is_of_trades(n) else 0 for n, v in figures.items()}


def _is_of_trades(name: str) -> bool:
    return name.startswith(("best_", "worst_", "win_rate"))


def _day(day: date | str | None, time_zone: str) -> date:
    if day is None:
        return _today(time_zone) - timedelta(days=1)
    if isinstance(day, datetime):
        raise UsageError("a day is a date without a time", where="day", value=day, todo="Such as 2026-01-31.")
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day)
    except (ValueError, TypeError):
        raise UsageError("no date", where="day", value=day, todo="Such as 2026-01-31.") from None


def _today(time_zone: str) -> date:
    try:
        return datetime.now(ZoneInfo(time_zone)).date()
    except (OSError, LookupError, ValueError):
        return datetime.now(UTC).date()  # reading the view says what is wrong with the zone


def _mode_lines(mode: str, row: Mapping[str, Any]) -> list[str]:
    rate = "-" if row["win_rate"] is None else f"{row['win_rate']:.1f} % ({_interval(row)})"
    lines = [f"{mode}: {row['trades_closed']} closed, {row['trades_opened']} opened, {row['trades_active']} active"]
    lines.append(f"  pnl {_money(row['total_pnl'])}, fees {_money(row['fees'])}; win rate {rate}")
    lines.append(f"  {row['wins']} won, {row['losses']} lost, {row['breakevens']} even")
    lines.append(
        f"  signals: {row['signals_seen']} seen, {row['signals_executed']} executed, {row['signals_rejected']} rejected"
    )
    for which in ("best", "worst"):
        if row[f"{which}_trade_id"] is not None:
            pnl = _money(row[f"{which}_trade_pnl"])
            lines.append(f"  {which}: {row[f'{which}_trade_symbol']} {pnl} ({row[f'{which}_trade_id']})")
    return lines


def _interval(row: Mapping[str, Any]) -> str:
    return f"{row['win_rate_low']:.0f} to {row['win_rate_high']:.0f} % at 95 %"


def _money(value: float | None) -> str:
    return "0.00" if value is None else f"{value:,.2f}"
