"""A forked child cannot use its parent's lake, and harms it in no way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lake

PROGRAM = """
import json, os, signal, sys, warnings
import lake

warnings.simplefilter("ignore", DeprecationWarning)  # Python tells of forks itself from 3.12 on
lk = lake.open(sys.argv[1], bot_id="b")
lk.write("trades", {"trade_id": "before", "symbol": "BTCUSDT"})
lk.frame("SELECT count(*) FROM trades")
child = os.fork()
if not child:
    signal.alarm(60)  # a read with the threads of another process would wait for ever
    told = []
    for use in (
        lambda: lk.write("trades", {"trade_id": "child", "symbol": "BTCUSDT"}),
        lambda: lk.frame("SELECT count(*) FROM trades"),
        lambda: lk.candles.read("BTCUSDT", "1m"),
        lk.drain,
        lk.compact,
        lambda: lake.open(sys.argv[1], bot_id="b"),
    ):
        try:
            use()
            told.append("")
        except lake.LakeError as error:
            told.append(str(error))
    with lake.open(sys.argv[1], bot_id="c") as own:
        own.write("trades", {"trade_id": "own", "symbol": "BTCUSDT"})
    lk.close()
    print(json.dumps(told), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
marks = sum(1 for _ in lk.location.list("_lake/running"))
lk.write("trades", {"trade_id": "after", "symbol": "BTCUSDT"})
lk.drain()
found = lk.frame("SELECT trade_id FROM trades ORDER BY 1")["trade_id"].to_list()
print(json.dumps({"marks": marks, "found": found, "ok": lk.verify().ok}))
lk.close()
"""


def test_a_forked_child_is_told_and_its_parent_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "lake")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told, after = map(json.loads, done.stdout.splitlines())
    assert ["the lake was opened before this process was forked" in text for text in told[:5]] == [True] * 5
    assert "multiprocessing.get_context('spawn')" in told[0]
    assert "bot id 'b' is in use by process" in told[5]
    assert after == {"marks": 1, "found": ["after", "before", "own"], "ok": True}


HOLDER = """
import os, sys, time, warnings
import lake
from lake.store.drain import sole_drainer

warnings.simplefilter("ignore", DeprecationWarning)
lk = lake.open(sys.argv[1], bot_id="b")
lk.write("trades", {"trade_id": "t", "symbol": "BTCUSDT"})
log = lk.writer.hot().log
with log.turn.held(), sole_drainer(log.claim.folder, log.writer):
    child = os.fork()
    if not child:
        time.sleep(120)
    elif sys.argv[2] == "killed":
        print(child, flush=True)
        time.sleep(120)
lk.drain()
lk.patch("trades", "t", {"strategy": "x"})
print(child, flush=True)
time.sleep(120)
"""


@pytest.mark.parametrize("parent_is", ["alive", "killed"])
def test_a_child_that_lives_on_keeps_no_lock_that_its_parent_had(tmp_path: Path, parent_is: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lake"), parent_is], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        with lake.open(tmp_path / "lake", bot_id="b") as lk:
            lk.patch("trades", "t", {"strategy": "y"})
            lk.drain()
            assert lk.read("trades")["strategy"].to_list() == ["y"]
    finally:
        os.kill(child, signal.SIGKILL)
