"""When to train again, and when to stop trusting the live model."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from lake.clock import now_micros
from lake.errors import UsageError
from lake.kernels.chance import ece_p_value
from lake.kernels.scores import brier, ece, wilson
from lake.learn.models.recipe import COLD_START
from lake.query.engine import Engine
from lake.spec.times import from_micros

SOURCES = ("phantoms", "decisions", "predictions", "trades")
_OUTCOMES = importlib.resources.files("lake.learn.models").joinpath("outcomes.sql").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Policy:
    """When a model is trained again.

    Attributes:
        cold_start: resolved rows before a first model.
        every: new resolved rows since the last training.
        days: age of the last training, if anything new is resolved.
        recent: newest resolved rows with the live model's score that are looked at for drift and by the guard.
        least: with fewer of them there is no drift, and no halt.
        ece: calibration error that counts as drift, if chance alone would hardly give it.
        brier: rise of the Brier score over that of the test blocks that counts as drift.
        chance: how often a calibrated model may be taken for a drifted one.
        floor: win rate below which the guard halts, once its Wilson interval lies below it.
        source: what is counted: phantoms, decisions, predictions or trades; that of the data set when None.

    Raises:
        UsageError: a number out of range.
    """

    cold_start: int = COLD_START
    every: int = 50
    days: float = 7.0
    recent: int = 200
    least: int = 30
    ece: float = 0.1
    brier: float = 0.05
    chance: float = 0.01
    floor: float = 0.4
    source: str | None = None

    def __post_init__(self) -> None:
        for name in ("cold_start", "every", "recent", "least"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise UsageError("a whole number from 1 on", where=f"policy, {name}", value=getattr(self, name))
        for name in ("ece", "brier", "chance", "floor"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError("it lies between 0 and 1", where=f"policy, {name}", value=getattr(self, name))
        if not self.days > 0:
            raise UsageError("days above 0", where="policy, days", value=self.days)
        if self.source is not None and self.source not in SOURCES:
            raise UsageError("unknown source", where="policy", value=self.source, todo=f"It is {', '.join(SOURCES)}.")


@dataclass(frozen=True)
class RetrainInfo:
    """Whether a model is to be trained again, and why.

    Attributes:
        name: of the model.
        due: whether it is.
        reasons: why; or why not.
        trigger: first, count, age or drift; empty when it is not due.
        resolved: rows that are resolved, of what is counted.
        new: those that were over after the last training's rows, or known after it.
        version: the newest version, live or not; None when there is none.
        live: the live version; None when none is.
        since: when the newest version was made.
        trained_until: when the last of its labels was over.
        calibration: of the live model's newest scores: n, ece, ece_p, brier, brier_before.
    """

    name: str
    due: bool
    reasons: tuple[str, ...]
    trigger: str
    resolved: int
    new: int
    version: str | None
    live: str | None
    since: datetime | None
    trained_until: datetime | None
    calibration: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Guard:
    """Whether the live model may be traded on.

    Attributes:
        name, version: of the live model.
        allowed: False when its win rate lies below the floor with its whole interval.
        reason: in words.
        n, wins: resolved rows to which it said yes.
        win_rate, low, high: with Wilson's interval of 95 %; None without rows.
        floor: of the win rate.
    """

    name: str
    version: str
    allowed: bool
    reason: str
    n: int
    wins: int
    win_rate: float | None
    low: float | None
    high: float | None
    floor: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def retrain_info(
    engine: Engine, name: str, newest: Mapping[str, Any] | None, live: Mapping[str, Any] | None, policy: Policy
) -> RetrainInfo:
    """What the policy says of a model.

    Args:
        engine: answers queries.
        name: of the model.
        newest, live: its rows in the registry; None when there is none.
        policy: when to train again.
    """
    rows = _resolved(engine, newest or live, policy)
    if newest is None:
        due = rows.height >= policy.cold_start
        said = f"{rows.height} of {policy.cold_start} resolved rows"
        reason = f"there is no model yet, and {said}" if due else f"cold start: {said}"
        return RetrainInfo(
            name, due, (reason,), "first" if due else "", rows.height, rows.height, None, None, None, None
        )
    until, since = newest["trained_until"] or newest["created_at"], newest["created_at"]
    new = rows.filter((pl.col("resolved_at") > until) | (pl.col("known_at") > since)).height
    calibration = {} if live is None else _calibration(_scored(rows, live, policy), live, policy)
    reasons: dict[str, str] = {}
    if new >= policy.every:
        reasons["count"] = f"{new} new resolved rows, {policy.every} are enough"
    age = from_micros(now_micros()) - since
    if new and age >= timedelta(days=policy.days):
        reasons["age"] = f"it was trained {age / timedelta(days=1):.1f} days ago, {policy.days:g} is the limit"
    if calibration.get("drift") and new:
        reasons["drift"] = calibration["drift"]
    told = tuple(reasons.values()) or (f"{new} of {policy.every} new resolved rows",)
    live_version = None if live is None else live["version"]
    return RetrainInfo(
        name, bool(reasons), told, next(iter(reasons), ""), rows.height, new, newest["version"], live_version, since,
        until, calibration,
    )  # fmt: skip


def guard(engine: Engine, live: Mapping[str, Any], policy: Policy) -> Guard:
    """Whether the live model's newest scores still win: the rows to which it said yes that won or lost."""
    rows = _resolved(engine, live, policy).filter(~pl.col("is_neutral"))
    scored = _scored(rows, live, policy, yes=True)
    n, wins = scored.height, int(scored["hit"].sum() or 0)
    low, high = (None, None) if not n else (float(bound) for bound in wilson(wins, n))
    halted = n >= policy.least and high is not None and high < policy.floor
    if halted:
        reason = f"{wins} of {n} won: even the upper bound {high:.3f} is below {policy.floor:g}"
    elif n < policy.least:
        reason = f"{n} resolved rows are too few to judge, {policy.least} are needed"
    else:
        reason = f"{wins} of {n} won: nothing shows that fewer than {policy.floor:g} win"
    rate = wins / n if n else None
    return Guard(live["name"], live["version"], not halted, reason, n, wins, rate, low, high, policy.floor)


