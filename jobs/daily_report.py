"""Yesterday's figures as one line of JSON; any other day by `lake report`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.running import job
from lake import Lake, daily_report


def work(lk: Lake) -> dict[str, Any]:
    """Report on yesterday, by UTC."""
    return daily_report(lk, datetime.now(UTC).date() - timedelta(days=1)).as_dict()


main = job("daily-report", work)

if __name__ == "__main__":
    main()
