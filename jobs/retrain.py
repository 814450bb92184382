"""Train models again whose policy says so: enough is new, they are old, or their calibration has drifted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from jobs.running import job
from lake import Lake, LakeError
from lake.learn.models.judging import NEVER
from lake.learn.models.model import Model

_TRIGGERS = ("count", "age", "drift")  # why this job trains
_LONGEST = timedelta(days=1)  # no training of this job takes so long
# of a request, what is given by itself, or as it is now: all rows, and the settings' knowledge cutoffs
_ANEW = ("name", "source", "features", "end", "cutoffs")


def work(lk: Lake) -> dict[str, Any]:
    """Train models again whose policy says so: enough is new, they are old, or their calibration has drifted."""
    told: dict[str, Any] = {"trained": {}, "waiting": {}, "failed": {}}
    end_cut_off(lk)
    for name in lk.models.names():
        info = lk.models.retrain_info(name)
        if not info.due:
            told["waiting"][name] = "; ".join(info.reasons)
            continue
        try:
            told["trained"][name] = _again(lk, name, info.trigger)
        except LakeError as error:  # the other models are trained all the same
            told["failed"][name] = str(error)
    return told if not told["failed"] else {**told, "ok": False}


def _again(lk: Lake, name: str, trigger: str) -> dict[str, Any]:
    """Build the data set as it is now, and train as it was trained; a better-than-chance successor goes live.

    It learns from the features that were named in that training, else from all that the data set has now.
    """
    before = lk.models.recipe_of(name)
    request = dict(before["manifest"].get("request") or {})
    if not request:
        return {"skipped": "it was not trained on a data set of the lake", "trigger": trigger}
    asked = {key: value for key, value in request.items() if key not in _ANEW}
    held = {manifest.hash for manifest in lk.datasets.list(request["name"])}
    data = lk.datasets.build(request["name"], request["source"], request["features"], **asked)
    if data.manifest.content == before["manifest"].get("content"):
        if data.manifest.hash not in held:
            lk.datasets.delete(request["name"], data.manifest.hash)
        return {"skipped": "the data set holds nothing new", "trigger": trigger}
    options = {**before["options"], "trigger": trigger}
    if before["by"] is None:
        made = [lk.models.train(data, name, **options)]
    else:
        made = list(lk.models.train_each(data, name, before["by"], **options).models.values())
    live = [model.version for model in made if before["live"] and is_worth_it(model)]
    for version in live:
        lk.models.promote(version)
    for hash_ in outlived(lk, request["name"]):
        lk.datasets.delete(request["name"], hash_)
    told = {"versions": [model.version for model in made], "live": live, "trigger": trigger}
    return {**told, **_other_features(before["learnt"], made[0])}


def _other_features(before: list[str], made: Model) -> dict[str, list[str]]:
    """What a successor learns from that the model before it did not, and what it does not any more."""
    now = made.schema.names
    found = {"features_added": set(now) - set(before), "features_gone": set(before) - set(now)}
    return {name: sorted(features) for name, features in found.items() if features}


def end_cut_off(lk: Lake) -> int:
    """End the runs of this job whose process was killed, so that nothing waits for them; how many there were."""
    runs = lk.read("training_runs", {"status": "running"})
    gone = runs.filter(pl.col("trigger").is_in(_TRIGGERS) & (pl.col("started_at") < datetime.now(UTC) - _LONGEST))
    for run_id in gone["run_id"]:
        changes = {"status": "failed", "error": "it was cut off", "finished_at": datetime.now(UTC)}
        lk.patch("training_runs", run_id, changes)
    return gone.height


def outlived(lk: Lake, dataset: str) -> list[str]:
    """Hashes of data sets that this job built, and that no model is left of; each pins what no vacuum removes then.

    What somebody trained on by hand stays, and what is being trained on.
    """
    hash_ = pl.col("dataset_manifest").str.json_path_match("$.hash").alias("hash")
    runs = lk.read("training_runs").with_columns(hash_)
    is_over = pl.col("trigger").is_in(_TRIGGERS) & (pl.col("status") != "running")
    with_file = lk.read("model_versions").filter(pl.col("path").is_not_null()).select(hash_)
    kept = {*with_file["hash"], *runs.filter(~is_over)["hash"]}
    gone = set(runs.filter(is_over)["hash"].drop_nulls()) - kept
    return [manifest.hash for manifest in lk.datasets.list(dataset) if manifest.hash in gone]


def is_worth_it(model: Model) -> bool:
    """Whether a model has shown skill on rows it did not see, and found something worth a yes."""
    low = model.metrics["overall"]["auc_low"]
    return low is not None and low > 0.5 and model.threshold < NEVER


main = job("retrain", work)

if __name__ == "__main__":
    main()
