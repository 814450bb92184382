"""Look after a lake's health: the job fails when something failed, and what is wrong is kept in data_quality."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake, health


def work(lk: Lake) -> dict[str, Any]:
    """Check writes, hot logs, spools, disk, files, gaps and refused rows, and keep what is wrong in data_quality."""
    found = health(lk)
    wrong = [check for check in found.checks if check.status != "ok"]
    day = found.at.date().isoformat()
    for check in wrong:  # one row for each finding and day, however often it is looked at
        lk.write(
            "data_quality",
            {
                "finding_id": f"{check.name}/{check.about}/{day}",
                "check": check.name,
                "dataset": check.about or "lake",
                "severity": "error" if check.status == "failure" else "warning",
                "details": {"value": check.value, "message": check.message},
                "time": f"{day}T00:00:00Z",
            },
        )
    return {"ok": found.ok, "status": found.status, "wrong": [f"{c.name} {c.about}: {c.message}" for c in wrong]}


main = job("health", work)

if __name__ == "__main__":
    main()
