from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import SourceError
from lake.importers.run import import_from
from tests.importers.contract import imported, notes, quarantined, rows


def said(symbol: str, action: str, **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "action": action, "reasoning": f"why {action}", **more}


def done(symbol: str, action: str, **more: Any) -> dict[str, Any]:
    at = "2025-11-08T22:18:17.536356123+08:00"
    return {"symbol": symbol, "action": action, "quantity": 0, "leverage": 0, "price": 0, "order_id": 0,
            "timestamp": at, "success": True, "error": "", **more}  # fmt: skip


def cycle(
    number: int, words: list[dict[str, Any]], deeds: list[dict[str, Any]] | None, prompt: str = "Trade well."
) -> dict[str, Any]:
    return {
        "timestamp": f"2025-11-08T22:{number:02d}:24.611692001+08:00", "cycle_number": 1, "system_prompt": prompt,
        "input_prompt": "BTC: 101531", "cot_trace": "thinking", "decision_json": json.dumps(words),
        "account_state": {"total_balance": 331.2}, "positions": [], "candidate_coins": ["SOLUSDT"], "decisions": deeds,
        "execution_log": [], "success": True, "error_message": "",
    }  # fmt: skip


def cycles(folder: Path, *logged: dict[str, Any]) -> Path:
    folder.mkdir()
    for number, found in enumerate(logged):
        (folder / f"decision_{number}.json").write_text(json.dumps(found))
    return folder


def test_a_cycle_becomes_decisions_of_what_was_said_and_done(tmp_path: Path) -> None:
    opened = said("SOLUSDT", "open_short", confidence=82, stop_loss=159.5, take_profit=154, leverage=3)
    logged = cycle(
        18,
        [opened, said("ETHUSDT", "hold"), said("BNBUSDT", "close_long"), said("ALL", "wait")],
        [done("BNBUSDT", "close_long", price=992.5), done("SOLUSDT", "open_short", price=157.06, order_id=8),
         done("ETHUSDT", "hold"), done("ALL", "wait")],
    )  # fmt: skip
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "llm-logs", cycles(tmp_path / "run_deepseek_1762611457", logged), bot_id="nofx")
        columns = ["symbol", "recommendation", "confidence", "entry_price", "stop_loss", "take_profit", "traded"]
        assert rows(lk, "decisions", *columns) == [
            ("ALL", "HOLD", None, None, None, None, False),
            ("BNBUSDT.P", None, None, 992.5, None, None, True),
            ("ETHUSDT.P", "HOLD", None, None, None, None, False),
            ("SOLUSDT.P", "SHORT", 0.82, 157.06, 159.5, 154.0, True),
        ]
        at = datetime(2025, 11, 8, 14, 18, 17, 536356, UTC)
        told = ["bot_id", "model_version", "reasoning", "analyzed_at"]
        assert rows(lk, "decisions", *told)[-1] == ("nofx", "deepseek", "why wait", at)
        snapshot = json.loads(rows(lk, "decisions", "market_snapshot")[0])
        assert snapshot["input_prompt"] == "BTC: 101531"
        assert json.loads(rows(lk, "decisions", "raw_response")[0])["cot_trace"] == "thinking"


def test_each_prompt_is_kept_once_and_named_by_the_decisions_made_with_it(tmp_path: Path) -> None:
    words, deeds = [said("ALL", "wait")], [done("ALL", "wait")]
    logged = [cycle(n, words, deeds, prompt) for n, prompt in enumerate(["first", "second", "first"])]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "llm-logs", cycles(tmp_path / "logs", *logged))
        versions = dict(rows(lk, "prompt_versions", "prompt_text", "version"))
        assert sorted(versions) == ["first", "second"]
        made = rows(lk, "decisions", "prompt_version")
        assert sorted(made) == sorted([versions["first"]] * 2 + [versions["second"]])
        assert "first" not in str(rows(lk, "decisions", "extra"))


