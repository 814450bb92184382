"""Which rows the stories of one id are: decided anew with the rows that came of it, it is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from lake.importers.lives import Family, settled
from lake.importers.merging import contradictions, merged
from lake.importers.stories import Held, Stories, Story, StoryKey
from lake.spec import registry

TRADES = registry.get("trades")
MINE, OTHER = "journal:trades", "trades-json:trades"
Row = dict[str, Any]
_VALUES: dict[str, list[Any]] = {
    "status": ["open", "closed"], "quantity": [None, 1.0, 2.0], "pnl": [None, 1.0, -1.0],
    "strategy": [None, "s", "t"], "exit_reason": [None, "tp", "sl"],
}  # fmt: skip


def row(label: str = MINE, name: str = "t", **told: Any) -> Row:
    found = {column: value for column, value in told.items() if value is not None}
    return {"trade_id": name, **found, "extra": json.dumps({"imported": {label: {**found, "id": len(found)}}})}


def remade(found: Any) -> Row:
    return {column: value for column, value in found.items() if column in TRADES.by_name}


def family(told: Sequence[Row], lake: Mapping[str, Row], others: Sequence[Row] = (), label: str = MINE) -> Family:
    stories = Stories(TRADES, label)

    def read(rows: Sequence[Row]) -> dict[StoryKey, Story]:
        made = {stories.key(one, stories.told(one)): stories.story(one, stories.told(one)) for one in rows}
        for one in rows:
            stories.add_found(made[stories.key(one, stories.told(one))], one)
        return made

    held: dict[str, Held] = {name: stories.held(one) for name, one in lake.items()}
    return Family(TRADES, "t", read(told), list(read(others).values()), held, {}, frozenset(), remade)


def landed(
    told: Sequence[Row], lake: Mapping[str, Row], others: Sequence[Row] = (), label: str = MINE
) -> dict[str, Row]:
    """The lake's rows after a table has landed, of which each tells of a row once: that it goes on, and its end."""
    names = settled(family(told, lake, others, label))
    stories = Stories(TRADES, label)
    lake, had = dict(lake), set[tuple[str, bool]]()
    for one in told:
        name, goes_on = names[stories.key(one, stories.told(one))], one["status"] == "open"
        if not had & {(name, goes_on), (name, False)}:
            lake[name] = merged(TRADES, lake[name], one, label).row if name in lake else {**one, "trade_id": name}
            had.add((name, goes_on))
    return lake


def some(random: Random, label: str = MINE, name: str = "t") -> Row:
    return row(label, name, **{column: random.choice(values) for column, values in _VALUES.items()})


@pytest.mark.parametrize("seed", range(300))
def test_stories_that_have_landed_are_found_where_they_are(seed: int) -> None:
    random = Random(seed)
    names = ["t", "t-0123456789a", "t-0123456789b"][: random.randint(0, 3)]
    lake = {name: some(random, random.choice([MINE, OTHER]), name) for name in names}
    told = [some(random) for _ in range(random.randint(1, 6))]
    after = landed(told, lake)
    assert landed(told, after) == after


@pytest.mark.parametrize("seed", range(300))
def test_stories_of_several_tables_that_go_on_are_found_where_they_are(seed: int) -> None:
    """Which tell of each other's rows, and have forgotten some of what they told."""
    random = Random(seed)
    tables = {label: [some(random, label) for _ in range(4)] for label in (MINE, OTHER, "trades-db:trades")}
    is_one_bot = random.random() < 0.5

    def all_landed(lake: Mapping[str, Row]) -> Mapping[str, Row]:
        for label, told in tables.items():
            others = [row for other, rows in tables.items() if other != label and is_one_bot for row in rows]
            lake = landed(told, lake, others, label)
        return lake

    lake: Mapping[str, Row] = {}
    for _ in range(4):
        lake = all_landed(lake)
        assert all_landed(lake) == lake
        for label, told in tables.items():
            tables[label] = [*random.sample(told, len(told) // 2), *(some(random, label) for _ in range(2))]


@pytest.mark.parametrize("seed", range(100))
def test_rows_do_not_depend_on_the_order_in_which_stories_are_told(seed: int) -> None:
    random = Random(seed)
    lake = {"t": some(random), "t-0123456789a": some(random, OTHER, "t-0123456789a")}
    told = [some(random) for _ in range(5)]
    names = settled(family(told, lake))
    for _ in range(5):
        random.shuffle(told)
        assert settled(family(told, lake)) == names


@pytest.mark.parametrize("seed", range(100))
def test_stories_that_contradict_each_other_have_rows_of_their_own(seed: int) -> None:
    random = Random(seed)
    of = family([some(random) for _ in range(7)], {"t": some(random)})
    names = settled(of)
    for key, one in of.stories.items():
        for other, story in of.stories.items():
            if key != other and contradictions(TRADES, one.row, story.row):
                assert names[key] != names[other]


def test_a_row_is_corrected_only_if_no_story_is_surely_it() -> None:
    there = {"t": row(status="closed", pnl=1.0)}
    corrected, same = row(status="closed", pnl=2.0), row(status="closed", pnl=1.0)
    assert set(settled(family([corrected], there)).values()) == {"t"}
    assert len(set(settled(family([corrected, same], there)).values())) == 2
    assert settled(family([corrected], there, [same])).values() != {"t"}


def test_a_trade_has_ended_in_the_story_that_it_contradicts_in_nothing() -> None:
    begun, ended = row(status="open", quantity=1.0), row(status="closed", quantity=1.0, pnl=2.0)
    other = row(status="closed", quantity=2.0, pnl=2.0)
    names = list(settled(family([begun, other, ended], {})).values())
    assert len(set(names)) == 2
    assert len(landed([begun, other, ended], {})) == 2


def test_a_story_that_an_older_copy_tells_is_the_row_that_has_ended_since() -> None:
    there = {"t": row(status="closed", pnl=1.0, quantity=1.0), "t-0123456789a": row(OTHER, status="open", quantity=1.0)}
    assert set(settled(family([row(status="open", quantity=1.0)], there)).values()) == {"t"}


def test_an_id_whose_digest_another_story_has_by_now_gets_another_digest() -> None:
    one, other = row(status="closed", pnl=1.0), row(status="closed", pnl=2.0)
    stories = Stories(TRADES, MINE)
    twin = stories.story(other, stories.told(other)).twin()
    names = settled(family([one, other], {"t": one, twin: row(name=twin, status="closed", pnl=1.0, strategy="s")}))
    assert min(names.values()) == "t"
    third = row(status="closed", pnl=1.0, strategy="s")
    names = settled(family([one, other, third], {"t": one, twin: {**third, "trade_id": twin}}))
    assert len(set(names.values())) == 3
