"""What a model takes: the names, order and types of its features, checked at training and at prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.errors import FeatureMismatchError, UsageError

Floats = npt.NDArray[np.float64]
KINDS = ("number", "flag", "text")
#: Columns that describe a row and are no features: a frame that has them beside its features is taken as it is.
DESCRIBING = frozenset(
    {"id", "kind", "bot_id", "venue", "symbol", "timeframe", "strategy", "side", "regime"}
    | {"decision_time", "known_at", "open_time", "close_time"}
)
_PREFIXES = ("label_", "weight_", "flag_")
_MOST_TEXTS = 64
_OFTEN = 10  # rows of a text, where there are more texts: of fewer no tree learns much
_LARGEST = float(np.finfo(np.float32).max)  # trees compare in 32 bits


@dataclass(frozen=True)
class FeatureSchema:
    """The features of a model, in their order.

    Attributes:
        kinds: name -> number, flag or text.
        texts: of text features, the values that occurred in training; others count as none of them. Of more than 64
            these are the 64 most frequent of those that occurred in ten rows: none of what names each row by itself.

    Raises:
        UsageError: no feature, or a kind that there is not.
    """

    kinds: Mapping[str, str]
    texts: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        if not self.kinds:
            raise UsageError("a model needs features", where="features", todo="Name the columns.")
        for name, kind in self.kinds.items():
            if kind not in KINDS:
                raise UsageError(f"feature {name} is a {', '.join(KINDS)}", where="features", value=kind)

    @classmethod
    def of(cls, frame: pl.DataFrame, names: Iterable[str]) -> FeatureSchema:
        """The schema of columns of a frame.

        Raises:
            FeatureMismatchError: a column is missing, or of a type that no model learns from.
        """
        wanted = list(dict.fromkeys(names))
        troubles = [f"{n} is missing" for n in wanted if n not in frame.columns]
        troubles += [
            f"{n} is {frame.schema[n]}"
            for n in wanted
            if n in frame.columns and kind_of(frame.schema[n]) not in {*KINDS, "empty"}
        ]
        if troubles:
            raise _mismatch(troubles, "training", "Features are numbers, flags or texts.")
        kinds = {n: kind_of(frame.schema[n]).replace("empty", "number") for n in wanted}
        texts = {n: _texts(frame[n]) for n, kind in kinds.items() if kind == "text"}
        if not any(kind != "text" or texts[n] for n, kind in kinds.items()):
            raise _mismatch([f"{n} has no text in ten rows" for n in texts], "training", "Name other features, too.")
        return cls(kinds, texts)

    @property
    def names(self) -> tuple[str, ...]:
        """The features."""
        return tuple(self.kinds)

    def matrix(self, data: Any) -> Floats:
        """The features as an array (rows, columns), missing values nan; each text is a column for each of its values.

        Args:
            data: a Polars or pandas frame, a dict, or a list of dicts; columns in any order.

        Raises:
            FeatureMismatchError: columns that are missing, that the model does not know, or of another type, all named.
        """
        frame = as_frame(data)
        self._check(frame)
        columns: list[Floats] = []
        for name, kind in self.kinds.items():
            if kind == "text":
                filled = frame[name].cast(pl.String)
                columns += [_floats((filled == text).cast(pl.Float64)) for text in self.texts[name]]
            else:
                columns.append(_floats(frame[name].cast(pl.Float64)))
        found = np.column_stack(columns) if columns else np.empty((frame.height, 0))
        if not np.isfinite(found[~np.isnan(found)]).all() or np.nanmax(np.abs(found), initial=0.0) > _LARGEST:
            bad = [n for n, kind in self.kinds.items() if kind == "number" and _is_out_of_range(frame[n])]
            raise _mismatch([f"{n} is infinite or beyond 1e38" for n in bad], "features", "Give null where undefined.")
        return found

    def columns(self) -> list[str]:
        """For each column of the matrix, the feature that it comes from."""
        return [n for n, kind in self.kinds.items() for _ in (self.texts[n] if kind == "text" else (n,))]

    def _check(self, frame: pl.DataFrame) -> None:
        given = frame.schema
        troubles = [f"{n} is missing" for n in self.kinds if n not in given]
        known = {*self.kinds, *DESCRIBING}
        troubles += [f"{n} is not known" for n in given if n not in known and not n.startswith(_PREFIXES)]
        for name, kind in self.kinds.items():
            if name in given and kind_of(given[name]) not in {kind, "empty"}:
                troubles.append(f"{name} is {given[name]}, not a {kind}")
        if troubles:
            raise _mismatch(troubles, "features", "Give the features that the model was trained on, as they were then.")

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"kinds": dict(self.kinds), "texts": {n: list(t) for n, t in self.texts.items()}}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> FeatureSchema:
        """What :meth:`as_dict` gave."""
        return cls(dict(kept["kinds"]), {n: tuple(t) for n, t in kept["texts"].items()})


def as_frame(data: Any) -> pl.DataFrame:
    """A Polars frame of a frame, a dict (one row) or a list of dicts.

    Raises:
        UsageError: none of these.
    """
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, Mapping):
        data = [data]
    if isinstance(data, list | tuple) and data and all(isinstance(row, Mapping) for row in data):
        return _of_rows(data)
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        return pl.from_pandas(data, include_index=False)
    raise UsageError(
        "features are a frame, a dict or a list of dicts", where="features", value=type(data).__name__,
        todo="Such as {'rsi_14': 61.0, ...}.",
    )  # fmt: skip


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows may lack keys: a value that none of them has is a missing column, one that some have is null elsewhere."""
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    try:
        return pl.DataFrame({name: [row.get(name) for row in rows] for name in names}, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        pass
    mixed = [n for n in names if not _fits([row.get(n) for row in rows])]
    if not mixed:
        return pl.DataFrame({name: pl.Series(name, [row.get(name) for row in rows], strict=False) for name in names})
    raise _mismatch([f"{n} has values of several types" for n in mixed], "features", "Give numbers alone.")


def _fits(values: list[Any]) -> bool:
    kinds = {type(v) for v in values if v is not None}
    return len(kinds) <= 1 or kinds <= {int, float}


def kind_of(dtype: pl.DataType) -> str:
    """number, flag, text, empty (nothing but nulls) or the name of a type that is none of these.

    >>> kind_of(pl.Int32()), kind_of(pl.Boolean()), kind_of(pl.Date())
    ('number', 'flag', 'Date')
    """
    if dtype == pl.Boolean:
        return "flag"
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.String, pl.Categorical) or isinstance(dtype, pl.Enum):
        return "text"
    return "empty" if dtype == pl.Null else str(dtype)


def _texts(column: pl.Series) -> tuple[str, ...]:
    counts = column.cast(pl.String).drop_nulls().alias("text").value_counts(name="rows")
    if counts.height > _MOST_TEXTS:
        often = counts.filter(pl.col("rows") >= _OFTEN).sort("rows", "text", descending=[True, False])
        counts = often.head(_MOST_TEXTS)
    return tuple(counts["text"].sort().to_list())


def _floats(column: pl.Series) -> Floats:
    found: Floats = column.fill_null(float("nan")).to_numpy().astype(np.float64)
    return found


def _is_out_of_range(column: pl.Series) -> bool:
    values = _floats(column.cast(pl.Float64))
    held = values[~np.isnan(values)]
    return bool((np.abs(held) > _LARGEST).any())


def _mismatch(troubles: list[str], where: str, todo: str) -> FeatureMismatchError:
    return FeatureMismatchError("; ".join(troubles), where=where, todo=todo)
