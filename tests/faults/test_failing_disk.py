"""System calls that fail: what is acknowledged is there all the same, and the error is one of the lake's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lake
from tests.faults.victims import PROJECT
from tests.helpers import closes, trade_ids

SCRIPT = """
import json, sys
import lake
from tests.helpers import trade, write_candles

said = {"done": [], "refused": [], "candles": 0, "drains refused": 0, "spooled": 0}
with lake.open(sys.argv[1], bot_id="b1") as lk:
    for number in range(60):
        try:
            lk.write("trades", trade(number))
            said["done"].append(f"t{number}")
            said["spooled"] += lk.store.writer().spool.exists()
        except lake.LakeError as error:
            said["refused"].append([f"t{number}", str(error)])
        if number % 10 == 9:
            try:
                lk.drain()
            except lake.LakeError as error:
                said["drains refused"] += 1
    try:
        write_candles(lk, range(5000))
        said["candles"] = 5000
    except lake.LakeError:
        pass
print(json.dumps(said))
"""


def run_with(path: Path, *injections: str) -> dict[str, object]:
    """What the script said that wrote the lake while the system calls named failed."""
    if shutil.which("strace") is None:
        pytest.skip("failing system calls need strace")
    calls = ",".join(injection.split(":")[0] for injection in injections)
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}"]
    for injection in injections:
        command += ["-e", f"inject={injection}"]
    environment = {**os.environ, "LAKE_BUSY_TIMEOUT_MS": "50", "LAKE_CHECKPOINT_EVERY": "2"}
    done = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT, str(path)],
        cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if "ptrace" in done.stderr.lower():
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("injections", "felt"),
    [
        (("fdatasync:error=EIO:when=20+7",), "spooled"),  # SQLite's syncs fail now and then: the spool takes over
        (("fdatasync:error=EIO:when=12+", "fsync:error=EIO:when=60+"), "refused"),  # a dead disk
        (("fsync:error=EIO:when=30+3",), "drains refused"),  # drains fail now and then
        (("link:error=EIO:when=6+4",), "drains refused"),  # commits fail now and then
    ],
    ids=["some fdatasync", "every sync from a moment on", "some fsync", "some link"],
)
def test_when_system_calls_fail_what_was_acknowledged_is_there_once(
    tmp_path: Path, injections: tuple[str, ...], felt: str
) -> None:
    said = run_with(tmp_path / "lk", *injections)
    done, refused = set(said["done"]), dict(said["refused"])  # type: ignore[call-overload]
    assert said[felt], "nothing failed"
    assert all("could take the record" in error for error in refused.values())
    with lake.open(tmp_path / "lk", bot_id="b1", create=False) as lk:
        for _ in range(2):
            found = trade_ids(lk)
            assert len(set(found)) == len(found)
            assert done <= set(found) <= done | refused.keys()
            assert len(closes(lk)) in ({5000} if said["candles"] else {0, 5000})
            lk.drain()
        assert lk.verify().findings == ()
