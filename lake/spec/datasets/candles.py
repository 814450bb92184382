"""OHLCV bars."""

from functools import partial

from lake.spec.columns import SYMBOL, VENUE, moment, number, price, text, whole
from lake.spec.dataset import Dataset, Partition, Period
from lake.spec.known_at import CANDLE_CLOSE
from lake.spec.timeframes import ALL

_amount = partial(number, minimum=0, exact=True)

DATASET = Dataset(
    name="candles",
    meaning="one OHLCV bar of a symbol and timeframe",
    columns=(
        VENUE,
        SYMBOL,
        text("timeframe", "length of the bar", required=True, choices=ALL),
        moment("open_time", "when the bar begins; it is known only at its end", required=True),
        price("open", "first price", required=True, minimum=0),
        price("high", "highest price", required=True, minimum=0),
        price("low", "lowest price", required=True, minimum=0),
        price("close", "last price", required=True, minimum=0),
        _amount("volume", "traded amount; null where the source has none, as for a mark price", "base currency"),
        _amount("quote_volume", "traded value", "quote currency"),
        whole("trade_count", "number of trades", minimum=0),
        _amount("taker_buy_volume", "amount bought by takers", "base currency"),
        _amount("taker_buy_quote_volume", "value bought by takers", "quote currency"),
    ),
    key=("venue", "symbol", "timeframe", "open_time"),
    event_time="open_time",
    known_at=CANDLE_CLOSE,
    partition=Partition("open_time", Period.BY_TIMEFRAME, ("timeframe",)),
    sort=("symbol", "venue", "open_time"),
    defaults={"venue": ""},
)
