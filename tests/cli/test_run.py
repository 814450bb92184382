"""`lake run`: every job at its time, one JSON line each, a clean end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from click.testing import CliRunner

import lake
from jobs import resolve_decisions
from jobs.schedule import DEFAULTS, Scheduled, Stop, chosen, run, trigger
from lake.cli import main
from lake.errors import UsageError
from tests.helpers import settled_rows, trade, write_candles


@contextmanager
def running(uri: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from lake.cli import main; main()", "run", "--lake", uri, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def lines_of(process: subprocess.Popen[str], job: str, count: int = 1) -> list[dict[str, Any]]:
    """Read its log until a job has logged so often."""
    assert process.stdout is not None
    found: list[dict[str, Any]] = []
    until = time.monotonic() + 60
    while sum(line["job"] == job for line in found) < count and time.monotonic() < until:
        found.append(json.loads(process.stdout.readline()))
    return found


def test_jobs_run_and_the_end_drains_what_a_bot_wrote_meanwhile(tmp_path: Path) -> None:
    uri = str(tmp_path / "lake")
    with lake.open(uri, bot_id="bot") as lk:
        lk.write("trades", trade(1))
        with running(uri, "--job", "drain=1s", "--job", "compact=off") as process:
            seen = lines_of(process, "drain", 2)
            assert all(line["ok"] for line in seen), seen
            assert "compact" not in seen[0]["started"]
            assert settled_rows(lk, "trades") == 1
            lk.write("trades", trade(2))
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (0, "")
        assert json.loads(out.splitlines()[-1])["stopped"] is True
        assert settled_rows(lk, "trades") == 2


def test_whoever_asks_it_to_stop_again_and_again_gets_the_same_clean_end(tmp_path: Path) -> None:
    uri = str(tmp_path / "lake")
    with lake.open(uri, bot_id="bot") as lk:
        with running(uri) as process:
            lines_of(process, "drain")
            lk.write("trades", trade(1))
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until:
                process.send_signal(signal.SIGTERM)
                time.sleep(0.0002)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, (
                err
            )  # of a signal between two handlers Python itself tells that it passed it over
        assert json.loads(out.splitlines()[-1])["stopped"] is True
        assert settled_rows(lk, "trades") == 1


def test_the_end_drains_before_it_waits_for_a_job_at_work_and_once_more_what_that_wrote(tmp_path: Path) -> None:
    began, may_end, stop = Event(), Event(), Stop()

    def work(lk: lake.Lake) -> dict[str, Any]:
        began.set()
        assert may_end.wait(60)
        lk.write("trades", trade(2))
        return {}

    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.write("trades", trade(1))
        thread = Thread(target=run, args=(lk, [Scheduled("long", work, "1h")], stop))
        thread.start()
        assert began.wait(60)
        stop.ask()
        until = time.monotonic() + 60
        while settled_rows(lk, "trades") < 1 and time.monotonic() < until:
            time.sleep(0.01)
        before = settled_rows(lk, "trades")
        may_end.set()
        thread.join(60)
        assert (before, settled_rows(lk, "trades")) == (1, 2)


def test_every_job_runs_twice_and_changes_nothing_the_second_time(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        write_candles(lk, range(200))
        lk.trades.record([trade(n, quantity=1.0, entry_price=1.0, exit_price=2.0, side="LONG") for n in range(3)])
        lk.predictions.record(
            symbol="BTCUSDT", predicted_direction="UP", horizon_minutes=10, predicted_at=1_704_067_800, venue="binance"
        )
        lk.phantoms.record(
            symbol="BTCUSDT",
            venue="binance",
            side="LONG",
            entry_price=1.5,
            stop_loss=0.8,
            tp1=2.2,
            signal_time=1_704_067_800,
        )
        lk.decisions.record(decision_id="d", symbol="BTCUSDT", recommendation="LONG", confidence=0.8)
        lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=1, entry_price=100, trade_id="t", decision_id="d")
        lk.trades.close("t", 110.0)
        for job in DEFAULTS:
            job.work(lk)
        lk.drain()
        before = {name: settled_rows(lk, name) for name in ("trades", "predictions", "phantoms", "candles")}
        decisions = lk.read("decisions")
        figures = lk.read("performance_snapshots").sort("bot_id", "date")
        for job in DEFAULTS:
            job.work(lk)
        lk.drain()
        assert before == {name: settled_rows(lk, name) for name in before}
        assert lk.read("performance_snapshots").sort("bot_id", "date").equals(figures)
        assert lk.read("predictions")["resolved_at"].null_count() == 0
        assert lk.read("decisions").equals(decisions)
        assert decisions["actual_pnl"].to_list() == [10.0]


def test_a_job_resolves_decisions_from_their_trades_and_corrects_them_when_these_are_corrected(tmp_path: Path) -> None:
    uri = str(tmp_path / "lake")

    def line() -> dict[str, Any]:
        done = CliRunner().invoke(resolve_decisions.main, ["--lake", uri])
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)  # one line, else this fails
        assert (found.pop("job"), found.pop("lake"), found.pop("ok")) == ("resolve-decisions", uri, True)
        assert found.pop("seconds") >= 0
        return found

    with lake.open(uri, bot_id="b1") as lk:
        lk.decisions.record(
            decision_id="e", symbol="BTCUSDT", recommendation="LONG", confidence=0.8, prompt_version="v1"
        )
        lk.trades.open(symbol="BTCUSDT", side="LONG", quantity=1, entry_price=100, trade_id="t", decision_id="e")
        assert line() == {"resolved": 0, "corrected": 0}
        lk.trades.close("t", 110.0)
        assert line() == {"resolved": 1, "corrected": 0}
        assert lk.read("prompt_performance")[["resolved", "closed", "correct"]].row(0) == (1, 1, 1)
        lk.trades.correct("t", exit_price=90.0)
        assert line() == {"resolved": 0, "corrected": 1}
        assert lk.read("prompt_performance")[["resolved", "closed", "correct"]].row(0) == (1, 1, 0)
        assert line() == {"resolved": 0, "corrected": 0}


def test_a_job_that_is_still_at_work_lets_its_times_pass_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    stop, begun = Stop(), []

    def slow(_: lake.Lake) -> dict[str, Any]:
        begun.append(1)
        time.sleep(2.5)
        stop.ask()
        return {}

    with lake.open(tmp_path) as lk:
        run(lk, [Scheduled("slow", slow, "1s")], stop)
    out, err = capfd.readouterr()
    assert (len(begun), err, caplog.messages) == (1, "", [])
    logged = [json.loads(line)["job"] for line in out.splitlines()]
    assert sorted(logged[1:-1]) == ["drain", "drain", "slow"]


def test_a_job_that_fails_is_logged_and_the_others_go_on(tmp_path: Path) -> None:
    uri = str(tmp_path / "lake")
    with lake.open(uri, bot_id="bot") as lk:
        lk.write("trades", trade(1))
        spool = lk.writer.hot().log.spool.path
    spool.write_text("{broken\n")
    with running(uri, "--job", "drain=1s", "--job", "health=1s") as process:
        seen = lines_of(process, "drain", 2)
    failed = [line for line in seen if line["job"] == "drain"]
    assert [line["ok"] for line in failed] == [False, False]
    assert "a spooled line is damaged" in failed[0]["error"]


@pytest.mark.parametrize("when", ["30s", "5m", "1h", "2d", "0 5 * * *"])
def test_times_are_intervals_or_cron(when: str) -> None:
    assert trigger(when) is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drains": "5s"}, "unknown job"),
        ({"drain": "often"}, "no time for a job"),
        ({"drain": "0s"}, "no time for a job"),
    ],
)
def test_a_wrong_schedule_is_refused_before_anything_runs(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chosen(changes)


def test_the_jobs_can_be_listed(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["run", "--list", "--json", "--lake", str(tmp_path)])
    assert [row["job"] for row in json.loads(done.stdout)] == [job.name for job in DEFAULTS]
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_called_after_the_dataset_that_it_keeps() -> None:
    [job] = [s for s in chosen({"performance-snapshots": "1h"}) if s.when == "1h" and "performance" in s.name]
    assert job.name == "performance-snapshots"
