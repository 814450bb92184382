"""The table: on the terminal, in ``results/*.json``, and between the markers of README.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.base import Result

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE / "README.md"
BEGIN, END = "<!-- results: python -m benchmarks --update-readme -->", "<!-- /results -->"
_PACKAGES = ("deltalake", "duckdb", "polars", "pyarrow", "pandas", "arcticdb")
_HEAD = ("benchmark", "work", "must reach", "measured", "compared", "ratio", "met")


def machine() -> dict[str, Any]:
    """On what the numbers were measured."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def save(results: Sequence[Result], begun: datetime, about: Mapping[str, Any]) -> Path:
    """One run as JSON; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{begun:%Y-%m-%dT%H%M%S}.json"
    run = {"at": begun.isoformat(timespec="seconds"), **about, "results": [asdict(r) for r in results]}
    path.write_text(json.dumps(run, indent=1), encoding="utf-8")
    return path


def table(results: Iterable[Result]) -> str:
    """The results as a Markdown table."""
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    for result in results:
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        met = {True: "yes", False: "**no**", None: "not measured"}[result.met]
        cells = (result.name, result.work, result.target, result.measured, result.compared, ratio, met)
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def update_readme(order: Sequence[str]) -> None:
    """Put the newest full-size result of each benchmark into README.md."""
    newest: dict[tuple[str, float], tuple[Result, dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        run = json.loads(path.read_text(encoding="utf-8"))
        longer = run.get("sync_ms", 0.0)
        if run["scale"] == 1:
            newest.update({(r["name"], longer): (_on_disk(Result(**r), longer), run) for r in run["results"]})
    shown = [newest[key] for key in sorted(newest, key=lambda key: (order.index(key[0]), key[1]))]
    if not shown:
        return
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    made = "\n\n".join([_about([run for _, run in shown]), table(result for result, _ in shown)])
    README.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


def _on_disk(result: Result, longer: float) -> Result:
    return replace(result, name=f"{result.name}, each sync {longer:g} ms longer") if longer else result


def _about(runs: Sequence[Mapping[str, Any]]) -> str:
    last = max(runs, key=lambda run: str(run["at"]))
    packages = ", ".join(f"{name} {number}" for name, number in last["packages"].items())
    days = sorted({str(run["at"])[:10] for run in runs})
    loads = [float(run["load"]) for run in runs]
    load = f"{min(loads):g}" if min(loads) == max(loads) else f"{min(loads):g} to {max(loads):g}"
    return (
        f"Measured {' and '.join(days)} on {last['cpus']} cores ({last['system']}), load average {load} before;\n"
        f"Python {last['python']}, {packages}."
    )


def now() -> datetime:
    """The moment, for a run's name."""
    return datetime.now(UTC)
