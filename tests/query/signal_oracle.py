"""The figures of the signal views, calculated again in plain Python from the rows that were written."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import NormalDist, fmean, median
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

Row = dict[str, Any]
RESOLVED = ("win", "loss", "breakeven", "timeout")
DECIDED = RESOLVED[:3]


def real(rows: Iterable[Row]) -> list[Row]:
    """The rows as a reader gets them: NaN is nothing; a column that is not there is nothing."""
    return [
        defaultdict(lambda: None, {k: v for k, v in row.items() if not (isinstance(v, float) and math.isnan(v))})
        for row in rows
    ]


# dataset -> when a row is made, when its end is known, and what is not known before that
_ENDS = {
    "phantoms": ("signal_time", "exit_time", {"outcome": None, "status": "active"}),
    "decisions": ("analyzed_at", "outcome_recorded_at", {"outcome_correct": None, "actual_pnl": None}),
    "trades": ("created_at", "closed_at", {"status": "open"}),
    "predictions": ("predicted_at", "resolved_at", {"correct": None}),
}


def as_known(made: dict[str, list[Row]], now: datetime) -> dict[str, list[Row]]:
    """The rows as they were then: none that came later, and no end that came later."""
    found = dict(made)
    for name, (begins, ends, unknown) in _ENDS.items():
        past = [row for row in made[name] if row[begins] <= now]
        found[name] = [row if (row.get(ends) or row[begins]) <= now else {**row, **unknown} for row in past]
    return found


def given(values: Iterable[Any]) -> list[Any]:
    return [v for v in values if v is not None]


def mean(values: Iterable[Any]) -> float | None:
    known = given(values)
    return fmean(known) if known else None


def total(values: Iterable[Any]) -> float | None:
    known = given(values)
    return math.fsum(known) if known else None


def wilson(k: int, n: int) -> tuple[float | None, float | None]:
    """The two rates whose score statistic is the 97.5 % quantile: the roots of a parabola."""
    if n == 0:
        return None, None
    z2, rate = NormalDist().inv_cdf(0.975) ** 2, k / n
    low, high = sorted(np.roots([1 + z2 / n, -(2 * rate + z2 / n), rate**2]).real)
    return max(0.0, float(low)), min(1.0, float(high))


def rate(name: str, k: int, n: int, unit: float = 100.0) -> Row:
    bounds = [None if b is None else unit * b for b in wilson(k, n)]
    return {name: unit * k / n if n else None, f"{name}_low": bounds[0], f"{name}_high": bounds[1]}


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[n] for n in names)].append(row)
    return found


def phantom_statistics(phantoms: list[Row]) -> list[Row]:
    rows = real(phantoms)
    parts = [("all", None, rows)] + [("strategy", *key, part) for key, part in grouped(rows, "strategy").items()]
    return [{"scope": scope, "strategy": strategy, **_phantom_figures(part)} for scope, strategy, part in parts]


def _phantom_figures(rows: list[Row]) -> Row:
    active = [r for r in rows if r["outcome"] is None and r["status"] != "completed"]
    wins, losses, evens, outs = ([r for r in rows if r["outcome"] == o] for o in RESOLVED)
    ended = wins + losses + evens + outs
    scored = [r for r in wins + losses if r["ml_score"] is not None]
    right = [r for r in scored if (r["ml_score"] >= 70) == (r["outcome"] == "win")]
    found = {
        "total": len(rows),
        "active": len(active),
        "completed": len(rows) - len(active),
        "executed": sum(r["was_executed"] is True for r in rows),
        "rejected": sum(r["was_executed"] is False for r in rows),
        "wins": len(wins),
        "losses": len(losses),
        "breakevens": len(evens),
        "timeouts": len(outs),
        "unknown": len([r for r in rows if r not in ended and r not in active]),
        "ambiguous": sum(r["ambiguous"] is True for r in ended),
        "n": len(wins + losses + evens),
        **rate("win_rate", len(wins), len(wins + losses + evens)),
        **_results(ended),
        "median_r": median(rs) if (rs := given(r["realized_rr"] for r in ended)) else None,
        "mean_sec_to_tp1": mean(r["time_to_tp1_sec"] for r in ended if r["tp1_hit"]),
        "mean_sec_to_exit": mean(r["time_to_exit_sec"] for r in ended),
        **{f"ml_approved_{o}": _ml(scored, True, o) for o in ("wins", "losses")},
        **{f"ml_rejected_{o}": _ml(scored, False, o) for o in ("wins", "losses")},
        "ml_n": len(scored),
        **rate("ml_accuracy", len(right), len(scored)),
    }
    for which, column in (("mfe", "max_favorable"), ("mae", "max_adverse")):
        found[f"mean_{which}_percent"] = mean(_excursion(r, column, r["entry_price"], 100) for r in ended)
        found[f"mean_{which}_r"] = mean(_excursion(r, column, _risk(r), 1) for r in ended)
    for k in (1, 2, 3):
        flags = [r[f"tp{k}_hit"] for r in ended if r[f"tp{k}"] is not None]
        found |= _flags(f"tp{k}_n", f"tp{k}_hit_rate", flags)
    found |= _flags("be_moved_n", "be_moved_rate", [r["be_moved"] for r in ended])
    found |= _flags("one_r_n", "one_r_hit_rate", [r["one_r_hit"] for r in ended])
    return found | _flags("two_r_n", "two_r_hit_rate", [r["two_r_hit"] for r in ended])


def _ml(scored: list[Row], approved: bool, outcome: str) -> int:
    return sum(
        (r["ml_score"] >= 70) is approved and {"win": "wins", "loss": "losses"}[r["outcome"]] == outcome for r in scored
    )


def _flags(n: str, name: str, flags: list[bool | None]) -> Row:
    known = given(flags)
    return {n: len(known), **rate(name, sum(known), len(known))}


def _risk(row: Row) -> float | None:
    if row["entry_price"] is None or row["stop_loss"] is None:
        return None
    return abs(row["entry_price"] - row["stop_loss"]) or None


def _excursion(row: Row, column: str, unit: float | None, times: float) -> float | None:
    if None in (row["side"], row[column], row["entry_price"], unit):
        return None
    sign = {"LONG": 1, "SHORT": -1}[row["side"]]
    return times * sign * (row[column] - row["entry_price"]) / unit


def _results(ended: list[Row], before: str = "") -> Row:
    rs, pnls = given(r["realized_rr"] for r in ended), given(r["pnl_percent"] for r in ended)
    return {
        f"{before}r_n": len(rs),
        f"{before}mean_r": mean(rs),
        f"{before}total_r": total(rs),
        f"{before}pnl_n": len(pnls),
        f"{before}mean_pnl_percent": mean(pnls),
        f"{before}total_pnl_percent": total(pnls),
    }


def phantom_win_rate(phantoms: list[Row]) -> list[Row]:
    decided = [r for r in real(phantoms) if r["outcome"] in DECIDED]
    found = []
    for (strategy,), part in grouped(decided, "strategy").items():
        window = sorted(part, key=lambda r: (r["exit_time"] or r["signal_time"], r["phantom_id"]))[-200:]
        ends = [r["exit_time"] or r["signal_time"] for r in window]
        wins = sum(r["outcome"] == "win" for r in window)
        losses = sum(r["outcome"] == "loss" for r in window)
        counts = {"strategy": strategy, "n": len(window), "wins": wins, "losses": losses}
        counts["breakevens"] = len(window) - wins - losses
        found.append(
            {**counts, **rate("win_rate", wins, len(window)), "first_decided": min(ends), "last_decided": max(ends)}
        )
    return found


def blocked_signals(signals: list[Row], phantoms: list[Row], zone: str = "UTC") -> list[Row]:
    followed = grouped(real(phantoms), "signal_id")
    blocked = []
    for signal in real(signals):
        mine = sorted(followed.pop((signal["signal_id"],), []), key=lambda r: r["signal_time"])
        if signal["action"] is None and signal["rejection_reason"] is None:
            blocked += _by_phantoms(mine)
        elif signal["action"] != "EXECUTED":
            reasons = given([signal["rejection_reason"], *(r["reject_reason"] for r in mine)])
            blocked.append((signal["signal_time"], reasons, signal))
    for row in followed.pop((None,), []):
        blocked += _by_phantoms([row])
    for rows in followed.values():
        blocked += _by_phantoms(sorted(rows, key=lambda r: r["signal_time"]))
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for at, reasons, row in blocked:
        day = at.astimezone(ZoneInfo(zone)).date()
        counts[day, reasons[0] if reasons else None, row["symbol"], row["strategy"]] += 1
    names = ("day", "reason", "symbol", "strategy")
    return [{**dict(zip(names, key, strict=True)), "blocked": n} for key, n in counts.items()]


def _by_phantoms(rows: list[Row]) -> list[tuple[datetime, list[str], Row]]:
    said = [r["was_executed"] for r in rows]
    if True in said or False not in said:
        return []
    about = {name: next(iter(given(r[name] for r in rows)), None) for name in ("symbol", "strategy")}
    return [(rows[0]["signal_time"], given(r["reject_reason"] for r in rows), about)]


def filter_regret(signals: list[Row], phantoms: list[Row], zone: str = "UTC") -> list[Row]:
    why = {s["signal_id"]: s["rejection_reason"] for s in real(signals)}
    rows = real(phantoms)
    for row in rows:
        row["reason"] = row["reject_reason"] or why.get(row["signal_id"])
        row["day"] = row["signal_time"].astimezone(ZoneInfo(zone)).date()
    rejected = [r for r in rows if r["was_executed"] is False]
    executed = [r for r in rows if r["was_executed"] and r["outcome"] in RESOLVED]
    found = [_regret("reason", part, executed) for part in grouped(rejected, "reason").values()]
    for (_, strategy), part in grouped(rejected, "reason", "strategy").items():
        found.append(_regret("strategy", part, [r for r in executed if r["strategy"] == strategy]))
    return found


def _regret(scope: str, rejected: list[Row], executed: list[Row]) -> Row:
    ended = [r for r in rejected if r["outcome"] in RESOLVED]
    days = [r["day"] for r in ended]
    beside = [r for r in executed if days and min(days) <= r["day"] <= max(days)]
    pnls = given(r["pnl_percent"] for r in ended)
    found = {
        "scope": scope,
        "reason": rejected[0]["reason"],
        "strategy": rejected[0]["strategy"] if scope == "strategy" else None,
        "first_day": min(days, default=None),
        "last_day": max(days, default=None),
        "rejected": len(rejected),
        "rejected_unresolved": len(rejected) - len(ended),
        "missed_profit_percent": total(max(p, 0.0) for p in pnls),
        "avoided_loss_percent": total(min(p, 0.0) for p in pnls),
    }
    for name, part in (("rejected", ended), ("executed", beside)):
        wins, decided = (sum(r["outcome"] in which for r in part) for which in (("win",), DECIDED))
        found |= {f"{name}_n": decided, **rate(f"{name}_win_rate", wins, decided)}
        found |= _results(part, f"{name}_")
    for name in ("win_rate", "mean_r", "mean_pnl_percent"):
        ours, theirs = found[f"rejected_{name}"], found[f"executed_{name}"]
        found[f"{name}_difference"] = None if ours is None or theirs is None else ours - theirs
    return found


def prompt_performance(decisions: list[Row], trades: list[Row], prompts: list[Row]) -> list[Row]:
    filled = [t for t in real(trades) if t["status"] in {"open", "closed"} and t["mode"] != "backtest"]
    closed = [t for t in filled if t["status"] == "closed"]
    rows, named = real(decisions), {p["version"]: p for p in prompts}
    known = {t["trade_id"]: t for t in real(trades) if t["mode"] != "backtest"}
    for row in rows:
        mine = [t for t in closed if t["decision_id"] == row["decision_id"]]
        other = [t for t in closed if t["decision_id"] is None and t["trade_id"] == row["trade_id"]]
        linked = any(t["decision_id"] == row["decision_id"] for t in filled)
        row["was_traded"] = bool(row["traded"] or row["trade_id"] or linked)
        money = [total(t["pnl"] for t in mine)]
        if row["trade_id"] is None or _whose(row["trade_id"], known.get(row["trade_id"]), rows) == row["decision_id"]:
            money += [total(t["pnl"] for t in other), row["actual_pnl"]]
        row["pnl"] = next(iter(given(money)), None) if row["was_traded"] else None
    found = []
    for (prompt, model), part in grouped(rows, "prompt_version", "model_version").items():
        about = named.get(prompt, {})
        found.append(
            {"prompt_version": prompt, "model_version": model, **_prompt_figures(part)}
            | {"prompt_name": about.get("name"), "is_active": about.get("is_active")}
        )
    return found


def _whose(trade_id: str, trade: Row | None, decisions: list[Row]) -> str | None:
    """The decision for which a trade counts that decisions name; None where the trade itself names another."""
    if trade is not None and trade["decision_id"] is not None:
        return None
    naming = sorted(
        (d for d in decisions if d["trade_id"] == trade_id), key=lambda d: (d["analyzed_at"], d["decision_id"])
    )
    if trade is None:
        return str(naming[-1]["decision_id"])
    opening = trade["opened_at"] or trade["created_at"]
    before = [d for d in naming if d["analyzed_at"] <= opening]
    first = [d for d in naming if d["analyzed_at"] == naming[0]["analyzed_at"]]
    return str((before or first)[-1]["decision_id"])


def _prompt_figures(rows: list[Row]) -> Row:
    holds = [r for r in rows if r["recommendation"] == "HOLD"]
    directional = [r for r in rows if r["recommendation"] in ("LONG", "SHORT")]
    resolved = [r for r in directional if r["outcome_correct"] is not None]
    correct = sum(r["outcome_correct"] for r in resolved)
    pnls = given(r["pnl"] for r in rows)
    wins, losses = sum(p > 0 for p in pnls), sum(p < 0 for p in pnls)
    costs, delays = given(r["cost_usd"] for r in rows), given(r["latency_ms"] for r in rows)
    return {
        "decisions": len(rows),
        "inside_training_period": 0,
        "holds": len(holds),
        "holds_resolved": len(given(r["outcome_correct"] for r in holds)),
        "holds_correct": sum(given(r["outcome_correct"] for r in holds)),
        "directional": len(directional),
        "resolved": len(resolved),
        "unresolved": len(directional) - len(resolved),
        "ambiguous": sum(bool(r["ambiguous"]) for r in resolved),
        "correct": correct,
        **rate("accuracy", correct, len(resolved)),
        "traded": sum(r["was_traded"] for r in rows),
        "closed": len(pnls),
        "wins": wins,
        "losses": losses,
        "breakevens": len(pnls) - wins - losses,
        **rate("win_rate", wins, len(pnls)),
        "total_pnl": total(pnls),
        "avg_pnl": mean(pnls),
        "total_cost_usd": math.fsum(costs),
        "costed": len(costs),
        "net_pnl": math.fsum([*pnls, *(-c for c in costs)]) if pnls else None,
        "avg_confidence": mean(r["confidence"] for r in directional),
        "avg_latency_ms": mean(delays),
        "p95_latency_ms": float(np.percentile(delays, 95)) if delays else None,
        "input_tokens": total(r["input_tokens"] for r in rows),
        "output_tokens": total(r["output_tokens"] for r in rows),
    }


def confidence_calibration(decisions: list[Row]) -> list[Row]:
    rows = [r for r in real(decisions) if r["recommendation"] in ("LONG", "SHORT") and r["confidence"] is not None]
    for row in rows:
        row["bucket"] = min(9, round(row["confidence"] * 1e6) // 100_000)
    found = []
    for key, part in grouped(rows, "prompt_version", "model_version", "symbol", "bucket").items():
        resolved = [r for r in part if r["outcome_correct"] is not None]
        if not resolved:
            continue
        correct, stated = sum(r["outcome_correct"] for r in resolved), fmean(r["confidence"] for r in resolved)
        found.append(
            {"prompt_version": key[0], "model_version": key[1], "symbol": key[2]}
            | {"bucket_low": key[3] / 10, "bucket_high": (key[3] + 1) / 10, "n": len(resolved)}
            | {"ambiguous": sum(bool(r["ambiguous"]) for r in resolved)}
            | {"unresolved": len(part) - len(resolved), "confidence": stated}
            | rate("observed", correct, len(resolved), unit=1.0)
            | {"gap": correct / len(resolved) - stated, "inside_training_period": 0}
        )
    return found


def model_accuracy(predictions: list[Row], now: datetime) -> list[Row]:
    found = []
    for key, part in grouped(real(predictions), "model_version", "symbol", "horizon_minutes").items():
        resolved = [r for r in part if r["correct"] is not None]
        rated = [r for r in resolved if r["probability"] is not None]
        correct = sum(r["correct"] for r in resolved)
        others = [r for r in part if r["correct"] is None]
        waiting = [r for r in others if r["resolved_at"] is None or r["predicted_direction"] is not None]
        found.append(
            {"model_version": key[0], "symbol": key[1], "horizon_minutes": key[2], "predictions": len(part)}
            | {"n": len(resolved), "unresolved": len(waiting), "correct": correct}
            | {"overdue": sum(r["due_at"] <= now for r in waiting), "brier_n": len(rated)}
            | {"undirected": len(others) - len(waiting)}
            | rate("accuracy", correct, len(resolved))
            | {"brier": mean(_squared_error(r) for r in rated)}
            | {"avg_probability": mean(r["probability"] for r in rated)}
            | {"mean_return_right": mean(_gain(r) for r in resolved if r["correct"])}
            | {"mean_return_wrong": mean(_gain(r) for r in resolved if not r["correct"])}
            | {"mean_return": mean(_gain(r) for r in resolved)}
        )
    return found


def _squared_error(row: Row) -> float:
    return float((1 - row["probability"]) ** 2 if row["correct"] else row["probability"] ** 2)


def _gain(row: Row) -> float | None:
    sign = {"UP": 100, "LONG": 100, "DOWN": -100, "SHORT": -100}.get(row["predicted_direction"])
    return None if sign is None or row["actual_return"] is None else sign * row["actual_return"]


def training_examples(rows: dict[str, list[Row]]) -> list[Row]:
    signals = {s["signal_id"]: s for s in real(rows["signals"])}
    found = [_of_phantom(r) for r in real(rows["phantoms"]) if r["outcome"] in RESOLVED]
    found += [_of_decision(r) for r in real(rows["decisions"]) if r["outcome_correct"] is not None]
    found += [_of_trade(r, signals) for r in real(rows["trades"]) if r["status"] == "closed"]
    found = [r for r in found if r["label_time"] is not None and r["label_outcome"] is not None]
    for row in found:
        row["label_time"] = row["known_at"] = max(row["label_time"], row["decision_time"])
        row["label_win"] = row["label_outcome"] == "win"
        row["label_ambiguous"] = bool(row.get("label_ambiguous"))
    return found


def _taken(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


_WHERE = ("bot_id", "venue", "symbol")


def _of_phantom(row: Row) -> Row:
    taken = _taken(row, *_WHERE, "signal_id", "strategy", "side", "ml_score", "regime", "features", "entry_price")
    taken |= _taken(row, "stop_loss", "tp1", "tp2", "tp3")
    labels = {"label_outcome": row["outcome"], "label_pnl_percent": row["pnl_percent"], "label_rr": row["realized_rr"]}
    labels["label_ambiguous"] = row["ambiguous"]
    times = {"decision_time": row["signal_time"], "label_time": row["exit_time"]}
    return {"kind": "phantom", "id": row["phantom_id"], **taken, **labels, **times}


def _of_decision(row: Row) -> Row:
    taken = _taken(row, *_WHERE, "decision_id", "confidence", "entry_price", "prompt_version", "model_version")
    taken |= {"side": row["recommendation"], "tp1": row["take_profit"], "features": row["market_snapshot"]}
    labels = {
        "label_outcome": "win" if row["outcome_correct"] else "loss",
        "label_pnl_percent": row["actual_pnl_percent"],
        "label_ambiguous": row["ambiguous"],
    }
    times = {"decision_time": row["analyzed_at"], "label_time": row["outcome_recorded_at"]}
    return {"kind": "decision", "id": row["decision_id"], **taken, **labels, **times}


def _of_trade(row: Row, signals: dict[str, Row]) -> Row:
    at = row["opened_at"] or row["created_at"]
    signal = signals.get(row["signal_id"], defaultdict(lambda: None))
    if signal["signal_time"] is None or signal["signal_time"] - at > timedelta(0):
        signal = defaultdict(lambda: None)
    taken = _taken(row, *_WHERE, "signal_id", "decision_id", "strategy", "mode", "side", "features")
    taken |= _taken(signal, "confidence", "entry_price", "stop_loss", "tp1")
    result = next(iter(given([row["pnl"], row["pnl_percent"]])), None)
    label = None if result is None else "win" if result > 0 else "loss" if result < 0 else "breakeven"
    labels = {"label_outcome": label, "label_pnl_percent": row["pnl_percent"], "label_time": row["closed_at"]}
    return {"kind": "trade", "id": row["trade_id"], **taken, **labels, "decision_time": at}
