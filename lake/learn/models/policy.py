"""When to train again, and when to stop trusting the live model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from lake.clock import now_micros
from lake.errors import UsageError
from lake.kernels import overlaps
from lake.kernels.chance import Lots, ece_p_value
from lake.kernels.intervals import Resampling, mean
from lake.kernels.scores import brier, ece
from lake.learn.models.outcomes import SOURCES, Outcomes, Scored, lives_of
from lake.learn.models.recipe import COLD_START, is_number
from lake.spec.times import from_micros


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
        brier: rise of the Brier score over that of the test blocks that counts as drift, if chance alone would hardly
            give it.
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
            if not is_number(getattr(self, name)) or not 0 < getattr(self, name) < 1:
                raise UsageError(
                    "a number between 0 and 1", where=f"policy, {name}", value=getattr(self, name), todo="Such as 0.1."
                )
        if not is_number(self.days) or not self.days > 0:
            raise UsageError("days above 0", where="policy, days", value=self.days, todo="Such as 7.")
        if self.source is not None and self.source not in SOURCES:
            raise UsageError("unknown source", where="policy", value=self.source, todo=f"It is {', '.join(SOURCES)}.")


def checked_policy(policy: Any) -> Policy:
    """The policy.

    Raises:
        UsageError: it is something else, such as a dict.
    """
    if isinstance(policy, Policy):
        return policy
    raise UsageError(
        "a policy is a Policy", where="models", value=policy,
        todo="Such as Policy(every=50, days=7), with Policy from lake.learn.models.policy.",
    )  # fmt: skip


@dataclass(frozen=True)
class RetrainInfo:
    """Whether a model is to be trained again, and why.

    Attributes:
        name: of the model.
        due: whether it is.
        reasons: why; or why not.
        trigger: first, count, age or drift; empty when it is not due.
        resolved: rows that are resolved, of what is counted.
        new: those that the last training did not hold.
        version: the newest version, live or not; None when there is none.
        live: the live version; None when none is.
        since: when the newest version was made.
        trained_until: when the last of its labels was over.
        calibration: of the live model's newest scores: n, unnamed (rows that do not name the model that scored them),
            ece, ece_p, brier, brier_before; trouble, where the scores cannot be read.
        told_by: by what it is told which rows are new: "data set" by its manifest, "time" for a model without one.
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
    told_by: str = "data set"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Guard:
    """Whether the live model may be traded on.

    Attributes:
        name, version: of the live model.
        allowed: False when its win rate lies below the floor with its whole interval, or the scores of all rows are
            in another unit, so that nothing can be told.
        reason: in words.
        n, wins: resolved rows to which it said yes.
        win_rate, low, high: with Wilson's interval of 95 %, by blocks of time where rows overlap; None without rows.
        floor: of the win rate.
        unnamed: those of the n that do not say which model scored them.
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
    unnamed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def retrain_info(
    outcomes: Outcomes, name: str, newest: Mapping[str, Any] | None, live: Mapping[str, Any] | None,
    all_live: pl.DataFrame, policy: Policy,
) -> RetrainInfo:  # fmt: skip
    """What the policy says of a model.

    Args:
        outcomes: what is resolved.
        name: of the model.
        newest, live: its rows in the registry; None when there is none.
        all_live: the rows of all models that are live.
        policy: when to train again.
    """
    rows = outcomes.resolved(newest, policy.source).height
    if newest is None:
        due = rows >= policy.cold_start
        said = f"{rows} of {policy.cold_start} resolved rows"
        reason = f"there is no model yet, and {said}" if due else f"cold start: {said}"
        return RetrainInfo(name, due, (reason,), "first" if due else "", rows, rows, None, None, None, None)
    new, told_by = outcomes.unseen(newest, policy.source)
    since = newest["created_at"]
    calibration = {} if live is None else _calibration(outcomes.scored(live, all_live, policy.source), live, policy)
    reasons: dict[str, str] = {}
    if new >= policy.every:
        reasons["count"] = f"{new} new resolved rows, {policy.every} are enough"
    age = from_micros(now_micros()) - since
    if new and age >= timedelta(days=policy.days):
        reasons["age"] = f"it was trained {age / timedelta(days=1):.1f} days ago, {policy.days:g} is the limit"
    if calibration.get("drift") and new:
        reasons["drift"] = calibration["drift"]
    told = tuple(reasons.values()) or (f"{new} of {policy.every} new resolved rows",)
    told = (*told, *([calibration["trouble"]] if "trouble" in calibration else []))
    until, live_version = newest["trained_until"] or since, None if live is None else live["version"]
    return RetrainInfo(
        name, bool(reasons), told, next(iter(reasons), ""), rows, new, newest["version"], live_version, since, until,
        calibration, told_by,
    )  # fmt: skip


def guard(outcomes: Outcomes, live: Mapping[str, Any], all_live: pl.DataFrame, policy: Policy) -> Guard:
    """Whether the live model's newest scores still win: the rows to which it said yes that won or lost."""
    scored = outcomes.scored(live, all_live, policy.source)
    trouble = scored.trouble if scored.rows.height >= policy.least else ""
    rows = scored.rows.filter(~pl.col("is_neutral"))
    if live["threshold"] is not None:
        rows = rows.filter(pl.col("score") >= live["threshold"])
    rows = rows.tail(policy.recent)
    n, wins, unnamed = rows.height, int(rows["hit"].sum() or 0), int(rows["model_version"].is_null().sum())
    low, high = overlaps.rate_of(rows["hit"].cast(pl.Float64).to_numpy(), lives_of(rows)) if n else (None, None)
    halted = bool(trouble) or (n >= policy.least and high is not None and high < policy.floor)
    if trouble:
        reason = f"it cannot be told: {trouble}"
    elif halted:
        reason = f"{wins} of {n} won: even the upper bound {high:.3f} is below {policy.floor:g}"
    elif n < policy.least:
        reason = f"{n} resolved rows are too few to judge, {policy.least} are needed"
    else:
        reason = f"{wins} of {n} won: nothing shows that fewer than {policy.floor:g} win"
    if unnamed:
        reason += f"; {unnamed} of them do not name the model that scored them"
        reason += f", and others are live, too: {', '.join(scored.others)}" if scored.others else ""
    rate = wins / n if n else None
    return Guard(live["name"], live["version"], not halted, reason, n, wins, rate, low, high, policy.floor, unnamed)


