"""Daily sums of the trades in large files, computed once in a process and kept in memory.

A data file never changes, so neither do its sums. The statistics of trades are made of these sums, of the trades on the
few days through which an edge of a period goes, and of the trades in all other files and in hot; who looks back
also needs the trades that were open then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lake.query import relations
from lake.query.kept import Kept, large, worth
from lake.query.variables import Variables, assignments
from lake.spec import registry
from lake.spec.times import from_micros, to_micros
from lake.store.cold.files import DataFile
from lake.store.location import Location
from lake.store.snapshot import Snapshot

TRADE_SUMS = "trade_sums"  # the macro that is made of what is kept
_TRADES = registry.get("trades")
_COLUMNS = (
    "mode, bot_id, symbol, strategy, status, pnl, fees, pnl_percent, entry_price, stop_loss, quantity, opened_at, "
    "closed_at, created_at"
)
_LATER = "SET VARIABLE now = '9999-01-01'::TIMESTAMPTZ"  # seen from then all are past, and in the period 'all' alone
_UNDERWAY = (
    f"SELECT {_COLUMNS}, has_result(status, pnl, closed_at) AS settled FROM trades "
    "WHERE (closed_at > '{now}'::TIMESTAMPTZ OR (opened_at > '{now}'::TIMESTAMPTZ AND NOT settled)) "
    "AND least(created_at, opened_at, closed_at) <= '{now}'::TIMESTAMPTZ "
    "AND day_of(trade_moment(status, pnl, opened_at, closed_at, created_at)) NOT IN ({edges})"
)
_DAY = 86_400_000_000  # µs
_LAST = 2**63 - 1


class Rollups:
    """Sums of one lake's trades.

    Args:
        location: the lake.
        kept: where they are kept.
    """

    def __init__(self, location: Location, kept: Kept) -> None:
        self._location = location
        self._kept = kept

    def show(self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, variables: Variables) -> None:
        """Let the macro trade_sums of this cursor use what is kept; without large files all stays as it is.

        The clock of the cursor is stopped, so that a relation that is read later has the same periods.
        """
        zone = str(variables.get("time_zone", "UTC"))
        found = [(f, self._sums(cursor, snapshot, f, zone)) for f in large(_TRADES, snapshot)]
        sums = {f.path: (f, kept) for f, kept in found if kept is not None}
        if not sums:
            return
        now = from_micros(to_micros(variables["now"])) if "now" in variables else datetime.now(UTC)
        edges = _edges(cursor, now, variables.get("days"))
        cut = []
        if "now" in variables:
            sql = _UNDERWAY.format(now=now.isoformat(), edges=_listed(edges))
            for file in [f for f, _ in sums.values() if _ends_after(f, now)]:
                underway = self._underway(cursor, snapshot, file, zone, sql)
                if underway is None:
                    del sums[file.path]
                else:
                    cut.append(underway)
            if not sums:
                return
        cursor.execute(f"CREATE TEMP MACRO as_of_now() AS '{now.isoformat()}'::TIMESTAMPTZ")
        held = [(f, day) for f, _ in sums.values() for day in edges if _may_hold(f, day)]
        cut += [self._trades_of(cursor, snapshot, f, zone, day) for f, day in held]
        cursor.register("__rolled_trades", pa.concat_tables([kept for _, kept in sums.values()]))
        state = snapshot.states["trades"]
        others = {path: f for path, f in state.files.items() if path not in sums}
        select = relations.select(_TRADES, self._location, replace(state, files=others), snapshot.hot["trades"], {})
        live = f"SELECT {_COLUMNS} FROM ({select})"
        if cut:
            cursor.register("__cut_trades", pa.concat_tables(cut))
            live += f" UNION ALL SELECT {_COLUMNS} FROM __cut_trades"
        cursor.execute(f"CREATE TEMP VIEW __live_trades AS {live}")
        cursor.execute(
            f"CREATE TEMP MACRO {TRADE_SUMS}(trades_table) AS TABLE "
            f"SELECT * FROM rolled_sums('__rolled_trades', '__live_trades', [{_listed(edges)}])"
        )

    def _sums(
        self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, file: DataFile, zone: str
    ) -> pa.Table | None:
        """The sums of a file; None where they are so many that they spare nothing."""

        def compute() -> pa.Table | None:
            return worth(self._asked(cursor, snapshot, file, zone, "SELECT * FROM days_of_trades('trades')"), file)

        return self._kept.of((_TRADES.name, file.path, zone, None), compute)

    def _trades_of(
        self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, file: DataFile, zone: str, day: date
    ) -> pa.Table:
        """The trades of one day in a file."""
        moment = "trade_moment(status, pnl, opened_at, closed_at, created_at)"
        sql = f"SELECT {_COLUMNS} FROM trades WHERE day_of({moment}) = DATE '{day.isoformat()}'"
        return self._kept.of(
            (_TRADES.name, file.path, zone, day), lambda: self._asked(cursor, snapshot, file, zone, sql)
        )

    def _underway(
        self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, file: DataFile, zone: str, sql: str
    ) -> pa.Table | None:
        """The trades of a file that were open at a moment and closed since: no sum up to then has them.

        None where one is in the sums as what it became, such as cancelled: such a file is summed anew.
        """
        found = self._asked(cursor, snapshot, file, zone, sql)
        return found.drop(["settled"]) if pc.all(found["settled"], min_count=0).as_py() else None

    def _asked(
        self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, file: DataFile, zone: str, sql: str
    ) -> pa.Table:
        """What a statement gives whose trades are those of one file."""
        state, nothing = snapshot.states["trades"], snapshot.hot["trades"].clear()
        select = relations.select(_TRADES, self._location, replace(state, files={file.path: file}), nothing, {})
        with cursor.cursor() as other:
            other.execute(f"{assignments({'time_zone': zone})[0]}; {_LATER}")
            other.execute(f"CREATE TEMP VIEW trades AS {select}")
            return other.sql(sql).to_arrow_table()


def _edges(cursor: duckdb.DuckDBPyConnection, now: datetime, days: int | None) -> Sequence[date]:
    """Days of the cursor's zone, parts of which lie in different periods, or in the future."""
    moments = [now - timedelta(days=back) for back in {0, 7, 30, days or 0}]
    texts = ", ".join(f"'{moment.isoformat()}'::TIMESTAMPTZ" for moment in moments)
    return sorted(row[0] for row in cursor.sql(f"SELECT DISTINCT day_of(unnest([{texts}]))").fetchall())


def _listed(days: Sequence[date]) -> str:
    return ", ".join(f"DATE '{day.isoformat()}'" for day in days)


def _ends_after(file: DataFile, now: datetime) -> bool:
    bounds = to_micros(now) + 1, _LAST
    return file.may_hold({"closed_at": bounds}) or file.may_hold({"opened_at": bounds})


def _may_hold(file: DataFile, day: date) -> bool:
    """Whether a trade of the file may belong to the day, in whatever zone."""
    start = (day - date(1970, 1, 1)).days * _DAY
    bounds = start - _DAY, start + 2 * _DAY
    return any(file.may_hold({name: bounds}) for name in ("closed_at", "created_at", "opened_at"))
