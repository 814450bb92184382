from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lake.errors import SourceError, UsageError
from lake.kernels import market
from lake.learn import features
from lake.learn.features import Feature, FeatureSet, Step, Window, Windows, read_recorded, recorded
from lake.learn.features.rowwise import is_rowwise

CLOSE = pl.col("close")
CANDLES = market.candles("BTCUSDT", 1_704_067_200_000_000, 50, price=10.0, seed=1)


def test_the_standard_set_has_fifty_features_by_its_name() -> None:
    standard = features.get("standard")
    assert len(standard.features) == len(standard.schema) == 50
    assert set(standard.schema.values()) == {"Float64"}
    assert "standard" in features.names()
    assert features.load("standard") is standard


def test_the_fingerprint_tells_any_change_and_nothing_else() -> None:
    def made(**change: Any) -> str:
        given: dict[str, Any] = {
            "name": "mine",
            "version": 1,
            "features": (Feature("a", CLOSE / 2, 0),),
            "missing": 0.05,
            **change,
        }
        return FeatureSet(**given).fingerprint

    assert made() == made()
    changed: list[dict[str, Any]] = [
        {"version": 2},
        {"name": "other"},
        {"features": (Feature("a", CLOSE / 3, 0),)},
        {"features": (Feature("a", CLOSE / 2, 1),)},
        {"features": (Feature("b", CLOSE / 2, 0),)},
        {"features": (Feature("a", CLOSE / 2, 0, dtype=pl.Float32),)},
        {"features": (Feature("a", CLOSE / 2, 0), Feature("b", CLOSE / 2, 0))},
        {"missing": 0.1},
        {"timeframe": "1h"},
        {"stale": 3},
        {"steps": (Step("_half", CLOSE / 2),)},
        {"steps": (Window("_low", "low", "lowest", 5),)},
        {"steps": (Window("_low", "low", "lowest", 6),)},
    ]
    assert len({made(), *(made(**change) for change in changed)}) == len(changed) + 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: Feature("a b", CLOSE, 0), "letters, digits and _"),
        (lambda: Feature("close", CLOSE, 0), "a column of candles or data sets has this name"),
        (lambda: Feature("label_win", CLOSE, 0), "a column of candles or data sets has this name"),
        (lambda: Feature("a", CLOSE, -1), "a look-back is a number of bars, 0 or more"),
        (lambda: Feature("a", CLOSE, 0, "news"), "'candles' or 'market_metrics:<metric>'"),
        (lambda: Feature("a", "close", 0), "a feature is a Polars expression"),  # type: ignore[arg-type]
        (lambda: Feature("a", CLOSE.map_elements(abs, return_dtype=pl.Float64), 0), "a Python function in it"),
        (lambda: FeatureSet("mine", 1, ()), "a feature set is a tuple of features"),
        (
            lambda: FeatureSet("mine", 1, (Feature("a", CLOSE, 0), Feature("a", CLOSE, 1))),
            r"given twice \(got \['a'\]\)",
        ),
        (lambda: FeatureSet("mine", "1/2", (Feature("a", CLOSE, 0),)), "a version is a number or a short word"),
        (
            lambda: FeatureSet("mine", 1, (Feature("a", pl.col("price"), 0),)),
            r"feature a: .* does not have \(got \['price'\]\)",
        ),
        (
            lambda: FeatureSet("mine", 1, (Feature("a", pl.col("_b"), 0),), steps=(Step("_b", pl.col("_c")),)),
            r"step _b.*\['_c'\]",
        ),
        (lambda: FeatureSet("mine", 1, (Feature("a", pl.col("funding_rate"), 0),)), r"\['funding_rate'\]"),
        (lambda: FeatureSet("mine", 1, (Feature("a", CLOSE, 0),), missing=-1.0), "missing and stale are 0 or more"),
        (lambda: Step("b", CLOSE), "the name of a step begins with _"),
        (lambda: Window("_b", "close", "median", 5), "a window is one of lag, sum"),
        (lambda: Window("_b", "close", "sum", 0), "has 1 bars or more"),
        (lambda: Window("_b", "close", "deviation", 1, 1.0), "has 2 bars or more"),
        (lambda: Window("_b", "close", "exponential", 5, 1.0), "alpha lies between 0 and 1"),
    ],
)
def test_a_wrong_declaration_is_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        given()


def test_a_set_for_one_timeframe_is_not_computed_on_another() -> None:
    hourly = FeatureSet("mine", 1, (Feature("a", CLOSE, 0),), timeframe="60m")
    assert hourly.timeframe == "1h"
    with pytest.raises(UsageError, match="the set is made for 1h candles"):
        features.compute(hourly, CANDLES, timeframe="1m")


