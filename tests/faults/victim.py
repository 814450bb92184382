"""A process that writes a lake until it is killed: it tells each thing before it does it, and again when it is done.

Run as ``python -m tests.faults.victim LAKE BOT SEED KILL_AT``. With KILL_AT above zero it kills itself
there: at the so-many-th named step of a drain, sync, link, rename or deletion of a file.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import lake
from tests.helpers import candles, trade

BLOCK = 5_000  # rows of a bulk write


class Death:
    """Kills the process at a step, counted over the whole run."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def step(self, name: str) -> None:
        self.seen += 1
        if self.seen == self.at:
            os.write(1, json.dumps({"killed at": name}).encode() + b"\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Count the calls that change what is on disk, from their start and from their end."""
        for name in ("fsync", "link", "replace", "unlink"):
            setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self.step(f"before {name}")
            done = real(*arguments, **more)
            self.step(f"after {name}")
            return done

        return call


def tell(kind: str, doing: Mapping[str, Any]) -> None:
    os.write(1, json.dumps({kind: doing}).encode() + b"\n")


def actions(lk: lake.Lake, bot: str, chance: random.Random, death: Death) -> dict[str, Callable[[], None]]:
    """What the process may do next."""

    def write(doing: dict[str, Any], work: Callable[[], Any]) -> None:
        tell("try", doing)
        work()
        tell("done", doing)

    def row() -> None:
        doing = {"trades": {f"t{bot}-{chance.randrange(60)}": chance.random()}}
        ((name, pnl),) = doing["trades"].items()
        write(doing, lambda: lk.write("trades", trade(name[1:], status=chance.choice(["open", "closed"]), pnl=pnl)))

    def together() -> None:
        numbers = chance.sample(range(60), 3)
        doing: dict[str, Any] = {
            name: {f"t{bot}-{n}": chance.random() for n in numbers} for name in ("trades", "decisions")
        }

        def work() -> None:
            with lk.transaction():
                for name, value in doing["trades"].items():
                    lk.write("trades", trade(name[1:], pnl=value))
                for name, value in doing["decisions"].items():
                    lk.write("decisions", {"decision_id": name, "symbol": "BTCUSDT", "cost_usd": value})

        write(doing, work)

    def bulk() -> None:
        start, close = chance.randrange(4) * BLOCK, 1.0 + chance.random()
        symbol = f"{bot.upper()}USDT"
        doing = {"candles": {f"{symbol}-{start}": close}}
        write(doing, lambda: lk.candles.write(candles(range(start, start + BLOCK), close, symbol), "1m"))

    return {
        "row": row,
        "together": together,
        "bulk": bulk,
        "drain": lambda: lk.drain(every_writer=True, step=death.step) and None,
        "compact": lambda: lk.compact() and None,
        "vacuum": lambda: lk.vacuum(grace_hours=0) and None,
    }


def main(path: str, bot: str, seed: int, kill_at: int) -> None:
    chance, death = random.Random(seed), Death(kill_at)
    lk = lake.open(path, bot_id=bot)
    tell("open", {})
    if kill_at:
        death.watch()
    can = actions(lk, bot, chance, death)
    while True:
        can[chance.choices(list(can), [20, 8, 1, 4, 1, 1])[0]]()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
