"""Remove rows that are older than the settings keep them."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Remove rows that are older than the settings keep them."""
    return {"rows_removed": {name: done.rows_removed for name, done in lk.retain().items()}}


main = job("retain", work)

if __name__ == "__main__":
    main()