def test_a_cycle_that_failed_is_a_decision_about_nothing_with_the_reason(tmp_path: Path) -> None:
    failed = {**cycle(1, [], None, prompt=""), "decision_json": "", "success": False, "error_message": "status 404"}
    with lake.open(tmp_path / "lake") as lk:
        assert "1 of them without a decision" in notes(imported(lk, "llm-logs", cycles(tmp_path / "logs", failed)))
        assert rows(lk, "decisions", "symbol", "recommendation", "traded", "skip_reason") == [
            ("ALL", None, False, "status 404")
        ]


def test_an_order_that_the_exchange_refused_was_not_traded(tmp_path: Path) -> None:
    refused = done("BTCUSDT", "open_long", success=False, error="margin", price=101690)
    logged = cycle(1, [said("BTCUSDT", "open_long"), said("ETHUSDT", "open_long")], [refused])
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "llm-logs", cycles(tmp_path / "logs", logged))
        assert rows(lk, "decisions", "symbol", "traded", "skip_reason") == [
            ("BTCUSDT.P", False, "margin"),
            ("ETHUSDT.P", False, "it was not carried out"),
        ]


def test_text_that_is_cut_within_a_character_and_a_file_that_breaks_off(tmp_path: Path) -> None:
    folder = cycles(tmp_path / "logs", cycle(1, [said("ALL", "wait")], [done("ALL", "wait")], "提示"))
    whole = json.dumps(cycle(2, [], None), ensure_ascii=False).replace("Trade well.", "提示").encode()
    (folder / "decision_7.json").write_bytes(whole.replace("示".encode(), "示".encode()[:2]))
    (folder / "decision_8.json").write_bytes(whole[:100])
    with lake.open(tmp_path / "lake") as lk:
        report = import_from(lk, "llm-logs", str(folder))
        assert report.balanced
        assert report.failed
        assert (lk.read("decisions").height, len(quarantined(lk))) == (2, 1)
        assert "decision_8.json: no whole JSON value" in notes(report)


def line(**more: Any) -> str:
    return json.dumps(more)


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_answers_are_decisions_with_what_was_asked_before_them(tmp_path: Path) -> None:
    lines = [
        line(signature="gpt-5", new_messages=[message("user", "Update positions.")]),
        line(signature="gpt-5", new_messages=message("assistant", "Done.")),
        line(signature="gpt-5", new_messages=[message("user", "Again."), message("user", "Please.")]),
    ]
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gpt-5/2025-11-02.jsonl", "\n".join(lines))
    with lake.open(tmp_path / "lake") as lk:
        assert "3 lines of messages" in notes(imported(lk, "llm-logs", path))
        at = datetime(2025, 11, 2, tzinfo=UTC)
        assert rows(lk, "decisions", "bot_id", "model_version", "reasoning", "analyzed_at") == [
            ("gpt-5", "gpt-5", "Done.", at),
            ("gpt-5", "gpt-5", None, at),
        ]
        prompts = [json.loads(found)["prompt"] for found in rows(lk, "decisions", "market_snapshot")]
        assert sorted(prompts) == [["Again.", "Please."], ["Update positions."]]


def test_a_question_that_was_imported_before_its_answer_is_one_decision_with_it(tmp_path: Path) -> None:
    user, assistant = message("user", "Again."), message("assistant", "Done.")
    parts = [
        [line(signature="gpt-5", new_messages=[user, assistant, user])],
        [line(signature="gpt-5", new_messages=[message("tool", "42")])],
        [line(signature="gpt-5", new_messages=[message("assistant", "Bought.")])],
        [line(signature="gpt-5", new_messages=[user])],
        [line(signature="gpt-5", new_messages=[message("assistant", "Sold.")])],
    ]
    folder = tmp_path / "gpt-5"
    folder.mkdir()
    path = folder / "2025-11-02.jsonl"
    with lake.open(tmp_path / "lake") as lk:
        for count in range(1, len(parts) + 1):
            path.write_text("\n".join(text for part in parts[:count] for text in part) + "\n")
            imported(lk, "llm-logs", folder)
        assert sorted(rows(lk, "decisions", "reasoning")) == ["Bought.", "Done.", "Sold."]


