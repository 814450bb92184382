"""What `lake doctor` says of a lake that is well, and of one that is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import lake
from lake.cli import main
from lake.clock import MICROS_PER_DAY, MICROS_PER_MINUTE, now_micros
from lake.errors import HotLogError
from lake.report.health import Check, Limits
from lake.report.prometheus import prometheus
from lake.store.hot.claim import try_claim
from lake.store.hot.gauge import Gauge, read_health
from tests.helpers import trade


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def checks(lk: lake.Lake, name: str, limits: Limits | None = None) -> dict[str, Check]:
    return {c.about: c for c in lake.health(lk, limits).checks if c.name == name}


def test_a_new_lake_is_well_but_for_its_disk(lk: lake.Lake) -> None:
    assert {c.name for c in lake.health(lk).checks if c.status != "ok"} <= {"disk_used_percent"}


def test_writes_are_counted_and_timed_over_restarts(tmp_path: Path) -> None:
    for start in (0, 10):
        with lake.open(tmp_path, bot_id="tester") as lk:
            for number in range(start, start + 10):
                lk.write("trades", trade(number))
    with lake.open(tmp_path) as lk:
        [total] = checks(lk, "commits_total").values()
        [rate] = checks(lk, "write_success_rate").values()
        [latency] = checks(lk, "write_latency_p99_seconds").values()
    assert (total.value, rate.value, rate.status) == (20, 1.0, "ok")
    assert latency.value is not None
    assert 0 < latency.value < 60


def test_a_refused_write_is_a_failure_that_says_why(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    log = lk.writer.hot().log

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log.spool, "append", full)
    monkeypatch.setattr(log, "_usable", lambda: False)
    with pytest.raises(HotLogError, match="No space left"):
        lk.write("trades", trade(1))
    [check] = checks(lk, "write_success_rate").values()
    assert (check.value, check.status) == (0.0, "failure")
    assert "1 of 1 commits since yesterday were refused; last: neither SQLite" in check.message
    assert not lake.health(lk).ok


def test_a_writer_is_judged_by_its_commits_of_today_and_yesterday(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauge, today = Gauge(tmp_path / "x.health"), [20_000 * MICROS_PER_DAY]
    monkeypatch.setattr("lake.store.hot.gauge.now_micros", lambda: today[0])
    for _ in range(10_000):
        gauge.committed(0.001, 1, spooled=False)
    seen = []
    for seconds, refused in ((0.001, 1), (3.0, 0), (0.001, 0), (0.001, 0)):
        gauge.committed(seconds, 1, spooled=False)
        for _ in range(refused):
            gauge.refused("the disk is full")
        gauge.save()
        kept = read_health(tmp_path / "x.health")
        assert kept is not None
        seen.append((kept.recent, kept.quantile(0.99999)))
        today[0] += MICROS_PER_DAY
    assert seen == [((10_001, 1), 0.001), ((10_002, 1), 5.0), ((2, 0), 5.0), ((2, 0), 0.001)]
    assert (kept.commits, kept.refused) == (10_004, 1)
    today[0] += 5 * MICROS_PER_DAY
    assert (kept.recent, kept.success_rate, kept.quantile(0.5)) == ((0, 0), None, None)


def test_the_backlog_has_its_size_and_age(lk: lake.Lake) -> None:
    lk.write("trades", [trade(n) for n in range(7)])
    time.sleep(0.01)
    limits = Limits(backlog_rows=(5, 10), backlog_seconds=(0.005, 1e9))
    [rows] = checks(lk, "hot_backlog_rows", limits).values()
    [age] = checks(lk, "hot_backlog_age_seconds", limits).values()
    assert (rows.value, rows.status, age.status) == (7, "warning", "warning")
    lk.drain()
    [rows] = checks(lk, "hot_backlog_rows", limits).values()
    [drained] = checks(lk, "seconds_since_drain").values()
    assert (rows.value, rows.status) == (0, "ok")
    assert drained.value is not None
    assert drained.value < 60


def test_a_spool_a_gap_and_refused_rows_are_warned_of(lk: lake.Lake) -> None:
    lk.write("trades", [trade(1, symbol=None)])
    start = now_micros() // MICROS_PER_MINUTE * MICROS_PER_MINUTE - 60 * MICROS_PER_MINUTE
    prices = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1.0}
    bars = [{"open_time": start + n * MICROS_PER_MINUTE, **prices} for n in (0, 1, 5, 6)]
    lk.candles.write(bars, "1m", symbol="BTCUSDT")
    lk.writer.hot().log.spool.append([(now_micros(), "trades", b"[]")])
    [gap] = checks(lk, "missing_bars").values()
    assert (gap.about, gap.value, gap.status) == ("1m", 3, "warning")
    assert checks(lk, "quarantined_batches")["trades"].status == "warning"
    assert next(iter(checks(lk, "spool_bytes").values())).status == "warning"


def test_a_disk_that_fills_up_is_a_warning_and_then_a_failure(lk: lake.Lake) -> None:
    [check] = checks(lk, "disk_used_percent", Limits(disk_percent=(0, 101))).values()
    assert check.status == "warning"
    assert "retain, vacuum or move" in check.message
    [check] = checks(lk, "disk_used_percent", Limits(disk_percent=(0, 0))).values()
    assert check.status == "failure"


def test_a_log_file_that_grows_too_large_is_warned_of(lk: lake.Lake, tmp_path: Path) -> None:
    small, large = tmp_path / "small.log", tmp_path / "bot.log"
    small.write_text("started")
    with large.open("wb") as file:
        file.truncate(501_000_000)
    found = {c.about: c for c in lake.health(lk, logs=[small, large, "none.log"]).checks if c.name == "log_mb"}
    assert [found[str(path)].status for path in (small, large, "none.log")] == ["ok", "warning", "warning"]
    assert (found[str(large)].value, found[str(large)].message) == (501.0, "501 MB; rotate it")
    done = CliRunner().invoke(main, ["doctor", "--lake", lk.location.uri, "--log", str(large), "--strict"])
    assert (done.exit_code, "501 MB" in done.stdout) == (1, True)


def test_monitors_read_the_same_figures(lk: lake.Lake) -> None:
    lk.write("trades", [trade(n) for n in range(3)])
    found = lake.health(lk)
    metrics = {
        (sample.name, sample.labels.get("about")): sample.value
        for family in text_string_to_metric_families(prometheus(found))
        for sample in family.samples
    }
    for check in found.checks:
        assert metrics[f"tradelake_{check.name}", check.about] == pytest.approx(check.value)


def test_the_doctor_ends_with_what_a_monitor_acts_on(lk: lake.Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lk.write("trades", trade(1))
    uri = lk.location.uri
    done = CliRunner().invoke(main, ["doctor", "--lake", uri, "--json"])
    assert json.loads(done.stdout)["status"] in {"ok", "warning"}
    assert done.exit_code == 0
    gauge = lk.writer.hot().log.gauge
    gauge.refused("the disk is full")
    gauge.save()
    assert CliRunner().invoke(main, ["doctor", "--lake", uri]).exit_code == 1
    assert CliRunner().invoke(main, ["doctor", "--lake", uri, "--prometheus"]).exit_code == 1


def test_what_another_host_name_left_is_a_warning_and_then_a_failure(lk: lake.Lake) -> None:
    assert checks(lk, "other_host_rows") == {}
    lk.write("trades", [trade(n) for n in range(3)])
    folder, writer = lk.store.hot_folder, lk.writer.hot().log.writer
    lk.close()
    for file in folder.glob(f"{writer}.*"):
        file.rename(folder / file.name.replace(writer, "tester@before"))
    with lake.open(lk.location.uri) as reader:
        [check] = checks(reader, "other_host_rows").values()
        assert (check.about, check.value, check.status) == ("tester@before", 1, "warning")
        assert "1 acknowledged writes of host before are not seen here" in check.message
        assert "`lake drain --host before`" in check.message
        [check] = checks(reader, "other_host_rows", Limits(backlog_seconds=(0, 0))).values()
        assert check.status == "failure"
        held = try_claim(folder, "tester@before")
        assert held is not None
        [check] = checks(reader, "other_host_rows").values()
        assert (check.status, check.message[:40]) == ("ok", "a live process of host before writes it:")
        held.release()
        reader.drain(host="before")
        [check] = checks(reader, "other_host_rows").values()
        assert (check.value, check.status) == (0, "ok")


def test_a_damaged_hot_log_is_a_failure_and_hides_no_other_figure(lk: lake.Lake) -> None:
    with lake.open(lk.location.uri, bot_id="other") as other:
        for number in range(50):
            other.write("trades", trade(number))
        file = other.writer.hot().log.path
    lk.write("trades", trade("whole"))
    file.write_bytes(file.read_bytes()[:4096] + bytes(file.stat().st_size - 4096))
    damaged = checks(lk, "unreadable")
    assert damaged[file.stem].status == "failure"
    assert str(file) in damaged[file.stem].message
    assert checks(lk, "hot_backlog_rows")[lk.writer.hot().log.writer].value == 1
    assert checks(lk, "disk_used_percent")
    done = CliRunner().invoke(main, ["doctor", "--lake", lk.location.uri, "--prometheus"])
    assert done.exit_code == 1
    found = {s.name for family in text_string_to_metric_families(done.stdout) for s in family.samples}
    assert {"tradelake_unreadable", "tradelake_disk_used_percent", "tradelake_hot_backlog_rows"} <= found
    written = CliRunner().invoke(main, ["doctor", "--lake", lk.location.uri])
    assert (written.exit_code, "status: failure" in written.stdout) == (1, True)


def test_a_damaged_health_file_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.health"
    path.write_text("{not json")
    gauge = Gauge(path)
    gauge.committed(0.003, 4, spooled=False)
    gauge.save()
    kept = read_health(path)
    assert kept is not None
    assert (kept.commits, kept.rows, kept.quantile(0.5)) == (1, 4, 0.005)
    assert [left.name for left in tmp_path.iterdir()] == ["x.health"]
