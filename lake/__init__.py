"""Tradelake: the memory of a trading bot.

>>> import lake, tempfile
>>> lk = lake.open(tempfile.mkdtemp())
>>> receipt = lk.candles.write(
...     [{"open_time": 1_700_000_040_000, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0}],
...     "1m", symbol="BTC/USDT", venue="binance",
... )
>>> receipt.inserted
1
>>> lk.sql("SELECT symbol, close FROM candles").fetchall()
[('BTCUSDT', 1.5)]
>>> lk.close()
"""

from lake import splits
from lake.aio import AsyncLake, open_async
from lake.errors import LakeError, UsageError
from lake.kernels.pnl import Pnl, pnl
from lake.lake import Lake, LakeView, open
from lake.learn.labels import label_events
from lake.ledgers.receipt import Receipt, Rejection
from lake.query.views import views
from lake.report.daily import DailyReport, daily_report
from lake.report.health import Health, health

__version__ = "0.1.0"
__all__ = [
    "AsyncLake",
    "DailyReport",
    "Health",
    "Lake",
    "LakeError",
    "LakeView",
    "Pnl",
    "Receipt",
    "Rejection",
    "UsageError",
    "__version__",
    "daily_report",
    "health",
    "label_events",
    "open",
    "open_async",
    "pnl",
    "splits",
    "views",
]
