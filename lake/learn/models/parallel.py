"""Work on several cores or machines, through joblib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lake.errors import MissingExtraError


def parallel(work: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], n_jobs: int) -> list[Any]:
    """Call ``work`` with each of the arguments; results in their order.

    Args:
        work: a module's function.
        arguments: of each call.
        n_jobs: calls at once, as joblib counts them; -1 is as many as there are cores. The backend is loky, or the
            one that the caller chose with ``joblib.parallel_config``: Dask, Ray, ...

    Raises:
        MissingExtraError: joblib is not installed.
    """
    try:
        import joblib
    except ImportError as error:
        todo = "pip install 'tradelake[learn]'"
        raise MissingExtraError("models need joblib", where="extra learn", todo=todo) from error
    # without a number the backend's own counts: all workers of Dask or Ray, one job of loky
    made = joblib.Parallel(n_jobs=None if n_jobs == 1 else n_jobs)(joblib.delayed(work)(*each) for each in arguments)
    return list(made)
