"""The rows of a data set: what was decided, with outcomes that were known by the end asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import polars as pl

from lake.errors import UnknownRowError, UsageError
from lake.learn.cutoff import COLUMN as INSIDE
from lake.learn.cutoff import Cutoffs, flagged
from lake.learn.datasets.request import Request
from lake.query.engine import Engine
from lake.spec.times import from_micros

#: Which row it is; none of these is an input.
IDENTITY = ("id", "kind", "bot_id", "venue", "symbol", "timeframe", "strategy", "side", "decision_time")
LEVELS = ("entry_price", "stop_loss", "tp1", "tp2", "tp3", "timeout_at")
LABELS = ("label_outcome", "label_win", "label_pnl_percent", "label_rr", "label_time")
#: Single values that were recorded with a row, among them the bot's own score or confidence.
RECORDED = "recorded."
#: JSON that was recorded with a row.
DOCUMENTS = {"phantoms": "features", "decisions": "market_snapshot", "signals": "indicators"}
#: What the manifest tells of rows that are there, each a column of True and False.
NOTES = "note."
#: Outcomes that are neither won nor lost.
NEUTRAL = ("breakeven", "timeout")
#: Of rows that are kept though their model may remember what came after them.
FLAG_INSIDE = f"flag_{INSIDE}"
#: The tables that a source reads.
TABLES = {
    "phantoms": ("phantoms", "model_versions"),
    "decisions": ("decisions", "trades"),
    "predictions": ("predictions",),
    "signals": ("signals", "phantoms", "trades"),
}


@dataclass(frozen=True)
class Rows:
    """Rows of one source in order of decision_time and id, and how many were left out.

    Attributes:
        frame: :data:`IDENTITY`, ``recorded.*``, the JSON of :data:`DOCUMENTS`, :data:`LEVELS`, :data:`LABELS`,
            ``note.*``; :data:`FLAG_INSIDE` where the request keeps such rows.
        excluded: reason -> rows.
    """

    frame: pl.DataFrame
    excluded: dict[str, int]

    @property
    def notes(self) -> dict[str, int]:
        """What is to be told of rows that are there -> how many of them, where there are such."""
        told = {n.removeprefix(NOTES): int(self.frame[n].sum()) for n in self.frame.columns if n.startswith(NOTES)}
        return {name: count for name, count in told.items() if count}


def read_rows(engine: Engine, request: Request) -> Rows:
    """The rows asked for.

    Raises:
        UsageError: there is none; the message says why rows were left out.
    """
    conditions = ["decision_time IS NOT NULL"]
    values: list[Any] = []
    for bound, sign in (("start", ">="), ("end", "<")):
        if (micros := getattr(request, bound)) is not None:
            conditions.append(f"decision_time {sign} ?")
            values.append(from_micros(micros))
    if request.symbols is not None:
        conditions.append(f"symbol IN ({', '.join('?' * len(request.symbols))})")
        values += list(request.symbols)
    sql = f"SELECT * FROM ({statement(request.source)}) AS rows WHERE {' AND '.join(conditions)}"
    return known(engine.frame(sql, values), request)


def known(found: pl.DataFrame, request: Request) -> Rows:
    """Of all rows found, those with an outcome known by the end."""
    reason = pl.col("reason")
    if request.labels == "candles":  # these need no recorded outcome
        reason = pl.when(reason == "hold").then(reason)
    elif request.ambiguous:
        reason = pl.when(reason != "ambiguous").then(reason)
    if request.labels == "recorded" and request.end is not None:
        later = reason.is_null() & (pl.col("label_known_at") > from_micros(request.end))
        reason = pl.when(later).then(pl.lit("known_later")).otherwise(reason)
    found = guarded(found.with_columns(reason.alias("reason")), request)
    counted = found.filter(pl.col("reason").is_not_null())["reason"].value_counts()
    excluded = {str(name): int(count) for name, count in sorted(counted.iter_rows())}
    kept = found.filter(pl.col("reason").is_null()).drop("reason", "label_known_at")
    return Rows(_typed(kept, request).sort("decision_time", "id"), excluded)


def guarded(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    """The rows, with a reason to leave out what their model may remember, or flagged where the request keeps that."""
    if request.cutoffs is None:
        return rows
    told = flagged(rows, Cutoffs(request.cutoffs), time="decision_time")
    inside = pl.col(INSIDE).fill_null(value=False)
    unknown = pl.col("model_version").is_not_null() & pl.col(INSIDE).is_null()
    notes = [unknown.alias(f"{NOTES}unknown_cutoff")]
    if request.keep_inside:
        return told.with_columns(*notes, inside.alias(f"{NOTES}{INSIDE}"), inside.alias(FLAG_INSIDE)).drop(INSIDE)
    reason = pl.when(pl.col("reason").is_null() & inside).then(pl.lit(INSIDE)).otherwise("reason")
    return told.with_columns(*notes, reason.alias("reason")).drop(INSIDE)


def rows_of(engine: Engine, request: Request, ids: Sequence[str]) -> pl.DataFrame:
    """The rows of these ids, with an outcome or without one yet, in the order of the ids.

    Raises:
        UnknownRowError: the source has no such row, or it does not say when it was decided.
    """
    marks = ", ".join("?" * len(ids))
    sql = f"SELECT * FROM ({statement(request.source)}) AS rows WHERE decision_time IS NOT NULL AND id IN ({marks})"
    found = _typed(engine.frame(sql, list(ids)), request)
    if missing := sorted(set(ids) - set(found["id"].to_list())):
        raise UnknownRowError(
            f"there are no such {request.source}, or they do not say when they were decided", value=missing[:10],
            todo=f"Record them with lk.{request.source} before.",
        )  # fmt: skip
    return pl.DataFrame({"id": ids}).join(found, on="id", how="left", maintain_order="left")


def must_have_rows(rows: Rows, request: Request) -> None:
    """A data set without rows is refused.

    Raises:
        UsageError: there are no rows; it says how many were left out, and why.
    """
    if rows.frame.height:
        return
    why = ", ".join(f"{count:,} {reason}" for reason, count in rows.excluded.items())
    raise UsageError(
        f"no {request.source} with a known outcome are there",
        where=f"data set {request.name}",
        value=f"left out: {why}" if why else None,
        todo="Check start, end and symbols; outcomes are known after `lake label`."
        if why
        else "Check start, end and symbols: none was decided then.",
    )


def with_win(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    """With label_win: true for a win, false for what is not won, null for what the request leaves out."""
    outcome = pl.col("label_outcome")
    not_won = ["loss", *(NEUTRAL if request.neutral == "not_won" else ())]
    win = pl.when(outcome == "win").then(pl.lit(value=True)).when(outcome.is_in(not_won)).then(pl.lit(value=False))
    return rows.with_columns(win.alias("label_win"))


@cache
def statement(source: str) -> str:
    """The SQL of a source."""
    return (resources.files("lake.learn.datasets") / f"source_{source}.sql").read_text(encoding="utf-8")


def _typed(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    moments = [n for n, t in rows.schema.items() if isinstance(t, pl.Datetime)]
    rows = rows.with_columns(pl.col(moments).cast(pl.Datetime("us", "UTC")), pl.col("venue", "symbol").fill_null(""))
    return with_win(rows, request)
