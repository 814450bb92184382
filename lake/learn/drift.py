"""Has something changed: alarms on wins, calibration and recorded features; ``lk.drift``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.kernels import drifting, overlaps
from lake.kernels.chance import Lots, ece_change
from lake.kernels.intervals import Resampling, difference
from lake.kernels.scores import Floats
from lake.learn.cutoff import Cutoffs
from lake.learn.features.recorded import read_recorded
from lake.learn.judged import Asked, columns, given, is_number, judged, moment, statement
from lake.learn.pairing import lives_of
from lake.query.engine import Engine


@dataclass(frozen=True)
class Watch:
    """What is looked at, and how easily an alarm is raised.

    Args:
        recent: rows that are held against those before.
        reference: so many rows before them are the reference; None: all.
        min_n: with fewer rows in either no alarm is raised: ``raised`` is None.
        false_alarm: probability that one alarm is raised though nothing changed; of features: that any of them is.
        drop: fall of the win rate that the cumulative sum looks for.
        bins: of calibration error and PSI.
        psi: PSI below which a feature counts as unchanged, however many rows say otherwise.
        seed: of resampling and simulation.
    """

    recent: int = 100
    reference: int | None = 1000
    min_n: int = 30
    false_alarm: float = 0.05
    drop: float = 0.1
    bins: int = 10
    psi: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("recent", "min_n", "bins"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 2:
                raise UsageError("a whole number from 2 on", where=f"drift, {name}", value=getattr(self, name))
        if self.reference is not None and (type(self.reference) is not int or self.reference < 2):
            raise UsageError("a whole number from 2 on", where="drift, reference", value=self.reference)
        for name in ("false_alarm", "drop"):
            if not is_number(getattr(self, name)) or not 0 < getattr(self, name) < 1:
                raise UsageError("it lies between 0 and 1", where=f"drift, {name}", value=getattr(self, name))

        if not is_number(self.psi) or not 0 <= self.psi < math.inf:
            raise UsageError("a number from 0 on", where="drift, psi", value=self.psi)
        if type(self.seed) is not int or self.seed < 0:
            raise UsageError("a whole number from 0 on", where="drift, seed", value=self.seed)

    def split(self, rows: Sequence[Any] | pl.DataFrame) -> tuple[slice, slice]:
        """Places of the reference and of the recent rows, in the order of time."""
        cut = max(0, len(rows) - self.recent)
        first = 0 if self.reference is None else max(0, cut - self.reference)
        return slice(first, cut), slice(cut, len(rows))


@dataclass(frozen=True)
class Alarm:
    """One thing that was watched.

    Args:
        name: win_rate, brier, ece, or psi: or ks: with the feature's name.
        raised: whether it changed for the worse (features: at all); None where there are too few rows to tell.
        value, threshold: raised when the value is above the threshold.
        low, high: interval of the value, where it has one.
        n, n_reference: rows that are held against those before.
        since: when it began: of the win rate the estimate of the cumulative sum, else the first recent row.
        meaning: the value in words.
        group: whom it is about: {column: value}.
    """

    name: str
    raised: bool | None
    value: float | None
    threshold: float | None
    low: float | None
    high: float | None
    n: int
    n_reference: int
    since: datetime | None
    meaning: str
    group: Mapping[str, Any]


@dataclass(frozen=True)
class DriftReport:
    """All that was watched, and what a reader has to be told."""

    alarms: tuple[Alarm, ...]
    notes: tuple[str, ...] = ()

    @property
    def raised(self) -> tuple[Alarm, ...]:
        """Those that are raised."""
        return tuple(alarm for alarm in self.alarms if alarm.raised)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per alarm, its group as columns."""
        rows = [{**alarm.group, **{k: v for k, v in asdict(alarm).items() if k != "group"}} for alarm in self.alarms]
        return pl.DataFrame(rows, infer_schema_length=None)


