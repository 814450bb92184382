"""Gathered pieces written in few commits, and what became of every row told by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lake.ledgers.bulk import resting_on_a_look
from lake.ledgers.receipt import Receipt
from lake.sources.base import KEYS, SCHEMAS
from lake.sources.done import Refusal
from lake.sources.pieces import Piece
from lake.sources.report import COUNTS, FileReport
from lake.spec import registry
from lake.spec.frames import check_frame
from lake.store.cold.table_state import TableState

GATHER_ROWS = 1_000_000
MOST_REASONS = 50  # a file
OTHER = "other reasons; each row is in quarantine with its own"
REPLACED = "took the place of other values that stood there at the same time"


@dataclass(slots=True)
class Counts:
    """Running counts of one file."""

    rows_in: int = 0
    landed: int = 0
    updated: int = 0
    duplicate: int = 0
    quarantined: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def tell(self, reasons: Mapping[str, int]) -> None:
        """Count rows by their reasons; those that name a value may be as many as rows, so that the rest are one."""
        for reason, rows in reasons.items():
            known = reason in self.reasons or len(self.reasons) < MOST_REASONS
            self.reasons[reason if known else OTHER] += rows

    @property
    def refusal(self) -> Refusal | None:
        """Why not one row of the file was taken; None where some were, or there is none."""
        return Refusal(self.rows_in, dict(self.reasons)) if 0 < self.rows_in == self.quarantined else None

    def report(self, path: str, source: str, error: str = "", *, folded: bool = False) -> FileReport:
        """The counts as the caller sees them; of a file whose rows were ``folded`` into candles, or are candles."""
        numbers = {name: getattr(self, name) for name in COUNTS}
        numbers["trades"] = self.rows_in if folded else 0
        status = "failed" if error else "done"
        return FileReport(path, source, status, **numbers, reasons=dict(self.reasons), error=error)


class Landing:
    """Gathers pieces and writes them when there are enough; counts per file number."""

    def __init__(self, lk: Any, names: dict[int, str]) -> None:
        self._lk = lk
        self.names = names
        self._pieces: list[Piece] = []
        self._rows = 0
        self.counts: dict[int, Counts] = {number: Counts() for number in names}
        self.candles_made = 0

    @property
    def full(self) -> bool:
        """Whether enough is gathered for a commit."""
        return self._rows >= GATHER_ROWS

    def add(self, piece: Piece) -> None:
        """Take a piece; nothing is written yet."""
        self._pieces.append(piece)
        self._rows += piece.rows

    def flush(self) -> None:
        """Write all that is gathered; it is durable when this returns."""
        pieces, self._pieces, self._rows = self._pieces, [], 0
        self.candles_made += sum(p.frame.height for p in pieces if p.folded)
        for dataset in KEYS:
            self._write(dataset, [p for p in pieces if p.dataset == dataset and p.frame.height])
        for piece in pieces:
            self._tally(piece)

    def _write(self, dataset: str, pieces: list[Piece]) -> None:
        if not pieces:
            return
        frame = pl.concat([p.frame for p in pieces])
        shares = _shares(pieces)

        def write(seen: TableState | None) -> tuple[pl.DataFrame, pl.Series, Receipt]:
            held = _held(self._lk, dataset, frame)
            poorer = _poorer(pieces, held, frame)
            return held, poorer, self._written(dataset, _last_of_each(frame.filter(~poorer), dataset), seen)

        held, poorer, receipt = resting_on_a_look(self._lk.writer, registry.get(dataset), write)
        fate = fates(dataset, held, frame).zip_with(~poorer, pl.repeat("duplicate", frame.height, eager=True))
        reason = _reasons(frame, dataset, receipt)
        fate = fate.zip_with(reason.is_null(), pl.repeat("quarantined", frame.height, eager=True))
        reason = reason.zip_with((fate != "updated") | _folded(pieces), pl.repeat(REPLACED, frame.height, eager=True))
        told = pl.DataFrame({"row": pl.int_range(frame.height, eager=True), "fate": fate, "reason": reason})
        sums = shares.join(told, on="row").group_by("file", "fate", "reason").agg(pl.col("rows").sum())
        for number, what, why, rows in sums.sort("file", "fate", "reason").iter_rows():
            setattr(self.counts[number], what, getattr(self.counts[number], what) + rows)
            if why is not None:
                self.counts[number].tell({why: rows})

    def _written(self, dataset: str, rows: pl.DataFrame, seen: TableState | None) -> Receipt:
        if dataset == "candles":
            done: Receipt = self._lk.candles.write_checked(rows, seen=seen)
        else:
            ds = registry.get(dataset)
            done = self._lk.writer.write_frame(ds, check_frame(ds, rows), seen=seen)
        return done

    def _tally(self, piece: Piece) -> None:
        for tally in piece.tallies:
            counts = self.counts[tally.file]
            counts.rows_in += tally.rows_in
            counts.duplicate += tally.duplicate
            counts.quarantined += tally.rejected.height
            counts.tell(tally.notes)
            if tally.rejected.height:
                found = tally.rejected["reason"].value_counts().sort("count", "reason", descending=[True, False])
                counts.tell(dict(found.iter_rows()))
                self._lk.quarantine(self.names[tally.file], tally.rejected.to_dicts(), dataset=piece.dataset)


def _shares(pieces: list[Piece]) -> pl.DataFrame:
    """Which rows of the joined frame come from which file."""
    start, shifted = 0, []
    for piece in pieces:
        shifted.append(piece.shares.with_columns(pl.col("row") + start))
        start += piece.frame.height
    return pl.concat(shifted)


def _last_of_each(frame: pl.DataFrame, dataset: str) -> pl.DataFrame:
    key = list(KEYS[dataset])
    return frame.unique(key, keep="last", maintain_order=True) if frame.select(key).is_duplicated().any() else frame


def _held(lk: Any, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of the lake with the keys of the frame: what they were before the write."""
    typed = [pl.col(name).cast(kind) for name, kind in SCHEMAS[dataset].items()]
    found = [_within(lk, dataset, part).select(typed) for part in _spans(dataset, frame)]
    return pl.concat(found).join(frame.select(KEYS[dataset]), on=list(KEYS[dataset]), how="semi")


