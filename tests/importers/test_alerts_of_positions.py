from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import lake
from lake.importers.base import Options
from lake.importers.rules import constant, identity
from lake.importers.run import import_from
from tests.importers.contract import imported, notes, rows
from tests.importers.signal_bots import FOUND, SEED, SEED_POSITION, SIGNAL, closed_position, open_position, positions

KIND = "positions-sqlite"
AT, LATER, THEN = "2026-01-17 14:30:15", "2026-01-17 16:30:15", "2026-01-17 18:45:30"
REUSING = FOUND.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "INTEGER PRIMARY KEY")


def alert(position: int, at: str = "2026-01-17 15:00:00", level: str = "25%", **more: Any) -> dict[str, Any]:
    return {
        "position_id": position, "checkpoint_level": level, "triggered_at": at, "trigger_price": 2.375,
        "current_confidence": 68.0, "recommendation": "HOLD", "warnings": "[]", **more,
    }  # fmt: skip


@contextmanager
def changing(file: Path) -> Iterator[sqlite3.Connection]:
    """The database as its bot has it open."""
    with closing(sqlite3.connect(file)) as connection:
        yield connection
        connection.commit()


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    marks = ", ".join("?" * len(row))
    cursor = connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [*row.values()])
    return int(cursor.lastrowid or 0)


def alerts(lk: Any) -> list[Any]:
    """Id and position of each alert."""
    return rows(lk, "checkpoint_alerts", "alert_id", "position_id")


def tied(lk: Any) -> list[Any]:
    """When each alert came, and when the position to which it is tied was opened; None where it is tied to none."""
    sql = "SELECT alerted_at, opened_at FROM checkpoint_alerts LEFT JOIN positions USING (position_id) ORDER BY ALL"
    return [(str(at)[11:19], opened and str(opened)[:19]) for at, opened in lk.frame(sql).rows()]


def opened_then_dropped(tmp_path: Path, lk: Any, schema: str = FOUND) -> Path:
    """A database that was imported while its position was held, and has dropped it since."""
    there = {"open_positions": [open_position(1, AT)], "checkpoint_alerts": [alert(1)]}
    file = positions(tmp_path / "positions.db", schema, there)
    imported(lk, KIND, file)
    with changing(file) as connection:
        connection.execute("DELETE FROM open_positions")
    return file


