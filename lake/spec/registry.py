"""All datasets by name. Adding one is adding a file to ``lake/spec/datasets``."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

from lake.errors import SpecError, UnknownDatasetError
from lake.spec import datasets
from lake.spec.dataset import Dataset


@cache
def _all() -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for module in sorted(pkgutil.iter_modules(datasets.__path__), key=lambda m: m.name):
        ds = importlib.import_module(f"{datasets.__name__}.{module.name}").DATASET
        if ds.name != module.name:
            raise SpecError("a dataset is named after its file", where=f"{module.name}.py", value=ds.name)
        found[ds.name] = ds
    return found


def get(name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        UnknownDatasetError: there is none.
    """
    try:
        return _all()[name]
    except (KeyError, TypeError):
        near = difflib.get_close_matches(str(name).lower(), _all(), 3)
        todo = f"Did you mean {', '.join(near)}?" if near else "`lake tables` lists them."
        raise UnknownDatasetError("no such dataset", value=name, todo=todo) from None


def names() -> tuple[str, ...]:
    """Names of all datasets, in alphabetical order."""
    return tuple(_all())


def all_datasets() -> tuple[Dataset, ...]:
    """All datasets, in order of their names."""
    return tuple(_all().values())
