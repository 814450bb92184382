"""Training: skill where there is a signal and none where there is none; what a model takes; the same model again."""

from __future__ import annotations

import re
from datetime import timedelta

import joblib
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from lake.errors import FeatureMismatchError, NotEnoughRowsError, UsageError
from lake.kernels.overlaps import spans
from lake.learn.models import ensemble, importance
from lake.learn.models.examples import examples
from lake.learn.models.judging import NEVER, Judged, best_threshold, bucket_numbers, buckets_of
from lake.learn.models.model import Model
from lake.learn.models.recipe import Recipe
from lake.learn.models.search import search
from lake.learn.models.training import train
from lake.learn.models.walking import walk_forward
from tests.learn.models_made import NAMES, SMALL, rows


def test_importance_is_the_same_however_many_changed_rows_are_scored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held to one shuffle after another, each scored by itself; a text has a column for each value."""
    given = examples(rows(200, kind=["x", "y", "z", None] * 50), [*NAMES, "kind"])
    recipe = SMALL.with_changes({"repeats": 3})
    folds = walk_forward(given, recipe)
    columns, rng = np.array(given.schema.columns()), np.random.default_rng(recipe.seed)
    drops: dict[str, list[float]] = {name: [] for name in given.schema.names}
    for fold in folds:
        x, y = given.x[fold.test], given.y[fold.test]
        for name, found in drops.items():
            for _ in range(3):
                changed, order = x.copy(), rng.permutation(len(x))
                changed[:, columns == name] = x[order][:, columns == name]
                found.append(roc_auc_score(y, fold.raw) - roc_auc_score(y, ensemble.score(fold.members, changed)))
    for at_once in (1, 120, 20_000):
        monkeypatch.setattr(importance, "_AT_ONCE", at_once)
        told = {row["feature"]: row for row in importance.importance(given, folds, recipe)}
        assert {name: row["n"] for name, row in told.items()} == dict.fromkeys(drops, 3 * len(folds))
        for name, found in drops.items():
            assert told[name]["drop"] == pytest.approx(np.mean(found), abs=1e-12)
            assert told[name]["spread"] == pytest.approx(np.std(found), abs=1e-12)


def test_random_labels_give_no_skill() -> None:
    """Of 10 sets of labels drawn by lot, the 95 % interval of the AUC leaves 0.5 out in 3 at most (p < 0.012)."""
    outside, paid = 0, []
    for seed in range(10):
        overall = train(examples(rows(240, signal=0.0, seed=seed), NAMES), "m", SMALL).metrics["overall"]
        outside += not overall["auc_low"] <= 0.5 <= overall["auc_high"]
        paid.append(overall["auc"])
    assert outside <= 3
    assert 0.45 < np.mean(paid) < 0.55


def test_a_planted_signal_is_found() -> None:
    made = train(examples(rows(400), NAMES), "m", SMALL.with_changes({"repeats": 2}))
    overall = made.metrics["overall"]
    assert overall["auc_low"] > 0.7
    assert overall["brier"] < overall["brier_of_base_rate"]
    assert overall["mean_gain_above_low"] > 0
    first, second = made.metrics["importance"]
    assert first["feature"] == "a"
    assert first["drop"] > 0.1 > abs(second["drop"])
    assert 0 < made.threshold < NEVER
    said = made.predict([{"a": 2.5, "b": 0.0}, {"a": -2.5, "b": 0.0}])
    assert said["decision"].to_list() == [True, False]
    assert said["probability"][0] > 0.7
    assert said["probability"][1] < 0.3
    assert said["expected_value"][0] > 0 > said["expected_value"][1]


def test_no_member_sees_a_label_that_was_not_over_when_its_block_began() -> None:
    found = examples(rows(200), NAMES)
    for fold in walk_forward(found, SMALL):
        assert found.ends[fold.train].max() < found.starts[fold.test].min()


def test_figures_of_a_block_do_not_depend_on_later_rows() -> None:
    """What the first blocks showed stays as it was when the outcomes of the last block are turned round."""
    frame = rows(240)
    turned = frame.with_columns(
        pl.when(pl.int_range(pl.len()) >= 200).then(~pl.col("label_win")).otherwise("label_win")
    )
    before, after = (train(examples(f, NAMES), "m", SMALL).metrics["folds"] for f in (frame, turned))
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def test_the_same_rows_and_recipe_give_the_same_model_in_any_order_and_on_any_number_of_cores() -> None:
    frame = rows(120)
    one = train(examples(frame, NAMES), "m", SMALL)
    two = train(examples(frame.sample(fraction=1.0, shuffle=True, seed=1), NAMES), "m", SMALL, n_jobs=2)
    assert one.about() == two.about()
    assert one.predict(frame).equals(two.predict(frame))


def test_another_backend_of_joblib_is_used_unchanged() -> None:
    found = examples(rows(90), NAMES)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        threaded = train(found, "m", SMALL)
    assert threaded.about() == train(found, "m", SMALL).about()


def test_a_search_takes_the_candidate_with_the_least_log_loss() -> None:
    found = examples(rows(150), NAMES)
    grid = {"rounds": [1, 40], "learning_rate": [0.001, 0.1]}
    recipe, tried = search(found, SMALL, grid)
    assert len(tried) == 4
    best = min(tried, key=lambda t: t["log_loss"])
    assert {name: best[name] for name in grid} == {"rounds": recipe.rounds, "learning_rate": recipe.learning_rate}
    assert recipe.rounds == 40
    with pytest.raises(UsageError, match="a search is over parameters of the members"):
        search(found, SMALL, {"folds": [2, 3]})


def test_auc_of_a_block_is_that_of_scikit_learn() -> None:
    found = examples(rows(150), NAMES)
    blocks = train(found, "m", SMALL).metrics["folds"]
    for fold, block in zip(walk_forward(found, SMALL), blocks, strict=True):
        assert block["auc"] == pytest.approx(roc_auc_score(found.y[fold.test], fold.raw))


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(-3, 3)), min_size=1, max_size=40), st.floats(0.01, 1.0))
@settings(max_examples=60, deadline=None)
def test_the_threshold_wins_most_of_all_that_may_be_chosen(pairs: list[tuple[int, int]], share: float) -> None:
    p, gain = np.array([a / 10 for a, _ in pairs]), np.array([float(b) for _, b in pairs])
    found = best_threshold(p, gain, share)
    least = max(10, share * len(p))
    totals = {t: gain[p >= t].sum() for t in p if (p >= t).sum() >= least}
    best = max(totals.values(), default=0)
    assert (found == NEVER) == (best <= 0)
    assert found == NEVER or totals[found] == best


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(-3, 3)), min_size=10, max_size=60), st.integers(1, 8))
@example([(1, 0)] * 6 + [(2, 0)] * 4, 5)
@settings(max_examples=200, deadline=None)
def test_where_the_threshold_says_yes_no_bucket_says_that_it_loses(pairs: list[tuple[int, int]], count: int) -> None:
    p, gain = np.array([a / 100 for a, _ in pairs]), np.array([float(b) for _, b in pairs])
    threshold, times = best_threshold(p, gain, 0.05), np.arange(len(p))
    made = buckets_of(Judged(p, p, (gain > 0).astype(float), gain, spans(times, times)), count, threshold)
    assert len(made) <= max(count, 2)
    assert all(bucket.n for bucket in made)
    at = bucket_numbers(p, made)
    yes = p >= threshold
    assert all(made[number].mean_gain >= 0 for number in at[yes])
    assert threshold == NEVER or not set(at[yes]) & set(at[~yes])


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=60), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_buckets_tile_all_scores_and_hold_each_row_once(pairs: list[tuple[int, bool]], count: int) -> None:
    p, y = np.array([a / 10 for a, _ in pairs]), np.array([float(b) for _, b in pairs])
    times = np.arange(len(p))
    made = buckets_of(Judged(p, p, y, 2 * y - 1, spans(times, times)), count)
    assert len(made) <= count
    assert [b.low for b in made] == [0.0, *[b.high for b in made[:-1]]]
    assert made[-1].high == 1.0
    at = bucket_numbers(p, made)
    for number, bucket in enumerate(made):
        inside = at == number
        assert (bucket.n, bucket.wins) == (inside.sum(), y[inside].sum())
        assert all(bucket.low <= x <= bucket.high for x in p[inside])


def test_too_few_rows_or_labels_that_are_all_alike_are_refused() -> None:
    with pytest.raises(NotEnoughRowsError, match="29 labelled rows are too few to train on. At least 30 are needed"):
        examples(rows(29), NAMES)
    with pytest.raises(NotEnoughRowsError, match="all labels are alike"):
        examples(rows(40).with_columns(label_win=pl.lit(value=True)), NAMES)
    assert len(examples(rows(30), NAMES)) == 30


def test_rows_without_a_label_are_left_out_never_counted_as_losses() -> None:
    frame = rows(100).with_columns(label_win=pl.when(pl.int_range(pl.len()) % 2 == 0).then("label_win").otherwise(None))
    found = examples(frame, NAMES)
    assert (len(found), found.left_out) == (50, 50)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": 1.0}, "b is missing"),
        ({"a": 1.0, "b": 2.0, "c": 3.0}, "c is not known"),
        ({"a": "x", "b": 2.0}, "a is String, not a number"),
        ({"a": True, "b": 2.0}, "a is Boolean, not a number"),
        ({"a": "x", "c": 1}, "b is missing; c is not known; a is String, not a number"),
        ({"a": float("inf"), "b": 1.0}, "a is infinite"),
        ({"a": 1e39, "b": 1.0}, "a is infinite or beyond"),
        ([{"a": 1.0, "b": 1.0}, {"a": "x", "b": 1.0}], "a has values of several types"),
    ],
)
def test_a_mismatch_names_every_column(given: object, message: str) -> None:
    model = train(examples(rows(60), NAMES), "m", SMALL)
    with pytest.raises(FeatureMismatchError, match=re.escape(message)):
        model.predict(given)


def test_any_kind_of_rows_in_any_order_of_columns_gives_the_same() -> None:
    frame = rows(60)
    model = train(examples(frame, NAMES), "m", SMALL)
    wanted = model.predict(frame)
    assert model.predict(frame.select("b", "a")).equals(wanted)
    assert model.predict(frame.select("b", "a").to_pandas()).equals(wanted)
    assert model.predict(frame.select("b", "a").to_dicts()).equals(wanted)
    assert model.predict(frame.lazy()).equals(wanted)
    assert pl.concat([model.predict(row) for row in frame.select(NAMES).to_dicts()[:5]]).equals(wanted[:5])
    assert model.predict(frame.clear()).height == 0
    assert model.predict({"a": None, "b": None}).height == 1
    assert model.predict({"a": 1, "b": 2}).height == 1  # whole numbers are numbers
    with pytest.raises(UsageError, match="features are a frame, a dict or a list of dicts"):
        model.predict(3)


def test_texts_and_flags_are_features_and_an_unseen_text_is_none_of_those_known() -> None:
    frame = rows(120)
    frame = frame.with_columns(
        mood=pl.when(pl.col("label_win")).then(pl.lit("up")).otherwise(pl.lit("down")), on=pl.col("a") > 0
    )
    model = train(examples(frame, ["mood", "on"]), "m", SMALL)
    up, down, other = model.predict([{"mood": m, "on": True} for m in ("up", "down", "sideways")])["score"]
    assert up > other > down


def test_of_many_texts_those_are_known_that_are_often_and_ids_teach_nothing() -> None:
    number = pl.int_range(pl.len())
    often = pl.when(number < 200).then(pl.format("t{}", number % 20)).otherwise(pl.format("once{}", number))
    frame = rows(300).with_columns(often=often, own="id")
    found = examples(frame, ["a", "often", "own"])
    assert found.schema.texts == {"often": tuple(sorted(f"t{n}" for n in range(20))), "own": ()}
    assert found.x.shape == (300, 21)
    assert train(found, "m", SMALL).predict(frame.drop("b")).height == 300
    many = rows(700).with_columns(text=pl.format("t{}", number % 70))
    assert len(examples(many, ["text"]).schema.texts["text"]) == 64
    with pytest.raises(FeatureMismatchError, match=r"own has no text in ten rows\. Name other features"):
        examples(frame, ["own"])


def test_weights_count() -> None:
    """Rows of weight nothing teach nothing: their labels may be turned round."""
    frame = rows(200).with_columns(weight_recency=pl.when(pl.int_range(pl.len()) % 2 == 0).then(1.0).otherwise(0.0))
    odd = pl.int_range(pl.len()) % 2 == 1
    turned = frame.with_columns(label_win=pl.when(odd).then(~pl.col("label_win")).otherwise("label_win"))
    recipe = SMALL.with_changes({"trees": 50})
    scores = [
        train(examples(f, NAMES, weight=w), "m", recipe).predict({"a": 2.0, "b": 0.0})["score"][0]
        for f, w in ((turned, None), (turned, []))
    ]
    assert scores[0] > 0.65 > scores[1]
    with pytest.raises(UsageError, match="weights are numbers from 0 on"):
        examples(frame.with_columns(weight_recency=-1.0), NAMES)


def test_a_neural_network_may_join() -> None:
    frame = rows(80)
    model = train(examples(frame, NAMES), "m", SMALL.with_changes({"neural": True, "folds": 2}))
    assert set(model.members) == {"forest", "boosting", "neural"}
    assert model.predict(frame)["score"].is_between(0, 1).all()


def test_an_embargo_keeps_more_free_before_a_block() -> None:
    found = examples(rows(200), NAMES)
    recipe = SMALL.with_changes({"embargo": timedelta(hours=24).total_seconds()})
    for fold in walk_forward(found, recipe):
        apart = found.starts[fold.test].min() - found.ends[fold.train].max()
        assert apart >= 24 * 3600 * 1_000_000


@pytest.mark.parametrize(
    "change",
    [{"trees": 0}, {"folds": 1}, {"learning_rate": 0.0}, {"calibration": "x"}, {"bins": 1}, {"bins": 256}, {"no": 1}],
)
def test_a_recipe_refuses_what_is_none(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="recipe"):
        Recipe().with_changes(change)


def test_boosting_has_as_many_bins_as_its_recipe_and_a_file_without_them_had_all() -> None:
    made = train(examples(rows(60), NAMES), "m", SMALL.with_changes({"bins": 17}))
    assert made.members["boosting"].max_bins == made.recipe.bins == 17
    about = made.about()
    assert Model.from_parts(about, made.members).recipe == made.recipe
    del about["recipe"]["bins"]
    assert Model.from_parts(about, made.members).recipe.bins == 255


def test_a_feature_that_begins_late_or_never_does_not_keep_a_model_from_being_trained() -> None:
    frame = rows(120).with_columns(
        late=pl.when(pl.int_range(pl.len()) >= 80).then(pl.col("a")), never=pl.lit(None, dtype=pl.Float64)
    )
    made = train(examples(frame, ["a", "late", "never"]), "m", SMALL)
    assert made.predict(frame.drop("b"))["probability"].is_between(0, 1).all()
