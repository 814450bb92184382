"""A progress bar on a terminal for work past a second; nothing when piped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lake.cli.late_lake import LateLake
from lake.lake import Lake
from lake.sources.base import Options
from lake.sources.ingest import Progress as Seen
from lake.sources.ingest import ingest
from lake.sources.report import IngestReport


def ingest_with_progress(
    lk: Lake | LateLake,
    paths: Sequence[Path],
    options: Options,
    show: bool,
    *,
    form: str | None = None,
    workers: int | None = None,
) -> IngestReport:
    """Ingest files, showing how far it is when ``show``."""
    if not show:
        return ingest(lk, paths, options, format=form, workers=workers)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("ingesting", total=None)

        def seen(so_far: Seen) -> None:
            bar.update(task, completed=so_far.files_done, total=so_far.files, description=f"{so_far.rows_in:,} rows")

        return ingest(lk, paths, options, format=form, workers=workers, progress=seen)
