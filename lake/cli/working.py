"""A word on a terminal that work goes on, once it takes longer than a second; nothing when piped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from lake.cli.output import Output

_PATIENCE = 1.0


@contextmanager
def working(output: Output, what: str) -> Iterator[None]:
    """Show what is done and that it goes on, while the block runs."""
    if not output.interactive:
        yield
        return
    status = Console(stderr=True).status(f"{what} ...")
    later = threading.Timer(_PATIENCE, status.start)
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()
        status.stop()
