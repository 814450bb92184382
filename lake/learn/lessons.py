"""What became of decisions that were made in a situation like this one: ``lk.lessons``, for a prompt's context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np
import orjson
import polars as pl

from lake.errors import UsageError
from lake.kernels.scores import Floats, wilson
from lake.learn.judged import statement
from lake.query.engine import Engine
from lake.spec import symbols, timeframes
from lake.spec.times import from_micros, to_micros

#: How much each part of the distance counts; a part that is not asked for counts nothing.
WEIGHTS = {"features": 0.5, "side": 0.2, "timeframe": 0.15, "recency": 0.15}
HALF_LIFE = timedelta(days=30)  # a decision so old is half as near in time as one of now
NEWEST = 20_000  # so many resolved decisions are compared, those of the symbol first
_FAR = 3.0  # spreads between two values that have nothing to do with each other
_ONLY = ("bot_id", "venue", "prompt_version", "model_version", "recommendation", "traded")
_SIDES = {"LONG": "LONG", "SHORT": "SHORT", "HOLD": "HOLD", "BUY": "LONG", "SELL": "SHORT"}
_REASONING = 200  # characters of it in a line


@dataclass(frozen=True)
class Lessons:
    """Resolved decisions that resemble the situation, the nearest first.

    Args:
        symbol: of the situation.
        before: nothing that was recorded at that time or later is in here.
        frame: the decisions: what was thought (recommendation, confidence, reasoning), what was done (traded,
            skip_reason), what became of it (outcome_correct, actual_pnl, actual_pnl_percent, hold_duration_minutes,
            outcome_recorded_at), and distance (0 alike, 1 unlike) with its parts.
        resolved, right: decisions for LONG or SHORT on the symbol that had a known outcome by then, and those of them
            that were right: the few that resemble the situation are no sample of them.
        inside_training_period: decisions about a moment that their model may remember; they are left out.
    """

    symbol: str
    before: datetime
    frame: pl.DataFrame
    resolved: int
    right: int
    inside_training_period: int = 0

    def __len__(self) -> int:
        return self.frame.height

    def text(self) -> str:
        """The lessons for a prompt: a line on the record of the symbol, and one for each decision."""
        if not self.frame.height:
            return f"No decision was resolved before {_minute(self.before)}."
        head = f"Record of {self.symbol} before {_minute(self.before)}: no decision with a known direction."
        if self.resolved:
            low, high = (100 * float(bound) for bound in wilson(self.right, self.resolved))
            share = f"{self.right} of {self.resolved} decisions were right ({low:.0f}-{high:.0f} % at 95 % confidence)"
            head = f"Record of {self.symbol} before {_minute(self.before)}: {share}."
        return "\n".join([head, *(f"- {_line(row)}" for row in self.frame.iter_rows(named=True))])


class Recall:
    """Finds decisions that resemble a situation, as they were known at its time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(
        self,
        symbol: str,
        before: Any,
        k: int = 5,
        *,
        side: str | None = None,
        timeframe: str | None = None,
        features: Any = None,
        **only: Any,
    ) -> Lessons:
        """The k resolved decisions that resemble a situation most: those on the same symbol first, then by distance.

        The distance is a weighted mean (Gower, Biometrics 27, 1971) of: the numbers that both market snapshots have
        (each difference in units of the spread of all candidates, 3 spreads being all unlike; a number that was not
        recorded counts as unlike), side, timeframe, and age (half-life 30 days). Decisions of all bots are looked at.

        No outcome is in it that was recorded at ``before`` or later, nor a decision made then. Of an outcome that was
        corrected (``lk.decisions.correct``) the version is seen that was the newest then; one that is written over by
        ``lk.write`` or ``lk.patch``, which do not say when it was known, is seen as it is now, under its recorded time.
        What was thought (recommendation, confidence, reasoning, market snapshot, why it was skipped) is seen as it
        was when it was decided, whoever wrote over it later.

        Args:
            symbol: of the situation.
            before: its time; nothing from then on is looked at.
            k: how many at most.
            side: LONG, SHORT or HOLD, where one is considered; BUY is LONG, SELL is SHORT.
            timeframe: of the candles that are looked at.
            features: the market snapshot of the situation, a dict or JSON text; of nested ones the numbers count.
            only: exact values of bot_id, venue, prompt_version, model_version, recommendation or traded; None for all.

        Raises:
            UsageError: an argument that does not fit.
            InvalidTimeError: ``before`` is naive, or no time.
        """
        if type(k) is not int or k < 1:
            raise UsageError("lessons are counted from 1", where="k", value=k, todo="Such as 5.")
        side, timeframe = _side(side), None if timeframe is None else timeframes.parse(timeframe)
        moment, name = from_micros(to_micros(before, where="before")), symbols.canonical(symbol)
        now = numbers(features)
        found = self._candidates(name, moment, list(now), only)
        rows = found.filter(~pl.col("inside")).drop("inside")
        has_direction = pl.col("recommendation").is_in(["LONG", "SHORT"])
        directed = rows.filter(pl.col("symbol") == name, has_direction, pl.col("outcome_correct").is_not_null())
        right = int(directed.get_column("outcome_correct").sum())
        ranked = _ranked(rows, now, {"side": side, "timeframe": timeframe, "before": moment, "symbol": name})
        return Lessons(name, moment, ranked.head(k), directed.height, right, found.height - rows.height)

    def _candidates(self, symbol: str, moment: datetime, names: list[str], only: Mapping[str, Any]) -> pl.DataFrame:
        unknown = sorted(set(only) - set(_ONLY))
        if unknown:
            raise UsageError("lessons are not chosen by that", value=unknown, todo=f"By: {', '.join(_ONLY)}.")
        for name, value in only.items():
            kind = bool if name == "traded" else str
            if value is not None and not isinstance(value, kind):
                raise UsageError(f"it is a {'flag' if kind is bool else 'text'}", where=f"lessons, {name}", value=value)
        params = {"paths": names, "symbol": symbol, "newest": NEWEST, **dict.fromkeys(_ONLY), **only}
        return self._engine.frame(statement("lessons"), params, {"now": moment - timedelta(microseconds=1)})


