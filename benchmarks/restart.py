"""A bot that is restarted and asks for its latest state: ``python -m benchmarks.restart LAKE BOT CALLS``.

It is a program of its own that loads nothing but the lake: among all that the benchmarks load, a collection of garbage
takes ten times as long as the call.
"""

from __future__ import annotations

import json
import sys
import time

import lake


def main(path: str, bot: str, calls: int) -> None:
    """Print how long the first call took and each of those after it, in seconds, and the state."""
    with lake.open(path, bot_id=bot) as lk:
        begun = time.perf_counter()
        found = lk.bots.latest_state()
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        for _ in range(calls):
            lk.bots.latest_state()
        again = (time.perf_counter() - begun) / calls
    sys.stdout.write(json.dumps({"first": first, "again": again, "state": found and found["state"]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
