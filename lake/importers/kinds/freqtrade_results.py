"""Results of freqtrade's backtests, in every shape since 2018: summed up, and their trades read.

A list of lists, one a trade, until 2020; since then an object of strategies, with orders from 2023, and from 2025
inside an archive that also holds the strategy's code, which is not looked at. A file is read twice, trade by trade:
what a run is called and how it went stands behind its trades.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from lake.errors import SourceError
from lake.importers.base import Notes, Refused, Row
from lake.importers.kinds.freqtrade_files import PREFIX, config_in, document_of, member_of, tell_members
from lake.importers.reading.jsons import JsonText, items, names, text_value, told_of_end
from lake.importers.reading.packed import opened, opened_in
from lake.importers.values import known_number

LEGACY = (
    "pair", "profit_ratio", "open_s", "close_s", "index", "duration_min", "open_rate", "close_rate", "open_at_end",
    "sell_reason",
)  # fmt: skip
_CHUNK = 1 << 20


@dataclass
class Tally:
    """What the trades of a run say about it themselves."""

    trades: int = 0
    wins: int = 0
    losses: int = 0
    orders: int = 0
    gained: float = 0.0
    lost: float = 0.0
    has_amounts: bool = False
    last_close: Any = None
    pairs: set[str] = field(default_factory=set)

    def take(self, trade: Row) -> None:
        """Count one."""
        self.trades += 1
        self.orders += len(orders_of(trade))
        if isinstance(trade.get("pair"), str):
            self.pairs.add(trade["pair"])
        amount, ratio = (
            known_number(trade.get("profit_abs")),
            known_number(trade.get("profit_ratio", trade.get("profit_percent"))),
        )
        self.has_amounts |= amount is not None
        result = ratio if amount is None else amount
        if result is not None:
            self.wins += result > 0
            self.losses += result < 0
        self.gained += max(amount or 0.0, 0.0)
        self.lost -= min(amount or 0.0, 0.0)
        close = known_number(trade.get("close_timestamp", trade.get("close_s")))
        if close is not None and (self.last_close is None or close > self.last_close):
            self.last_close = close


@dataclass
class Run:
    """One strategy's run, as a result file tells it.

    Attributes:
        run_id: names it in the lake.
        strategy: its name.
        told: all that the file says of it, but its trades.
        tally: what its trades say.
    """

    run_id: str
    strategy: str
    told: dict[str, Any]
    tally: Tally

    @property
    def exchange(self) -> str | None:
        """Where it was traded, as the configuration in an archive tells."""
        return cast("str | None", _entry(self.told.get("config"), "exchange").get("name"))

    def row(self, file: str) -> dict[str, Any]:
        """For the dataset of backtests."""
        tally, factor = self.tally, self.tally.gained / self.tally.lost if self.tally.lost else None
        rejected = known_number(self.told.get("rejected_signals"))
        counted = {"trades": tally.trades, "wins": tally.wins, "losses": tally.losses}
        return {
            **self.told,
            "strategy": self.strategy,
            "exchange": self.exchange,
            "file": file,
            "run_id_here": self.run_id,
            **{f"counted_{name}": value for name, value in counted.items()},
            "counted_win_rate": tally.wins / tally.trades if tally.trades else None,
            "counted_profit_factor": factor if tally.has_amounts else None,
            "counted_signals": None if rejected is None else tally.trades + rejected,
            "only_pair": next(iter(tally.pairs)) if len(tally.pairs) == 1 else None,
            "last_close": tally.last_close,
        }

    def contradictions(self) -> Iterator[str]:
        """What the file's totals say otherwise than its trades."""
        tally = self.tally
        counted = {
            "total_trades": tally.trades, "wins": tally.wins, "losses": tally.losses,
            "profit_total_abs": tally.gained - tally.lost,
        }  # fmt: skip
        for name, ours in counted.items():
            theirs = known_number(self.told.get(name))
            if theirs is not None and abs(theirs - ours) > 1e-6 * max(1.0, abs(ours)):
                yield f"{self.strategy}: {name} is {theirs:g} in the file, and {ours:g} by its trades"