def _calibration(scored: Scored, live: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    rows = scored.rows.tail(policy.recent)
    n = rows.height
    told = {"n": n, "unnamed": int(rows["model_version"].is_null().sum())}
    if n < policy.least:
        return told
    if scored.trouble:
        return {**told, "trouble": scored.trouble}
    p, y, lives = rows["score"].to_numpy(), rows["hit"].cast(pl.Float64).to_numpy(), lives_of(rows)
    overall = (orjson.loads(live["metrics"] or "{}")).get("overall") or {}
    found: dict[str, Any] = {
        **told, "ece": ece(p, y), "ece_p": ece_p_value(p, y, lots=Lots(lives=lives)), "brier": brier(p, y),
        "brier_before": overall.get("brier"),
    }  # fmt: skip
    troubles = []
    if found["ece"] > policy.ece and found["ece_p"] < policy.chance:
        troubles.append(f"calibration error {found['ece']:.3f} over the last {n}, {policy.ece:g} is the limit")
    before = found["brier_before"]
    if before is not None and found["brier"] > before + policy.brier:
        least = mean((p - y) ** 2, Resampling(1000, max(1 - 2 * policy.chance, 0.01)), lives).low
        if least <= before:  # nan, where all rows came out alike, is not
            return {**found, "drift": "; ".join(troubles)}
        troubles.append(f"Brier score {found['brier']:.3f} over the last {n}, {before:.3f} on the test blocks")
    return {**found, "drift": "; ".join(troubles)}
