"""Results in percent that are shares: 0.02 where the prices say 2 %. What a store means is told, and not guessed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lake.errors import InvalidRowError
from lake.importers.base import Notes, Options, Refused, Row, RowMap

_LEAST = 0.01  # percent; a smaller move says nothing
_COLUMNS = ("side", "entry_price", "exit_price", "pnl_percent", "leverage")


def judged(rows: Iterator[Row | Refused], made: RowMap, options: Options, notes: Notes) -> Iterator[Row | Refused]:
    """The same rows; a note, when ``pnl_percent`` of most that have both prices is nearer to the share than to percent.

    Args:
        rows: of a table of trades.
        made: what becomes of them.
        options: what the caller said.
        notes: is told at the end.
    """
    shares = judgements = 0
    for row in rows:
        judgement = None if isinstance(row, Refused) else _is_share(row, made, options)
        judgements += judgement is not None
        shares += judgement is True
        yield row
    if 2 * shares > judgements:
        notes.tell(
            f"pnl_percent of {shares:,} of {judgements:,} trades contradicts their prices: it looks like a fraction "
            "(0.02 for 2 %), and is kept as it is"
        )


def _is_share(row: Row, made: RowMap, options: Options) -> bool | None:
    """Whether the result is nearer to the share; None when prices are missing, or say nothing of it."""
    try:
        side, entry, left, said, leverage = (made.columns[name].read(row, options) for name in _COLUMNS)
    except InvalidRowError:
        return None  # it is refused where it should land
    if not entry or not left or not said:
        return None
    move = 100 * (left / entry - 1) * (-1 if side == "SHORT" else 1)
    if abs(move) < _LEAST or said * move <= 0:
        return None
    moves = {move, move * (leverage or 1.0)}
    in_percent, as_share = (min(abs(math.log(said / (m / part))) for m in moves) for part in (1, 100))
    return as_share < in_percent
