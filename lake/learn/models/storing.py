"""Models as bytes: skops files, which hold data and no code; joblib only for who asks for it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from lake.errors import CorruptLakeError, LifeCycleError, MissingExtraError, UsageError
from lake.learn.models.model import Model
from lake.store.location import Location

FORMATS = ("skops", "joblib")
PICKLE = "pickle"  # a file of another program, which was imported
FOLDER = "_lake/models"
#: Types that skops does not trust by itself, and the members of an ensemble are made of.
TRUSTED = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)


class SaveOptions(TypedDict, total=False):
    """Further arguments of :meth:`lake.learn.models.registry.Models.save`."""

    version: str
    run_id: str | None
    form: str
    allow_pickle: bool


class LoadOptions(TypedDict, total=False):
    """Further arguments of :meth:`lake.learn.models.registry.Models.load`."""

    allow_pickle: bool
    trusted: Iterable[str]


RISK = "joblib files are pickles: loading one runs whatever code its author put into it"


def dump(model: Model, form: str = "skops", *, allow_pickle: bool = False) -> bytes:
    """The bytes of a model's file.

    Raises:
        UsageError: joblib without ``allow_pickle``, or an unknown format.
        MissingExtraError: skops is not installed.
    """
    _check(form, allow_pickle)
    whole = {"members": dict(model.members), "about": json.dumps(model.about())}
    if form == "joblib":
        import joblib

        file = io.BytesIO()
        joblib.dump(whole, file, compress=3)
        return file.getvalue()
    made: bytes = _skops().dumps(whole, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    return made


def load(
    data: bytes, sha256: str, form: str = "skops", *, allow_pickle: bool = False, trusted: Sequence[str] = ()
) -> Model:
    """The model of a file's bytes, which are looked at only if their hash is the one that was recorded.

    Args:
        data: the file.
        sha256: that it must have.
        form: of the file.
        allow_pickle: whether a joblib file may run code. Say so only of files that you or your people wrote.
        trusted: types that a skops file may hold besides those of the ensemble.

    Raises:
        CorruptLakeError: other bytes than were saved.
        UsageError: a joblib file without ``allow_pickle``, or types that are not trusted.
    """
    check_hash(data, sha256)
    must_be_trusted(form, allow_pickle=allow_pickle)
    if form == PICKLE:
        todo = "lk.models.unpickled(version, allow_pickle=True) gives what is in it."
        raise UsageError("it was made by another program, and is no model of the lake", where="models", todo=todo)
    _check(form, allow_pickle)
    if form == "joblib":
        import joblib

        return _made(joblib.load(io.BytesIO(data)))
    skops = _skops()
    strange = sorted(set(skops.get_untrusted_types(data=data)) - {*TRUSTED, *trusted})
    if strange:
        raise UsageError(
            "the file holds types that are not trusted", where="models", value=strange,
            todo="Name them in trusted=(...) if you know who made it.",
        )  # fmt: skip
    return _made(skops.loads(data, trusted=[*TRUSTED, *trusted]))


def unpickled(data: bytes, sha256: str, *, allow_pickle: bool = False) -> Any:
    """What is in a pickle of another program: any object at all.

    Raises:
        CorruptLakeError: other bytes than were saved.
        UsageError: without ``allow_pickle``.
    """
    check_hash(data, sha256)
    must_be_trusted(PICKLE, allow_pickle=allow_pickle)
    import joblib

    return joblib.load(io.BytesIO(data))


def must_be_trusted(form: str, *, allow_pickle: bool) -> None:
    """Refuse a pickle that was imported, unless the caller takes the risk.

    Raises:
        UsageError: without ``allow_pickle``.
    """
    if form == PICKLE and not allow_pickle:
        raise UsageError(RISK, where="models", todo="Say allow_pickle=True if you know who made it.")


def read(location: Location, row: Mapping[str, Any]) -> bytes:
    """The bytes of a version's file, which are as they were saved.

    Raises:
        LifeCycleError: it was removed.
        CorruptLakeError: it is gone, or holds other bytes.
    """
    if row["path"] is None:
        raise LifeCycleError(
            "its file was removed, as of all but the newest versions", where=f"models, {row['version']}",
            todo="Train it again from its manifest.",
        )  # fmt: skip
    data = location.read_or_none(row["path"])
    if data is None:
        raise CorruptLakeError("the model's file is gone", where=row["path"], todo="Restore it from a backup.")
    check_hash(data, row["sha256"])
    return data


def check_hash(data: bytes, sha256: str) -> None:
    """Refuse a file's bytes that are not those that were saved.

    Raises:
        CorruptLakeError: their hash is another one.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise CorruptLakeError(
            f"the model's file has changed: its sha256 is {found}, {sha256} was saved", where="models",
            todo="Restore it from a backup, or load another version.",
        )  # fmt: skip


def _made(whole: Mapping[str, Any]) -> Model:
    return Model.from_parts(json.loads(whole["about"]), whole["members"])


def _check(form: str, allow_pickle: bool) -> None:
    if form not in FORMATS:
        raise UsageError("unknown format of models", value=form, todo=f"It is {' or '.join(FORMATS)}.")
    if form == "joblib" and not allow_pickle:
        raise UsageError(RISK, where="models", todo="Say allow_pickle=True if you know who made it.")


def _skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtraError("models need skops", where="extra learn", todo="pip install 'tradelake[learn]'") from (
            error
        )
    return skops.io
