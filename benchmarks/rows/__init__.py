"""The benchmarks, one module per row of the table: each has ``run(bench)``."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.base import Bench, Result
from benchmarks.rows import (
    bulk_write,
    bytes_per_candle,
    durable_record,
    group_commit,
    hot_rows,
    large_ingest,
    many_drains,
    point_read,
    resample,
    write_frames,
)

ROWS: dict[str, Callable[[Bench], Result]] = {
    "durable_record": durable_record.run,
    "group_commit": group_commit.run,
    "write_frames": write_frames.run,
    "bulk_write": bulk_write.run,
    "bytes_per_candle": bytes_per_candle.run,
    "point_read": point_read.run,
    "resample": resample.run,
    "hot_rows": hot_rows.run,
    "many_drains": many_drains.run,
    "large_ingest": large_ingest.run,
}
