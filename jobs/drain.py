"""Settle what waits in every hot log of this host."""

from __future__ import annotations

from typing import Any

from jobs.running import job
from lake import Lake


def work(lk: Lake) -> dict[str, Any]:
    """Settle what waits in every hot log of this host."""
    done = lk.drain(every_writer=True)
    return {"entries": done.entries, "inserted": done.landed.inserted, "updated": done.landed.updated}


main = job("drain", work)

if __name__ == "__main__":
    main()
