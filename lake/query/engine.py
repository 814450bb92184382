"""DuckDB over a snapshot: read-only SQL in which every dataset and view of the lake is a table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from lake.errors import QueryError, ReadOnlyError, UsageError
from lake.query import tables, unlinked
from lake.query.database import Database
from lake.query.decision_sums import MACROS, DecisionSums
from lake.query.kept import Kept
from lake.query.pruning import bounds
from lake.query.rollups import TRADE_SUMS, Rollups
from lake.query.variables import Variables, assignments
from lake.query.views import closure, mentioned, views
from lake.spec import registry
from lake.spec.texts import half_character
from lake.store import forks
from lake.store.location import Location
from lake.store.snapshot import Snapshot

Params = Sequence[Any] | Mapping[str, Any] | None
Relation = duckdb.DuckDBPyRelation
_CATALOGUE = re.compile(r"\bshow\b|information_schema|duckdb_|pg_|^\s*desc(?:ribe)?\s*;?\s*$", re.IGNORECASE)
_BY_NAME = re.compile(r"\bquery(?:_table)?\s*\(", re.IGNORECASE)  # functions that read what a text names
_MAY_WRITE = re.compile("copy|query|serialized", re.IGNORECASE)  # part of all that writes inside of a SELECT
_WRITING = re.compile("COPY|EXECUTE")  # steps of a plan; there is no table in memory that others could change
_STATISTICS = "trade_figures"  # the macro that sums of trades can be kept for
_MONEY = "decisions_and_money"  # the macro that need not look trades up where none is linked
_SHORTENED = re.compile("|".join((_STATISTICS, TRADE_SUMS, _MONEY, *MACROS)), re.IGNORECASE)
_TODO = "Use the lake's writers; allow_external=True (`--allow-external`) lifts this for your own files."
_GONE = re.compile(r'No files found that match the pattern "([^"]+)"')
_PLACE = re.compile(
    r"\n+LINE (\d+): (?:\.\.\.)?(.*?)(?:\.\.\.)?\n *\^+$"
)  # DuckDB shows part of a line, and marks a place in it
_INHERITED: list[Database | None] = []  # to end one in a forked child ends the child
_FOUND = "__found"  # the rows of a view, worked out
_NO_ROWS = pl.DataFrame(schema={"nothing": pl.Int8})
_CONVERSION_ERRORS = (pl.exceptions.PolarsError, pa.ArrowException, OverflowError)


class Engine:
    """Answers SQL about one lake.

    Args:
        location: the lake; nothing outside of it can be read.
        snapshot_of: gives one consistent moment of the datasets named.
        allow_external: lets statements read files elsewhere, attach databases and write; off by default.
        variables: parameters of views where a call gives none.
    """

    def __init__(
        self,
        location: Location,
        snapshot_of: Callable[[Sequence[str]], Snapshot],
        *,
        allow_external: bool = False,
        variables: Variables | None = None,
    ) -> None:
        self._location = location
        self._snapshot_of = snapshot_of
        self._allow_external = allow_external
        self._variables = dict(variables or {})
        self._database: Database | None = None
        self._lock = Lock()
        kept = Kept()
        self._rollups, self._decision_sums = Rollups(location, kept), DecisionSums(location, kept)
        forks.watch(self)

    def sql(self, sql: str, params: Params = None, variables: Variables | None = None) -> Relation:
        """A relation over one snapshot, which it keeps however late it is read: its files stay, also past a vacuum.

        Nothing of it is computed yet. What fails only then, such as a value that cannot be cast, is raised by
        ``.pl()``, ``.show()`` or ``.fetchall()`` as DuckDB's own ``duckdb.Error``; :meth:`frame` gives QueryError
        for these too.

        ``variables`` are the parameters of views: periods_per_year, time_zone, now, days and
        knowledge_cutoffs.

        Raises:
            ReadOnlyError: the statement would do something other than read.
            QueryError: DuckDB cannot run it.
            UsageError: not exactly one statement.
        """
        relation, cursor, snapshot = self._made(sql, params, variables)
        _keep(cursor, snapshot)
        return relation

    def _made(
        self, sql: str, params: Params, variables: Variables | None, inlined: str = ""
    ) -> tuple[Relation, duckdb.DuckDBPyConnection, Snapshot]:
        """The relation, its cursor, and the snapshot that has to be there for as long as it can be read.

        ``inlined`` is the view that stands once in the statement, after its first FROM: its text is put there.
        """
        database = self._opened()
        cursor = database.cursor()
        given = {**self._variables, **(variables or {})}
        for assignment in assignments(given):
            cursor.execute(assignment)
        statement, reading = self._checked(cursor, sql)
        values = _values(params)
        named = (*registry.names(), *views()) if _BY_NAME.search(sql) else mentioned(sql)
        datasets, needed = closure(named)
        snapshot = self._snapshot_of(datasets)
        is_outlined = bool(_CATALOGUE.search(sql))
        database.add_macros((sql, *(view.sql for view in (views().values() if is_outlined else needed))))
        has_choice = not needed and any(len(state.files) > 1 for state in snapshot.states.values())
        selects = tables.texts(snapshot, needed)
        unread = tables.unread(snapshot, needed, named)
        shown = [name for name in datasets if name not in unread]
        asked: duckdb.Statement | str = statement
        if inlined:
            asked = sql.replace(f"FROM {inlined}", f"FROM ({selects.pop(inlined)}) AS {inlined}", 1)
        try:
            pruned = bounds(cursor, sql, values) if has_choice else {}
            tables.show(cursor, self._location, snapshot, shown, selects, pruned)
            if not _SHORTENED.search(sql):
                self._shorten(cursor, snapshot, [view.sql for view in needed], given)
            if is_outlined:
                tables.outline(cursor, {*shown, *selects})
            if not self._allow_external and _MAY_WRITE.search(sql):
                _refuse_writing(cursor, reading, values)
            if inlined and tables.are_small(snapshot):  # bound once: a relation is when it is made, and when it is read
                cursor.execute(f"CREATE TEMP TABLE {_FOUND} AS {asked}", values)
                asked, values = f"FROM {_FOUND}", None
            return cursor.sql(asked, params=values), cursor, snapshot
        except duckdb.Error as error:
            raise _query_error(error, sql) from error

    def frame(self, sql: str, params: Params = None, variables: Variables | None = None) -> pl.DataFrame:
        """The whole result as a Polars frame, times in UTC.

        Raises:
            QueryError: DuckDB cannot run it, or stumbles over a value while it runs, or Polars has no such type.
        """
        relation, _, _snapshot = self._made(sql, params, variables)
        return fetched(relation, sql)

    def rows(
        self, name: str, where: str = "true", params: Params = None, variables: Variables | None = None
    ) -> pl.DataFrame:
        """Rows of a dataset or view under a condition in which it is not named, as :meth:`frame` gives them.

        The text of a view is bound once so; by its name it would be when it is made and again when it is asked.
        """
        sql = f"SELECT * FROM {name} WHERE {where}"
        relation, _, _snapshot = self._made(sql, params, variables, name if name in views() else "")
        return fetched(relation, sql)

    def forsake(self) -> None:
        """This process is a child of the one that opened the lake: DuckDB's threads are not in it."""
        _INHERITED.append(self._database)
        self._database, self._lock = None, Lock()

    def close(self) -> None:
        """End the engine; relations made before stay readable."""
        with self._lock:
            self._database = None

    def _opened(self) -> Database:
        with self._lock:
            if self._database is None:
                self._database = Database(self._location, allow_external=self._allow_external)
            return self._database

    def _shorten(
        self, cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot, texts: Sequence[str], variables: Variables
    ) -> None:
        """Let macros that the texts of views name use what is kept of files, and what statistics tell.

        Not for a statement that names one itself: it may give it tables of its own, of which nothing is known.
        """
        named = {macro for macro in (_STATISTICS, _MONEY, *MACROS) if any(macro in text for text in texts)}
        if _STATISTICS in named and "trades" in snapshot.states:
            self._rollups.show(cursor, snapshot, variables)
        for macro in sorted(named & MACROS.keys()) if "decisions" in snapshot.states else ():
            self._decision_sums.show(cursor, snapshot, variables, macro)
        if _MONEY in named and snapshot.states.keys() >= {"decisions", "trades"}:
            unlinked.show(cursor, snapshot)

    def _checked(self, cursor: duckdb.DuckDBPyConnection, sql: Any) -> tuple[duckdb.Statement, duckdb.Statement]:
        """The statement, parsed, if it may run; and what it explains, or itself."""
        if not isinstance(sql, str) or sql != sql.encode("utf-8", "replace").decode():
            raise UsageError("a statement is a text", value=sql, todo="Such as 'SELECT * FROM trades', in UTF-8.")
        try:
            statement = _parsed(cursor, sql)
            reading = _explained(cursor, statement, sql)
        except duckdb.Error as error:
            raise _query_error(error, sql) from error
        kind = reading.type
        if kind is duckdb.StatementType.MULTI and not self._allow_external:  # it makes a type of the values first
            raise ReadOnlyError(
                "a PIVOT that looks its values up first is not reading alone",
                value=sql,
                todo="Name the values: PIVOT ... ON column IN ('a', 'b') USING ...",
            )
        if kind is not duckdb.StatementType.SELECT and not self._allow_external:
            raise ReadOnlyError(
                f"{kind.name} is not reading",
                value=sql,
                todo=_TODO,
            )
        return statement, reading


