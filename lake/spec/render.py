"""A dataset's specification for people: rows for ``lake describe``, and the page of the documentation."""

from __future__ import annotations

from lake.spec import registry
from lake.spec.dataset import Column, Dataset, Period


def describe(ds: Dataset) -> list[dict[str, object]]:
    """One row per column: name, type, unit, key, required, meaning."""
    return [
        {
            "column": c.name,
            "type": c.type.value,
            "unit": c.unit,
            "key": c.name in ds.key,
            "required": c.required,
            "meaning": _meaning(c),
        }
        for c in ds.columns
    ]


def markdown() -> str:
    """The documentation page of all datasets."""
    parts = ["# Datasets", "", "Made from the specifications in `lake/spec/datasets` by `make docs`; do not edit.", ""]
    for ds in registry.all_datasets():
        parts += _section(ds)
    return "\n".join(parts)


def _section(ds: Dataset) -> list[str]:
    facts = [
        f"- key: {', '.join(f'`{k}`' for k in ds.key)}",
        f"- event time: `{ds.event_time}`; known at: `{_known_at(ds)}`",
        f"- partitions: {_partition(ds)}",
    ]
    if ds.open_when:
        conditions = " and ".join(
            f"`{n}` is {' or '.join(str(v) for v in values)}" for n, values in ds.open_when.items()
        )
        facts.append(f"- a row stays at hand in the hot log while {conditions}".replace("None", "empty"))
    if ds.retention_days:
        facts.append(f"- kept for {ds.retention_days} days where retention is on")
    if ds.ends_at is not None:
        facts.append(f"- for retention its age counts from `{ds.ends_at}` where that is known and later")
    if ds.kept_by:
        names = ", ".join(f"`{link.dataset}.{link.column}`" for link in ds.kept_by)
        facts.append(f"- kept by retention while an open row names it: {names}")
    if ds.goes_with is not None:
        owner = f"`{ds.goes_with.dataset}.{ds.goes_with.column}`"
        facts.append(f"- where its `{ds.goes_with.own}` names a row of {owner}, retention removes it with that one")
    if ds.in_use_when:
        conditions = " and ".join(f"`{n}` is {' or '.join(map(str, values))}" for n, values in ds.in_use_when.items())
        facts.append(f"- kept by retention while {conditions}")
    if ds.newest_of is not None:
        facts.append(f"- retention keeps the newest row of each `{ds.newest_of}`")
    if ds.inputs is not None:
        names = ", ".join(f"`{name}`" for name in ds.inputs.columns)
        facts.append(f"- inputs, kept as they were at the decision in the view `{ds.name}_as_decided`: {names}")
    table = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    table += [
        f"| `{c.name}`{' *' if c.required else ''} | {c.type.value} | {c.unit} | {_meaning(c)} |" for c in ds.columns
    ]
    return [
        f"## {ds.name}",
        "",
        f"{ds.meaning[0].upper()}{ds.meaning[1:]}.",
        "",
        *facts,
        "",
        *table,
        "",
        "\\* required",
        "",
    ]


def _known_at(ds: Dataset) -> str:
    return ds.known_at if len(ds.known_at) < 80 else "open_time + length of the timeframe"


def _partition(ds: Dataset) -> str:
    if ds.partition.period is Period.NONE:
        return "none"
    if ds.partition.period is Period.BY_TIMEFRAME:
        return "`timeframe`, then month (up to 15m) or year of `open_time`"
    return f"{ds.partition.period.value} of `{ds.partition.time}`"


def _meaning(column: Column) -> str:
    bounds = "" if not column.choices else f" ({', '.join(column.choices)})"
    return f"{column.meaning}{bounds}"
