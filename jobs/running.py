"""What every job shares: the lake's address, one JSON line of log, an exit status."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

import lake

Work = Callable[[lake.Lake], Mapping[str, Any]]


def job(name: str, work: Work) -> click.Command:
    """A command that opens the lake, does the work and logs what it did."""

    @click.command(name, help=work.__doc__)
    @click.option("--lake", "uri", envvar="LAKE_URI", required=True, help="Folder or s3:// address.")
    def run(uri: str) -> None:
        try:
            with lake.open(uri, create=False) as lk:
                line = once(name, work, lk)
        except lake.LakeError as error:
            line = {"job": name, "lake": uri, "ok": False, "error": str(error)}
        log(line)
        sys.exit(0 if line["ok"] else 1)

    return run


def once(name: str, work: Work, lk: lake.Lake) -> dict[str, Any]:
    """Do the work once; the line to log tells what came of it."""
    began = time.perf_counter()
    line: dict[str, Any] = {"job": name, "lake": lk.location.uri, "ok": True}
    try:
        line.update(work(lk))
    except lake.LakeError as error:
        line.update(ok=False, error=str(error))
    line["seconds"] = round(time.perf_counter() - began, 3)
    return line


def log(line: Mapping[str, Any]) -> None:
    """One line of JSON on standard output."""
    click.echo(json.dumps(line, default=str))