def test_alerts_of_a_position_that_was_dropped_stay_what_they_are(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        file = opened_then_dropped(tmp_path, lk, REUSING)
        before = alerts(lk)
        report = imported(lk, KIND, file)
        assert report.totals["landed"] == 0
        assert alerts(lk) == before
        assert tied(lk) == [("15:00:00", AT)]


@pytest.mark.parametrize("opened", [AT, None])
def test_alerts_of_a_position_that_was_moved_to_the_history_stay_what_they_are(
    tmp_path: Path, opened: str | None
) -> None:
    with lake.open(tmp_path / "lake") as lk:
        file = opened_then_dropped(tmp_path, lk)
        before = alerts(lk)
        with changing(file) as connection:
            insert(connection, "position_history", {**closed_position(1, AT, THEN), "opened_at": opened})
        imported(lk, KIND, file)
        assert alerts(lk) == before
        with changing(file) as connection:
            connection.execute("DELETE FROM position_history")
        imported(lk, KIND, file)
        assert alerts(lk) == before


def test_an_alert_that_came_before_its_position_was_dropped_is_tied_to_it(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        file = opened_then_dropped(tmp_path, lk)
        with changing(file) as connection:
            insert(connection, "checkpoint_alerts", alert(1, "2026-01-17 15:30:00", "50%"))
        report = imported(lk, KIND, file)
        assert report.totals["landed"] == 1
        assert tied(lk) == [("15:00:00", AT), ("15:30:00", AT)]
        assert "2 alerts belong to positions that are no longer there" in notes(report)


def test_an_alert_is_not_tied_to_another_position_that_has_its_number_now(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        file = opened_then_dropped(tmp_path, lk, REUSING)
        with changing(file) as connection:
            insert(connection, "open_positions", open_position(1, LATER))
            insert(connection, "checkpoint_alerts", alert(1, "2026-01-17 15:30:00"))
            insert(connection, "checkpoint_alerts", alert(1, "2026-01-17 17:00:00"))
        imported(lk, KIND, file)
        assert tied(lk) == [("15:00:00", AT), ("15:30:00", None), ("17:00:00", LATER)]
        with changing(file) as connection:
            connection.execute("DELETE FROM open_positions")
            insert(connection, "position_history", closed_position(1, AT, "2026-01-17 16:00:00"))
            insert(connection, "checkpoint_alerts", alert(1, "2026-01-17 18:00:00"))
        imported(lk, KIND, file)
        assert tied(lk) == [("15:00:00", AT), ("15:30:00", AT), ("17:00:00", LATER), ("18:00:00", None)]


def test_the_end_of_a_position_is_not_taken_for_that_of_another_that_has_its_number_now(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        file = opened_then_dropped(tmp_path, lk, REUSING)
        with changing(file) as connection:
            insert(connection, "open_positions", open_position(1, LATER, sl_price=1.5))
            insert(connection, "position_history", closed_position(1, AT, "2026-01-17 16:00:00"))
            untimed = closed_position(1, AT, "2026-01-17 16:10:00")
            insert(connection, "position_history", {**untimed, "opened_at": None})
        imported(lk, KIND, file)
        assert rows(lk, "positions", "status") == ["closed", "open"]
        assert rows(lk, "trades", "stop_loss") == [None]


def test_an_alert_is_tied_once_the_history_tells_of_its_position(tmp_path: Path) -> None:
    file = positions(tmp_path / "positions.db", FOUND, {"checkpoint_alerts": [alert(1)]})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, file)
        ((name, position),) = alerts(lk)
        assert position == "position 1"
        with changing(file) as connection:
            insert(connection, "position_history", closed_position(1, AT, THEN))
        report = imported(lk, KIND, file)
        assert [t.changed for t in report.tables if t.table == "checkpoint_alerts"] == [1]
        assert not any(table.differences for table in report.tables)
        assert [one for one, _ in alerts(lk)] == [name]
        assert tied(lk) == [("15:00:00", AT)]


def test_an_alert_that_its_bot_changes_stays_tied(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        file = opened_then_dropped(tmp_path, lk)
        before = alerts(lk)
        with changing(file) as connection:
            connection.execute("UPDATE checkpoint_alerts SET recommendation = 'CLOSE_NOW', action_taken = 'CLOSED'")
        report = imported(lk, KIND, file)
        assert report.totals["changed"] == 1
        assert alerts(lk) == before
        assert rows(lk, "checkpoint_alerts", "recommendation") == ["CLOSE_NOW"]


def test_two_databases_that_tell_the_same_of_their_alerts_have_each_its_own(tmp_path: Path) -> None:
    files = [
        positions(
            tmp_path / f"{symbol}.db",
            FOUND,
            {"open_positions": [open_position(1, AT, symbol=symbol)], "checkpoint_alerts": [alert(1)]},
        )
        for symbol in ("XRPUSDT", "BTCUSDT")
    ]
    sql = "SELECT symbol FROM checkpoint_alerts JOIN positions USING (position_id) ORDER BY ALL"
    with lake.open(tmp_path / "lake") as lk:
        for file in files:
            assert imported(lk, KIND, file).totals["landed"] == 2
        before = alerts(lk)
        for file in files:
            with changing(file) as connection:
                connection.execute("DELETE FROM open_positions")
            assert imported(lk, KIND, file).totals["landed"] == 0
        assert alerts(lk) == before
        assert lk.frame(sql).get_column("symbol").to_list() == ["BTCUSDT", "XRPUSDT"]


def test_an_alert_is_not_tied_by_its_number_to_a_position_of_another_database_or_bot(tmp_path: Path) -> None:
    first = positions(tmp_path / "first.db", FOUND, {"open_positions": [open_position(1, AT)]})
    there = [alert(1, trigger_price=101_500.0), alert(2, trigger_price=101_500.0)]
    second = positions(tmp_path / "second.db", FOUND, {"checkpoint_alerts": there})
    other = positions(tmp_path / "other.db", FOUND, {"checkpoint_alerts": [alert(1, "2026-01-17 15:10:00")]})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, first)
        imported(lk, KIND, second)
        imported(lk, KIND, other, bot_id="other")
        assert [position for _, position in tied(lk)] == [None, None, None]
        assert sorted(position for _, position in alerts(lk)) == ["other:position 1", "position 1", "position 2"]


def test_an_alert_is_not_tied_to_a_position_of_another_database_that_fits_in_all(tmp_path: Path) -> None:
    """Two instances of one bot: the second had dropped its position before anything of it was imported."""
    first = positions(tmp_path / "first.db", FOUND, {"open_positions": [open_position(1, AT)]})
    second = positions(tmp_path / "second.db", FOUND, {"checkpoint_alerts": [alert(1)]})
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, first)
        imported(lk, KIND, second)
        assert tied(lk) == [("15:00:00", None)]
        with changing(first) as connection:
            insert(connection, "checkpoint_alerts", alert(1, "2026-01-17 15:30:00"))
            connection.execute("DELETE FROM open_positions")
        imported(lk, KIND, first)
        imported(lk, KIND, second)
        assert tied(lk) == [("15:00:00", None), ("15:30:00", AT)]


def test_an_alert_of_a_database_that_was_moved_is_tied_by_what_landed_of_it(tmp_path: Path) -> None:
    held = [open_position(1, AT), open_position(2, AT, symbol="ADAUSDT")]
    there = {"open_positions": held, "checkpoint_alerts": [alert(1)]}
    file = positions(tmp_path / "positions.db", FOUND, there)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, file)
        moved = file.rename(tmp_path / "moved.db")
        assert imported(lk, KIND, moved).totals["landed"] == 0
        with changing(moved) as connection:
            connection.execute("DELETE FROM open_positions")
            insert(connection, "checkpoint_alerts", alert(2, "2026-01-17 15:30:00"))
        imported(lk, KIND, moved)
        assert tied(lk) == [("15:00:00", AT), ("15:30:00", AT)]


def test_alerts_of_a_signal_whose_position_was_dropped_stay_what_they_are(tmp_path: Path) -> None:
    told = {"checkpoint_level": 25.0, "checkpoint_price": 101500.0, "recommendation": "MOVE_SL"}
    there = {
        "positions": [SEED_POSITION, {**SEED_POSITION, "id": 2, "signal_id": "sig-7"}],
        "checkpoint_alerts": [
            {**told, "signal_id": name, "timestamp": 1769184000, "confidence_at_checkpoint": 70.5}
            for name in (SIGNAL, "sig-7")
        ],
    }
    file = positions(tmp_path / "positions.db", SEED, there)
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, KIND, file, bot_id="ict")
        before = alerts(lk)
        assert [position for _, position in tied(lk)] == ["2026-01-23 15:00:02"] * 2
        with changing(file) as connection:
            connection.execute("DELETE FROM positions")
        assert imported(lk, KIND, file, bot_id="ict").totals["landed"] == 0
        assert alerts(lk) == before


