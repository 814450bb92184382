"""The audit of a data set: all that was known after each row's decision is changed, and no feature may change.

Every row is computed again from its own look-back, with made-up bars after it (:mod:`lake.learn.datasets.windows`).
So are its regime and its flags. Where something comes out otherwise, and for a few rows of each series in any case, it
is asked for certain: the row is built again on candles and market metrics of which all that was known later is changed,
and on such that end there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from lake.errors import LeakError, RebuildError, UsageError
from lake.kernels import runs
from lake.learn import flags as market_flags
from lake.learn import regimes
from lake.learn.datasets import windows
from lake.learn.datasets.asof import Joined, Name, by_series, name_of, read, span, with_venues
from lake.learn.datasets.assemble import Assembled
from lake.learn.datasets.manifest import Manifest
from lake.learn.datasets.pinned import Pinned
from lake.learn.datasets.recording import changed_inputs
from lake.learn.datasets.sampling import stratified
from lake.learn.features import FeatureSet, blocks, load
from lake.learn.features.changing import changed, lost
from lake.learn.features.plan import Plan
from lake.ledgers.series import load_all
from lake.spec import timeframes
from lake.spec.times import from_micros

_SAMPLE, _SEED = 500, 1  # rows that a build looks at, of all series
_CERTAIN = 2  # rows of a series that are built again whatever comes out
_SUSPECTS = 6  # rows of a series for each feature that came out otherwise
_AGAIN = 2  # times that a suspect is built on changed rows again: what has two values alone may come out the same
_EVENT = ("venue", "symbol", "decision_time")


@dataclass(frozen=True)
class Asked:
    """What to audit: how many rows (None for all), the seed of the changes, the feature set where it is not known."""

    rows: int | None = None
    seed: int = 0
    features: str | FeatureSet | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and (type(self.rows) is not int or self.rows < 1):
            raise UsageError(
                "an audit looks at one row at least", where="rows", value=self.rows, todo="None looks at every row."
            )


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        rows: how many were looked at.
        features: which columns were: features, flags and the regime.
        leaking: feature -> the first row that changes: id, symbol, decision_time, built and found.
        beyond: features that look further back than they say: another history gives them other values.
    """

    rows: int
    features: tuple[str, ...]
    leaking: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    beyond: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing looks ahead."""
        return not self.leaking

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "passed": self.passed,
            "rows": self.rows,
            "features": list(self.features),
            "leaking": {name: dict(example) for name, example in self.leaking.items()},
            "beyond": list(self.beyond),
        }


def refuse_leaks(pinned: Pinned, made: Assembled) -> dict[str, Any]:
    """Audit a sample of rows of every series; what was looked at, as the manifest tells it.

    Raises:
        LeakError: features look ahead; they are named, with the first row.
    """
    groups = stratified(made.frame, _SAMPLE, _SEED)
    feature_set = made.joined.feature_set
    if feature_set is not None and feature_set.missing == float("inf"):  # each group would read all that there is
        groups = [pl.concat(groups).sort("decision_time", "id")]
    found = merged([audit(pinned, made.joined, g, seed=_SEED, share=(n, len(groups))) for n, g in enumerate(groups)])
    if found.passed:
        return _told(made.frame, groups, found)
    name, example = next(iter(found.leaking.items()))
    raise LeakError(
        f"{', '.join(found.leaking)}: what was known only after the decision changes the value",
        where=f"features, row {example['id']}",
        value=f"{name} was {example['built']}, and {example['found']} without what came later",
        todo="Features look back: no shift(-n), no centred window, no mean or rank over the whole series.",
    )


def merged(audits: Sequence[Audit]) -> Audit:
    """What several audits of the same features found, of other rows each."""
    leaking: dict[str, Mapping[str, Any]] = {}
    for one in audits:
        leaking = {**one.leaking, **leaking}
    names = audits[0].features
    beyond = tuple(n for n in names if n not in leaking and any(n in one.beyond for one in audits))
    return Audit(sum(one.rows for one in audits), names, {n: leaking[n] for n in names if n in leaking}, beyond)


def _told(frame: pl.DataFrame, groups: Sequence[pl.DataFrame], found: Audit) -> dict[str, Any]:
    looked = pl.concat([group.select("venue", "symbol") for group in groups]).unique().height
    return {
        "passed": True,
        "rows": found.rows,
        "of_rows": frame.height,
        "series": looked,
        "of_series": frame.select("venue", "symbol").unique().height,
        "groups": len(groups),
        "seed": _SEED,
        "beyond": list(found.beyond),
    }


def of_dataset(pinned: Pinned, manifest: Manifest, frame: pl.DataFrame, asked: Asked) -> Audit:
    """Audit stored rows against the versions of the lake that they were made from."""
    told = manifest.feature_set
    feature_set = None
    if told is not None:
        feature_set = load(asked.features or str(manifest.request["features"]))
        if feature_set.fingerprint != told["fingerprint"]:
            raise RebuildError(
                f"the feature set {feature_set.name} is another one than the rows were made with",
                where=f"data set {manifest.name}",
                todo="Give it as it was: .audit(features=my_set).",
            )
    rows = frame if asked.rows is None else sample(frame, asked.rows)
    found = audit(pinned, Joined(feature_set, manifest.timeframe), rows, seed=asked.seed)
    recorded = changed_inputs(pinned, manifest.asked, rows, asked.seed)
    names = tuple(n for n in manifest.features if n not in found.features)
    return Audit(found.rows, (*found.features, *names), {**found.leaking, **recorded}, found.beyond)


def sample(frame: pl.DataFrame, rows: int) -> pl.DataFrame:
    """So many rows, evenly spread over all."""
    if rows >= frame.height:
        return frame
    return frame[np.linspace(0, frame.height - 1, max(rows, 1)).astype(np.int64)]


def audit(pinned: Pinned, joined: Joined, rows: pl.DataFrame, *, seed: int, share: tuple[int, int] = (0, 1)) -> Audit:
    """Audit computed columns of rows: id, venue, symbol, decision_time and the columns of ``joined``.

    ``share`` is (which, of how many) parts of an audit this is: each builds rows of its share of the series again.
    """
    events = rows.select(_EVENT)
    reading = read(pinned, joined)
    metrics = reading.metrics(joined.metrics)
    low, high = span(joined, events)
    more = blocks.BARS * timeframes.micros(joined.timeframe)
    symbols = events["symbol"].unique().sort().to_list()
    series = reading.series(symbols, joined.bars, (low, None if high is None else high + more))
    wanted = by_series(with_venues(pinned, joined, series, events), [name_of(s) for s in series])
    asked = [s for s in series if name_of(s) in wanted]
    found: dict[int, _Series] = {}

    def then(one: Any, bars: pl.DataFrame) -> pl.DataFrame:
        mine = wanted[name_of(one)]
        built = rows[mine["__row"]]
        number = asked.index(one)
        rng = np.random.default_rng([seed, number])
        own = blocks.metrics_of(metrics, name_of(one))
        own = None if own is None else own.with_columns(venue=pl.lit(name_of(one)[0]), symbol=pl.lit(name_of(one)[1]))
        one_audit = _Series(joined, name_of(one), bars, own, mine, built)
        found[number] = one_audit.audit(rng, _CERTAIN if number % share[1] == share[0] else 0)
        return pl.DataFrame()

    load_all(pinned.store.scanner, asked, joined.bars, then, keep=False)
    names, audits = tuple(joined.types), [found[number] for number in sorted(found)]
    leaking: dict[str, Mapping[str, Any]] = {}
    for name in names:
        examples = [a.leaking[name] for a in audits if name in a.leaking]
        leaking.update({name: examples[0]} if examples else {})
    beyond = tuple(n for n in names if n not in leaking and any(n in a.beyond for a in audits))
    return Audit(rows.height, names, leaking, beyond)


@dataclass
class _Series:
    """The audit of the rows of one series."""

    joined: Joined
    name: Name
    candles: pl.DataFrame
    metrics: pl.DataFrame | None
    events: pl.DataFrame
    built: pl.DataFrame
    leaking: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    beyond: set[str] = field(default_factory=set)

    def audit(self, rng: np.random.Generator, certain: int) -> _Series:
        """Look at every row; build so many again whatever comes out."""
        suspects = {int(row): set(self.joined.types) for row in self._fullest(certain)}
        differing = dict(self._differing(rng))
        for name, where in differing.items():
            for row in where[np.linspace(0, len(where) - 1, min(_SUSPECTS, len(where))).astype(np.int64)]:
                suspects.setdefault(int(row), set()).add(name)
        for row in sorted(suspects):
            self._ask(row, suspects[row] - set(self.leaking), set(differing), rng)
        self.beyond = set(differing) - set(self.leaking)
        return self

    def _fullest(self, count: int) -> Any:
        """So many rows, among those in which the least columns are null: a null tells little of where it looks."""
        nulls = self.built.select(pl.sum_horizontal(pl.col(list(self.joined.types)).is_null())).to_series().to_numpy()
        held = np.flatnonzero(nulls == nulls.min()) if len(nulls) else np.empty(0, np.int64)
        return held[np.linspace(0, len(held) - 1, min(count, len(held))).astype(np.int64)]

    def _differing(self, rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
        """Columns, and the rows in which they come out otherwise from their look-back alone."""
        if self.candles.is_empty():
            return
        for plan in self.joined.plans:
            yield from self._of_plan(plan, rng)
        newest, fresh = market_flags.newest(self.candles, runs.micros(self.events, "decision_time"), self._step)
        places = np.flatnonzero(fresh & (newest >= windows.FLAGS_BEFORE))
        again = windows.flagged(self.candles, newest[places], rng)
        for name in market_flags.NAMES:
            where = np.flatnonzero(_differ(self.built[name][places], again[name]))
            if len(where):
                yield name, places[where]

    @property
    def _step(self) -> int:
        return timeframes.micros(self.joined.timeframe)

    def _of_plan(self, plan: Plan, rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
        """The features of one plan, and the regime where it is made of them."""
        feature_set = plan.feature_set
        bars = windows.Bars.of(plan, self.candles, self.metrics)
        newest, held = blocks.as_of(plan, bars.times, self.events.with_row_index("__place"))
        if not len(newest):
            return
        unique, which = np.unique(newest, return_inverse=True)
        again = windows.recomputed(plan, bars, unique, rng)[which]
        built = self.built[held["__place"]]
        short = (newest < feature_set.lookback) & (feature_set.missing == float("inf"))
        places = held["__place"].to_numpy()
        asked, regime = self.joined.feature_set, regimes.feature_set()
        names = asked.names if asked is not None and (feature_set == asked or feature_set != regime) else ()
        if feature_set != asked or asked == regime:
            again, names = again.with_columns(regimes.told_by()), (*names, "regime")
        for name in names:
            where = np.flatnonzero(_differ(built[name], again[name]) & ~short)
            if len(where):
                yield name, places[where]

    def _ask(self, row: int, names: set[str], differing: set[str], rng: np.random.Generator) -> None:
        """Build one row again without what was known later; note the features that change.

        On changed rows, then without any; once more on changed ones where features that came out otherwise remain.
        """
        event = self.events[row]
        moment = int(runs.micros(event, "decision_time")[0])
        candles, metrics = self._around(event)
        closes = runs.micros(candles) + timeframes.micros(self.joined.timeframe)
        later = closes > moment
        unknown = None if metrics is None else runs.micros(metrics, "time") > moment
        for number in range(2 + _AGAIN):
            asked = [n for n in self.joined.types if n in names and n not in self.leaking]
            if number >= 2 and not set(asked) & differing:
                return
            some, others = _world(candles, later, rng if number != 1 else None), metrics
            if metrics is not None and unknown is not None:
                others = _world(metrics, unknown, rng if number != 1 else None)
            found = self.joined.of(self.name, some, event, others) if some.height else _nothing(self.joined)
            for name in asked:
                if _differ(self.built[name][[row]], found[name]).any():
                    self.leaking[name] = _example(self.built, row, name, found[name][0])

    def _around(self, event: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """The bars of the block that the row was built in, those before that it may depend on, and its metrics."""
        low, moment = span(self.joined, event)
        if low is None or moment is None:
            return self.candles, self.metrics
        newest = np.asarray(moment - timeframes.micros(self.joined.timeframe))
        high = max(blocks.start(p, int(blocks.number(p, newest)) + 1) for p in self.joined.plans)
        inside = (pl.col("open_time") >= from_micros(max(low, 0))) & (pl.col("open_time") < from_micros(high))
        return self.candles.filter(inside), self.metrics


def _differ(built: pl.Series, found: pl.Series) -> Any:
    """Where two columns differ by more than the rounding that a running window carries along."""
    nulls = _nulls(built) != _nulls(found)
    if not built.dtype.is_float():
        return nulls | built.ne_missing(found).to_numpy()
    old, new = _filled(built), _filled(found)
    size = np.abs(old)
    typical = float(np.median(size)) if len(size) > 1 else 0.0
    return nulls | (np.abs(old - new) > 1e-7 * size + 1e-9 * typical + 1e-15)


def _nulls(column: pl.Series) -> Any:
    """Which values are null; of most columns none is, and Polars need not be asked."""
    return column.is_null().to_numpy() if column.null_count() else np.zeros(column.len(), dtype=bool)


def _filled(column: pl.Series) -> Any:
    return (column.fill_null(0.0) if column.null_count() else column).to_numpy()


def _example(built: pl.DataFrame, row: int, name: str, found: Any) -> dict[str, Any]:
    told = built.row(row, named=True)
    where = {"id": told["id"], "symbol": told["symbol"], "decision_time": told["decision_time"].isoformat()}
    return {**where, "built": told[name], "found": found}


def _world(rows: pl.DataFrame, later: Any, rng: np.random.Generator | None) -> pl.DataFrame:
    """The rows with those that came later changed and some of them lost; without them, where there is no ``rng``."""
    return rows.filter(~later) if rng is None else changed(rows, later, rng).filter(~lost(later, rng))


def _nothing(joined: Joined) -> pl.DataFrame:
    none = pl.DataFrame(schema=joined.types).clear(1)
    return none.with_columns(pl.col(market_flags.NAMES).fill_null(value=False))
