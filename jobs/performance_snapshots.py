"""Bring performance_snapshots up to date: one row for each bot and day up to yesterday."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Write the days that are missing and those whose figures changed since, by UTC."""
    return dict(lk.bots.refresh_snapshots().as_dict())


main = job("performance-snapshots", work)

if __name__ == "__main__":
    main()
