"""Candles as freqtrade's data folder: ``<to>/<exchange>/BTC_USDT-5m.feather``, or ``.json``; futures in ``futures``.

Of market metrics funding rates and open interest have their files there too.

``--to user_data/data`` is where freqtrade looks. Candles without a venue, and those of a venue that the folder is named
after already, lie in the folder itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
import polars as pl
import pyarrow as pa

from lake.exporters.asking import Asked
from lake.exporters.base import Target, Tell, Written
from lake.exporters.files import whole_folder
from lake.exporters.freqtrade_metrics import DATASET, MetricSeries, metric_series
from lake.exporters.series import Series, series
from lake.spec import symbols

_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
_KINDS = {"": "", "P": "-futures", "P.MARK": "-mark", "P.INDEX": "-index"}
_SCHEMA = pa.schema([("date", pa.timestamp("ns", "UTC")), *((name, pa.float64()) for name in _COLUMNS[1:])])


def write_feather(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write feather files, which are freqtrade's own format."""
    return _write(asked, target, tell, "feather")


def write_json(asked: Asked, target: Target, tell: Tell) -> Written:
    """Write JSON files: arrays of [ms, open, high, low, close, volume]."""
    return _write(asked, target, tell, "json")


def _write(asked: Asked, target: Target, tell: Tell, ending: str) -> Written:
    folder, rows, places = Path(target.to), 0, []
    with whole_folder(folder, replace=target.replace) as draft:
        for path, frames in _files(asked, folder, ending):
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            rows += (_feather if ending == "feather" else _json)(draft / path, frames, tell)
            places.append(str(folder / path))
    return Written(rows, tuple(places))


def _files(asked: Asked, folder: Path, ending: str) -> Iterator[tuple[Path, Iterator[pl.DataFrame]]]:
    """Paths below the folder, and what goes there in freqtrade's columns."""
    if asked.dataset is not None and asked.dataset.name == DATASET:
        for metrics in metric_series(asked):
            yield metric_file(metrics, folder, ending), metrics.frames()
        return
    for one in series(asked, _COLUMNS, "freqtrade"):
        yield file_name(one, folder, ending), (frame.rename({"open_time": "date"}) for frame in one.frames())


def metric_file(metrics: MetricSeries, folder: Path, ending: str) -> Path:
    """The path of a metric's values below the folder."""
    name = f"{symbols.to_freqtrade(metrics.symbol)}-{metrics.timeframe}-{metrics.metric}.{ending}"
    return _exchange(metrics.venue, folder) / "futures" / name


def _exchange(venue: str, folder: Path) -> Path:
    return Path() if venue in ("", folder.resolve().name) else Path(venue)


def file_name(one: Series, folder: Path, ending: str) -> Path:
    """The path of a series below the folder."""
    base = symbols.to_freqtrade(one.symbol)
    kind = _KINDS[one.market]
    exchange = _exchange(one.venue, folder)
    place = exchange / "futures" if kind else exchange
    return place / f"{base}-{one.timeframe}{kind}.{ending}"


def _feather(path: Path, frames: Iterable[pl.DataFrame], tell: Tell) -> int:
    rows = 0
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer,
    ):
        for frame in frames:
            writer.write_table(frame.to_arrow().cast(_SCHEMA))
            rows += frame.height
            tell(frame.height)
    return rows


def _json(path: Path, frames: Iterable[pl.DataFrame], tell: Tell) -> int:
    rows = 0
    with path.open("wb") as file:
        for frame in frames:
            told = frame.with_columns(pl.col("date").dt.epoch("ms"))
            file.write(b"," if rows else b"[")
            file.write(orjson.dumps(told.rows())[1:-1])
            rows += frame.height
            tell(frame.height)
        file.write(b"]")
    return rows
