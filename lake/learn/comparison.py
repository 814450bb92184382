"""Which prompt or model is better, and whether that is decided: ``lk.comparison``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import polars as pl

from lake.errors import UsageError
from lake.kernels.deciding import CORRECTIONS, corrected, rows_needed
from lake.kernels.intervals import Estimate, Resampling, difference, mean
from lake.kernels.overlaps import Spans, blocks, both
from lake.learn.cutoff import Cutoffs
from lake.learn.judged import Asked, columns, given, is_number, judged
from lake.learn.pairing import METRICS, Metric, lives_of, paired, valued
from lake.query.engine import Engine

_OF_PREDICTIONS = ("accuracy", "brier")  # nobody trades a prediction
_PAIRINGS = ("auto", "paired", "unpaired")


@dataclass(frozen=True)
class Rules:
    """How candidates are compared.

    Args:
        metrics: of accuracy (directions that were right, traded or not), win_rate (trades above 0), net_pnl (result
            after fees less the price of the calls, of a decision: HOLDs and skipped ones made nothing and cost their
            call; those whose trade is not over do not count) and brier. All that apply when empty. Corrections are
            within a metric: say beforehand which one decides.
        pairing: "auto" pairs where there are ``min_n`` pairs; "paired" or "unpaired" says so.
        window: pairs are made within one such stretch of time (a timeframe); None: a candle of the row's own timeframe.
        correction: for the number of comparisons: holm, bh or none.
        level: of intervals, and 1 - level of decisions.
        power: probability with which the planned number of rows decides.
        smallest: the smallest difference that matters, for planning; None plans with the one that is seen.
        min_n: with fewer rows of either candidate (or pairs) nothing is decided.
        block: mean rows in a block of the stationary bootstrap; None: where positions overlap, blocks of time take its
            place (:mod:`lake.kernels.overlaps`).
        draws, seed: of the bootstrap.
    """

    metrics: Sequence[str] = ()
    pairing: str = "auto"
    window: str | None = None
    correction: str = "holm"
    level: float = 0.95
    power: float = 0.8
    smallest: float | None = None
    min_n: int = 20
    block: float | None = None
    draws: int = 4000
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", (self.metrics,) if isinstance(self.metrics, str) else tuple(self.metrics))
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise UsageError("unknown metric", value=unknown, todo=f"There are: {', '.join(METRICS)}.")
        if self.smallest is not None and not (is_number(self.smallest) and 0 < self.smallest < math.inf):
            todo = "Such as 0.05; None plans with the difference that is seen."
            raise UsageError("the smallest difference is above 0", where="smallest", value=self.smallest, todo=todo)
        for name, known in (("pairing", _PAIRINGS), ("correction", tuple(CORRECTIONS))):
            if getattr(self, name) not in known:
                raise UsageError("no such rule", where=name, value=getattr(self, name), todo=f"One of {known}.")
        if type(self.min_n) is not int or self.min_n < 2:
            raise UsageError("at least 2 rows are needed", where="min_n", value=self.min_n)
        self.resampling()
        rows_needed(1.0, 1.0, 1, self.level, self.power)

    def resampling(self) -> Resampling:
        """The bootstrap by these rules."""
        return Resampling(self.draws, self.level, self.seed, self.block)


@dataclass(frozen=True)
class Comparison:
    """What each comparison found.

    Args:
        frame: one row per comparison and metric: candidate, against, metric; pairing (paired or unpaired), n (pairs, or
            rows of both), n_candidate, n_against; candidate_value, against_value, difference (candidate less against)
            with low and high (of this comparison alone), p, p_corrected, comparisons (of the metric, by which p was
            corrected), block (mean rows in a block, None for single ones); verdict (better, worse or not decided, of
            the candidate); more_needed (pairs or rows until it is decided, if the difference is real; None where none
            is seen).
        rules: by which.
        notes: what a reader has to be told.
    """

    frame: pl.DataFrame
    rules: Rules
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """A line for each comparison, and the notes."""
        lines = [_line(row, self.rules) for row in self.frame.iter_rows(named=True)]
        return "\n".join([*(lines or ["There is nothing to compare."]), *self.notes])


class Comparing:
    """Compares prompts, models, bots by what came of their decisions, or models by their predictions."""

    def __init__(self, engine: Engine, cutoffs: Cutoffs) -> None:
        self._engine = engine
        self._cutoffs = cutoffs

    def prompts(
        self, *versions: str, against: str | None = None, rules: Rules | Mapping[str, Any] = Rules(), **which: Any
    ) -> Comparison:
        """Compare prompt versions: see :meth:`compare`."""
        return self.compare("prompt_version", versions, against=against, rules=rules, **which)

    def models(
        self, *versions: str, against: str | None = None, rules: Rules | Mapping[str, Any] = Rules(), **which: Any
    ) -> Comparison:
        """Compare model versions: see :meth:`compare`."""
        return self.compare("model_version", versions, against=against, rules=rules, **which)

    def compare(
        self,
        by: str,
        candidates: Sequence[str] = (),
        *,
        against: str | None = None,
        rules: Rules | Mapping[str, Any] = Rules(),
        **which: Any,
    ) -> Comparison:
        """Compare candidates two by two, or each with one.

        Where two candidates decided on the same symbol and timeframe in the same window of time, their decisions are
        paired: the market was the same for both, and what it did cancels out. Else the samples are held against each
        other as they are, and differ by their markets, too.

        Args:
            by: the column that names them: prompt_version, model_version, bot_id, ...
            candidates: which; all that have rows when empty.
            against: the one that the others are compared with; None compares all pairs.
            rules: how; :class:`Rules`, or a dict of those that differ, such as {"correction": "bh"}.
            which: source, before, days, keep_inside, cutoffs: see :class:`lake.learn.judged.Asked`.

        Raises:
            UsageError: an argument that does not fit, or a candidate without rows.
        """
        names = columns(by)
        if len(names) != 1:
            raise UsageError("candidates are named by one column", where="by", value=by)
        asked, rules = Asked(**which), given(Rules, rules)
        guarded = judged(self._engine, asked, self._cutoffs)
        metrics = rules.metrics or (_OF_PREDICTIONS if asked.source == "predictions" else tuple(METRICS))
        frame = compared(guarded.rows, by, _pairs(guarded.rows, by, candidates, against), metrics, rules)
        return Comparison(frame, rules, guarded.notes + _uncosted(guarded.rows, metrics))


def compared(
    rows: pl.DataFrame, by: str, pairs: Sequence[tuple[str, str]], metrics: Sequence[str], rules: Rules
) -> pl.DataFrame:
    """The frame of :class:`Comparison` for pairs of (candidate, against), from rows as :func:`judged` gives them."""
    found: list[dict[str, Any]] = []
    for name in metrics:
        metric = METRICS[name]
        worth = valued(rows, metric)
        of = {who: worth.filter(pl.col(by) == who) for pair in pairs for who in pair}
        those = [{"candidate": a, "against": b, **_measured(of[a], of[b], metric, rules)} for a, b in pairs]
        found += _decided(those, metric, rules)
    return pl.DataFrame(found, schema=_SCHEMA).with_columns(pl.selectors.float().fill_nan(None))


_SCHEMA = {
    "candidate": pl.String, "against": pl.String, "metric": pl.String, "pairing": pl.String, "n": pl.Int64,
    "n_candidate": pl.Int64, "n_against": pl.Int64, "candidate_value": pl.Float64, "against_value": pl.Float64,
    "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p": pl.Float64, "p_corrected": pl.Float64,
    "comparisons": pl.Int64, "block": pl.Float64, "verdict": pl.String, "more_needed": pl.Int64,
}  # fmt: skip


def _pairs(rows: pl.DataFrame, by: str, candidates: Sequence[str], against: str | None) -> list[tuple[str, str]]:
    if not all(isinstance(name, str) for name in [*candidates, *([against] if against is not None else [])]):
        named = {"candidates": list(candidates), "against": against}
        raise UsageError("candidates are named by texts", where=by, value=named, todo='Such as prompts("v1", "v2").')
    there = sorted(rows.get_column(by).drop_nulls().unique().to_list())
    wanted = list(dict.fromkeys(candidates)) or there
    missing = [name for name in [*wanted, *([against] if against is not None else [])] if name not in there]
    if missing:
        raise UsageError(
            "nothing to compare of that name", where=by, value=missing, todo=f"There are: {', '.join(there) or 'none'}."
        )
    if against is not None:
        return [(name, against) for name in wanted if name != against]
    return [(b, a) for a, b in combinations(wanted, 2)]


def _measured(a: pl.DataFrame, b: pl.DataFrame, metric: Metric, rules: Rules) -> dict[str, Any]:
    """The difference of two candidates by one metric, not yet judged."""
    pairs = paired(a, b, rules.window)
    use_pairs = rules.pairing == "paired" or (rules.pairing == "auto" and pairs.height >= rules.min_n)
    counts = {"metric": metric.name, "n_candidate": a.height, "n_against": b.height}
    if use_pairs:
        x, y = (pairs.get_column(name).to_numpy() for name in ("value", "value_b"))
        lives = lives_of(pairs)
        found, enough = mean(x - y, rules.resampling(), lives), pairs.height >= rules.min_n
    else:
        x, y = (rows.get_column("value").to_numpy() for rows in (a, b))
        own = lives_of(a), lives_of(b)
        lives = both(*own)
        found, enough = difference(x, y, rules.resampling(), own), min(a.height, b.height) >= rules.min_n
    return {
        **counts,
        "pairing": "paired" if use_pairs else "unpaired",
        "n": found.n,
        "candidate_value": float(x.mean()) if len(x) else math.nan,
        "against_value": float(y.mean()) if len(y) else math.nan,
        "block": _block(lives, rules),
        "estimate": found,
        "p": found.p if enough else math.nan,
    }


def _block(lives: Spans, rules: Rules) -> float | None:
    """Mean rows in a block, by the rules or by time; None where each row stands for itself."""
    of = blocks(lives)
    return rules.block if rules.block is not None or of is None else len(of) / (1 + int(of.max()))


def _decided(those: list[dict[str, Any]], metric: Metric, rules: Rules) -> list[dict[str, Any]]:
    """The comparisons of one metric, judged together."""
    p = corrected([one["p"] for one in those], rules.correction)
    tested = sum(not math.isnan(one["p"]) for one in those)
    done = []
    for one, value in zip(those, p, strict=True):
        found: Estimate = one.pop("estimate")
        is_decided = float(value) < 1 - rules.level  # nan is not
        gained = found.value if metric.more_is_better else -found.value
        verdict = ("better" if gained > 0 else "worse") if is_decided else "not decided"
        told = {"difference": found.value, "low": found.low, "high": found.high, "p_corrected": float(value)}
        more = 0 if is_decided else _more(found, one, rules, max(tested, 1))
        done.append({**one, **told, "comparisons": tested, "verdict": verdict, "more_needed": more})
    return done


def _more(found: Estimate, one: dict[str, Any], rules: Rules, tested: int) -> int | None:
    """Rows that are still needed, planned with the strictest level that the correction can ask for."""
    least = rules.min_n - (found.n if one["pairing"] == "paired" else min(one["n_candidate"], one["n_against"]))
    level = rules.level if rules.correction == "none" else 1 - (1 - rules.level) / tested
    assumed = found.value if rules.smallest is None else rules.smallest
    need = rows_needed(assumed, found.error, found.n, level, rules.power)
    if need is None:
        return least if least > 0 else None
    return max(need - found.n, least, 1)


def _uncosted(rows: pl.DataFrame, metrics: Sequence[str]) -> tuple[str, ...]:
    count = rows.get_column("cost_usd").is_null().sum() if "net_pnl" in metrics else 0
    return (f"Without a price of the call, counted as free: {count}.",) if count else ()


def _line(row: dict[str, Any], rules: Rules) -> str:
    metric = METRICS[row["metric"]]
    unit = "pairs" if row["pairing"] == "paired" else "decisions"

    def shown(value: float | None, sign: str = "") -> str:
        return "-" if value is None else f"{metric.scale * value:{sign}.4g}"

    values = f"{shown(row['candidate_value'])} against {shown(row['against_value'])} {metric.unit}".rstrip()
    change = f"{shown(row['difference'], '+')} ({shown(row['low'], '+')} to {shown(row['high'], '+')})"
    chance = "not tested" if row["p_corrected"] is None else f"p {row['p_corrected']:.3g}"
    if row["p_corrected"] is not None and rules.correction != "none":
        chance += f" ({rules.correction}, {row['comparisons']} comparisons)"
    line = f"{row['candidate']} against {row['against']}, {row['metric']}: {values}, {change}, {chance}, "
    line += f"{row['n']} {unit}: {row['verdict']}"
    if row["verdict"] == "not decided" and row["more_needed"] is not None:
        line += f", about {row['more_needed']} more {unit} needed"
    return line + "."
