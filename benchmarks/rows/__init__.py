"""The benchmarks, one module per row of the table: each has ``run(bench)``."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.base import Bench, Result
from benchmarks.rows import (
    bulk_write,
    bytes_per_candle,
    candle_import,
    datasets,
    durable_record,
    features,
    group_commit,
    hot_rows,
    labels,
    large_ingest,
    latest_state,
    many_drains,
    phantom_frame,
    point_read,
    record_transaction,
    resample,
    splits,
    statistics_views,
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
    "import_sqlite": candle_import.sqlite,
    "import_postgres": candle_import.postgres,
    "record_transaction": record_transaction.run,
    "latest_state": latest_state.run,
    "phantom_frame": phantom_frame.run,
    "features": features.run,
    "labels": labels.run,
    "splits": splits.run,
    "dataset_build": datasets.build,
    "dataset_asof": datasets.asof,
    "dataset_audit": datasets.audit,
    "statistics_views": statistics_views.trades,
    "decision_views": statistics_views.decisions,
    "empty_views": statistics_views.empty,
}
