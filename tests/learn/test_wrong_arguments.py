"""What cannot be learned from is refused in one sentence that names it, never by an error of a library beneath."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import UsageError
from lake.learn.features import Feature, FeatureSet, Step, compute
from lake.learn.models.policy import Policy
from lake.learn.models.recipe import Recipe
from tests.learn.dataset_lakes import bars

CLOSE = pl.col("close")
FLAT = CLOSE * 0


@pytest.fixture(scope="module")
def lk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lake.Lake]:
    with lake.open(tmp_path_factory.mktemp("wrong") / "lake", bot_id="b") as found:
        yield found


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "features": (lambda lk: lk.datasets.build("d", "phantoms", 123), r"features: .*FeatureSet \(got 123\)\. Such as"),
    "symbols": (lambda lk: lk.datasets.build("d", "phantoms", symbols=5), r"symbols: .* \(got 5\)"),
    "recorded": (
        lambda lk: lk.datasets.build("d", "phantoms", recorded={1: "x"}),
        r"recorded is .* \(got \{1: 'x'\}\)",
    ),
    "manifest": (lambda lk: lk.datasets.rebuild(5), r"a manifest is .* \(got 5\)\. Such as"),
    "policy": (lambda lk: lk.models.retrain_info("m", policy={"every": 3}), r"a policy is .*'every': 3.*Policy\(every"),
    "guard": (lambda lk: lk.models.guard("m", policy=3), r"a policy is a Policy \(got 3\)\. Such as"),
    "model": (lambda lk: lk.models.save(None), r"models.save: .*training gives \(got 'NoneType'\)\. Such as lk.models"),
    "ece": (lambda _: Policy(ece="x"), r"policy, ece: a number between 0 and 1 \(got 'x'\)\. Such as 0.1"),  # type: ignore[arg-type]
    "days": (lambda _: Policy(days="x"), r"policy, days: days above 0 \(got 'x'\)\. Such as 7"),  # type: ignore[arg-type]
    "rate": (lambda _: Recipe(learning_rate="x"), r"recipe, learning_rate: above 0.*'x'"),  # type: ignore[arg-type]
    "embargo": (lambda _: Recipe(embargo="x"), r"recipe, embargo: seconds.*'x'"),  # type: ignore[arg-type]
    "recipe": (lambda _: Recipe().with_changes(5), r"\{parameter: value\} \(got 5\)"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_another_kind_is_named(lk: lake.Lake, name: str) -> None:
    call, message = WRONG[name]
    with pytest.raises(UsageError, match=message):
        call(lk)


EXPRESSIONS = {
    "list": (pl.concat_list("open", "close"), "cannot cast List"),
    "implode": (CLOSE.implode(), "cannot cast List"),
    "text": (pl.lit("up"), "conversion from `str` to `f64`"),
    "text_of_number": (CLOSE.str.len_chars(), "expected `String`"),
    "shorter": (CLOSE.head(3), "length 3"),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_that_gives_no_value_for_each_bar_is_named(name: str) -> None:
    expression, message = EXPRESSIONS[name]
    asked = FeatureSet("odd", 1, (Feature("fine", CLOSE, 0), Feature(name, expression, 3)))
    candles = bars("BTCUSDT", "binance", 50).with_columns(symbol=pl.lit("BTCUSDT"), venue=pl.lit(""))
    with pytest.raises(UsageError, match=f"feature set odd, {name}: .*{message}.*one value for each bar"):
        compute(asked, candles, timeframe="1m")


def test_quantiles_with_ties_are_named() -> None:
    with pytest.warns(DeprecationWarning, match="qcut"):
        asked = FeatureSet("odd", 1, (Feature("tenths", FLAT.qcut(10), 3),))
    candles = bars("BTCUSDT", "binance", 50).with_columns(symbol=pl.lit("BTCUSDT"), venue=pl.lit(""))
    with pytest.raises(UsageError, match="feature set odd, tenths: .*quantiles are not unique"):
        compute(asked, candles, timeframe="1m")


def test_a_step_that_cannot_be_computed_is_named() -> None:
    asked = FeatureSet("odd", 1, (Feature("f", pl.col("_s"), 0),), steps=(Step("_s", CLOSE.str.len_chars()),))
    candles = bars("BTCUSDT", "binance", 50).with_columns(symbol=pl.lit("BTCUSDT"), venue=pl.lit(""))
    with pytest.raises(UsageError, match="feature set odd, _s: .*expected `String`"):
        compute(asked, candles, timeframe="1m")