def holding(day: str, number: int, cash: float, btc: float, action: dict[str, Any] | None) -> str:
    more = {"this_action": action} if action else {}
    return line(date=day, id=number, positions={"BTC-USDT": btc, "CASH": cash}, **more)


def test_actions_are_decisions_and_fills_at_the_price_that_the_money_tells(tmp_path: Path) -> None:
    buy, sell = ({"action": f"{way}_crypto", "symbol": "BTC-USDT", "amount": 0.02} for way in ("buy", "sell"))
    lines = [
        holding("2025-11-01", 0, 10_000.0, 0.0, None),
        holding("2025-11-02", 1, 8_000.0, 0.02, buy),
        holding("2025-11-02", 2, 8_000.0, 0.02, {"action": "no_trade", "symbol": "", "amount": 0}),
        holding("2025-11-03", 2, 10_100.0, 0.0, sell),
        holding("2025-11-03", 2, 10_100.0, 0.0, sell),  # the id again, and nothing moved
        holding("2025-11-03", 3, 10_100.0, 0.0, {"action": "buy_crypto", "symbol": "BTC-USDT", "amount": "all of it"}),
    ]
    folder = tmp_path / "gpt-5" / "position"
    folder.mkdir(parents=True)
    (folder / "position.jsonl").write_text("\n".join(lines))
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "llm-logs", folder / "position.jsonl")
        assert "2 actions did not move money and holdings" in notes(report)
        assert rows(lk, "fills", "bot_id", "symbol", "side", "quantity", "price", "mode") == [
            ("gpt-5", "BTCUSDT", "BUY", 0.02, 100_000.0, "paper"),
            ("gpt-5", "BTCUSDT", "SELL", 0.02, pytest.approx(105_000.0), "paper"),
        ]
        decided = rows(lk, "decisions", "symbol", "recommendation", "traded", "analyzed_at")
        assert [(symbol, call, traded, at.day) for symbol, call, traded, at in decided] == [
            ("ALL", "HOLD", False, 2),
            ("BTCUSDT", "LONG", False, 3),
            ("BTCUSDT", "LONG", True, 2),
            ("BTCUSDT", None, False, 3),
            ("BTCUSDT", None, True, 3),
        ]
        [state] = rows(lk, "bot_states", "state")
        assert json.loads(state)["positions"]["CASH"] == 10_000.0


