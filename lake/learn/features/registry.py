"""Feature sets by name: the standard one, those registered, and those in a user's own Python file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from lake.errors import LakeError, SourceError, UsageError
from lake.learn.features.base import FeatureSet
from lake.learn.features.standard import standard

_SETS: dict[str, FeatureSet] = {"standard": standard()}


def get(name: str) -> FeatureSet:
    """The feature set of that name.

    Raises:
        UsageError: there is none.

    >>> len(get("standard").features)
    50
    """
    if name not in _SETS:
        raise UsageError(
            "there is no such feature set",
            where="features",
            value=name,
            todo=f"There are {', '.join(names())}; a set of your own file is named as my_features.py:my_set.",
        )
    return _SETS[name]


def register(feature_set: FeatureSet) -> FeatureSet:
    """Make a set known by its name; the same one again is fine.

    Raises:
        UsageError: another set has the name.
    """
    known = _SETS.get(feature_set.name)
    if known is not None and known.fingerprint != feature_set.fingerprint:
        raise UsageError(
            "another feature set has this name", where="features", value=feature_set.name, todo="Call it otherwise."
        )
    _SETS[feature_set.name] = feature_set
    return feature_set


def names() -> tuple[str, ...]:
    """Names of all sets that are known."""
    return tuple(sorted(_SETS))


def load(given: str | FeatureSet) -> FeatureSet:
    """A set by its name, or as ``my_features.py:my_set``: the variable ``my_set`` of that file, which is run.

    Raises:
        UsageError: no such set, file or variable, or the variable is no FeatureSet.
        SourceError: the file cannot be run.
    """
    if isinstance(given, FeatureSet):
        return given
    if not isinstance(given, str):
        raise UsageError(
            "features are the name of a feature set, path.py:name, or a FeatureSet", where="features", value=given,
            todo="Such as 'standard'; None for none.",
        )  # fmt: skip
    path, colon, variable = given.rpartition(":")
    if not colon or not path.endswith(".py"):
        return get(given)
    if not Path(path).is_file():
        raise UsageError("there is no such file of features", value=path, todo="Give it as path.py:name.")
    found = vars(_run(Path(path))).get(variable)
    if not isinstance(found, FeatureSet):
        raise UsageError(
            "the file has no feature set of that name",
            where=path,
            value=variable,
            todo=f"Write {variable} = FeatureSet(...) there, with FeatureSet from lake.learn.features.",
        )
    return found


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_lake_features_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SourceError("it cannot be read as a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of the file look it up
    try:
        spec.loader.exec_module(module)
    except LakeError:
        raise
    except Exception as error:
        raise SourceError(
            f"the file of features cannot be run: {type(error).__name__}: {error}", where=str(path)
        ) from error
    return module
