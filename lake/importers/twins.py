"""Ids of rows that share the facts their ids are made of: what tells the same story is one row, others are twins.

A row's story is what it tells in canonical columns: without what is kept beside it, so that a spelling or a serial
number makes no second row. The first story of an id has it; a twin has a digest of its own behind it, and not its
number, so that neither the order in which a store tells them nor what it has forgotten meanwhile makes one another.
Which of the lake's rows a story is, is decided before: the one with its digest, the one of which this table said just
that, the one that it contradicts in nothing; then one that went on and has ended in it, then one that it corrects.
A row is corrected, or has ended in a story that contradicts it, only if no story of the whole table, in whichever batch
it comes, is surely it: one of the same stage of life, or of any where rows are in one table or another by their stage.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lake.importers.keys import Keys
from lake.importers.mapping import Canonical, found_before
from lake.importers.merging import contradictions, steady
from lake.spec.dataset import Dataset, Type
from lake.store.drain import is_open

SUFFIX = 12  # characters behind the id that a twin shares: a hyphen and a digest
_TWIN = re.compile(rf".+-[0-9a-f]{{{SUFFIX - 1}}}", re.DOTALL)
_MILLISECOND = 1_000  # what most stores keep of a time
_Story = tuple[str, int]  # the id of the facts, and a hash of what is told
_Batch = tuple[Sequence[Canonical], Iterable[Canonical]]


def base_of(name: str) -> str:
    """The id without what a twin has behind it.

    >>> base_of("trade-1-0123456789a"), base_of("trade-1")
    ('trade-1', 'trade-1')
    """
    return name[:-SUFFIX] if is_twin(name) else name


def is_twin(name: str) -> bool:
    """Whether there is something behind an id that tells a twin."""
    return _TWIN.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A story that has no row yet: as it was mapped, what it tells, and whether it goes on."""

    row: Canonical
    told: tuple[object, ...]
    goes_on: bool