class ResultFile:
    """One result file, alone or in an archive.

    Args:
        path: of the file or the archive.

    Raises:
        SourceError: an archive that cannot be read, or in which there is no result.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.member = member_of(path) if path.suffix == ".zip" else ""
        self.is_list = False  # of trades alone, so that only its name tells the strategy
        self.landed: dict[str, str] = {}  # id of a run -> the id under which the lake has it

    @property
    def stem(self) -> str:
        """The file's name without what tells its format."""
        return self.path.name.removesuffix(".gz").removesuffix(".json").removesuffix(".zip")

    @cached_property
    def reading(self) -> tuple[list[Run], Notes]:
        """The runs, and what is to be told of the file."""
        notes, runs = Notes(), list[tuple[str, dict[str, Any], Tally]]()
        around: dict[str, Any] = {}
        with closing(self._file()) as file, JsonText(self.path, file) as text:
            first = text.peek()
            if first == "[":
                tally = Tally()
                for trade in _legacy(text, Notes()):
                    if not isinstance(trade, Refused):
                        tally.take(trade)
                self.is_list = True
                runs.append((self.stem.removeprefix(PREFIX).strip("-_") or "backtest", {}, tally))
            elif first == "{":
                runs = self._strategies(text, notes, around)
            else:
                raise SourceError("not a JSON file" if first else "the file is empty", where=str(self.path))
            told_of_end(text, notes)
        done = [self._run(name, self._told(name, told, around, notes), tally) for name, told, tally in runs]
        for run in done:
            for contradiction in run.contradictions():
                notes.tell(contradiction)
        if self.member:
            tell_members(self.path, self.member, notes)
        return done, notes

    def trades(self, notes: Notes) -> Iterator[tuple[Run, int, Row | Refused]]:
        """Each trade with its run and its place in it."""
        runs, _ = self.reading
        by_name = {run.strategy: run for run in runs}
        with closing(self._file()) as file, JsonText(self.path, file) as text:
            if text.peek() == "[":
                for place, trade in enumerate(_legacy(text, notes)):
                    yield runs[0], place, trade
                return
            for key in names(text, notes):
                if key != "strategy":
                    text_value(text, notes)
                    continue
                for name in names(text, notes):
                    for place, trade in enumerate(_trades(text, notes)):
                        yield by_name[name], place, trade

    def _strategies(
        self, text: JsonText, notes: Notes, around: dict[str, Any]
    ) -> list[tuple[str, dict[str, Any], Tally]]:
        runs = []
        seen = []
        for key in names(text, notes):
            seen.append(key)
            if key == "strategy" and text.peek() == "{":
                for name in names(text, notes):
                    told, tally = dict[str, Any](), Tally()
                    runs.append((name, told, tally))
                    for trade in _trades(text, notes, told):
                        if not isinstance(trade, Refused):
                            tally.take(trade)
            else:
                around[key] = text_value(text, notes)
        if "strategy" not in seen:
            raise SourceError(
                "not a result of a backtest", where=str(self.path), value=seen[:5], todo="Is it of another kind?"
            )
        return runs

    def _told(self, name: str, told: dict[str, Any], around: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
        """All that is said of a run: in its strategy, around it, in the .meta.json beside the file, in the archive."""
        beside = self._meta(notes).get(name, {})
        inside = _entry(around.get("metadata"), name)
        for key in sorted(beside.keys() & inside.keys()):
            if beside[key] != inside[key]:
                notes.tell(f"{name}: {key} is {inside[key]} in the file, and {beside[key]} in the .meta.json beside it")
        listed = around.get("strategy_comparison")
        entries = listed if isinstance(listed, list) else ()
        compared = [c for c in entries if isinstance(c, dict) and c.get("key") == name]
        more = {
            "strategy_comparison": compared[0] if compared else None,
            "config": config_in(self.path, notes) if self.member else None,
        }
        kept = {key: value for key, value in more.items() if value is not None}
        return {**beside, **inside, **told, **kept}

    def _run(self, strategy: str, told: dict[str, Any], tally: Tally) -> Run:
        """The run with an id: freqtrade's own is a hash of the configuration, so repeated runs share it."""
        own, begun = told.get("run_id"), told.get("backtest_start_time", told.get("backtest_run_start_ts"))
        what = [strategy, own, begun] if own and begun else [strategy, self.digest]
        made = hashlib.sha256(orjson.dumps(what)).hexdigest()
        return Run(f"freqtrade-{made[:24]}", strategy, told, tally)

    @cached_property
    def digest(self) -> str:
        """Of the file's bytes."""
        made = hashlib.sha256()
        with closing(self._file()) as file, suppress(EOFError):  # it is told where its text breaks off
            while chunk := file.read(_CHUNK):
                made.update(chunk)
        return made.hexdigest()

    def _file(self) -> BinaryIO:
        if not self.member:
            return opened(self.path)
        return opened_in(zipfile.ZipFile(self.path), self.member, self.path)

    def _meta(self, notes: Notes) -> dict[str, Any]:
        path = self.path.with_name(f"{self.stem}.meta.json")
        return document_of(path.read_bytes(), path.name, notes) if path.exists() else {}


def _trades(text: JsonText, notes: Notes, told: dict[str, Any] | None = None) -> Iterator[Row | Refused]:
    """The trades of the strategy that comes next; what else is said of it goes to ``told``."""
    for key in names(text, notes):
        if key == "trades" and text.peek() == "[":
            for trade in items(text, notes):
                yield trade if isinstance(trade, dict | Refused) else Refused(trade, "not an object")
        else:
            value = text_value(text, notes)
            if told is not None and not isinstance(value, Refused):
                told[key] = value


def _legacy(text: JsonText, notes: Notes) -> Iterator[Row | Refused]:
    for entry in items(text, notes):
        if isinstance(entry, Refused):
            yield entry
        elif isinstance(entry, list) and len(entry) >= len(LEGACY) - 1:
            yield dict(zip(LEGACY, entry, strict=False))
        else:
            yield Refused(entry, "not a list of ten values")


def _entry(document: Any, name: str) -> dict[str, Any]:
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def orders_of(trade: Row) -> list[Any]:
    """What a trade lists as its orders; nothing, where that is no list."""
    listed = trade.get("orders")
    return listed if isinstance(listed, list) else []
