"""Check every file, log and key; the job fails when something is wrong."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Check every file, log and key; the job fails when something is wrong."""
    report = lk.verify()
    findings = [f"{f.where}: {f.what}" for f in report.findings]
    return {"ok": report.ok, "tables": report.tables, "files": report.files, "rows": report.rows, "findings": findings}


main = job("verify", work)

if __name__ == "__main__":
    main()
