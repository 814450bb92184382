"""What is resolved, as policies count it: what a model's training did not hold, and what the live model scored."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from lake.errors import CorruptLakeError, QueryError, UnknownVersionError
from lake.kernels.overlaps import Spans, spans
from lake.learn.cutoff import COLUMN as INSIDE
from lake.learn.cutoff import Cutoffs, flagged
from lake.learn.datasets.pinned import Pinned
from lake.query.engine import Engine
from lake.spec.times import from_micros, to_micros
from lake.store.store import Store

SOURCES = ("phantoms", "decisions", "predictions", "trades")
_OUTCOMES = importlib.resources.files("lake.learn.models").joinpath("outcomes.sql").read_text(encoding="utf-8")
Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Scored:
    """Resolved rows that a live model scored, oldest first.

    Attributes:
        rows: of them, in the columns of ``outcomes.sql``.
        unnamed: how many do not say which model scored them: they are of a symbol and regime that it serves, and were
            decided since it is live.
        others: versions of other names that are live too, and may have scored these.
    """

    rows: pl.DataFrame
    unnamed: int
    others: tuple[str, ...]

    @property
    def trouble(self) -> str:
        """What is wrong with all their scores: those of phantoms are 0-100, and these were recorded as 0-1."""
        if self.rows.is_empty() or (self.rows["source"] != "phantoms").any() or self.rows["score"].max() > 0.01:  # type: ignore[operator]
            return ""
        return (
            f"all {self.rows.height} phantoms have an ml_score of at most 1, which is 0-100: record ml_score of what"
            " predict() gives, not its probability"
        )

    @property
    def lives(self) -> Spans:
        """When each was decided, and over."""
        return lives_of(self.rows)


class Outcomes:
    """Resolved rows of a lake.

    Args:
        engine: answers queries on it as it is.
        store: of it, for how it was.
    """

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def resolved(self, row: Row | None, source: str | None) -> pl.DataFrame:
        """What is counted for a model: of its source, and of the symbols, regime and kinds that it learns from.

        Args:
            row: of the model in the registry; None for one that there is not yet.
            source: what to count, when not the source of its data set.
        """
        return _resolved(self._engine, row, source)

    def unseen(self, row: Row, source: str | None) -> tuple[int, str]:
        """How many resolved rows a model's training did not hold, and by what that is told: data set, or time.

        By the data set's manifest: what was not resolved in the versions of the lake that it pins, however long ago it
        was decided or over. By time, where there is no manifest or the lake no longer holds these versions: what was
        over after the last of its labels, or recorded after it was trained.
        """
        rows = self.resolved(row, source)
        manifest = _manifest(row)
        if manifest.get("lake"):
            pinned = Pinned(self._store, manifest["lake"])
            try:
                then = _resolved(pinned.engine, row, source)
            except (FileNotFoundError, CorruptLakeError, UnknownVersionError, QueryError):
                then = None
            finally:
                pinned.close()
            if then is not None:
                return rows.join(_until(then, manifest), on="id", how="anti").height, "data set"
        until, since = row["trained_until"] or row["created_at"], row["created_at"]
        return rows.filter((pl.col("resolved_at") > until) | (pl.col("known_at") > since)).height, "time"

    def scored(self, live: Row, all_live: pl.DataFrame, source: str | None) -> Scored:
        """The rows that a live model scored: that name its version; of phantoms that name none, those that it serves.

        Args:
            live: its row in the registry.
            all_live: the rows of all models that are live.
            source: as for :meth:`resolved`.
        """
        source = source or _source(live)
        rows = _rows(self._engine, source).filter(pl.col("score").is_between(0, 1))
        named = rows.filter(pl.col("model_version") == live["version"])
        since = live["promoted_at"] or live["created_at"]
        unnamed = _wanted(rows, live).filter(
            pl.col("model_version").is_null() & (pl.col("decided_at") >= since) & (pl.col("source") == "phantoms")
        )
        unnamed = _served(unnamed, live, all_live.filter(pl.col("name") == live["name"]))
        others = all_live.filter(pl.col("name") != live["name"])["version"].to_list() if unnamed.height else []
        found = pl.concat([named, unnamed]).sort("resolved_at", "decided_at", "id")
        return Scored(found, unnamed.height, tuple(others))


def lives_of(rows: pl.DataFrame) -> Spans:
    """When rows were decided, and over."""
    return spans(*(rows[name].dt.epoch("us").to_numpy() for name in ("decided_at", "resolved_at")))


def _rows(engine: Engine, source: str) -> pl.DataFrame:
    """Oldest first."""
    return engine.frame(f"SELECT * FROM ({_OUTCOMES}) WHERE source = ? ORDER BY resolved_at, decided_at, id", [source])


def _resolved(engine: Engine, row: Row | None, source: str | None) -> pl.DataFrame:
    rows = _rows(engine, source or _source(row))
    rows = _wanted(rows, row)
    for column in ("symbol", "regime"):
        if row is not None and row[column]:
            rows = rows.filter(pl.col(column) == row[column])
    return rows


def _wanted(rows: pl.DataFrame, row: Row | None) -> pl.DataFrame:
    """Rows of the kinds that its data set asks for."""
    request = _manifest(row).get("request") or {}
    if request.get("symbols"):
        rows = rows.filter(pl.col("symbol").is_in(request["symbols"]))
    if request.get("start"):
        rows = rows.filter(pl.col("decided_at") >= from_micros(to_micros(request["start"])))
    if request.get("neutral") == "left_out":
        rows = rows.filter(~pl.col("is_neutral"))
    if request.get("cutoffs") and not request.get("keep_inside"):
        told = flagged(rows, Cutoffs(request["cutoffs"]), time="decided_at")
        rows = told.filter(~pl.col(INSIDE).fill_null(value=False)).drop(INSIDE)
    if not request.get("ambiguous"):
        rows = rows.filter(~pl.col("is_ambiguous"))
    return rows


def _until(rows: pl.DataFrame, manifest: Row) -> pl.DataFrame:
    """Those that a data set with an end could hold."""
    end = (manifest.get("request") or {}).get("end")
    if not end:
        return rows
    moment = from_micros(to_micros(end))
    return rows.filter((pl.col("decided_at") < moment) & (pl.col("known_at") < moment))


def _served(rows: pl.DataFrame, live: Row, variants: pl.DataFrame) -> pl.DataFrame:
    """Those for which no live version of the name is nearer: for symbol and regime, the symbol, the regime, all."""
    held = {(symbol or "", regime or "") for symbol, regime in variants.select("symbol", "regime").iter_rows()}
    mine = (live["symbol"] or "", live["regime"] or "")
    pairs = rows.select("symbol", "regime").unique()
    keep = []
    for symbol, regime in pairs.iter_rows():
        tries = ((symbol or "", regime or ""), (symbol or "", ""), ("", regime or ""), ("", ""))
        keep.append(next((each for each in tries if each in held), None) == mine)
    return rows.join(
        pairs.filter(pl.Series(keep, dtype=pl.Boolean)), on=["symbol", "regime"], how="semi", nulls_equal=True
    )


def _source(row: Row | None) -> str:
    told = _manifest(row).get("source")
    return "phantoms" if told not in SOURCES else str(told)


def _manifest(row: Row | None) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(row["dataset_manifest"] or "{}") if row is not None else {}
    return found