@pytest.mark.parametrize(
    ("candles", "message"),
    [
        (CANDLES.drop("close"), r"lack columns \(got \['close'\]\)"),
        (CANDLES.drop("timeframe"), "which timeframe do the candles have"),
        (pl.concat([CANDLES, CANDLES.tail(1)]), "a candle is there twice"),
        (pl.concat([CANDLES, CANDLES.with_columns(timeframe=pl.lit("1h"))]), "candles of several timeframes"),
    ],
)
def test_wrong_candles_are_refused(candles: pl.DataFrame, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        features.compute(FeatureSet("mine", 1, (Feature("a", CLOSE / 2, 0),)), candles)


def test_no_candles_and_no_events_give_no_rows() -> None:
    mine = FeatureSet("mine", 1, (Feature("a", CLOSE / 2, 0),))
    nothing = CANDLES.clear().select("venue", "symbol", decision_time="open_time")
    assert features.compute(mine, CANDLES.clear()).schema["a"] == pl.Float64
    assert features.compute(mine, CANDLES, at=nothing).is_empty()
    assert (
        features.compute(mine, CANDLES.clear(), at=CANDLES.select("venue", "symbol", decision_time="open_time")).height
        == 50
    )
    with pytest.raises(UsageError, match="events have venue, symbol and decision_time"):
        features.compute(mine, CANDLES, at=nothing.drop("venue"))


def test_a_feature_has_its_declared_type() -> None:
    mine = FeatureSet(
        "mine",
        1,
        (Feature("up", pl.col("open") < CLOSE, 0, dtype=pl.Boolean), Feature("f", CLOSE, 0, dtype=pl.Float32)),
    )
    assert mine.schema == {"up": "Boolean", "f": "Float32"}
    found = features.compute(mine, CANDLES)
    assert found.schema["up"] == pl.Boolean
    assert found["up"].to_list() == (CANDLES["close"] > CANDLES["open"]).to_list()


def test_a_set_of_ones_own_is_loaded_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "my_features.py"
    path.write_text(
        "import polars as pl\n"
        "from lake.learn.features import Feature, FeatureSet, Windows\n"
        "windows = Windows()\n"
        "fast = windows.exponential('close', 0.2, 100)\n"
        "my_set = FeatureSet('mine', 3, (Feature('trend', pl.col('close') / fast - 1, 99),), steps=windows.steps)\n"
        "other = 5\n"
    )
    assert features.load(f"{path}:my_set").names == ("trend",)
    for given, message in (
        (f"{path}:your_set", "the file has no feature set of that name"),
        (f"{path}:other", "the file has no feature set of that name"),
        (f"{tmp_path / 'none.py'}:my_set", "there is no such file of features"),
        ("nonsense", "there is no such feature set .*my_features.py:my_set"),
    ):
        with pytest.raises(UsageError, match=message):
            features.load(given)
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(SourceError, match="cannot be run: ModuleNotFoundError"):
        features.load(f"{path}:my_set")
    path.write_text("my_set = 1 / 0\n")
    with pytest.raises(SourceError, match="cannot be run: ZeroDivisionError: division by zero"):
        features.load(f"{path}:my_set")
    path.write_text("from lake.learn.features import FeatureSet\nmy_set = FeatureSet('Bad name', 1, ())\n")
    with pytest.raises(UsageError):
        features.load(f"{path}:my_set")


def test_sets_of_one_meaning_are_equal_also_in_another_process() -> None:
    one, same, other = (FeatureSet("mine", 1, (Feature("a", CLOSE * n, 0),)) for n in (2, 2, 3))
    assert one == same
    assert len({one, same, other}) == 2
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_name_stands_for_one_set() -> None:
    mine = FeatureSet("test_registered", 1, (Feature("a", CLOSE, 0),))
    assert features.register(mine) is features.register(mine) is features.get("test_registered")
    with pytest.raises(UsageError, match="another feature set has this name"):
        features.register(FeatureSet("test_registered", 1, (Feature("a", CLOSE * 2, 0),)))


@pytest.mark.parametrize(
    "expr",
    [
        CLOSE.shift(1),
        CLOSE.mean(),
        CLOSE.cum_sum(),
        CLOSE.over("open"),
        CLOSE.sort(),
        CLOSE.diff(),
        CLOSE.first(),
        CLOSE.rank(),
        CLOSE.fill_null(strategy="forward"),
        CLOSE.rolling_max(3),
        CLOSE.is_first_distinct(),
        (CLOSE > 1).any(),
        CLOSE + pl.lit(pl.Series([1.0])),
    ],
)
def test_what_looks_at_other_rows_is_asked_of_all(expr: pl.Expr) -> None:
    assert not is_rowwise(expr)
    assert not is_rowwise(pl.when(CLOSE > 1).then(expr).otherwise(2.0))


def test_a_window_is_made_once_whoever_asks() -> None:
    windows = Windows()
    assert windows.mean("close", 5).meta.root_names() == windows.sum("close", 5).meta.root_names()
    assert len(windows.steps) == 1


def test_the_page_of_features_lists_the_standard_set_with_its_look_backs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
    told: dict[str, int] = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        named = re.findall(r"`(\w+)`", cells[1]) if len(cells) > 4 else []
        texts = cells[3].split(", ") if named else []
        for number, name in enumerate(named):
            text = texts[number] if len(texts) == len(named) else texts[0]
            window = re.search(r"_(\d+)(?:_distance)?$", name)
            own = int(window[1]) if window else 0
            told[name] = {"n": own, "n - 1": own - 1}.get(text) if text.startswith("n") else int(text)  # type: ignore[assignment]
    assert told == {f.name: f.lookback for f in features.get("standard").features}


def test_the_set_of_the_page_of_features_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    metrics = CANDLES.select(
        "venue", "symbol", pl.lit("funding_rate").alias("metric"), pl.lit(0.1).alias("value"), time="open_time"
    )
    long = market.candles("BTCUSDT", 1_704_067_200_000_000, 700, price=10.0, seed=1)
    assert features.peeking(names["my_set"], long, metrics=metrics) == {}


ROWS = pl.DataFrame(
    {
        "signal_id": ["a", "b", "c", "d"],
        "features": [
            '{"rsi": 55, "trend": "up", "book": {"spread": 0.5, "deep": {"er": true}}, "levels": [1, 2]}',
            '{"rsi": 60.5, "book": {"spread": 1}, "odd": null}',
            None,
            "{}",
        ],
    }
)


def test_recorded_json_becomes_typed_columns_with_dots() -> None:
    found = read_recorded(ROWS, "features")
    assert found.schema == {
        "features.book.deep.er": "Boolean",
        "features.book.spread": "Float64",
        "features.levels": "String",
        "features.odd": "Float64",
        "features.rsi": "Float64",
        "features.trend": "String",
    }
    assert found.frame.row(0) == (True, 0.5, "[1,2]", None, 55.0, "up")
    assert found.frame.row(1) == (None, 1.0, None, None, 60.5, None)
    assert found.frame.slice(2).null_count().sum_horizontal().item() == 12
    assert not found.misfits


def test_a_schema_says_which_columns_and_types() -> None:
    found = recorded(ROWS, "features", {"rsi": pl.Float64, "features.book.spread": "Float64", "absent": "Int64"})
    assert found.schema == {"features.rsi": pl.Float64, "features.book.spread": pl.Float64, "features.absent": pl.Int64}
    assert found["features.rsi"].to_list() == [55.0, 60.5, None, None]
    assert found["features.absent"].to_list() == [None] * 4


@pytest.mark.parametrize(
    ("texts", "schema", "message"),
    [
        (
            ['{"rsi": 1}', '{"rsi": "high"}'],
            {"rsi": "Float64"},
            r"signal_id b, features.rsi: .* Float64 \(got 'high'\)",
        ),
        (['{"rsi": 1}', '{"rsi": 1.5}'], {"rsi": "Int64"}, r"signal_id b, features.rsi: .* Int64 \(got 1.5\)"),
        (['{"rsi": true}', "{}"], {"rsi": "Float64"}, r"signal_id a, .* Float64 \(got True\)"),
        (
            ['{"rsi": 1}', '{"rsi": true}'],
            None,
            "features.rsi: values of several types: Int64 in signal_id a, Boolean in signal_id b",
        ),
        (["{}", "[1]"], None, r"signal_id b, features: it is no JSON object \(got \[1\]\)"),
        (["{}", "{rsi"], {"rsi": "Float64"}, r"signal_id b, features: it is no JSON object \(got '\{rsi'\)"),
        (['{"a.b": 1, "a": {"b": 2}}', "{}"], None, "features.a.b: two values have this name"),
    ],
)
def test_a_recorded_value_that_does_not_fit_is_named_or_counted(texts: list[str], schema: Any, message: str) -> None:
    rows = pl.DataFrame({"signal_id": ["a", "b"], "features": texts})
    with pytest.raises(Exception, match=message) as error:
        recorded(rows, "features", schema)
    assert type(error.value).__name__ == "InvalidRowError"
    lenient = read_recorded(rows, "features", schema, strict=False)
    assert sum(lenient.misfits.values()) == 1
    assert lenient.frame.height in {0, 2}


def test_whole_numbers_written_with_a_point_are_whole_numbers() -> None:
    rows = pl.DataFrame({"features": ['{"n": 3.0}', '{"n": 4}']})
    assert recorded(rows, "features", {"n": pl.Int64})["features.n"].to_list() == [3, 4]


def test_recorded_columns_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="there is no such column"):
        recorded(ROWS, "indicators")
    with pytest.raises(UsageError, match="a column of JSON is text"):
        recorded(pl.DataFrame({"features": [1]}), "features")
    with pytest.raises(UsageError, match="one of Float64, Int64, Boolean, String"):
        recorded(ROWS, "features", {"rsi": "Date"})
