"""Exchange executions."""

from lake.spec.columns import EMPTY, EXTRA, MODE, WHO_AND_WHERE, flag, moment, number, price, text
from lake.spec.dataset import Dataset, Link, Partition, Period
from lake.spec.rules import Needed

DATASET = Dataset(
    name="fills",
    meaning="one execution that an exchange reported",
    columns=(
        text("fill_id", "names the fill", required=True),
        text("trade_id", "the trade it is part of"),
        *WHO_AND_WHERE,
        text("order_id", "our id of the order"),
        text("external_order_id", "the exchange's id of the order"),
        text("side", "side of the order", choices=("BUY", "SELL")),
        text("order_type", "such as MARKET, LIMIT, STOP"),
        number("quantity", "amount executed", "base currency", above=0, exact=True),
        price("price", "price of the execution", above=0),
        number("commission", "fee; negative for a rebate", "commission_asset"),
        text("commission_asset", "currency of the fee"),
        number("pnl", "result that the exchange reported with it", "quote currency"),
        flag("is_entry", "whether it opens or adds to a position"),
        MODE,
        text("signal_reason", "why the order was sent"),
        moment("executed_at", "when it was executed", required=True),
        EXTRA,
    ),
    key=("fill_id",),
    event_time="executed_at",
    known_at="executed_at",
    partition=Partition("executed_at", Period.YEAR),
    sort=("executed_at", "fill_id"),
    kept_by=(Link("trades", "trade_id", "trade_id"),),
    generated_id="fill_id",
    defaults={**EMPTY, "executed_at": "now", "mode": "live"},
    rules=(Needed(("side", "quantity", "price")),),
)
