"""What language models decided, as two open bots log it: nofx and AI-Trader; alone, in folders or archives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial

from lake.errors import SourceError
from lake.importers.base import Known, Notes, Options, Refused, Row, Table
from lake.importers.kinds import ai_trader, nofx
from lake.importers.reading.members import Member, members
from lake.importers.wording import counted


class LlmLogs:
    """Reads decision logs of language models."""

    name = "llm-logs"
    summary = "decision logs of language models: nofx cycles, AI-Trader messages and position.jsonl"

    def tables(self, source: str, _options: Options) -> Iterable[Table]:
        """Prompts and decisions; answers; actions with their fills and the state that they began with."""
        kinds = Counter(kind for _, kind in _told_apart(source))
        if not kinds - Counter({"": kinds[""]}):
            raise SourceError(
                "no decision log of a known kind", where=source, todo="nofx cycles, or AI-Trader's logs and positions."
            )
        if kinds["cycle"]:
            yield Table("prompts", (nofx.PROMPTS,), partial(_prompts, source), completed=nofx.used_before)
            yield Table("cycles", (nofx.DECISIONS,), partial(_cycles, source, kinds[""]))
        if kinds["messages"]:
            answers = ai_trader.Answers()
            yield Table("messages", (answers.map,), partial(_answers, source), look=answers.look)
        if kinds["positions"]:
            maps = (ai_trader.ACTIONS, ai_trader.FILLS, ai_trader.STATES)
            yield Table("positions", maps, partial(_actions, source))


def _told_apart(source: str) -> Iterator[tuple[Member, str]]:
    """Each file with its kind: cycle, messages, positions, or none."""
    for file in members(source):
        if file.path.suffix == ".jsonl":
            yield file, ai_trader.shape_of(file)
        else:
            yield file, "cycle" if file.path.suffix == ".json" and _is_cycle(file) else ""


def _is_cycle(file: Member) -> bool:
    """By its name, or by what is in it: a file that breaks off is a cycle, too."""
    if file.path.name.startswith("decision_"):
        return True
    with closing(file.open()) as opened:
        try:
            written = opened.read().decode("utf-8-sig", "replace").strip()
            return nofx.is_cycle(json.JSONDecoder().raw_decode(written)[0])
        except json.JSONDecodeError:
            return False


def _of_kind(source: str, kind: str) -> Iterator[Member]:
    return (file for file, its in _told_apart(source) if its == kind)


def _prompts(source: str, notes: Notes) -> Iterator[Row]:
    return nofx.prompts(_of_kind(source, "cycle"), notes)


def _cycles(source: str, others: int, notes: Notes) -> Iterator[Row | Refused]:
    if others:
        notes.tell(f"{counted(others, 'file of another kind is', 'files of other kinds are')} not read")
    return nofx.decisions(_of_kind(source, "cycle"), notes)


def _answers(source: str, notes: Notes) -> Iterator[Row | Refused]:
    return ai_trader.answers(_of_kind(source, "messages"), notes)


def _actions(source: str, notes: Notes) -> Iterator[Row | Refused | Known]:
    return ai_trader.actions(_of_kind(source, "positions"), notes)
