"""Column maps in TOML: which of our columns is made of which of a store's, and by which rule.

::

    dataset = "trades"
    table = "deals"                                  # of a database, or an array of a JSON object

    [columns]
    trade_id = { id = ["symbol", "opened_at"] }      # made of our columns, the same at every import
    symbol = "pair"                                  # by the rule that fits the column
    side = { one_of = "kind", values = { b = "LONG", s = "SHORT" } }
    opened_at = { moment = "opened", unit = "ms" }
    pnl_percent = { percent = "ratio" }              # stored as 0.02, meant as 2 %

    [values]
    mode = "paper"                                   # the same in every row

    [sums]
    pnl = "profit"                                   # totals that are compared before and after
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lake.errors import InvalidRowError, LakeError, SourceError, UsageError
from lake.importers import map_shapes as shapes
from lake.importers import rules
from lake.importers.base import Options, Row, RowMap, Rule
from lake.importers.columns import moments
from lake.importers.moments import as_moment
from lake.importers.reading.tabular import Asked
from lake.importers.values import NO_WORDS
from lake.importers.written import POINT, written
from lake.spec import registry
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.rows import converter

_SHAPES: Mapping[str, Callable[[Any, str], Any]] = {
    "dataset": shapes.text, "table": shapes.text, "query": shapes.text, "header": shapes.texts, "skip": shapes.count,
    "columns": shapes.table, "values": shapes.table, "sums": shapes.table,
}  # fmt: skip
_ENDED = ("closed", "open")
_OPTIONS = ("bot_id", "venue", "symbol", "timeframe", "mode", "strategy")  # fill columns that nobody maps


@dataclass(frozen=True)
class TableMap:
    """One table of a source, and what it becomes.

    Attributes:
        asked: which rows are meant.
        map: what they become.
        nested: names with dots, of values inside objects.
        looked_for: our column, and the names in the source of which it needs one, as often as it needs one.
    """

    asked: Asked
    map: RowMap
    nested: tuple[str, ...]
    looked_for: tuple[tuple[str, tuple[str, ...]], ...] = ()


def read_maps(path: Path) -> list[TableMap]:
    """The maps in a file: one, or those of its ``[[tables]]``.

    Raises:
        SourceError: it cannot be read, or not as TOML.
        UsageError: it names a dataset, column or rule that there is not, or no key.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        what = f"the column map cannot be read: {error.strerror or error}"
        raise SourceError(what, where=str(path), todo="Check the path of --map-file.") from error
    except ValueError as error:
        raise SourceError(f"not a TOML file: {error}", where=str(path), todo="Mend it.") from error
    tables = found.get("tables", [found])
    if not tables or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError("tables must be [[tables]]", where=str(path))
    return [_table_map(table, str(path)) for table in tables]


def _table_map(given: Mapping[str, Any], where: str) -> TableMap:
    unknown = sorted(given.keys() - _SHAPES.keys())
    if unknown:
        raise UsageError(
            "unknown key", where=where, value=unknown[0], todo=f"Known are tables, {', '.join(sorted(_SHAPES))}."
        )
    name = given.get("dataset")
    if not isinstance(name, str):
        raise UsageError("it is not said which dataset is meant", where=where, todo='For example dataset = "trades".')
    ds = registry.get(name)
    given = {key: _SHAPES[key](value, f"{where}: {key}") for key, value in given.items()}
    columns, said = _columns(ds, given, where), given.get("columns", {})
    sums = {name: shapes.names(said, f"{where}: {name}") for name, said in given.get("sums", {}).items()}
    asked = Asked(given.get("table", ""), given.get("query", ""), given.get("header", ()), given.get("skip", 0))
    used = {n for rule in columns.values() for n in rule.names} | {n for names in sums.values() for n in names}
    nested = tuple(sorted(n for n in used if "." in n))
    looked_for = tuple(_looked_for(given, columns))
    is_local = any(isinstance(rule, dict) and "zone" in rule for rule in said.values())
    made = RowMap(
        ds.name, columns, sums, held=frozenset(nested), numbered=_is_of_facts(ds, said, columns), is_local=is_local,
        written=_written_columns(said), words=frozenset(_meant_words(said)),
    )  # fmt: skip
    return TableMap(asked, made, nested, looked_for)


def _is_of_facts(ds: Dataset, said: Mapping[str, Any], made: Mapping[str, Rule]) -> bool:
    """Whether ids are made of nothing but our columns: several rows may tell the same of those, and be several."""
    (key, *others) = ds.key
    rule = said.get(key)
    parts = _names(rule["id"]) if isinstance(rule, dict) and "id" in rule else []
    return bool(parts) and not others and made.keys() >= set(parts)