def as_landed_before(row: dict[str, Any], position: str, bot: str = "") -> dict[str, Any]:
    """An alert as versions landed it whose ids were made of the position that the database told of then."""
    at = datetime.fromisoformat(row["triggered_at"]).replace(tzinfo=UTC)
    facts = [constant(position), constant(float(row["checkpoint_level"].rstrip("%"))), constant(at)]
    return {
        "alert_id": identity("alert", *facts).read({}, Options(bot_id=bot)),
        "position_id": position,
        "level": float(row["checkpoint_level"].rstrip("%")),
        "price": row["trigger_price"],
        "recommendation": row["recommendation"],
        "confidence": 0.68,
        "alerted_at": at,
        "extra": {"imported": {f"{KIND}:checkpoint_alerts": row}},
    }


@pytest.mark.parametrize("bot", ["", "ict"])
def test_alerts_that_an_earlier_version_landed_get_no_twins(tmp_path: Path, bot: str) -> None:
    told = [
        alert(1, id=1, action_taken="ALERTED"),
        alert(2, id=2, action_taken="ALERTED"),
        alert(3, id=3, action_taken="ALERTED"),
    ]
    for row in told:
        row |= {"original_confidence": None, "confidence_delta": None, "reasoning": None}
    there = {"open_positions": [open_position(1, AT), open_position(3, LATER)], "checkpoint_alerts": told}
    file = positions(tmp_path / "positions.db", FOUND, there)
    with lake.open(tmp_path / "lake") as lk:
        with changing(file) as connection:
            connection.execute("DELETE FROM checkpoint_alerts")
        imported(lk, KIND, file, bot_id=bot)
        held = dict(rows(lk, "positions", "opened_at", "position_id"))
        of = {str(at)[:19]: name for at, name in held.items()}
        scope = f"{bot}:" if bot else ""
        before = [
            as_landed_before(told[0], of[AT], bot),
            as_landed_before(told[1], f"{scope}position 2", bot),  # it had been dropped
            as_landed_before(told[2], of[LATER], bot),  # whose number was given again after the alert
        ]
        lk.write("checkpoint_alerts", before)
        with changing(file) as connection:
            for row in told:
                insert(connection, "checkpoint_alerts", row)
        ids = sorted(row["alert_id"] for row in before)
        imported(lk, KIND, file, bot_id=bot)
        assert [name for name, _ in alerts(lk)] == ids
        assert sorted(position for _, position in alerts(lk)) == sorted(
            [of[AT], f"{scope}position 2", f"{scope}position 3"]
        )
        with changing(file) as connection:
            connection.execute("DELETE FROM open_positions")
            insert(connection, "position_history", closed_position(2, AT, THEN, symbol="BTCUSDT"))
        imported(lk, KIND, file, bot_id=bot)
        assert [name for name, _ in alerts(lk)] == ids
        assert [position for _, position in tied(lk)] == [AT, AT, None]


