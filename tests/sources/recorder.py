"""A perfect small lake in memory: upserts by key, answers SQL, keeps what was quarantined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from lake.sources.base import KEYS, SCHEMAS
from lake.spec.dataset import Dataset
from lake.spec.frames import Checked


@dataclass(frozen=True)
class Receipt:
    inserted: int
    updated: int
    unchanged: int
    rejected: int = 0
    rejections: tuple[Any, ...] = ()


class FolderLocation:
    """Files in a folder, as the lake's location offers them."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def url(self, path: str) -> str:
        return str(self._root / path)

    def list(self, prefix: str) -> list[Any]:
        return [Entry(str(p.relative_to(self._root))) for p in sorted(self._root.glob(f"{prefix}/*")) if p.is_file()]

    def read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        (self._root / path).parent.mkdir(parents=True, exist_ok=True)
        (self._root / path).write_bytes(data)

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            (self._root / path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Entry:
    path: str


@dataclass
class RecordingLake:
    """What ingest needs of a lake."""

    folder: Path
    rows: dict[str, pl.DataFrame] = field(
        default_factory=lambda: {name: pl.DataFrame(schema=SCHEMAS[name]) for name in KEYS}
    )
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    commits: int = 0
    fail_at_commit: int | None = None

    def __post_init__(self) -> None:
        self.location = FolderLocation(self.folder)

    @property
    def store(self) -> RecordingLake:
        return self

    @property
    def hot_folder(self) -> Path:
        return self.folder / "_hot"

    @property
    def candles(self) -> RecordingLake:
        return self

    @property
    def writer(self) -> RecordingLake:
        return self

    def open_transaction(self) -> None:
        """There is none."""

    def has_turn(self) -> bool:
        return False

    def table(self, _: str) -> RecordingLake:
        return self

    def state(self) -> None:
        """Nobody else writes, so that it does not matter."""

    def write_checked(self, frame: pl.DataFrame, *, seen: None) -> Receipt:
        return self.write("candles", frame)

    def write_frame(self, ds: Dataset, checked: Checked, *, seen: None) -> Receipt:
        return self.write(ds.name, checked.good.select(SCHEMAS[ds.name].keys()))

    def write(self, dataset: str, frame: pl.DataFrame) -> Receipt:
        if self.fail_at_commit == self.commits:
            raise InterruptedError("the process is killed here")
        self.commits += 1
        key = list(KEYS[dataset])
        old = self.rows[dataset]
        new = frame.unique(key, keep="last", maintain_order=True)
        inserted = new.join(old.select(key), on=key, how="anti").height
        same = new.join(old, on=new.columns, how="semi", nulls_equal=True).height
        self.rows[dataset] = pl.concat([old, new]).unique(key, keep="last", maintain_order=True)
        return Receipt(inserted, new.height - inserted - same, same + frame.height - new.height)

    def last(self, symbol: str, timeframe: str, venue: str = "") -> int | None:
        """Open time in µs of the newest candle."""
        mine = self.rows["candles"].filter(symbol=symbol, timeframe=timeframe, venue=venue)["open_time"]
        return None if mine.is_empty() else int(mine.dt.epoch("us").max())  # type: ignore[arg-type]

    def sql(self, query: str, params: Sequence[Any] = ()) -> duckdb.DuckDBPyRelation:
        connection = duckdb.connect()
        connection.execute("set TimeZone = 'UTC'")
        for name, frame in self.rows.items():
            connection.register(name, frame.to_arrow())
        return connection.sql(query, params=list(params))

    def quarantine(self, source: str, rows: list[dict[str, Any]], *, dataset: str = "candles") -> None:
        self.quarantined += [{"source": source, "dataset": dataset, **row} for row in rows]