class Drift:
    """Watches decisions or predictions for change."""

    def __init__(self, engine: Engine, cutoffs: Cutoffs) -> None:
        self._engine = engine
        self._cutoffs = cutoffs

    def check(
        self,
        by: str | list[str] | tuple[str, ...] | None = None,
        watch: Watch | Mapping[str, Any] = Watch(),
        **which: Any,
    ) -> DriftReport:
        """Do the newest resolved rows win less, or hold less of what was stated, than those before?

        Args:
            by: columns that part the rows; None takes all together.
            watch: how; :class:`Watch`, or a dict of what differs, such as {"recent": 50}.
            which: source, before, days, keep_inside, cutoffs: see :class:`lake.learn.judged.Asked`.
        """
        names, watch = columns(by), given(Watch, watch)
        guarded = judged(self._engine, Asked(**which), self._cutoffs)
        rows = guarded.rows.filter(pl.col("hit").is_not_null())
        parts = rows.partition_by(names, maintain_order=True) if names else [rows]
        found = [alarm for part in parts for alarm in outcome_alarms(part, watch, _group(part, names))]
        return DriftReport(tuple(found), guarded.notes)

    def features(self, watch: Watch | Mapping[str, Any] = Watch(), *, before: Any = None) -> DriftReport:
        """Do the numbers that the newest decisions were shown come from where those before came from?

        Args:
            watch: how; as for :meth:`check`.
            before: only decisions that were made before that time.
        """
        end, watch = moment(before), given(Watch, watch)
        newest = None if watch.reference is None else watch.recent + watch.reference
        rows = self._engine.frame(statement("snapshots"), {"before": end, "newest": newest}).reverse()
        if not rows.height:
            return DriftReport(())
        shown = read_recorded(rows, "market_snapshot", strict=False).frame.select(pl.selectors.numeric())
        reference, recent = watch.split(rows)
        since: Any = rows.get_column("made_at")[recent].min()
        return DriftReport(tuple(feature_alarms(shown[reference], shown[recent], watch, since)))


def outcome_alarms(rows: pl.DataFrame, watch: Watch = Watch(), group: Mapping[str, Any] | None = None) -> list[Alarm]:
    """Alarms on win rate, Brier score and calibration error of rows in the order of time.

    Args:
        rows: made_at, hit (no nulls) and confidence.
        watch: how.
        group: whom it is about.
    """
    stated = rows.filter(pl.col("confidence").is_between(0, 1))
    whom = dict(group or {})
    return [_win_rate(rows, watch, whom), _brier(stated, watch, whom), _ece(stated, watch, whom)]


def feature_alarms(
    reference: pl.DataFrame, recent: pl.DataFrame, watch: Watch = Watch(), since: datetime | None = None
) -> Iterator[Alarm]:
    """Alarms on each numeric column: PSI, and Kolmogorov-Smirnov; a share that is missing shows in the PSI.

    The false-alarm rate is that of all columns and both measures together, by Bonferroni's correction. A column that
    moves slowly has as many rows as would be independent of one another. One of which either side has fewer than
    ``min_n`` rows raises none.
    """
    names = [name for name in reference.columns if name in recent.columns and reference.schema[name].is_numeric()]
    each = watch.false_alarm / max(2 * len(names), 1)
    for name in names:
        a, b = (frame.get_column(name).cast(pl.Float64).to_numpy() for frame in (reference, recent))
        counts: dict[str, Any] = {"n": len(b), "n_reference": len(a), "since": since, "group": {}}
        enough = min(len(a), len(b)) >= watch.min_n
        slow = drifting.memory(a)
        chance = drifting.psi_by_chance(len(a) / slow, len(b) / slow, watch.bins + 1, 1 - each)
        limit = max(watch.psi, chance) if enough else None
        yield _alarm(f"psi:{name}", drifting.psi(a, b, watch.bins), limit, "population stability index", counts)
        known = [int(np.isfinite(x).sum()) for x in (a, b)]
        distance, p = drifting.ks(a, b, slow)
        limit = _ks_limit([n / slow for n in known], each) if min(known) >= watch.min_n else None
        yield _alarm(f"ks:{name}", distance, limit, f"largest distance of the two distributions, p {p:.3g}", counts)


