"""Record the outcomes of decisions whose trades have ended, and correct them where these were corrected."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Record the outcomes of decisions whose trades have ended, and correct them where these were corrected."""
    return lk.decisions.resolve_traded().as_dict()


main = job("resolve-decisions", work)

if __name__ == "__main__":
    main()
