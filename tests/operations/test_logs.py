from __future__ import annotations

import asyncio
import json
import re
import resource
from dataclasses import replace
from typing import Any

import pytest

from swanlab_mcp.core.errors import UnexpectedResponse
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, opened, session, text_of
from tests.fake_swanlab import Fault, LogLine, State

pytestmark = pytest.mark.anyio
ME = "kites-test3"
ASK = {"project": "project1", "exp_cuid": "cuid1"}


def write_log(state: State, count: int) -> None:
    state.projects[0].experiments[0].logs = [LogLine(number, f"line {number}") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000, 7000, 7500, 8000, 12_345])
@pytest.mark.parametrize("expected", [True, False])
async def test_end_of_a_log_is_found_with_and_without_a_reported_length(
    settings: Settings, state: State, count: int, expected: bool
) -> None:
    write_log(state, count)
    state.variants.logs_count_total = expected
    async with opened(settings) as client:
        part = (await client.default.read_logs(ExperimentRef(ME, "project1", "cuid1"), start=None, count=1500)).data
        middle = (await client.default.read_logs(ExperimentRef(ME, "project1", "cuid1"), start=990, count=20)).data
    assert part
    assert middle
    assert (part.total, part.start) == (count, max(0, count - 1500))
    assert [line.message for line in part.lines] == [f"line {number}" for number in range(part.start, count)]
    assert [line.number for line in middle.lines] == list(range(min(990, count), min(1010, count)))
    assert len(state.get_calls("/log$")) <= 20


async def test_tail_does_not_load_the_whole_log(settings: Settings, state: State) -> None:
    write_log(state, 60_000)
    async with session(settings) as client:
        result = await client.call_tool("get_logs", {**ASK, "count": 3})
    assert [row["message"] for row in result.structured_content["data"]] == ["line 59997", "line 59998", "line 59999"]
    assert "for earlier lines, pass start=59994 count=3." in text_of(result)
    assert len(state.get_calls("/log$")) == 2


async def test_log_pages_continue_without_loss(settings: Settings, state: State) -> None:
    write_log(state, 2500)
    seen: list[str] = []
    start = 0
    async with session(settings) as client:
        for _ in range(40):
            result = await client.call_tool("get_logs", {**ASK, "start": start, "count": 400})
            rows = result.structured_content["data"]
            assert count_tokens(text_of(result)) <= 8000
            seen += [row["message"] for row in rows]
            start = rows[-1]["number"] + 1
            if start >= 2500:
                break
        beyond = await client.call_tool("get_logs", {**ASK, "start": 9999})
    assert seen == [f"line {number}" for number in range(2500)]
    assert "start=9999 is past the end: the log has lines 0 to 2499." in text_of(beyond)


async def test_terminal_escapes_and_repeats_are_folded(settings: Settings, state: State) -> None:
    messages = ["\x1b[31mred\x1b[0m", "10%\r50%\r100%", "same", "same", "same", "a\nb\r", "\x1b]0;title\x07plain"]
    state.projects[0].experiments[0].logs = [LogLine(number, message) for number, message in enumerate(messages)]
    async with session(settings) as client:
        result = await client.call_tool("get_logs", ASK)
    assert [(row["number"], row["message"], row.get("repeated")) for row in result.structured_content["data"]] == [
        (0, "red", None),
        (1, "100%", None),
        (2, "same", 3),
        (5, "a\nb", None),
        (6, "plain", None),
    ]