def fetched(relation: Relation, sql: str = "") -> pl.DataFrame:
    """The whole result of a relation as a Polars frame, times in UTC.

    Raises:
        QueryError: DuckDB stumbles over a value while it runs, or Polars has no such type.
    """
    try:
        found: pl.DataFrame = relation.pl()
    except duckdb.Error as error:
        raise _query_error(error, sql) from error
    except _CONVERSION_ERRORS as error:
        raise QueryError(
            f"the result does not fit a Polars frame: {error}",
            value=sql or None,
            todo="Cast the column, such as to VARCHAR.",
        ) from error
    zoned = [n for n, t in found.schema.items() if isinstance(t, pl.Datetime) and t.time_zone]
    sums = [n for n, t in found.schema.items() if t == pl.Decimal(38, 0)]  # of whole numbers, in DuckDB's widest type
    fits = [s for n in sums if (s := found[n].cast(pl.Int64, strict=False)).null_count() == found[n].null_count()]
    if zoned or fits:
        found = found.with_columns(*fits, pl.col(zoned).dt.convert_time_zone("UTC"))
    return found


class _Kept:
    """A snapshot as DuckDB may hold it: a table without rows, which nobody asks for."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        return _NO_ROWS.__arrow_c_stream__(schema)


def _keep(cursor: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    """Let the snapshot be there for as long as what is made with the cursor: relations of relations, readers of them.

    What is registered is the one thing that DuckDB itself keeps so long.
    """
    if any(state.files for state in snapshot.states.values()):
        cursor.register("__snapshot", _Kept(snapshot))


def _parsed(cursor: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError("one statement at a time", value=sql, todo="Call once for each.")
    return statements[0]


def _explained(cursor: duckdb.DuckDBPyConnection, statement: duckdb.Statement, sql: str) -> duckdb.Statement:
    """What an EXPLAIN explains, since EXPLAIN ANALYZE runs it; any other statement as it is."""
    if statement.type is not duckdb.StatementType.EXPLAIN:
        return statement
    explained: list[duckdb.Statement] = []
    for text in _after_explain(sql):
        try:
            explained = cursor.extract_statements(text)
            break
        except duckdb.ParserException:
            continue
    return explained[0] if len(explained) == 1 else statement


def _after_explain(sql: str) -> list[str]:
    """What comes after EXPLAIN, and after its options, which a query in brackets may be taken for.

    By DuckDB's own words, since a comment may look like either.
    """
    text = sql.encode()
    starts = [start for start, kind in duckdb.tokenize(sql) if kind is not duckdb.token_type.comment]
    heads = "".join(chr(text[start]) for start in starts)
    beyond = heads.find(")") + 1 if heads[1:2] == "(" else 2
    return [text[starts[word] :].decode() for word in (1, beyond) if word < len(starts)]


def _refuse_writing(cursor: duckdb.DuckDBPyConnection, reading: duckdb.Statement, values: Any) -> None:
    """Refuse a SELECT that writes files: DuckDB lets a COPY stand in its WITH, and runs a statement given as JSON."""
    plan = cursor.execute(f"EXPLAIN (FORMAT json) {reading.query}", values).fetchall()[0][1]
    if steps := {str(name) for name in _names_in(json.loads(plan)) if _WRITING.search(str(name))}:
        raise ReadOnlyError(f"{', '.join(sorted(steps))} is not reading", value=reading.query, todo=_TODO)


def _names_in(plan: Any) -> Iterator[Any]:
    """What each step of a plan in DuckDB's JSON is called."""
    for step in plan:
        yield step["name"]
        yield from _names_in(step["children"])


