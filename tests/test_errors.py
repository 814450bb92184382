"""Errors are sentences, whatever their parts end in."""

from __future__ import annotations

import pickle

import pytest

from lake.errors import LakeError, QueryError, UnknownDatasetError
from lake.spec import registry


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (LakeError("no such tag", todo="Try again."), "no such tag. Try again."),
        (LakeError("which format?", todo="Add --format."), "which format? Add --format."),
        (LakeError("the engine said so.", where="a.sql", todo="Try again."), "a.sql: the engine said so. Try again."),
        (LakeError("which format?", value="x", todo="Add --format."), "which format? (got 'x'). Add --format."),
        (LakeError("stop!"), "stop!"),
    ],
)
def test_a_message_is_punctuated_once(error: LakeError, sentence: str) -> None:
    assert str(error) == sentence


def test_an_error_survives_being_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(QueryError("which?", where="w", value=1, todo="That.")))
    assert (type(error), str(error), error.value) == (QueryError, "w: which? (got 1). That.", 1)


def test_an_unknown_dataset_is_told_near_names_or_where_to_look() -> None:
    with pytest.raises(UnknownDatasetError, match=r"\(got 'Trade'\)\. Did you mean trades\?$"):
        registry.get("Trade")
    with pytest.raises(UnknownDatasetError, match=r"\(got 'zzz'\)\. `lake tables` lists them\.$"):
        registry.get("zzz")
