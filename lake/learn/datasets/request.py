"""What a data set is asked to hold: checked once, written into its manifest, read again for a rebuild."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, TypedDict

from lake.errors import UsageError
from lake.learn.cutoff import Cutoffs
from lake.spec import symbols as symbol_names
from lake.spec import timeframes
from lake.spec.times import from_micros, to_micros

SOURCES = ("phantoms", "decisions", "predictions", "signals")
LABELS = ("recorded", "candles")
NEUTRAL = ("not_won", "left_out")
#: Rows of these name the model that may remember what came after them.
REMEMBERED = ("decisions", "predictions")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Options(TypedDict, total=False):
    """Further arguments of :meth:`lake.learn.datasets.Datasets.build`; see :class:`Request`."""

    symbols: str | Iterable[str] | None
    timeframe: str | None
    recorded: bool | Mapping[str, str]
    plan: bool
    strategy: bool
    own_scores: bool
    labels: str
    fees: float
    neutral: str
    ambiguous: bool
    half_life: timedelta | None
    keep_inside: bool
    cutoffs: Mapping[str, Any] | None
    at: Any


@dataclass(frozen=True)
class Request:
    """What is wanted.

    Attributes:
        name: of the data set: letters, digits, dot, dash and underscore.
        source: phantoms, decisions, predictions or signals: what the rows are.
        features: name of the set of computed features; None for none.
        start: only rows decided at or after it, microseconds; None for no bound.
        end: only rows decided before it, with an outcome known by then; None for no bound.
        symbols: only of these; None for all.
        timeframe: of the candles that features are computed from; told by the set or the rows when None.
        recorded: whether what the bot recorded with each row becomes features too: its scores and confidence as
            ``recorded.*``, its JSON as ``features.*``, ``market_snapshot.*`` or ``indicators.*``. {name: type} chooses
            among them; values that do not fit are null then.
        plan: whether side and distances of stop and targets become features, as ``plan.*``
            (:mod:`lake.learn.datasets.planned`).
        strategy: whether the name of a row's strategy becomes a feature, ``plan.strategy``, so that one model of
            several strategies can tell them apart.
        own_scores: whether an ``ml_score`` that a model of this lake gave, named by ``model_version``, is a feature as
            one of another program is. A row has none before it is predicted, so the next model must not lean on it.
        keep_inside: whether decisions and predictions dated inside the training period of their model are kept, told
            by ``flag_inside_training_period``; left out by default, and counted (:mod:`lake.learn.cutoff`).
        cutoffs: {model version: last day of its training}; those of the settings as they are at the build when None,
            so that a rebuild does not depend on what they become. Only of decisions and predictions.
        labels: "recorded" for outcomes that were recorded, "candles" to follow each row's levels through the candles.
        fees: of "candles" labels, as a fraction of the price for each of entry and exit.
        neutral: what ``label_win`` is of breakevens and timeouts, which neither won nor lost: "not_won" for false,
            since who takes the trade gets what they made; "left_out" for null, so that models learn of wins and losses
            alone. Their result is in ``label_rr`` and ``label_pnl_percent`` either way.
        ambiguous: whether rows whose stop and target lay in one candle that nothing finer resolves are kept, as the
            losses that they are taken for; left out by default, and counted.
        half_life: of ``weight_recency``, in seconds; None for 90 days.

    Raises:
        UsageError: one of them is none of these, or end is not after start.
        InvalidTimeError: a naive time, or none.
        UnknownTimeframeError: a timeframe that the lake does not hold.
    """

    name: str
    source: str
    features: str | None = "standard"
    start: Any = None
    end: Any = None
    symbols: tuple[str, ...] | None = None
    timeframe: str | None = None
    recorded: Any = True
    labels: str = "recorded"
    fees: float = 0.0
    neutral: str = "not_won"
    ambiguous: bool = False
    half_life: float | None = None
    plan: bool = True
    strategy: bool = True
    own_scores: bool = False
    keep_inside: bool = False
    cutoffs: Any = None

    def __post_init__(self) -> None:
        check_name(self.name)
        _one_of("source", self.source, SOURCES)
        _one_of("labels", self.labels, LABELS)
        _one_of("neutral", self.neutral, NEUTRAL)
        for name, todo in _SWITCHES.items():
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is True or False", where=name, value=getattr(self, name), todo=todo)
        if not isinstance(self.recorded, bool | Mapping) or (
            isinstance(self.recorded, Mapping) and not all(isinstance(name, str) for name in self.recorded)
        ):
            raise UsageError("recorded is True, False or {name: type}", where="recorded", value=self.recorded)
        if self.cutoffs is not None:
            self._set("cutoffs", {model: str(day) for model, day in Cutoffs(self.cutoffs).days.items()})
        if (self.cutoffs is not None or self.keep_inside) and self.source not in REMEMBERED:
            raise UsageError(
                f"{self.source} name no model that could remember", where="datasets.build",
                todo=f"cutoffs and keep_inside are of {' and '.join(REMEMBERED)}.",
            )  # fmt: skip
        if not _is_number(self.fees) or not 0 <= self.fees < 1:
            raise UsageError("fees are a fraction from 0 to 1", where="fees", value=self.fees, todo="Such as 0.001.")
        self._set("start", None if self.start is None else to_micros(self.start, where="start"))
        self._set("end", None if self.end is None else to_micros(self.end, where="end"))
        if self.start is not None and self.end is not None and self.end <= self.start:
            shown = tuple(from_micros(t).isoformat() for t in (self.start, self.end))
            raise UsageError("end is not after start", where="datasets.build", value=shown)
        self._set("symbols", _symbols(self.symbols))
        self._set("timeframe", None if self.timeframe is None else timeframes.parse(self.timeframe))
        self._set("half_life", _seconds(self.half_life))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: plain values, times as ISO texts."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("start", "end"):
            found[name] = None if found[name] is None else from_micros(found[name]).isoformat()
        return {**found, "symbols": None if self.symbols is None else list(self.symbols)}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Request:
        """What :meth:`as_dict` gave; one that tells nothing of an option is older than it, and is as then.

        Raises:
            UsageError: fields that a request does not have.
        """
        strange = sorted(set(given) - {f.name for f in fields(cls)})
        if strange:
            raise UsageError("a request has no such fields", where="datasets", value=strange)
        return cls(**{"plan": False, "strategy": False, "own_scores": True, **given})


_SWITCHES = {
    "ambiguous": "True keeps such rows.",
    "plan": "True makes features of the levels.",
    "strategy": "True makes a feature of its name.",
    "own_scores": "True keeps such scores.",
    "keep_inside": "True keeps such rows.",
}


def check_name(name: Any) -> str:
    """The name of a data set, if it can be one.

    Raises:
        UsageError: it cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            "a data set's name is letters, digits, dot, dash and underscore, 64 at most",
            where="datasets",
            value=name,
            todo="Begin with a letter or digit.",
        )
    return name


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _one_of(what: str, given: Any, known: tuple[str, ...]) -> None:
    if given not in known:
        raise UsageError(f"unknown {what}", where="datasets.build", value=given, todo=f"It is {' or '.join(known)}.")


def _symbols(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else []
    if not names or not all(isinstance(n, str) and n for n in names):
        raise UsageError("symbols are one symbol, or several", where="symbols", value=given, todo="None means all.")
    return tuple(sorted({symbol_names.canonical(n) for n in names}))


def _seconds(given: Any) -> float | None:
    if given is None:
        return None
    seconds = given.total_seconds() if isinstance(given, timedelta) else given
    if not _is_number(seconds) or not 0 < seconds < float("inf"):
        raise UsageError("a half-life is a timedelta above zero", where="half_life", value=given)
    return float(seconds)