async def test_matching_lines_come_with_context(settings: Settings, state: State) -> None:
    write_log(state, 30_000)
    logs = state.projects[0].experiments[0].logs
    logs[25_000] = LogLine(25_000, "Loss is NaN", "ERROR")
    logs[5] = LogLine(5, "early NaN")
    async with session(settings) as client:
        result = await client.call_tool("get_logs", {**ASK, "search": "nan", "context": 1})
        early = await client.call_tool("get_logs", {**ASK, "search": "nan", "context": 0, "start": 0})
        errors = await client.call_tool("get_logs", {**ASK, "level": "error", "context": 0})
        empty = await client.call_tool("get_logs", {**ASK, "search": "zebra"})
        many = await client.call_tool("get_logs", {**ASK, "search": "line", "context": 0})
    assert [row["number"] for row in result.structured_content["data"]] == [24_999, 25_000, 25_001]
    assert "1 line in the range 10000 to 29999 contains 'nan'." in text_of(result)
    assert "The lines before 10000 were not searched; pass start=0" in text_of(result)
    assert [row["number"] for row in early.structured_content["data"]] == [5]
    assert "To continue the search, pass start=20000." in text_of(early)
    assert [row["level"] for row in errors.structured_content["data"]] == ["ERROR"]
    assert empty.structured_content["data"] == []
    assert "0 lines in the range 10000 to 29999 contain 'zebra'" in text_of(empty)
    assert "Only the last 100 matches are shown; pass start=10000 to start with the first match." in text_of(many)


async def test_truncated_log_continues_in_both_directions(settings: Settings, state: State) -> None:
    state.projects[0].experiments[0].logs = [LogLine(number, f"{number} " + "词 " * 60) for number in range(900)]
    forward: list[int] = []
    async with session(settings) as client:
        arguments: dict[str, Any] = {**ASK, "start": 100, "count": 800}
        while arguments:
            result = await client.call_tool("get_logs", arguments)
            forward += [row["number"] for row in result.structured_content["data"]]
            on = re.search(r"The log continues; pass start=(\d+)\.", text_of(result))
            arguments = {**ASK, "start": int(on[1]), "count": 800} if on else {}
        tail = await client.call_tool("get_logs", {**ASK, "count": 300})
    backward = [row["number"] for row in tail.structured_content["data"]]
    on = re.search(r"for earlier lines, pass start=(\d+) count=(\d+)\.", text_of(tail))
    assert on is not None
    assert int(on[1]) + int(on[2]) == backward[0] > 600
    assert forward == list(range(100, 900))
    assert backward == list(range(backward[0], 900))


async def test_every_match_can_be_paged_to(settings: Settings, state: State) -> None:
    write_log(state, 2500)
    found: list[int] = []
    arguments: dict[str, Any] = {**ASK, "search": "7", "context": 0, "start": 0, "count": 90}
    async with session(settings) as client:
        while arguments:
            result = await client.call_tool("get_logs", arguments)
            rows = [row["number"] for row in result.structured_content["data"]]
            assert len(rows) <= 90
            found += rows
            on = re.search(r"To continue the search, pass start=(\d+)\.", text_of(result))
            arguments = {**arguments, "start": int(on[1])} if on else {}
    assert found == [number for number in range(2500) if "7" in str(number)]


@pytest.mark.parametrize("folder", ["0.10.3-offline", "0.7.20-offline"])
async def test_log_end_of_a_crashed_run_on_disk_is_shown(folder: str) -> None:
    arguments = {"project": "vision-baselines", "exp_cuid": "resnet18-oom", "from_traceback": True}
    async with session(Settings(log_dirs=(RUNS / folder,))) as client:
        result = await client.call_tool("get_logs", arguments)
    assert "out of memory" in text_of(result)


