"""sent_signals_cache.json: the signals that a bot sent lately, by which it tells repeated ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from lake.errors import SourceError
from lake.importers.addresses import existing_file
from lake.importers.base import Notes, Options, Refused, Row, RowMap, Table
from lake.importers.kinds.signal_bot import DEDUPE_KEY, ENTRY, GIVEN, SIDE, SIGNAL_TYPE, SYMBOL, TIMEFRAME, signal_id
from lake.importers.nested import item
from lake.importers.reading.jsons import JsonText, broken, documents, entries, told_of_end
from lake.importers.rules import first_of, option, price, share, text

_WORD = r"(?P<signal>(?:STRONG_)?(?:BUY|SELL)|LONG|SHORT)"
_TIMEFRAME = r"(?P<timeframe>[0-9]+[A-Za-z]*|[A-Za-z][0-9]*)"
_KEYS = (  # a symbol may hold "_", so a key is read from its end
    re.compile(rf"(?P<symbol>.+)_{_TIMEFRAME}_{_WORD}_(?P<date>[0-9]{{4}}-?[0-9]{{2}}-?[0-9]{{2}})", re.IGNORECASE),
    re.compile(rf"(?P<symbol>.+?)_{_WORD}_{_TIMEFRAME}", re.IGNORECASE),
)

SIGNALS = RowMap(
    "signals",
    {
        "signal_id": signal_id(GIVEN, "id"),
        "symbol": SYMBOL,
        "timeframe": TIMEFRAME,
        "strategy": first_of(text("strategy"), option("strategy")),
        "signal_type": SIGNAL_TYPE,
        "direction": SIDE,
        "confidence": share("confidence"),
        "entry_price": ENTRY,
        "stop_loss": price("sl_price"),
        "tp1": first_of(price("tp_price"), item(0, "tp_prices")),
        "tp2": item(1, "tp_prices"),
        "tp3": item(2, "tp_prices"),
        "signal_time": GIVEN,
        "dedupe_key": DEDUPE_KEY,
    },
)


class SignalCache:
    """Reads sent_signals_cache.json."""

    name = "signal-cache"
    summary = "sent_signals_cache.json: the signals that a bot sent lately"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """One table: the signals."""
        return [Table("signals", (SIGNALS,), partial(_rows, existing_file(source)))]


def _rows(path: Path, notes: Notes) -> Iterator[Row | Refused]:
    with JsonText(path) as text:
        if text.peek() != "{":
            raise SourceError("a JSON object is expected" if text.peek() else "the file is empty", where=str(path))
        for first in documents(text, notes):
            if first != "{":
                yield broken(text, notes)
                break
            for key, value in entries(text, notes):
                yield value if isinstance(value, Refused) else _row(key, value)
        told_of_end(text, notes)


def _row(key: str, value: object) -> Row | Refused:
    """One signal, of which the key says what it was; the value may say more."""
    said = next((match.groupdict() for pattern in _KEYS if (match := pattern.fullmatch(key)) is not None), None)
    if not isinstance(value, dict):
        return Refused({"key": key, "value": value}, "not an object")
    if said is None:
        return Refused({"key": key, "value": value}, "a key that names no symbol, direction and timeframe")
    return {"key": key, **said, **value}