def _resolved(engine: Engine, row: Mapping[str, Any] | None, policy: Policy) -> pl.DataFrame:
    """Resolved rows of what is counted for a model, oldest first."""
    manifest = orjson.loads(row["dataset_manifest"] or "{}") if row is not None else {}
    told = manifest.get("source")
    source = policy.source or ("phantoms" if told not in SOURCES else told)
    rows = engine.frame(f"SELECT * FROM ({_OUTCOMES}) WHERE source = ? ORDER BY resolved_at, decided_at, id", [source])
    request = manifest.get("request") or {}
    if request.get("symbols"):
        rows = rows.filter(pl.col("symbol").is_in(request["symbols"]))
    if request.get("neutral") == "left_out":
        rows = rows.filter(~pl.col("is_neutral"))
    if not request.get("ambiguous"):
        rows = rows.filter(~pl.col("is_ambiguous"))
    for column in ("symbol", "regime"):
        if row is not None and row[column]:
            rows = rows.filter(pl.col(column) == row[column])
    return rows


def _scored(rows: pl.DataFrame, live: Mapping[str, Any], policy: Policy, *, yes: bool = False) -> pl.DataFrame:
    """The newest rows with the live model's score: named by them or, of phantoms, made since it is live."""
    since = live["promoted_at"] or live["created_at"]
    unnamed = (pl.col("source") == "phantoms") & (pl.col("decided_at") >= since)
    mine = rows.filter(
        pl.col("score").is_between(0, 1)
        & ((pl.col("model_version") == live["version"]) | unnamed).fill_null(value=False)
    )
    if yes and live["threshold"] is not None:
        mine = mine.filter(pl.col("score") >= live["threshold"])
    return mine.tail(policy.recent)


def _calibration(scored: pl.DataFrame, live: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    n = scored.height
    if n < policy.least:
        return {"n": n}
    p, y = scored["score"].to_numpy(), scored["hit"].cast(pl.Float64).to_numpy()
    overall = (orjson.loads(live["metrics"] or "{}")).get("overall") or {}
    found: dict[str, Any] = {
        "n": n, "ece": ece(p, y), "ece_p": ece_p_value(p, y), "brier": brier(p, y), "brier_before": overall.get("brier")
    }  # fmt: skip
    troubles = []
    if found["ece"] > policy.ece and found["ece_p"] < policy.chance:
        troubles.append(f"calibration error {found['ece']:.3f} over the last {n}, {policy.ece:g} is the limit")
    before = found["brier_before"]
    if before is not None and found["brier"] > before + policy.brier:
        troubles.append(f"Brier score {found['brier']:.3f} over the last {n}, {before:.3f} on the test blocks")
    return {**found, "drift": "; ".join(troubles)}
