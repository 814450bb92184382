"""Follow every active phantom along the candles that came since it was last looked at."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Follow every active phantom along the candles that came since it was last looked at."""
    done = lk.phantoms.follow()
    return {"updated": done.updated, "active": len(lk.phantoms.active())}


main = job("update-phantoms", work)

if __name__ == "__main__":
    main()