def test_files_of_other_kinds_are_no_decision_log(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_open_trades": 3}')
    (tmp_path / "lines.jsonl").write_text('{"a": 1}')
    with lake.open(tmp_path / "lake") as lk, pytest.raises(SourceError, match="no decision log of a known kind"):
        import_from(lk, "llm-logs", str(tmp_path))


def test_a_prompt_stays_as_old_as_the_lake_has_it_when_its_first_cycles_are_deleted(tmp_path: Path) -> None:
    words, deeds = [said("ALL", "wait")], [done("ALL", "wait")]
    logged = [cycle(number, words, deeds) for number in range(3)]
    with lake.open(tmp_path / "lake") as lk:
        folder = cycles(tmp_path / "logs", *logged)
        imported(lk, "llm-logs", folder)
        before = [rows(lk, "prompt_versions", "*"), rows(lk, "decisions", "*")]
        (folder / "decision_0.json").unlink()
        report = imported(lk, "llm-logs", folder)
        assert (report.totals["unchanged"], report.totals["landed"]) == (3, 0)
        assert [rows(lk, "prompt_versions", "*"), rows(lk, "decisions", "*")] == before
        earlier = {**logged[0], "timestamp": "2025-11-07T22:00:24.611692001+08:00"}
        older = cycles(tmp_path / "older", earlier)
        imported(lk, "llm-logs", older)
        imported(lk, "llm-logs", folder)
        assert rows(lk, "prompt_versions", "created_at") == [datetime(2025, 11, 7, 14, 0, 24, 611692, UTC)]


def test_answers_of_one_line_are_each_a_decision(tmp_path: Path) -> None:
    user = message("user", "Again.")
    answers = [message("assistant", word) for word in ("Done.", "Bought.")]
    folder = tmp_path / "gpt-5"
    folder.mkdir()
    path = folder / "2025-11-02.jsonl"
    lines = [line(signature="gpt-5", new_messages=[user, *answers, user]),
             line(signature="gpt-5", new_messages=[message("tool", "42")]),
             line(signature="gpt-5", new_messages=[message("assistant", "Sold.")])]  # fmt: skip
    told = (["Bought.", "Done.", None], ["Bought.", "Done.", None], ["Bought.", "Done.", "Sold."])
    with lake.open(tmp_path / "lake") as lk:
        for count, expected in enumerate(told, 1):
            path.write_text("\n".join(lines[:count]) + "\n")
            report = imported(lk, "llm-logs", folder)
            assert report.totals["refused"] == 0
            assert rows(lk, "decisions", "reasoning") == expected


def test_logs_of_one_model_in_two_markets_land_both_under_a_bot_each(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake") as lk:
        for market in ("agent_data", "agent_data_crypto"):
            folder = tmp_path / market / "gpt-5" / "log" / "2025-11-02"
            folder.mkdir(parents=True)
            (folder / "log.jsonl").write_text(
                line(signature="gpt-5", new_messages=[message("assistant", market)]) + "\n"
            )
            assert imported(lk, "llm-logs", tmp_path / market, bot_id=market).totals["refused"] == 0
        assert rows(lk, "decisions", "bot_id", "reasoning") == [(m, m) for m in ("agent_data", "agent_data_crypto")]


def _traded(folder: Path) -> list[str]:
    """A log in which one call was made twice at once, as bots without a lock do."""
    buy, sell = ({"action": f"{way}_crypto", "symbol": "BTC-USDT", "amount": 0.02} for way in ("buy", "sell"))
    nothing = {"action": "no_trade", "symbol": "", "amount": 0}
    folder.mkdir(parents=True, exist_ok=True)
    return [
        holding("2025-11-01", 0, 10_000.0, 0.0, None),
        holding("2025-11-02", 1, 8_000.0, 0.02, buy),
        holding("2025-11-02", 2, 8_000.0, 0.02, nothing),
        holding("2025-11-03", 3, 10_100.0, 0.0, sell),
        holding("2025-11-03", 3, 10_100.0, 0.0, sell),
        holding("2025-11-04", 4, 8_000.0, 0.02, buy),
        holding("2025-11-04", 5, 5_900.0, 0.04, buy),
        "{no line",
        holding("2025-11-05", 6, 8_000.0, 0.02, sell),
    ]


@pytest.mark.parametrize(("botched", "again"), [
    ("twice", 8), ("older first", 4), ("older behind", 7), ("a part of it behind", 3),
])  # fmt: skip
def test_lines_that_are_in_a_log_of_positions_again_are_the_same_events(
    tmp_path: Path, botched: str, again: int
) -> None:
    """As in a lake into which the log was brought as it was; also when it is mended, and goes on."""
    (folder := tmp_path / "bot" / "gpt-5").mkdir(parents=True)
    lines, path = _traded(folder), folder / "position.jsonl"
    more = holding("2025-11-06", 7, 10_000.0, 0.0, {"action": "sell_crypto", "symbol": "BTC-USDT", "amount": 0.02})
    copied = {
        "twice": [*lines, *lines], "older first": [*lines[:4], *lines], "older behind": [*lines, *lines[:7]],
        "a part of it behind": [*lines, *lines[3:6]],
    }[botched]  # fmt: skip
    with lake.open(tmp_path / "lake") as lk, lake.open(tmp_path / "once") as once:
        path.write_text("\n".join([*lines, more]) + "\n")
        imported(once, "llm-logs", folder)
        path.write_text("\n".join(copied) + "\n")
        report = imported(lk, "llm-logs", folder)
        assert f"{again} lines are in their file again" in notes(report)
        for now in ([*copied, more], [*lines, more]):
            path.write_text("\n".join(now) + "\n")
            imported(lk, "llm-logs", folder)
        for name in ("fills", "decisions", "bot_states"):
            assert rows(lk, name, "*") == rows(once, name, "*")
        assert len(rows(lk, "fills", "fill_id")) == 6


def test_two_equal_purchases_are_two_since_what_is_held_then_differs(tmp_path: Path) -> None:
    buy = {"action": "buy_crypto", "symbol": "BTC-USDT", "amount": 0.02}
    (folder := tmp_path / "gpt-5").mkdir()
    held = [holding("2025-11-02", n, 10_000.0 - 2_000.0 * n, 0.02 * n, buy if n else None) for n in range(3)]
    (folder / "position.jsonl").write_text("\n".join(held) + "\n")
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "llm-logs", folder)
        assert rows(lk, "fills", "quantity", "price") == [(0.02, 100_000.0), (0.02, 100_000.0)]
        assert "again" not in notes(report)


def test_a_log_of_positions_under_two_names_is_one(tmp_path: Path) -> None:
    lines = _traded(folder := tmp_path / "gpt-5")
    for name in ("position.jsonl", "position_backup.jsonl"):
        (folder / name).write_text("\n".join(lines) + "\n")
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "llm-logs", folder)
        assert report.totals["differences_found"] == 0
        assert len(rows(lk, "fills", "fill_id")) == 5