async def test_regular_expression_finds_lines(settings: Settings, state: State) -> None:
    write_log(state, 2000)
    state.projects[0].experiments[0].logs[1234] = LogLine(1234, "\x1b[33mLoss\x1b[0m = nan at 7")
    async with session(settings) as client:
        result = await client.call_tool("get_logs", {**ASK, "pattern": r"^loss = nan at \d$", "context": 0})
        wrong = await client.call_tool("get_logs", {**ASK, "pattern": "(loss"})
        both = await client.call_tool("get_logs", {**ASK, "pattern": "a", "search": "b"})
    assert [row["number"] for row in result.structured_content["data"]] == [1234]
    assert "'(loss' is not a regular expression" in text_of(wrong)
    assert "search and pattern cannot be combined" in text_of(both)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("(.*?,){20}P", ",".join(map(str, range(30)))),  # years
        ("(((a{1,1000}){1,1000}){1,1000}){1,1000}", "a"),  # memory or years to compile
        ("(?:(?:(?:x{65000}y?){65000}z?){60000}q?)+", "x"),
        ("(?:a|b|ab)*c", "ab" * 200_000),  # memory to match
        ("(" * 100 + "a" + "+)" * 100, "a"),
    ],
)
async def test_pattern_is_bounded_in_time_and_memory(settings: Settings, state: State, pattern: str, line: str) -> None:
    state.projects[0].experiments[0].logs = [LogLine(0, line)]
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    async with session(replace(settings, is_cached=False)) as client:
        result = await client.call_tool("get_logs", {**ASK, "pattern": pattern})
        again = await client.call_tool("get_logs", {**ASK, "pattern": "[1a]"})
    if result.is_error:
        assert re.search("takes too much time or memory|is not a regular expression", text_of(result))
    assert not again.is_error
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(used, 500_000)  # KB


@pytest.mark.exhaustive
async def test_other_calls_are_served_during_a_slow_pattern(settings: Settings, state: State) -> None:
    state.projects[0].experiments[0].logs = [LogLine(0, ",".join(map(str, range(30))))]
    async with session(settings) as client:
        slow = asyncio.create_task(client.call_tool("get_logs", {**ASK, "pattern": "(.*?,){20}P"}))
        while not state.get_calls("/metrics/log"):
            await asyncio.sleep(0.01)
            assert not slow.done()
        others = [await client.call_tool("list_projects", {}) for _ in range(10)]
        assert not slow.done()
        assert not any(one.is_error for one in others)
        assert "takes too much time" in text_of(await slow)


async def test_search_does_not_find_the_users_key(settings: Settings, state: State) -> None:
    state.projects[0].experiments[0].logs = [LogLine(0, "login with test-key, done")]
    async with session(settings) as client:
        by_pattern = await client.call_tool("get_logs", {**ASK, "pattern": "with t"})
        by_text = await client.call_tool("get_logs", {**ASK, "search": "test-k"})
        other = await client.call_tool("get_logs", {**ASK, "pattern": r"with \*\*\*, done"})
    assert (by_pattern.structured_content["data"], by_text.structured_content["data"]) == ([], [])
    assert len(other.structured_content["data"]) == 1


async def test_levels_are_thresholds(settings: Settings, state: State) -> None:
    levels = ["INFO", "DEBUG", "WARN", "WARNING", "ERROR", "CRITICAL", "NOTICE"]
    state.projects[0].experiments[0].logs = [LogLine(index, level, level) for index, level in enumerate(levels)]
    async with session(settings) as client:
        warn = await client.call_tool("get_logs", {**ASK, "level": "warn", "context": 0})
        error = await client.call_tool("get_logs", {**ASK, "level": "error", "context": 0})
    assert [row["number"] for row in warn.structured_content["data"]] == [2, 3, 4, 5, 6]
    assert [row["number"] for row in error.structured_content["data"]] == [4, 5]


async def test_log_is_shown_from_its_first_traceback(settings: Settings, state: State) -> None:
    write_log(state, 25_000)
    logs = state.projects[0].experiments[0].logs
    async with session(replace(settings, is_cached=False)) as client:
        none = await client.call_tool("get_logs", {**ASK, "from_traceback": True})
        for index in (24_000, 24_500):
            logs[index] = LogLine(index, "Traceback (most recent call last):", "ERROR")
        result = await client.call_tool("get_logs", {**ASK, "from_traceback": True, "count": 3})
        both = await client.call_tool("get_logs", {**ASK, "from_traceback": True, "search": "x"})
    assert none.structured_content["data"] == []
    assert "Lines 5000 to 24999 contain no traceback." in text_of(none)
    assert "The lines before 5000 were not searched; pass start=0" in text_of(none)
    assert [row["number"] for row in result.structured_content["data"]] == [24_000, 24_001, 24_002]
    assert "The log continues; pass start=24003." in text_of(result)
    assert "from_traceback cannot be combined with search" in text_of(both)