def _values(params: Any) -> Any:
    if params is None:
        return None
    half = half_character(params)
    if half is not None:
        raise UsageError("text with half a character (a lone surrogate)", where="parameters", value=half)
    if isinstance(params, Mapping):
        return {name: _plain(value) for name, value in params.items()}
    if isinstance(params, str | bytes) or not isinstance(params, Iterable):
        raise UsageError("parameters are a list of values, or {name: value}", value=params, todo="Such as ['BTCUSDT'].")
    return [_plain(value) for value in params]


def _plain(value: Any) -> Any:
    """DuckDB does not take NumPy's numbers as parameters."""
    return value.item() if isinstance(value, np.number | np.bool_) else value


def _query_error(error: duckdb.Error, sql: str) -> QueryError:
    said = str(error).strip()
    gone = _GONE.search(said)
    if gone is not None and gone[1] not in sql:
        todo = "An earlier version may have been vacuumed: tag those that are to stay. `lake verify` checks the newest."
        return QueryError("a data file is gone", where=gone[1], todo=todo)
    place = _PLACE.search(said)
    what = " ".join(line.strip() for line in (said[: place.start()] if place else said).splitlines() if line.strip())
    where = f"line {place[1]}" if place and place[2] in sql and "\n" in sql.strip() else ""
    return QueryError(what, where=where, value=sql or None, todo="`lake tables` lists what there is to ask.")
