"""Run the benchmarks: ``python -m benchmarks [--only NAME] [--scale 0.1] [--sync-ms 1] [--update-readme]``."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import report
from benchmarks.base import Bench, Result, no_background_drains
from benchmarks.rows import ROWS
from benchmarks.slow_sync import slower_syncs


def main() -> int:
    """Run what was asked for, one benchmark at a time, each in a fresh process; 1 when one failed."""
    asked = _arguments()
    begun, about = report.now(), {**report.machine(), "scale": asked.scale, "large": asked.large}
    about["sync_ms"] = asked.sync_ms
    work = Path(asked.folder) / f"work-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        with slower_syncs(asked.sync_ms, work):
            results = [_run(name, asked, work) for name in asked.only or ROWS]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(report.table(results))
    print(f"\nkept in {report.save(results, begun, about)}")
    if asked.update_readme:
        report.update_readme(tuple(ROWS))
    return int(any(r.measured.startswith("failed") for r in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=ROWS, help="this benchmark; may be given several times")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all sizes (1)")
    parser.add_argument("--large", action="store_true", help="100 million candles instead of 10")
    parser.add_argument("--sync-ms", type=float, default=0.0, help="each sync takes so much longer, as on other disks")
    parser.add_argument("--update-readme", action="store_true", help="put the newest numbers into benchmarks/README.md")
    parser.add_argument("--folder", default=str(report.RESULTS), help="where to write: the disk that is measured")
    return parser.parse_args()


def _run(name: str, asked: argparse.Namespace, work: Path) -> Result:
    folder = work / name
    folder.mkdir()
    bench = Bench(folder, asked.scale, asked.large, _data())
    begun = time.perf_counter()
    print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=no_background_drains) as pool:
        future = pool.submit(ROWS[name], bench)
        error = future.exception()
        result = future.result() if error is None else _failed(name, error)
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{time.perf_counter() - begun:.0f} s: {result.measured}", file=sys.stderr)
    return result


def _failed(name: str, error: BaseException) -> Result:
    return Result(name, "", "", f"failed: {type(error).__name__}: {error}", met=False)


def _data() -> Path | None:
    """The folder of real files, as the tests find it."""
    given = os.environ.get("TRADELAKE_SHARED_DATA")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