async def test_overlong_tail_keeps_its_end(settings: Settings, state: State) -> None:
    state.projects[0].experiments[0].logs = [LogLine(number, f"{number} " + "x" * 300) for number in range(500)]
    async with session(settings) as client:
        result = await client.call_tool("get_logs", {**ASK, "count": 500})
    rows = result.structured_content["data"]
    assert count_tokens(text_of(result)) <= 8000
    assert rows[-1]["number"] == 499
    first = rows[0]["number"]
    assert f"These are the last of 500 lines; for earlier lines, pass start=0 count={first}." in text_of(result)
    assert "next" not in result.structured_content["page"]


async def test_missing_log_shard_is_an_error(settings: Settings, state: State) -> None:
    write_log(state, 3000)
    state.faults.append(Fault(path="/log$", query={"epoch": "1"}, body=b'{"logs": [], "count": 3000}'))
    async with opened(settings) as client:
        with pytest.raises(UnexpectedResponse, match="sent only 1500 of the log lines 500 to 2999"):
            await client.default.read_logs(ExperimentRef(ME, "project1", "cuid1"), start=None, count=2500)
        state.faults = [Fault(path="/log$", body=b'{"logs": 5}')]
        with pytest.raises(UnexpectedResponse, match="did not return a list of log lines"):
            await client.default.read_logs(ExperimentRef(ME, "project1", "cuid1"), start=None, count=1)


async def test_lines_behind_a_short_shard_do_not_move_up(settings: Settings, state: State) -> None:
    def lose_one(body: bytes) -> bytes:
        answer = json.loads(body)
        return json.dumps({**answer, "logs": answer["logs"][:-1]}).encode()

    write_log(state, 3000)
    state.faults.append(Fault(path="/log$", query={"epoch": "1"}, rewrite=lose_one))
    async with opened(settings) as client:
        with pytest.raises(UnexpectedResponse, match="sent only 1499 of the log lines 1500 to 2999"):
            await client.default.read_logs(ExperimentRef(ME, "project1", "cuid1"), start=1500, count=1500)
        with pytest.raises(UnexpectedResponse, match="sent only 999 of the log lines 1500 to 2499"):
            await client.default.read_logs(ExperimentRef(ME, "project1", "cuid1"), start=1500, count=1000)
        behind = (await client.default.read_logs(ExperimentRef(ME, "project1", "cuid1"), start=2000, count=2)).data
    assert behind
    assert [(line.number, line.message) for line in behind.lines] == [(2000, "line 2000"), (2001, "line 2001")]


async def test_missing_log_is_reported(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool("get_logs", ASK)
    assert text_of(result) == "0 of 0\nnote: No log line was recorded for cuid1."


@pytest.mark.parametrize("folder", ["0.10.3-offline", "0.7.20-offline"])
async def test_logs_of_runs_on_disk_are_read(folder: str) -> None:
    arguments: dict[str, Any] = {"project": "vision-baselines", "exp_cuid": "resnet18-oom"}
    async with session(Settings(log_dirs=(RUNS / folder,))) as client:
        result = await client.call_tool("get_logs", {**arguments, "search": "step   20", "context": 0})
        tail = await client.call_tool("get_logs", {**arguments, "count": 2})
        one = await client.call_tool("get_logs", {**arguments, "start": 1, "count": 1})
    assert "step   20 train/loss=1.7" in text_of(result)
    assert len(tail.structured_content["data"]) == 2
    assert one.structured_content["data"][0]["number"] == 1
