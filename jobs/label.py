"""Record how phantoms and decisions ended, as far as candles tell it."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake
from lake.errors import MissingExtraError


def work(lk: Lake) -> dict[str, Any]:
    """Record how phantoms and decisions ended, as far as candles tell it."""
    try:
        return {source: lk.label(source).as_dict() for source in ("phantoms", "decisions")}
    except MissingExtraError as error:  # `lake run` schedules it on machines that do not label, too
        return {"left": str(error)}


main = job("label", work)

if __name__ == "__main__":
    main()