def _win_rate(rows: pl.DataFrame, watch: Watch, group: Mapping[str, Any]) -> Alarm:
    reference, recent = watch.split(rows)
    hits = rows.get_column("hit").cast(pl.Float64).to_numpy()
    a, b = hits[reference], hits[recent]
    counts: dict[str, Any] = {"n": len(b), "n_reference": len(a), "group": group}
    words = f"cumulative evidence that the win rate fell by {100 * watch.drop:g} points"
    if min(len(a), len(b)) < watch.min_n:
        return _alarm("win_rate", None, None, words, counts)
    rate = float(drifting.smoothed(a.sum(), len(a)))
    found = drifting.cusum(b, rate, max(rate - watch.drop, rate / 10))
    lives = lives_of(rows)
    alone = max(1, round(overlaps.independent(a, lives.of(reference))))
    limit = drifting.cusum_limit(rate, watch.drop, alone, lives.of(recent), watch.false_alarm, watch.seed)
    words += f": {100 * b.mean():.1f} % of the newest, {100 * a.mean():.1f} % before"
    counts["since"] = rows.get_column("made_at")[recent][found.since]
    return _alarm("win_rate", float(found.path.max()), limit, words, counts)


def _brier(rows: pl.DataFrame, watch: Watch, group: Mapping[str, Any]) -> Alarm:
    p, y, counts = _stated(rows, watch, group)
    lives = lives_of(rows)
    words = "Brier score of the newest less that of those before; above 0 is worse"
    reference, recent = watch.split(rows)
    if min(counts["n"], counts["n_reference"]) < watch.min_n:
        return _alarm("brier", None, None, words, counts)
    loss = (p - y) ** 2
    how = Resampling(draws=2000, level=1 - 2 * watch.false_alarm if watch.false_alarm < 0.5 else 0.5, seed=watch.seed)
    found = difference(loss[recent], loss[reference], how, (lives.of(recent), lives.of(reference)))
    counts |= {"low": _known(found.low), "high": _known(found.high)}
    # raised when the lower end of the interval is above 0, that is when the value exceeds what lies below it
    return _alarm("brier", found.value, _known(found.value - found.low), words, counts)


def _ece(rows: pl.DataFrame, watch: Watch, group: Mapping[str, Any]) -> Alarm:
    p, y, counts = _stated(rows, watch, group)
    words = "calibration error of the newest less that of those before, against the same of rows drawn by lot"
    reference, recent = watch.split(rows)
    if min(counts["n"], counts["n_reference"]) < watch.min_n:
        return _alarm("ece", None, None, words, counts)
    kept = slice(reference.start, recent.stop)
    lots = Lots(seed=watch.seed, lives=lives_of(rows).of(kept))
    value, by_lot = ece_change(p[kept], y[kept], counts["n"], watch.bins, lots)
    return _alarm("ece", value, float(np.quantile(by_lot, 1 - watch.false_alarm)), words, counts)


def _stated(rows: pl.DataFrame, watch: Watch, group: Mapping[str, Any]) -> tuple[Floats, Floats, dict[str, Any]]:
    reference, recent = watch.split(rows)
    since = rows.get_column("made_at")[recent].min()
    counts = {"n": recent.stop - recent.start, "n_reference": reference.stop - reference.start, "since": since}
    p, y = rows.get_column("confidence").to_numpy(), rows.get_column("hit").cast(pl.Float64).to_numpy()
    return p, y, {**counts, "group": group}


def _alarm(name: str, value: float | None, limit: float | None, words: str, counts: Mapping[str, Any]) -> Alarm:
    raised = None if value is None or limit is None or math.isnan(value) else value > limit
    unless_told = {"low": None, "high": None, "since": None}
    return Alarm(
        name=name, raised=raised, value=_known(value), threshold=limit, meaning=words, **{**unless_told, **counts}
    )


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _ks_limit(known: Sequence[float], each: float) -> float:
    """The distance whose asymptotic p-value is ``each``: sqrt(-ln(each / 2) / 2), by the effective number of rows."""
    root = math.sqrt(known[0] * known[1] / (known[0] + known[1]))
    return math.sqrt(-math.log(each / 2) / 2) / (root + 0.12 + 0.11 / root)


def _group(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    return {name: rows.get_column(name)[0] for name in names} if rows.height else {}
