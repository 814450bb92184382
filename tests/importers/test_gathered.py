"""What a whole table tells of some ids: all of it, whatever fits into memory at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lake.importers import gathered
from lake.importers.gathered import Gathered
from lake.importers.stories import Stories
from lake.spec import registry

Row = dict[str, Any]


class Table:
    """A table in batches of two rows, which counts how often it is read."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self.read = 0

    def __call__(self) -> Iterator[Sequence[Row]]:
        self.read += 1
        return (self._rows[start : start + 2] for start in range(0, len(self._rows), 2))


def trade(name: str, pnl: float) -> Row:
    return {"trade_id": name, "status": "closed", "pnl": pnl, "extra": f'{{"imported":{{"t":{{"pnl":{pnl}}}}}}}'}


@pytest.mark.parametrize(("most", "passes"), [(50_000, 1), (12, 2), (1, 4)])
def test_all_stories_of_an_id_are_found_in_as_few_passes_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch, most: int, passes: int
) -> None:
    monkeypatch.setattr(gathered, "_MOST", most)
    names = ["a", "b", "c"]
    own = Table(
        [*(trade(name, n) for n in (1.0, 2.0, 2.0, 3.0) for name in names), *(trade(f"{n}", 1) for n in range(9))]
    )
    others = Table([trade("a", 1.0), trade("d", 1.0)])
    whole = Gathered(Stories(registry.get("trades"), "t"), own, others)
    for name in names:
        told = whole.of({name, "4"})
        assert told.keys() == {name}
        assert sorted(one.row["pnl"] for one in told[name].own.values()) == [1.0, 2.0, 3.0]
        assert len(told[name].others) == (name == "a")
    assert own.read == others.read == passes
    assert whole.of({"a", "d"}) == {}
    assert own.read == passes