def _looked_for(given: Mapping[str, Any], made: Mapping[str, Rule]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Any of the names of a rule will do; but all parts of an id and of what is gathered are wanted."""
    for name, said in given.get("columns", {}).items():
        if isinstance(said, dict) and "id" in said:
            yield from ((name, (part,)) for part in _names(said["id"]) if part not in made)
        elif isinstance(said, dict) and "gathered" in said:
            yield from ((name, (part,)) for part in _names(said["gathered"]))
        elif made[name].names:
            yield name, made[name].names
    yield from ((column, tuple(_names(names))) for column, names in given.get("sums", {}).items())


def _columns(ds: Dataset, given: Mapping[str, Any], where: str) -> dict[str, Rule]:
    mapped, constants = given.get("columns", {}), given.get("values", {})
    for name in [*mapped, *constants, *given.get("sums", {})]:
        if name not in ds.by_name:
            raise UsageError(
                f"{ds.name} has no such column", where=where, value=name, todo=f"It has: {', '.join(ds.by_name)}."
            )
    done: dict[str, Rule] = {}
    for name, value in constants.items():
        _require_fitting(ds, name, value, where)
        done[name] = rules.constant(value)
    later = {}
    for name, said in mapped.items():
        if isinstance(said, dict) and "id" in said:
            later[name] = shapes.names(said["id"], f"{where}: {name}")
        else:
            done[name] = _filled(_rule_of(ds, name, said, where), constants.get(name))
    for name, parts in later.items():
        done[name] = rules.identity(ds.name, *(done.get(part) or rules.text(part) for part in parts))
    for name in _OPTIONS:
        if name in ds.by_name and name not in done:
            done[name] = rules.option(name)
    _refuse_without_key(ds, done, where)
    return done


def _refuse_without_key(ds: Dataset, done: Mapping[str, Rule], where: str) -> None:
    """Without a key each import would bring the same rows again, and without a time they would be of today."""
    defaults = ds.defaults or {}
    said = {name for name, value in defaults.items() if value != "now"}
    for name in [*ds.key, *(name for name, value in defaults.items() if value == "now")]:
        if name not in done and name not in said:
            what = "key" if name in ds.key else "time"
            apart = f', or what tells rows apart: {name} = {{ id = ["symbol", ...] }}' if what == "key" else ""
            raise UsageError(
                f"the {what} {name} of {ds.name} is not mapped", where=where, todo=f"Give a column{apart}."
            )


def _filled(rule: Rule, otherwise: Any) -> Rule:
    return rule if otherwise is None else rules.first_of(rule, rules.constant(otherwise))


def _rule_of(ds: Dataset, name: str, said: Any, where: str) -> Rule:
    """The rule that a map gives for a column: by name, or the one that fits the column."""
    place = f"{where}: {name}"
    if isinstance(said, str | list):
        return _fitting(ds.column(name), shapes.names(said, place))
    if not isinstance(said, dict):
        raise UsageError("a rule is a column's name, or { RULE = ... }", where=place, value=said)
    chosen = [word for word in said if word in RULE_NAMES]
    if len(chosen) != 1:
        raise UsageError("not one rule", where=place, value=list(said), todo=f"One of {', '.join(RULE_NAMES)}.")
    (rule,) = chosen
    strange = said.keys() - {rule, *_SETTINGS.get(rule, {})}
    if strange:
        raise UsageError(f"the rule {rule} takes no such setting", where=place, value=sorted(strange))
    made = {word: check(said[word], place) for word, check in _SETTINGS.get(rule, {}).items() if word in said}
    for value in _outcomes(rule, said, place):
        _require_fitting(ds, name, value, where)
    return rules.constant(said[rule]) if rule == "constant" else _RULES[rule](*shapes.names(said[rule], place), **made)


def _outcomes(rule: str, said: Mapping[str, Any], where: str) -> list[Any]:
    """What a rule makes of a column, where the map says that itself."""
    if rule == "one_of":
        if not said.get("values"):
            raise UsageError("one_of needs values", where=where, todo='For example values = { b = "LONG" }.')
        return list(said["values"].values())
    if rule == "ended":
        return [said.get(word, otherwise) for word, otherwise in zip(("yes", "no"), _ENDED, strict=True)]
    return [said["constant"]] if rule == "constant" else []


def _require_fitting(ds: Dataset, name: str, value: Any, where: str) -> None:
    """What a map says itself is told before any row is read, if the dataset does not take it."""
    try:
        converter(ds, ds.column(name))(value)
    except LakeError as error:
        raise UsageError(error.what, where=f"{where}: {name}", value=value, todo=error.todo) from error


def _names(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else [str(name) for name in said]


def _fitting(column: Column, names: tuple[str, ...]) -> Rule:
    if column.name in {"symbol", "timeframe"}:
        return {"symbol": rules.symbol, "timeframe": rules.timeframe}[column.name](*names)
    if column.choices == ("LONG", "SHORT"):
        return rules.side(*names)
    return _BY_TYPE.get(column.type, rules.text)(*names)


def _moment(*names: str, unit: str | None = None, zone: str | None = None, layout: str | None = None) -> Rule:
    """Of the map's zone where it names one; else of the caller's, who must say it where times have none."""
    if layout is not None:
        return _formatted(names, layout, zone)
    if zone is None:
        return rules.moment(*names, unit=unit, zone=None)

    def read(row: Row, options: Options) -> Any:
        name, value = rules.found(row, names)
        return None if value is None else as_moment(name, value, unit=unit, zone=zone, second=options.second_hour)

    return Rule(names, read, lambda values, options: moments(values, unit, zone, second=options.second_hour))


def _formatted(names: tuple[str, ...], layout: str, zone: str | None) -> Rule:
    """Times as text of a layout, in the letters of ``strptime``."""

    def read(row: Row, options: Options) -> Any:
        name, value = rules.found(row, names)
        if value is None:
            return None
        try:
            told = datetime.strptime(str(value).strip(), layout)  # noqa: DTZ007 (its zone is asked for below)
        except ValueError:
            raise InvalidRowError(f"not a time like {layout}", where=name, value=value) from None
        return as_moment(name, told, zone=zone or options.tz or None, second=options.second_hour)

    return Rule(names, read)


def _one_of(*names: str, values: Mapping[str, Any]) -> Rule:
    """A word for none is one of the words, where the map names it."""
    ours = {word.upper(): our for word, our in values.items()}
    rule = rules.one_of(ours, *names)

    def read(row: Row, options: Options) -> Any:
        said = next((row[name] for name in names if isinstance(row.get(name), str)), None)
        return ours[said.upper()] if said in NO_WORDS and said.upper() in ours else rule.read(row, options)

    return Rule(names, read) if _names_none(values) else rule


def _names_none(values: Mapping[str, Any]) -> bool:
    """Whether a word by which programs mean none is among those that a map knows."""
    return not {word.upper() for word in NO_WORDS}.isdisjoint(map(str.upper, values))


def _as_written(make: Callable[..., Rule]) -> Callable[..., Rule]:
    """The rule of a number, also of one that is written with separators or a sign."""

    def made(*names: str, decimal: str = "", sign: str = "", **settings: Any) -> Rule:
        rule = make(*names, **settings)
        if not decimal and not sign:
            return rule
        number = written(decimal or POINT, sign)

        def read(row: Row, options: Options) -> Any:
            name, value = rules.found(row, names)
            return None if value is None else rule.read({name: number(name, value)}, options)

        return Rule(names, read)

    return made


def _written_columns(said: Mapping[str, Any]) -> dict[str, Callable[[str, Any], float]]:
    """What reads the numbers of the columns that are not written plainly."""
    some = {name: rule for name, rule in said.items() if isinstance(rule, dict) and {"decimal", "sign"} & rule.keys()}
    return {name: written(rule.get("decimal", POINT), rule.get("sign", "")) for name, rule in some.items()}


def _meant_words(said: Mapping[str, Any]) -> Iterator[str]:
    """The columns of the source in which a word for none means something."""
    for rule in said.values():
        if isinstance(rule, dict) and "one_of" in rule and _names_none(rule["values"]):
            yield from _names(rule["one_of"])


def _ended(*names: str, yes: str = _ENDED[0], no: str = _ENDED[1]) -> Rule:
    """One word where there is a value, and another where there is none."""
    return Rule(names, lambda row, _options: no if rules.found(row, names)[1] is None else yes)


_BY_TYPE: Mapping[Type, Callable[..., Rule]] = {
    Type.FLOAT: rules.number,
    Type.INT: rules.whole,
    Type.BOOL: rules.flag,
    Type.TIMESTAMP: _moment,
    Type.JSON: rules.document,
}
_RULES: Mapping[str, Callable[..., Rule]] = {
    "text": rules.text,
    "number": _as_written(rules.number),
    "price": _as_written(rules.price),
    "percent": _as_written(rules.percent),
    "fraction": _as_written(rules.fraction),
    "whole": _as_written(rules.whole),
    "flag": rules.flag,
    "side": rules.side,
    "symbol": rules.symbol,
    "base": rules.base,
    "timeframe": rules.timeframe,
    "moment": _moment,
    "document": rules.document,
    "gathered": rules.gathered,
    "one_of": _one_of,
    "ended": _ended,
}
RULE_NAMES = (*_RULES, "constant", "id")
_WRITTEN: Mapping[str, Callable[[Any, str], Any]] = {"decimal": shapes.decimal, "sign": shapes.text}
_SETTINGS: Mapping[str, Mapping[str, Callable[[Any, str], Any]]] = {
    **dict.fromkeys(("price", "percent", "fraction", "whole"), _WRITTEN),
    "number": {"scale": shapes.number, **_WRITTEN},
    "moment": {"unit": shapes.unit, "zone": shapes.zone, "layout": shapes.layout},
    "one_of": {"values": shapes.table},
    "ended": {"yes": shapes.text, "no": shapes.text},
}