@pytest.mark.parametrize("odd", ["[1]", "5", '"word"', "null"])
def test_a_line_that_is_no_object_is_refused_and_the_others_land(tmp_path: Path, odd: str) -> None:
    (folder := tmp_path / "gpt-5").mkdir()
    said = line(signature="gpt-5", new_messages=[message("assistant", "Done.")])
    action = json.loads(holding("2025-11-02", 1, 8_000.0, 0.02, None)) | {"this_action": "buy"}
    (folder / "2025-11-02.jsonl").write_text(f"{said}\n{odd}\n")
    (folder / "position.jsonl").write_text(f"{json.dumps(action)}\n{odd}\n")
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "llm-logs", folder)
        assert report.totals["refused"] == 2
        assert (rows(lk, "decisions", "reasoning"), len(rows(lk, "bot_states", "bot_id"))) == (["Done."], 1)


def test_answers_that_are_in_their_file_again_are_told_and_kept(tmp_path: Path) -> None:
    """No line of messages has a number or a time: a bot that was asked again may have answered the same."""
    (folder := tmp_path / "gpt-5").mkdir()
    said = [message("user", "Update positions."), message("assistant", "Done.")]
    (folder / "2025-11-02.jsonl").write_text(f"{line(signature='gpt-5', new_messages=said)}\n" * 2)
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "llm-logs", folder)
        assert "1 answer is in their file again, as is what was asked" in notes(report)
        assert rows(lk, "decisions", "reasoning") == ["Done.", "Done."]


@pytest.mark.parametrize("name", ["decision_1.json", "cycle.json"])
def test_cycles_that_are_joined_in_a_file_are_each_read_and_equal_ones_are_one(tmp_path: Path, name: str) -> None:
    (folder := tmp_path / "logs").mkdir()
    first, second = (json.dumps(cycle(n, [said("ALL", "wait")], [done("ALL", "wait")])) for n in (1, 2))
    (folder / name).write_text(f"{first}{first}\n{second}")
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, "llm-logs", folder)
        assert (lk.read("decisions").height, report.totals["refused"]) == (2, 0)
