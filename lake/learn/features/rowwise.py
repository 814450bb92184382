"""Which expressions give a row's value from that row alone, so that they may be asked of a few rows only."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

_FUNCTIONS = {
    *("Abs", "Ceil", "Clip", "Exp", "FillNull", "Floor", "Log", "Log1p", "MaxHorizontal", "MinHorizontal", "Negate"),
    *("Pow", "Round", "Sign", "ToPhysical", "Trigonometry"),
}
_TESTS = {"IsBetween", "IsFinite", "IsNan", "IsNotNan", "IsNotNull", "IsNull", "Not"}


def is_rowwise(expr: pl.Expr) -> bool:
    """Whether each row's value is made from that row alone; what is not known to be so is not.

    >>> is_rowwise(pl.col("close").log() - pl.col("open")), is_rowwise(pl.col("close").shift(1))
    (True, False)
    """
    return _node(json.loads(expr.meta.serialize(format="json")))


def _node(node: Any) -> bool:
    if not isinstance(node, dict) or len(node) != 1:
        return False
    ((kind, content),) = node.items()
    if kind == "Column":
        return True
    if kind == "Literal":
        return isinstance(content, dict) and set(content) <= {"Dyn", "Scalar"}
    if kind == "BinaryExpr":
        return _node(content["left"]) and _node(content["right"])
    if kind == "Ternary":
        return all(_node(content[part]) for part in ("predicate", "truthy", "falsy"))
    if kind == "Cast":
        return _node(content["expr"])
    if kind == "Alias":
        return _node(content[0])
    return kind == "Function" and _is_known(content["function"]) and all(map(_node, content["input"]))


def _is_known(function: Any) -> bool:
    if isinstance(function, str):
        return function in _FUNCTIONS
    ((name, detail),) = function.items()
    if name == "Boolean":
        return (detail if isinstance(detail, str) else next(iter(detail))) in _TESTS
    return name in _FUNCTIONS
