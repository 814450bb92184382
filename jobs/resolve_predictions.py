"""Record the outcomes of predictions whose time has come."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Record the outcomes of predictions whose time has come."""
    return lk.predictions.resolve_due().as_dict()


main = job("resolve-predictions", work)

if __name__ == "__main__":
    main()