@dataclass
class Held:
    """A position as it truly is."""

    number: int
    opened: datetime
    ended: datetime | None = None


@dataclass
class Bot:
    """A bot and its database: what is there, and what it was about."""

    path: Path
    symbol: str
    price: float
    held: list[Held] = field(default_factory=list)
    gone: list[Held] = field(default_factory=list)
    alerts: dict[datetime, Held] = field(default_factory=dict)  # that are in the database
    told: list[Held] = field(default_factory=list)  # of which its history tells whole
    seen: dict[datetime, Held] = field(default_factory=dict)  # alerts that were imported
    known: set[datetime] = field(default_factory=set)  # positions that were imported while they were held

    def row(self, one: Held, **more: Any) -> dict[str, Any]:
        levels = {"entry_price": self.price, "tp1_price": self.price * 1.1, "sl_price": self.price * 0.9}
        return open_position(one.number, text(one.opened), symbol=self.symbol, **levels, **more)


def text(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


BOTS = st.integers(0, 1)


class BotsAndTheirImports(RuleBasedStateMachine):
    """Two databases in one lake: one whose numbers count on, and one that gives them again."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self._lake = lake.open(folder / "lake", durability="normal")
        self._now = datetime(2026, 1, 17, 12, tzinfo=UTC)
        self._ids: dict[datetime, str] = {}
        self._tied: set[datetime] = set()
        self._bots = [
            Bot(positions(folder / "counting.db", FOUND, {}), "XRPUSDT", 2.0),
            Bot(positions(folder / "reusing.db", REUSING, {}), "BTCUSDT", 100_000.0),
        ]

    def teardown(self) -> None:
        self._lake.close()
        self._folder.cleanup()

    def _tick(self) -> datetime:
        self._now += timedelta(seconds=7)
        return self._now

    @initialize(bring=st.booleans())
    def begin(self, bring: bool) -> None:
        for bot in (0, 1):
            self.open(bot)
            self._alert(self._bots[bot], self._bots[bot].held[0], "25%")
            if bring:
                self.bring(bot)

    @rule(bot=BOTS)
    def open(self, bot: int) -> None:
        one = self._bots[bot]
        held = Held(0, self._tick())
        with changing(one.path) as connection:
            row = one.row(held)
            del row["id"]
            held.number = insert(connection, "open_positions", row)
        one.held.append(held)

    @precondition(lambda self: any(bot.held for bot in self._bots))
    @rule(data=st.data(), level=st.sampled_from(["25%", "50%"]))
    def alert(self, data: st.DataObject, level: str) -> None:
        one = data.draw(st.sampled_from([bot for bot in self._bots if bot.held]))
        self._alert(one, data.draw(st.sampled_from(one.held)), level)

    def _alert(self, one: Bot, held: Held, level: str) -> None:
        at = self._tick()
        with changing(one.path) as connection:
            insert(connection, "checkpoint_alerts", alert(held.number, text(at), level, trigger_price=one.price * 1.02))
        one.alerts[at] = held

    @rule(bot=BOTS, word=st.sampled_from(["ALERTED", "CLOSED"]))
    def act(self, bot: int, word: str) -> None:
        with changing(self._bots[bot].path) as connection:
            connection.execute("UPDATE checkpoint_alerts SET action_taken = ?", [word])

    @precondition(lambda self: any(bot.held for bot in self._bots))
    @rule(data=st.data(), how=st.sampled_from(["dropped", "told", "untimed"]), bring=st.booleans())
    def end(self, data: st.DataObject, how: str, bring: bool) -> None:
        one = data.draw(st.sampled_from([bot for bot in self._bots if bot.held]))
        held = data.draw(st.sampled_from(one.held))
        held.ended = self._tick()
        one.held.remove(held)
        one.gone.append(held)
        with changing(one.path) as connection:
            connection.execute("DELETE FROM open_positions WHERE id = ?", [held.number])
            if how == "untimed":
                insert(connection, "position_history", {**self._end(one, held), "opened_at": None})
            elif how == "told":
                insert(connection, "position_history", self._end(one, held))
                one.told.append(held)
        if bring:
            self.bring(self._bots.index(one))

    def _end(self, one: Bot, held: Held) -> dict[str, Any]:
        ended = text(held.ended or self._now)
        return closed_position(held.number, text(held.opened), ended, symbol=one.symbol, entry_price=one.price)

    @precondition(lambda self: any(bot.held for bot in self._bots))
    @rule(data=st.data())
    def close_a_part(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([bot for bot in self._bots if bot.held]))
        held = data.draw(st.sampled_from(one.held))
        self._tick()
        with changing(one.path) as connection:
            insert(connection, "position_history", {**self._end(one, held), "outcome": "PARTIAL"})

    @precondition(lambda self: any(bot.gone for bot in self._bots))
    @rule(data=st.data())
    def tell_late(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([bot for bot in self._bots if bot.gone]))
        held = data.draw(st.sampled_from(one.gone))
        with changing(one.path) as connection:
            insert(connection, "position_history", self._end(one, held))
        one.told.append(held)

    @rule(bot=BOTS)
    def forget_the_history(self, bot: int) -> None:
        with changing(self._bots[bot].path) as connection:
            connection.execute("DELETE FROM position_history")
        self._bots[bot].told.clear()

    @precondition(lambda self: any(bot.alerts for bot in self._bots))
    @rule(data=st.data())
    def forget_an_alert(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([bot for bot in self._bots if bot.alerts]))
        at = data.draw(st.sampled_from(sorted(one.alerts)))
        with changing(one.path) as connection:
            connection.execute("DELETE FROM checkpoint_alerts WHERE triggered_at = ?", [text(at)])
        del one.alerts[at]

    @rule(bot=BOTS)
    def bring(self, bot: int) -> None:
        one = self._bots[bot]
        report = import_from(self._lake, KIND, str(one.path))
        assert report.balanced, report.text()
        again = import_from(self._lake, KIND, str(one.path))
        assert again.balanced, again.text()
        assert again.totals["landed"] == 0, again.text()
        one.seen |= one.alerts
        one.known |= {held.opened for held in one.held}
        self._check_alerts(one)
        self._check_positions(one)

    def _check_alerts(self, one: Bot) -> None:
        sql = (
            "SELECT a.alerted_at, a.alert_id, p.opened_at, p.symbol "
            "FROM checkpoint_alerts AS a LEFT JOIN positions AS p USING (position_id)"
        )
        there = self._lake.frame(sql).rows()
        owners = {at: (bot, held) for bot in self._bots for at, held in bot.seen.items()}
        assert sorted(at for at, *_ in there) == sorted(owners)
        for at, name, opened, symbol in there:
            bot, held = owners[at]
            assert self._ids.setdefault(at, name) == name
            if opened is not None:
                assert (opened, symbol) == (held.opened, bot.symbol)
                self._tied.add(at)
            assert opened is not None or at not in self._tied
            if bot is one and at in one.alerts:
                is_lone = bot is self._bots[0] and held.opened in bot.known
                assert opened is not None or not (held in one.held or held in one.told or is_lone)

    def _check_positions(self, one: Bot) -> None:
        there = self._lake.frame("SELECT opened_at, symbol, status FROM positions").rows()
        assert len({row[:2] for row in there}) == len(there)
        status = {opened: status for opened, symbol, status in there if symbol == one.symbol}
        for held in one.held:
            assert status[held.opened] == "open"
        for held in one.told:
            assert status[held.opened] == "closed"


TestBotsAndTheirImports = BotsAndTheirImports.TestCase
TestBotsAndTheirImports.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