def numbers(features: Any) -> dict[str, float]:
    """The numbers of a market snapshot by JSON pointer; of flags 0 and 1.

    >>> numbers({"rsi": 31, "macd": {"hist": -0.5}, "trend": "up", "above": True})
    {'/rsi': 31.0, '/macd/hist': -0.5, '/above': 1.0}

    Raises:
        UsageError: it is no dict, nor JSON text of one.
    """
    if isinstance(features, str | bytes):
        try:
            features = orjson.loads(features)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"not JSON: {error}", where="features", value=features) from error
    if features is None:
        return {}
    if not isinstance(features, Mapping):
        raise UsageError("features are a dict, or JSON text of one", where="features", value=features)
    found: dict[str, float] = {}
    for name, value in features.items():
        path = "/" + str(name).replace("~", "~0").replace("/", "~1")
        if isinstance(value, Mapping):
            found |= {path + inner: number for inner, number in numbers(value).items()}
        elif isinstance(value, bool | int | float) and isfinite(number := _number(name, value)):
            found[path] = number
    return found


def _number(name: Any, value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UsageError("a number beyond 1e308", where=f"features, {name}", todo="Leave it out.") from None


def _side(given: Any) -> str | None:
    """LONG, SHORT, HOLD or None."""
    if given is None:
        return None
    side = _SIDES.get(given.upper()) if isinstance(given, str) else None
    if side is None:
        raise UsageError(
            "a side is LONG, SHORT or HOLD", where="side", value=given, todo="BUY and SELL are taken, too."
        )
    return side


def _ranked(rows: pl.DataFrame, now: Mapping[str, float], situation: Mapping[str, Any]) -> pl.DataFrame:
    """Rows with their distance and its parts, the nearest first."""
    n, parts = rows.height, {}
    if now:
        parts["features"] = _apart(rows.get_column("features"), np.array(list(now.values())))
    if situation["side"] is not None:
        parts["side"] = (
            (rows.get_column("recommendation").fill_null("") != situation["side"]).cast(pl.Float64).to_numpy()
        )
    if situation["timeframe"] is not None:
        parts["timeframe"] = _timeframes_apart(rows.get_column("timeframe"), situation["timeframe"])
    age = (situation["before"] - rows.get_column("analyzed_at")).dt.total_microseconds().to_numpy().astype(np.float64)
    parts["recency"] = 1 - 0.5 ** (age / (HALF_LIFE / timedelta(microseconds=1)))
    weight = sum(WEIGHTS[name] for name in parts)
    distance = sum((WEIGHTS[name] * part for name, part in parts.items()), np.zeros(n)) / weight
    return (
        rows.drop("features")
        .with_columns(
            pl.Series("distance", distance),
            *(pl.Series(f"distance_{name}", part) for name, part in parts.items()),
            (pl.col("symbol") == situation["symbol"]).alias("same_symbol"),
        )
        .sort(["same_symbol", "distance", "outcome_recorded_at", "decision_id"], descending=[True, False, True, False])
    )


def _apart(features: pl.Series, now: Floats) -> Floats:
    """Mean distance of recorded numbers from those of now, each 0-1."""
    if features.is_empty():
        return np.empty(0)
    flags = {"true": "1", "false": "0"}
    texts = pl.DataFrame(features.rename("v")).select(pl.col("v").list.get(i).alias(f"{i}") for i in range(len(now)))
    values = texts.select(pl.all().replace(flags).cast(pl.Float64, strict=False)).to_numpy(writable=True)
    values[~np.isfinite(values)] = np.nan
    found = np.ones_like(values)
    for i in range(len(now)):
        known = ~np.isnan(values[:, i])
        if known.any():
            spread = _spread(values[known, i])
            gap = np.abs(values[known, i] - now[i])
            found[known, i] = np.minimum(gap / (_FAR * spread), 1.0) if spread > 0 else (gap > 0).astype(np.float64)
    distance: Floats = found.mean(axis=1)
    return distance


def _spread(values: Floats) -> float:
    """A spread that a few wild values do not move: the interquartile range as a standard deviation, else the latter."""
    low, high = np.quantile(values, [0.25, 0.75])
    return float((high - low) / 1.349 or values.std())


def _timeframes_apart(recorded: pl.Series, wanted: str) -> Floats:
    """0 for the same, 1 from 16 times longer or shorter on, or unknown; by ratio between."""
    length = timeframes.micros(wanted)
    known = {name: min(abs(np.log2(timeframes.micros(name) / length)) / 4, 1.0) for name in timeframes.ALL}
    return np.array([known.get(name, 1.0) for name in recorded.to_list()], dtype=np.float64)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _line(row: Mapping[str, Any]) -> str:
    words = [_minute(row["analyzed_at"]), row["symbol"], row["timeframe"], row["recommendation"] or "(no answer)"]
    head = " ".join(word for word in words if word)
    if row["confidence"] is not None:
        head += f" {100 * row['confidence']:.0f} %"
    thought = " ".join(str(row["reasoning"] or "").split())
    if len(thought) > _REASONING:
        thought = thought[: _REASONING - 3] + "..."
    done = "traded" if row["traded"] else "not traded"
    if not row["traded"] and row["skip_reason"]:
        done += f" ({' '.join(str(row['skip_reason']).split())})"
    came = {True: "right", False: "wrong", None: "ended"}[row["outcome_correct"]]
    if row["actual_pnl_percent"] is not None:
        came += f", {row['actual_pnl_percent']:+.2f} %"
    elif row["actual_pnl"] is not None:
        came += f", {row['actual_pnl']:+g}"
    if row["hold_duration_minutes"] is not None:
        came += f" after {row['hold_duration_minutes']:g} min"
    return "; ".join(part for part in (head, thought and f'thought: "{thought}"', done, came) if part)
