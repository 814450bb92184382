"""New rows of one dataset, checked already: the short way of what a bot records.

It must hardly take longer than the disk does. Rows that may replace others, and many together, go by
:class:`lake.ledgers.writer.Writer`.
"""

from __future__ import annotations

from collections.abc import Callable

from lake.ledgers.blocks import Transactions
from lake.ledgers.given import GivenRows
from lake.ledgers.hot import Hot
from lake.ledgers.receipt import Receipt
from lake.ledgers.transaction import Fold
from lake.spec.dataset import Dataset
from lake.store.hot.entry import Entry


class NewRows:
    """Takes the new rows of one dataset.

    Args:
        ds: the dataset.
        bot: signs rows that name no other; "" signs none.
        transactions: tells which one the caller is in.
        hot: opens the hot log, for rows outside of any.
        given: what one lake makes of given rows.
    """

    __slots__ = ("_bot", "_ds", "_given", "_hot", "_id", "_name", "_open")

    def __init__(
        self, ds: Dataset, bot: str, transactions: Transactions, hot: Callable[[], Hot], given: GivenRows
    ) -> None:
        self._ds, self._name, self._id = ds, ds.name, ds.key[0]
        self._bot = bot if "bot_id" in ds.by_name else ""
        self._open, self._hot, self._given = transactions.open, hot, given

    def insert(self, row: dict[str, object]) -> Receipt:
        """Write a row whose id was made just now: nobody else can have written a version of it."""
        if self._bot and not row.get("bot_id"):
            row["bot_id"] = self._bot
        key = (row[self._id],)
        transaction = self._open()
        if transaction is not None:
            transaction.insert(self._name, key, row)
        else:
            self._hot().land_new([Entry(self._name, [row])], {(self._name, key): row})
        return Receipt.of_one("inserted", key)

    def insert_first(self, row: dict[str, object], fold: Fold) -> Receipt | None:
        """Write a row in a transaction under an id of the caller's; None where a version of it is known.

        Then, and outside of transactions, nothing was done: it is for :meth:`Writer.change` with ``fold``, which is
        called too when there is a version at the end.
        """
        transaction = self._open()
        if transaction is None:
            return None
        if self._bot and not row.get("bot_id"):
            row["bot_id"] = self._bot
        key = (row[self._id],)
        if not transaction.insert_first(self._ds, key, row, self._given.signing(self._ds, fold)):
            return None
        return Receipt.of_one("inserted", key)
