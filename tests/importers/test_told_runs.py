"""What the files of runs and totals come to, whichever are known first: rows of a lake that never go away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lake.importers.kinds.told_runs import Told, places, settled

SECOND = 1_000_000
PAIR = ("XRPUSDT", "3h")


def numbered(trades: int, pnl: float | None = None) -> dict[str, float]:
    return {"trades": trades} if pnl is None else {"trades": trades, "total_pnl_percent": pnl}


def totals(own: str, second: float, numbers: dict[str, float]) -> Told:
    return Told(own, PAIR, int(second * SECOND), int(second * SECOND), numbers, is_total=True)


def run(own: str, second: float, numbers: dict[str, float]) -> Told:
    return replace(totals(own, second, numbers), is_total=False)


def lone(*told: Told) -> list[str]:
    return sorted(one.own for one in settled(told).lone)


def test_of_several_stories_after_a_run_one_is_its_own_and_the_others_are_runs() -> None:
    first, second, third = (totals(f"t{n}", n, numbered(n)) for n in (1, 2, 3))
    assert lone(first, second, third) == ["t1", "t2", "t3"]
    assert lone(run("r", 0, numbered(9)), first, second, third) == ["t2", "t3"]
    assert lone(run("r", 0, numbered(3)), first, second, third) == ["t1", "t2"]
    assert lone(run("r", 2, numbered(9)), first, second, third) == ["t1", "t3"]


def test_totals_that_tell_the_same_before_and_after_a_run_are_two_stories() -> None:
    early, late = totals("early", 1, numbered(5)), totals("late", 3, numbered(5))
    assert lone(early, late) == ["early"]
    assert lone(early, late, run("r", 2, numbered(9))) == ["early"]
    assert lone(early, late, run("r", 2, numbered(9)), totals("own", 2, numbered(9))) == ["early", "late"]


def test_numbers_are_the_same_story_but_for_rounding() -> None:
    assert lone(totals("a", 1, {"win_rate": 66.7}), totals("b", 2, {"win_rate": 66.66})) == ["a"]
    assert lone(totals("a", 1, {"win_rate": 66.7}), totals("b", 2, {"win_rate": 66.6})) == ["a", "b"]
    assert lone(totals("a", 1, numbered(5)), totals("b", 2, numbered(5, 1.0))) == ["a", "b"]


def test_totals_that_tell_no_number_are_nothing() -> None:
    now = settled([totals("a", 1, {}), run("r", 0, numbered(5))])
    assert (now.lone, now.of_run) == ((), {})


def test_a_run_of_which_a_row_of_totals_tells_becomes_that_row() -> None:
    rows = [replace(totals(f"t{n}", n, numbered(n)), row=f"t{n}") for n in (1, 2)]
    found = [run("new", 0, numbered(2)), *rows]
    assert places(found, settled(found)) == {"new": "t2"}


def test_an_id_whose_row_another_took_is_given_a_number() -> None:
    taken = replace(run("r", 0, numbered(9)), row="t1")
    found = [taken, totals("t1", 1, numbered(1)), totals("t2", 2, numbered(9))]
    assert places(found, settled(found)) == {"t1": "t1-2"}


MOMENTS = st.one_of(st.none(), st.sampled_from([n * SECOND + more for n in range(5) for more in (0, 1, 500_000)]))
NUMBERS = st.one_of(
    st.builds(numbered, st.integers(0, 3), st.integers(0, 1).map(float)),
    st.builds(numbered, st.integers(0, 3)),
    st.sampled_from([{}, {"win_rate": 50.0}, {"win_rate": 50.05}, {"win_rate": 50.1}]),
)


@st.composite
def stores(draw: st.DrawFn) -> list[list[Told]]:
    """Runs and totals in the order in which they are imported, some of them together."""
    parts: list[list[Told]] = []
    for number, (at, numbers, is_total) in enumerate(
        draw(st.lists(st.tuples(MOMENTS, NUMBERS, st.booleans()), max_size=9))
    ):
        one = Told(f"{number}", PAIR, at, at or draw(st.integers(0, 9)), numbers, is_total)
        parts += [] if parts and draw(st.booleans()) else [[]]
        parts[-1].append(one)
    return draw(st.permutations(parts))


@given(stores())
def test_in_whatever_order_things_are_told_the_lake_has_a_row_of_each_run_and_loses_none(
    parts: list[list[Told]],
) -> None:
    known: list[Told] = []
    rows: dict[str, Told] = {}
    for part in parts:
        known += part
        count = len(rows)
        planned = places(there(known, rows), settled(there(known, rows)))
        for of_runs in (True, False):  # they land one after the other
            now = settled(there(known, rows))
            ids = places(there(known, rows), now)
            assert ids.items() <= planned.items()
            for one in now.runs if of_runs else now.lone:
                if one.row is None:
                    name = ids.get(one.own, one.own)
                    assert name not in rows or may_go(rows[name], now.lone)
                    rows[name] = one
        assert len(rows) >= count
        now = settled(known)
        assert sorted(row.own for row in rows.values()) == sorted(one.own for one in (*now.runs, *now.lone))


def there(known: Iterable[Told], rows: dict[str, Told]) -> list[Told]:
    """All that is known, with the rows that a lake has of it."""
    held = {one.own: name for name, one in rows.items()}
    return [replace(one, row=held.get(one.own)) for one in known]


def may_go(row: Told, are_runs: Sequence[Told]) -> bool:
    return row.is_total and row.own not in {one.own for one in are_runs}