def _spans(dataset: str, frame: pl.DataFrame) -> list[pl.DataFrame]:
    """From when to when the frame has rows of each series: a table for each timeframe, or metric."""
    *series, time = KEYS[dataset]
    spans = frame.group_by(series).agg(low=pl.col(time).min(), high=pl.col(time).max())
    return spans.partition_by(series[-1])


def _within(lk: Any, dataset: str, spans: pl.DataFrame) -> pl.DataFrame:
    """The lake's rows of some series, of each only those in its span: a day of one may meet years of another."""
    venue, symbol, kind, time = KEYS[dataset]
    sql = f"""
        SELECT {", ".join(f"held.{name}" for name in SCHEMAS[dataset])}
        FROM {dataset} AS held
        JOIN (SELECT unnest(?) AS venue, unnest(?) AS symbol, unnest(?) AS low, unnest(?) AS high) AS span
        ON held.{venue} = span.venue AND held.{symbol} = span.symbol AND held.{time} BETWEEN span.low AND span.high
        WHERE held.{kind} = ? AND held.{symbol} BETWEEN ? AND ? AND held.{time} BETWEEN ? AND ?
    """
    lists = [spans[name].to_list() for name in (venue, symbol, "low", "high")]
    ends = [spans[symbol].min(), spans[symbol].max(), spans["low"].min(), spans["high"].max()]
    found: pl.DataFrame = lk.sql(sql, [*lists, spans[kind][0], *ends]).pl()
    return found


def _poorer(pieces: list[Piece], held: pl.DataFrame, frame: pl.DataFrame) -> pl.Series:
    """Candles folded from fewer trades than the lake's candle: their file starts or ends inside of it."""
    folded = _folded(pieces)
    if not held.height or not folded.any():
        return pl.repeat(False, frame.height, eager=True)
    key = list(KEYS["candles"])
    known = held.select(*key, known=pl.col("trade_count"))
    fewer = frame.join(known, on=key, how="left", maintain_order="left").select(pl.col("known") > pl.col("trade_count"))
    return fewer.to_series().fill_null(False) & folded


def fates(dataset: str, held: pl.DataFrame, frame: pl.DataFrame) -> pl.Series:
    """What becomes of each row when rows are upserted in order: ``landed``, ``updated`` or ``duplicate``.

    Args:
        dataset: whose key it is.
        held: rows that are in the lake before.
        frame: rows to write; a later row of a key replaces an earlier one.
    """
    key = list(KEYS[dataset])
    if not held.height and not frame.select(key).is_duplicated().any():
        return pl.repeat("landed", frame.height, eager=True)
    before = held.select(frame.columns).with_columns(_n=pl.lit(-1, dtype=pl.Int64))
    after = frame.with_columns(_n=pl.int_range(frame.height, dtype=pl.Int64))
    ordered = pl.concat([before, after]).sort(*key, "_n")
    values = [name for name in frame.columns if name not in key]
    known = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in key).fill_null(False)
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in values)
    fate = pl.when(~known).then(pl.lit("landed")).when(same).then(pl.lit("duplicate")).otherwise(pl.lit("updated"))
    return ordered.select("_n", fate=fate).filter(pl.col("_n") >= 0).sort("_n")["fate"]


def _reasons(frame: pl.DataFrame, dataset: str, receipt: Any) -> pl.Series:
    """Why the writer refused a row after all, which it has kept with that reason; null for the others."""
    if not receipt.rejected:
        return pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
    key = list(KEYS[dataset])
    rows = [[*(r.row.get(name) for name in key), r.reason] for r in receipt.rejections]
    schema = {name: SCHEMAS[dataset][name] for name in key} | {"reason": pl.String}
    bad = pl.DataFrame(rows, schema=schema, orient="row").unique(key, keep="last")
    return frame.select(key).join(bad, on=key, how="left", maintain_order="left")["reason"]


def _folded(pieces: list[Piece]) -> pl.Series:
    """Whether each row is a candle made of trades."""
    return pl.concat([pl.repeat(p.folded, p.frame.height, eager=True) for p in pieces])