class Twins:
    """Gives each story of one table its id.

    Args:
        ds: the dataset of the rows, whose key is one text.
        label: of the table, under which found rows are kept.
        whole: reads the table from its beginning, and gives for each batch what :meth:`named` takes; it is asked for
            once, when a story contradicts all that the lake has. Left out, a batch is all that there is.
        by_stage: whether ``whole`` tells a row in one stage of its life alone.

    >>> from lake.spec import registry
    >>> twins = Twins(registry.get("trades"), "trades-json:trades")
    >>> rows = [{"trade_id": "t", "status": "closed", "quantity": quantity} for quantity in (1.0, 2.0, 1.0, 2.0)]
    >>> [row["trade_id"] for row in twins.named(rows, [])], twins.count
    (['t', 't-1fc6abbcf3e', 't', 't-1fc6abbcf3e'], 1)
    """

    def __init__(
        self,
        ds: Dataset,
        label: str,
        whole: Callable[[], Iterator[_Batch]] | None = None,
        by_stage: bool = False,
    ) -> None:
        (self._column,) = ds.key
        self._ds, self._label, self._whole, self._by_stage = ds, label, whole, by_stage
        self._told = [(name, column.type) for name, column in ds.by_name.items() if name not in {self._column, "extra"}]
        self._firsts = Keys()  # stories that have the id of their facts
        self._names: dict[_Story, str] = {}  # those that have another
        self._taken = Keys()  # ids, and whether in a stage of life that went on: had by stories of this table
        self._made = Keys()  # ids that this table brought
        self._claimed: Keys | None = None  # ids and stages of life of which some story of the table is surely one
        self.count = 0

    def named(self, rows: Sequence[Canonical], there: Iterable[Canonical]) -> list[Canonical]:
        """The rows, each under the id that is its own.

        Args:
            rows: in order, under the ids of their facts.
            there: what the lake, or a plan of it, has under those ids and with digests behind them.
        """
        stories, new = self._new(rows)
        families = self._families(new, there)
        for base, candidates in new.items():
            self._settle(base, candidates, families[base])
        return [
            {**row, self._column: self._names[story]} if story in self._names else row
            for row, story in zip(rows, stories, strict=True)
        ]

    def _new(self, rows: Sequence[Canonical]) -> tuple[list[_Story], dict[str, dict[_Story, _Candidate]]]:
        """The story of each row; and by the id of their facts those that have no row yet."""
        tellings = [self._tells(row) for row in rows]
        stories = [(str(row[self._column]), hash(told)) for row, told in zip(rows, tellings, strict=True)]
        new: dict[str, dict[_Story, _Candidate]] = {}
        for row, told, story in zip(rows, tellings, stories, strict=True):
            if story not in self._firsts and story not in self._names:
                new.setdefault(story[0], {})[story] = _Candidate(row, told, is_open(self._ds, row))
        return stories, new

    def _families(self, bases: Iterable[str], there: Iterable[Canonical]) -> dict[str, dict[str, Canonical]]:
        families: dict[str, dict[str, Canonical]] = {base: {} for base in bases}
        for row in there:
            name = str(row[self._column])
            for base in {name, base_of(name)} & families.keys():
                families[base][name] = row
        return families

    def _settle(self, base: str, candidates: dict[_Story, _Candidate], family: dict[str, Canonical]) -> None:
        """Find the rows of stories that are new: first those that are surely one, then the others in order."""
        is_alone = len(candidates) == 1 and family.keys() <= {base}
        if is_alone and not any((base, stage) in self._taken for stage in (True, False)):
            ((story, candidate),) = candidates.items()
            is_sure = base not in family or not contradictions(self._ds, family[base], candidate.row)
            if is_sure or not self._is_claimed(base, candidate):
                self._take(story, candidate, base, family)
                return
        before = self._before(family)
        sure = [
            (rank, name, story)
            for story, candidate in candidates.items()
            for name, rank in self._ranks(base, candidate, family, before)
        ]
        for _, name, story in sorted(sure, key=lambda one: one[:2]):
            if story in candidates and self._is_free(name, candidates[story]):
                self._take(story, candidates.pop(story), name, family)
        for story, candidate in candidates.items():
            self._take(story, candidate, self._other(base, candidate, family), family)

    def _before(self, family: Mapping[str, Canonical]) -> dict[str, Any]:
        return {name: found_before(row, self._label) for name, row in family.items()}

    def _is_claimed(self, name: str, one: _Candidate) -> bool:
        """Whether another story is surely the lake's row of that id, which this one contradicts."""
        if self._claimed is None:
            self._claimed = Keys()
            for batch in self._whole() if self._whole is not None else ():
                for claim in self._claims(*batch):
                    self._claimed.add(claim)
        return self._claim(name, one) in self._claimed

    def _claim(self, name: str, one: _Candidate) -> tuple[str, bool]:
        return name, one.goes_on and not self._by_stage

    def _claims(self, rows: Sequence[Canonical], there: Iterable[Canonical]) -> Iterator[tuple[str, bool]]:
        """Of each story that has no row yet the id of the lake's row that it is most surely."""
        _, new = self._new(rows)
        families = self._families(new, there)
        for base, candidates in new.items():
            before = self._before(families[base])
            for one in candidates.values():
                ranks = ((rank, name) for name, rank in self._ranks(base, one, families[base], before))
                if (best := min(ranks, default=None)) is not None:
                    yield self._claim(best[1], one)

    def _ranks(
        self, base: str, one: _Candidate, family: Mapping[str, Canonical], before: Mapping[str, Any]
    ) -> Iterator[tuple[str, tuple[int, int]]]:
        """Which of the lake's rows a story contradicts in nothing, and how surely it is one: the surest have the least.

        Args:
            base: the id of its facts.
            one: the story.
            family: the lake's rows of that id, and their twins.
            before: what this table said of each of them.
        """
        twin, found = self._twin(base, one), found_before(one.row, self._label) if family else None
        for name, row in family.items():
            if name == twin:
                yield name, (0, 0)
            elif before[name] is not None and before[name] == found:
                yield name, (1, 0)
            elif not contradictions(self._ds, row, one.row):
                yield name, (2, -sum(row.get(column) == value for column, value in one.row.items()))

    def _other(self, base: str, one: _Candidate, family: Mapping[str, Canonical]) -> str:
        """The id of a story that is surely none of the lake's rows: one that ends in it, one that it corrects, its own.

        What this table brought itself it does not correct: of two stories of one table, each is true. The nearest row
        is the one that began alike, and then the one that goes on if the story does.
        """
        free = {n: row for n, row in family.items() if self._is_free(n, one) and not self._is_claimed(n, one)}
        near = {name: self._distance(row, one) for name, row in free.items()}
        ending = [name for name, row in free.items() if self._may_end(name, row, one)]
        same = [name for name in free if name in self._made and not contradictions(self._ds, free[name], one.row)]
        corrected = [name for name in free if name not in self._made]
        for names in (ending, same, corrected):
            if names:
                return min(names, key=lambda name: (near[name], name))
        return self._twin(base, one) if base in family else base

    def _may_end(self, name: str, row: Canonical, one: _Candidate) -> bool:
        """Whether a row goes on that may have ended in a story; one told beside it in its stage's table is another."""
        if one.goes_on or not is_open(self._ds, row):
            return False
        return not self._by_stage or name not in self._made or not contradictions(self._ds, row, one.row)

    def _distance(self, row: Canonical, one: _Candidate) -> tuple[int, bool, int]:
        told = contradictions(self._ds, row, one.row)
        return len(steady(self._ds) & set(told)), is_open(self._ds, row) != one.goes_on, len(told)

    def _is_free(self, name: str, one: _Candidate) -> bool:
        return (name, one.goes_on) not in self._taken

    def _take(self, story: _Story, one: _Candidate, name: str, family: dict[str, Canonical]) -> None:
        self._taken.add((name, one.goes_on))
        if name == story[0]:
            self._firsts.add(story)
        else:
            self._names[story] = name
        if name not in family:
            self._made.add(name)
            self.count += name != story[0]
        if name not in family or is_open(self._ds, family[name]):
            family[name] = one.row

    def _twin(self, base: str, one: _Candidate) -> str:
        digest = hashlib.sha256(repr(one.told).encode(errors="surrogatepass")).hexdigest()
        return f"{base}-{digest[: SUFFIX - 1]}"

    def _tells(self, row: Canonical) -> tuple[object, ...]:
        """What a row tells, spelled in one way."""
        return tuple([(name, _spelled(row[name], type_)) for name, type_ in self._told if name in row])


def _spelled(value: Any, type_: Type) -> object:
    if type_ is Type.FLOAT:
        return f"{value:.10g}"
    if type_ is Type.TIMESTAMP:
        return value // _MILLISECOND
    return orjson.dumps(orjson.loads(value), option=orjson.OPT_SORT_KEYS) if type_ is Type.JSON else value
