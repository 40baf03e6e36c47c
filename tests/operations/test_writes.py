"""Changes need permission and a dry run, happen once, and report their true outcome."""

from __future__ import annotations

import dataclasses
import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from mcp import Client
from mcp.types import ElicitResult

from swanlab_mcp import OpenApi
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.operations import confirmation
from swanlab_mcp.operations.confirmation import Confirmations
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.server.table import TOOLS, WRITE_TOOLS
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.fake_swanlab import Fault, Project, State

pytestmark = pytest.mark.anyio

NAMES = [entry.name for entry in WRITE_TOOLS]


@pytest.fixture
def writable(settings: Settings) -> Settings:
    return dataclasses.replace(settings, allow_writes=True)


@pytest.fixture
def project(state: State) -> Project:
    made = state.add_project(state.workspaces[1], "mnist")
    for name in ("a", "b", "c"):
        state.add_experiment(made, name, cuid=f"cuid-{name}")
    return made


def names(project: Project) -> list[str]:
    return sorted(one.name for one in project.experiments)


def changes(state: State) -> list[str]:
    """Return all requests that change data, without reads and logins."""
    calls = [call for call in state.calls if call.method != "GET" and "login" not in call.raw_path]
    return [f"{call.method} {call.path}" for call in calls]


async def confirm(client: Any, tool: str, arguments: dict[str, Any]) -> Any:
    """Do a dry run and confirm it."""
    dry = await client.call_tool(tool, arguments)
    assert not dry.is_error, text_of(dry)
    token = dry.structured_content["data"]["confirmation"]
    return await client.call_tool(tool, {**arguments, "confirmation": token})


async def test_write_tools_need_permission(settings: Settings, state: State) -> None:
    server = create_server(settings)
    assert not any(name in server.instructions for name in NAMES)
    async with connect(server) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        refused = await client.call_tool("delete_project", {"project": "project1"})
    assert listed == [entry.name for entry in TOOLS]
    assert refused.is_error
    assert state.calls == []


async def test_allowed_write_tools_are_listed_as_destructive(
    writable: Settings,
) -> None:
    server = create_server(writable)
    assert all(name in server.instructions for name in NAMES)
    assert len(server.instructions) <= 2000
    async with connect(server) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == [*(entry.name for entry in TOOLS), *NAMES]
    for name in NAMES:
        assert tools[name].annotations.destructive_hint is True
        assert tools[name].annotations.read_only_hint is None
        assert "consent" not in json.dumps(tools[name].input_schema)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_only_the_second_call_deletes_experiments(
    writable: Settings, state: State, project: Project, mode: str
) -> None:
    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a", "cuid-b", "a"]}
    async with session(writable, mode) as client:
        dry = await client.call_tool("delete_experiments", arguments)
        assert changes(state) == []
        data = dry.structured_content["data"]
        assert data["done"] is False
        assert (
            data["action"] == "permanently delete 2 experiments in kites-test2/mnist with their metrics, logs and media"
        )
        assert [one["cuid"] for one in data["experiments"]] == ["cuid-a", "cuid-b"]
        assert data["confirmation"] in text_of(dry)
        assert "Dry run: no changes were made" in text_of(dry)
        done = await client.call_tool("delete_experiments", {**arguments, "confirmation": data["confirmation"]})
    assert not done.is_error, text_of(done)
    assert done.structured_content["data"]["done"] is True
    assert "confirmation" not in done.structured_content["data"]
    assert names(project) == ["c"]
    assert changes(state) == [f"DELETE /api/project/kites-test2/mnist/runs/cuid-{one}" for one in "ab"]


async def test_project_is_deleted_as_the_dry_run_described(writable: Settings, state: State, project: Project) -> None:
    project.experiments[0].state = "RUNNING"
    async with session(writable) as client:
        dry = await client.call_tool("delete_project", {"project": "kites-test2/mnist"})
        data = dry.structured_content["data"]
        assert (data["experiment_count"], data["running_count"]) == (3, 1)
        assert data["action"] == "permanently delete the project kites-test2/mnist with its 3 experiments"
        assert project in state.projects
        done = await confirm(client, "delete_project", {"project": "mnist", "username": "kites-test2"})
    assert done.structured_content["data"]["done"] is True
    assert project not in state.projects
    assert changes(state) == ["DELETE /api/project/kites-test2/mnist"]


async def test_project_is_created_as_described(writable: Settings, state: State) -> None:
    arguments = {"project": "mnist-v2", "username": "kites-test2", "description": "Digits", "visibility": "PUBLIC"}
    async with session(writable) as client:
        done = await confirm(client, "create_project", arguments)
        again = await client.call_tool("create_project", arguments)
        odd = await client.call_tool("create_project", {"project": "team/new"})
    assert done.structured_content["notes"] == [f"Page: {writable.web_host}/@kites-test2/mnist-v2"]
    made = state.projects[-1]
    assert (made.name, made.workspace.username, made.description, made.visibility) == (
        "mnist-v2",
        "kites-test2",
        "Digits",
        "PUBLIC",
    )
    assert again.structured_content["code"] == 409
    assert "The project kites-test2/mnist-v2 already exists" in text_of(again)
    assert odd.is_error
    assert "'project'" in text_of(odd)


async def test_changes_are_visible_immediately_despite_the_cache(writable: Settings, project: Project) -> None:
    async with session(writable) as client:
        where = {"project": "kites-test2/mnist"}
        assert (await client.call_tool("list_project_exps", where)).structured_content["page"]["total"] == 3
        await confirm(client, "delete_experiments", {**where, "exp_cuids": ["a"]})
        assert (await client.call_tool("list_project_exps", where)).structured_content["page"]["total"] == 2
        await confirm(client, "delete_project", where)
        assert (await client.call_tool("list_project_exps", where)).structured_content["code"] == 404
    assert len(project.experiments) == 2


async def refuse(client: Any, arguments: dict[str, Any], token: str, words: str) -> None:
    refused = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
    assert refused.is_error
    assert words in text_of(refused)
    assert "no changes were made" in text_of(refused)


async def test_confirmation_is_valid_only_for_its_arguments_and_operation(
    writable: Settings, state: State, project: Project
) -> None:
    one = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
    async with session(writable) as client:
        token = (await client.call_tool("delete_experiments", one)).structured_content["data"]["confirmation"]
        words = "not issued for these arguments"
        await refuse(client, {**one, "exp_cuids": ["a", "b"]}, token, words)
        for odd in ("x", "é" * 20, token[:-4], "A" * len(token), token[::-1]):
            await refuse(client, one, odd, words)
        other = await client.call_tool("delete_project", {"project": "kites-test2/mnist", "confirmation": token})
        assert words in text_of(other)
    async with session(writable) as client:  # another server, with another secret
        await refuse(client, one, token, words)
    assert changes(state) == []
    assert names(project) == ["a", "b", "c"]


async def test_confirmation_is_valid_only_for_its_account(writable: Settings, state: State, project: Project) -> None:
    state.add_user("colleague", api_key="other-key")
    project.workspace.roles["colleague"] = "MEMBER"
    shared = dataclasses.replace(writable, confirmation_secret="one secret of two workers")
    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
    async with session(shared) as client, session(dataclasses.replace(shared, api_key="other-key")) as theirs:
        token = (await client.call_tool("delete_experiments", arguments)).structured_content["data"]["confirmation"]
        await refuse(theirs, arguments, token, "this server and this account")
    async with session(shared) as worker:
        done = await worker.call_tool("delete_experiments", {**arguments, "confirmation": token})
    assert done.structured_content["data"]["done"] is True
    assert names(project) == ["b", "c"]


@pytest.mark.usefixtures("project")
async def test_confirmation_expires_after_ten_minutes(
    writable: Settings, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
    now = 1_800_000_000.0
    monkeypatch.setattr(confirmation, "time", SimpleNamespace(time=lambda: now, monotonic=lambda: now))
    async with session(writable) as client:
        data = (await client.call_tool("delete_experiments", arguments)).structured_content["data"]
        assert data["confirm_before"] == "2027-01-15T08:10:00.000Z"
        now += 600
        await refuse(client, arguments, data["confirmation"], "older than 10 minutes")
        assert changes(state) == []
        now -= 1
        done = await client.call_tool("delete_experiments", {**arguments, "confirmation": data["confirmation"]})
    assert done.structured_content["data"]["done"] is True


async def test_confirmation_is_valid_for_a_single_call(writable: Settings, state: State) -> None:
    arguments = {"project": "again"}
    async with session(writable) as client:
        token = (await client.call_tool("create_project", arguments)).structured_content["data"]["confirmation"]
        await client.call_tool("create_project", {**arguments, "confirmation": token})
        state.projects.pop()  # removed again, so that the state is unchanged
        again = await client.call_tool("create_project", {**arguments, "confirmation": token})
    assert "was used before; no changes were made this time" in text_of(again)
    assert changes(state) == ["POST /api/project"]


async def test_confirmation_is_invalid_when_its_experiments_change(
    writable: Settings, state: State, project: Project
) -> None:
    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
    async with session(writable) as client:
        token = (await client.call_tool("delete_experiments", arguments)).structured_content["data"]["confirmation"]
        project.experiments[-1].state = "RUNNING"
        await refuse(client, arguments, token, "has changed since the dry run")
        whole = {"project": "kites-test2/mnist"}
        token = (await client.call_tool("delete_project", whole)).structured_content["data"]["confirmation"]
        state.add_experiment(project, "new")
        refused = await client.call_tool("delete_project", {**whole, "confirmation": token})
    assert "has changed since the dry run" in text_of(refused)
    assert changes(state) == []


@pytest.mark.parametrize(
    ("what", "field", "value"),
    [
        ("project", "visibility", "PRIVATE"),
        ("project", "description", "important"),
        ("experiment", "name", "renamed"),
        ("experiment", "description", "keep this"),
    ],
)
async def test_confirmation_is_invalid_when_the_shown_details_change(
    writable: Settings, state: State, project: Project, what: str, field: str, value: str
) -> None:
    async with session(writable) as client:
        for tool, arguments in (
            ("delete_project", {"project": "kites-test2/mnist"}),
            ("delete_experiments", {"project": "kites-test2/mnist", "exp_cuids": ["cuid-a"]}),
        ):
            if (what, tool) == ("project", "delete_experiments"):
                continue
            token = (await client.call_tool(tool, arguments)).structured_content["data"]["confirmation"]
            target = project if what == "project" else next(one for one in project.experiments if one.cuid == "cuid-a")
            before = getattr(target, field)
            setattr(target, field, value)
            refused = await client.call_tool(tool, {**arguments, "confirmation": token})
            assert "has changed since the dry run" in text_of(refused)
            setattr(target, field, before)
    assert changes(state) == []


async def test_clock_set_back_does_not_prolong_a_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, steady = 1_800_000_000.0, 0.0
    monkeypatch.setattr(confirmation, "time", SimpleNamespace(time=lambda: wall, monotonic=lambda: steady))
    own, other = Confirmations("s" * 32), Confirmations("s" * 32)
    token, _ = own.issue(["delete"], None)
    other.check(token, ["delete"], None)
    wall, steady = wall - 300, 599.0
    own.check(token, ["delete"], None)
    steady = 601.0
    for tokens in (own, other):
        with pytest.raises(InvalidArgument, match="older than 10 minutes"):
            tokens.check(token, ["delete"], None)
    with pytest.raises(InvalidArgument, match="older than 10 minutes"):
        Confirmations("s" * 32).check(token, ["delete"], None)


async def test_clock_set_forward_and_back_does_not_renew_a_used_confirmation(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = 1_800_000_000.0
    monkeypatch.setattr(confirmation, "time", SimpleNamespace(time=lambda: wall, monotonic=lambda: 0.0))
    tokens = Confirmations()
    used, _ = tokens.issue(["create"], None)
    tokens.spend(used)
    wall += 3600
    later, _ = tokens.issue(["create"], None)
    tokens.spend(later)
    wall -= 3600
    with pytest.raises(InvalidArgument, match="was used before"):
        tokens.check(used, ["create"], None)


async def ask_user(writable: Settings, tool: str, arguments: dict[str, Any]) -> str:
    """Return the question that the user is asked before a confirmed change."""
    questions: list[str] = []

    async def decline(_context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="decline")

    secret = dataclasses.replace(writable, confirmation_secret="s" * 32)
    async with Client(create_server(secret), elicitation_callback=decline) as client:
        token = (await client.call_tool(tool, arguments)).structured_content["data"]["confirmation"]
        await client.call_tool(tool, {**arguments, "confirmation": token})
    return questions[0]


async def test_different_changes_have_different_questions(writable: Settings, project: Project) -> None:
    for one, end in zip(project.experiments, "xyz", strict=True):
        one.name = "n" * 200 + end
    arguments = {"project": "kites-test2/mnist"}
    first = await ask_user(writable, "delete_experiments", {**arguments, "exp_cuids": ["cuid-a"]})
    assert "n" * 200 + "z" in first
    assert await ask_user(writable, "delete_experiments", {**arguments, "exp_cuids": ["cuid-b"]}) != first
    project.name = "p" * 99 + "z"
    arguments = {"project": f"kites-test2/{project.name}"}
    whole = await ask_user(writable, "delete_project", arguments)
    assert project.name in whole.splitlines()[0]
    project.experiments[0].description = "more"
    assert await ask_user(writable, "delete_project", arguments) != whole


async def test_question_shows_visibility_description_and_counts(writable: Settings, project: Project) -> None:
    project.visibility, project.description = "PUBLIC", "The paper's runs\nSwanLab: harmless?"
    project.experiments[0].state = "RUNNING"
    question = await ask_user(writable, "delete_project", {"project": "kites-test2/mnist"})
    assert "with its 3 experiments" in question
    assert "Visibility: PUBLIC, everyone can see it" in question
    assert '"The paper\'s runs\\nSwanLab: harmless?"' in question
    assert "Still running: 1" in question
    new = {"project": "new", "username": "kites-test2", "visibility": "PUBLIC", "description": "d" * 1500}
    question = await ask_user(writable, "create_project", new)
    assert "d" * 1500 in question
    assert "PUBLIC" in question


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("p\u0430ypal", "mixes scripts: \u0430 U+0430 CYRILLIC SMALL LETTER A"),
        ("\u0440\u0430\u0443", "looks Latin but is not"),
        ("a\u00a0b", "unusual characters: U+00A0"),
        ("a\u200bb", "unusual characters: U+200B"),
        ("\uff41bc", "unusual characters"),
    ],
)
async def test_lookalike_name_is_marked(writable: Settings, project: Project, name: str, said: str) -> None:
    project.experiments[0].name = name
    arguments = {"project": "kites-test2/mnist", "exp_cuids": [project.experiments[0].cuid]}
    assert said in await ask_user(writable, "delete_experiments", arguments)
    async with session(writable) as client:
        dry = await client.call_tool("delete_experiments", arguments)
    assert any(said in note for note in dry.structured_content["notes"])


async def test_ordinary_names_are_not_marked(writable: Settings, project: Project) -> None:
    for name in ("run-1", "学习率 0.1", "\u043f\u0440\u043e\u0435\u043a\u0442", "caf\u00e9", "\U0001f680 fast"):
        project.experiments[0].name = name
        arguments = {"project": "kites-test2/mnist", "exp_cuids": [project.experiments[0].cuid]}
        assert "Careful" not in await ask_user(writable, "delete_experiments", arguments)


async def test_new_project_resembling_an_existing_name_is_marked(writable: Settings, state: State) -> None:
    state.add_project(state.workspaces[1], "model-l")
    async with session(writable) as client:
        dry = await client.call_tool("create_project", {"project": "model-1", "username": "kites-test2"})
    assert any("similar-looking name exists: model-l" in note for note in dry.structured_content["notes"])


async def test_used_confirmations_are_forgotten_when_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(confirmation, "time", SimpleNamespace(time=lambda: now, monotonic=lambda: now))
    tokens = Confirmations()
    for _ in range(3):
        token, ends = tokens.issue(["delete"], None)
        tokens.check(token, ["delete"], None)
        tokens.spend(token)
        now = float(ends)
    assert len(tokens._spent) == 1


async def test_viewers_are_refused_in_the_dry_run(writable: Settings, project: Project) -> None:
    project.workspace.roles["kites-test3"] = "VIEWER"
    async with session(writable) as client:
        for tool, arguments in (
            ("delete_project", {"project": "kites-test2/mnist"}),
            ("create_project", {"project": "new", "username": "kites-test2"}),
        ):
            refused = await client.call_tool(tool, arguments)
            assert refused.structured_content["code"] == 403
            assert "has the role VIEWER in the workspace 'kites-test2'" in text_of(refused)


@pytest.mark.usefixtures("project")
async def test_missing_experiments_and_mixed_projects_are_refused(writable: Settings) -> None:
    async with session(writable) as client:
        missing = await client.call_tool("delete_experiments", {"project": "kites-test2/mnist", "exp_cuids": ["d"]})
        page = f"{writable.web_host}/@kites-test3/project1/runs/cuid1/chart"
        mixed = await client.call_tool(
            "delete_experiments", {"project": "", "exp_cuids": ["kites-test2/mnist/cuid-a", page]}
        )
        gone = await client.call_tool("delete_project", {"project": "kites-test2/mnits"})
    assert missing.structured_content["code"] == 404
    assert "There is no experiment 'd'" in text_of(missing)
    assert "belong to several projects" in text_of(mixed)
    assert "Did you mean mnist?" in text_of(gone)


async def test_runs_on_disk_are_never_written(settings: Settings, state: State) -> None:
    both = dataclasses.replace(settings, allow_writes=True, log_dirs=(RUNS / "0.10.3-offline",))
    demo = Settings(demo=True, log_dirs=(RUNS / "0.10.3-offline",), allow_writes=True)
    for chosen in (both, demo):
        async with session(chosen) as client:
            for tool, arguments in (
                ("delete_experiments", {"project": "local/vision-baselines", "exp_cuids": ["3hzj7gws"]}),
                ("delete_project", {"project": "local/vision-baselines"}),
                ("create_project", {"project": "new", "username": "local"}),
            ):
                refused = await client.call_tool(tool, arguments)
                assert refused.structured_content["code"] == 501
                assert "which this server never changes" in text_of(refused)
    assert changes(state) == []


# --- failures during a change ---


async def test_refused_deletion_reports_done_and_skipped_experiments(
    writable: Settings, state: State, project: Project
) -> None:
    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a", "b", "c"]}
    state.faults.append(Fault("runs/cuid-b$", method="DELETE", status=403))
    async with session(writable) as client:
        failed = await confirm(client, "delete_experiments", arguments)
    assert failed.structured_content["code"] == 403
    assert "Deleted: cuid-a. Not deleted: cuid-c." in text_of(failed)
    assert "new dry run" in text_of(failed)
    assert names(project) == ["b", "c"]


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.usefixtures("project")
async def test_failed_change_is_not_repeated(writable: Settings, state: State, status: int) -> None:
    state.faults.append(Fault("", method="DELETE", status=status))
    async with session(writable) as client:
        failed = await confirm(client, "delete_experiments", {"project": "kites-test2/mnist", "exp_cuids": ["a", "b"]})
    assert failed.structured_content["code"] == status
    assert "No experiments were deleted before this error. Not deleted: cuid-b." in text_of(failed)
    assert (
        status == 429
        or "A follow-up check showed that this did not happen: the experiment cuid-a was deleted" in text_of(failed)
    )
    assert changes(state) == ["DELETE /api/project/kites-test2/mnist/runs/cuid-a"]


async def test_lost_response_is_verified_by_a_read(writable: Settings, state: State) -> None:
    state.faults.append(Fault("api/project$", method="POST", is_dropped=True, times=1))
    state.faults.append(Fault("api/project$", method="POST", is_truncated=True))
    async with session(writable) as client:
        for name in ("dropped", "truncated"):
            made = await confirm(client, "create_project", {"project": name})
            assert made.structured_content["data"]["done"] is True
            assert f"but a follow-up check confirmed: the project kites-test3/{name} was created" in text_of(made)
    assert [project.name for project in state.projects[-2:]] == ["dropped", "truncated"]
    assert changes(state) == ["POST /api/project"] * 2


@pytest.mark.usefixtures("project")
async def test_unverifiable_outcome_is_reported_as_unknown(writable: Settings, state: State) -> None:
    async with session(writable) as client:
        arguments = {"project": "kites-test2/mnist"}
        token = (await client.call_tool("delete_project", arguments)).structured_content["data"]["confirmation"]
        state.faults.append(Fault("", method="DELETE", status=502))
        state.faults.append(Fault("project/kites-test2/mnist$", method="GET", skip=1, status=500))
        failed = await client.call_tool("delete_project", {**arguments, "confirmation": token})
    assert failed.structured_content["code"] == 502
    assert "It is unknown whether the project kites-test2/mnist was deleted" in text_of(failed)
    assert "check whether it was done" in text_of(failed)
    assert changes(state) == ["DELETE /api/project/kites-test2/mnist"]


async def test_already_deleted_experiment_counts_as_deleted(writable: Settings, state: State, project: Project) -> None:
    async with session(writable) as client:
        arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a", "b"]}
        token = (await client.call_tool("delete_experiments", arguments)).structured_content["data"]["confirmation"]
        state.faults.append(Fault("runs/cuid-a$", method="DELETE", status=404))
        state.faults.append(Fault("runs/cuid-a$", method="GET", skip=1, status=404))
        done = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
    assert done.structured_content["data"]["done"] is True
    assert "but a follow-up check confirmed: the experiment cuid-a was deleted" in text_of(done)
    assert names(project) == ["a", "c"]


@pytest.mark.usefixtures("project")
async def test_timeout_during_a_change_reports_the_known_outcome(writable: Settings, state: State) -> None:
    never = threading.Event()
    async with session(dataclasses.replace(writable, timeout=1.0)) as client:
        arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a", "b", "c"]}
        token = (await client.call_tool("delete_experiments", arguments)).structured_content["data"]["confirmation"]
        state.faults.append(Fault("runs/cuid-b$", method="DELETE", until=never))
        failed = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
        never.set()
    assert failed.structured_content["code"] == 0
    assert "The call timed out before it was known whether the experiment cuid-b was deleted." in text_of(failed)
    assert "Deleted: cuid-a. Not deleted: cuid-c." in text_of(failed)


@pytest.mark.parametrize("is_confirmed", [False, True])
@pytest.mark.usefixtures("project")
async def test_timeout_before_a_change_reports_no_change(
    writable: Settings, state: State, *, is_confirmed: bool
) -> None:
    never = threading.Event()
    async with session(dataclasses.replace(writable, timeout=1.0)) as client:
        arguments = {"project": "kites-test2/mnist"}
        if is_confirmed:
            arguments |= (await client.call_tool("delete_project", arguments)).structured_content["data"]
            arguments = {name: arguments[name] for name in ("project", "username", "confirmation")}
        state.faults.append(Fault("mnist", method="GET", until=never))
        failed = await client.call_tool("delete_project", arguments)
        never.set()
    assert failed.structured_content["code"] == 0
    assert "No changes were made" in text_of(failed)
    assert changes(state) == []


async def test_expired_session_is_renewed_and_the_change_made_once(
    writable: Settings, state: State, project: Project
) -> None:
    async with session(writable) as client:
        arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
        token = (await client.call_tool("delete_experiments", arguments)).structured_content["data"]["confirmation"]
        state.end_sessions()
        done = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
    assert done.structured_content["data"]["done"] is True
    assert names(project) == ["b", "c"]


# --- clients with elicitation ---


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("answer", ["agree", "uncheck", "decline", "cancel"])
async def test_only_the_users_consent_applies_a_change(
    writable: Settings, state: State, project: Project, mode: str, answer: str
) -> None:

    questions: list[str] = []

    async def ask(_context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        if answer in ("agree", "uncheck"):
            return ElicitResult(action="accept", content={"agreed": answer == "agree"})
        return ElicitResult(action=answer)

    arguments = {"project": "kites-test2/mnist", "exp_cuids": ["a"]}
    async with Client(create_server(writable), mode=mode, elicitation_callback=ask) as client:
        token = (await client.call_tool("delete_experiments", arguments)).structured_content["data"]["confirmation"]
        assert questions == []
        result = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
        again = await client.call_tool("delete_experiments", {**arguments, "confirmation": token})
    question = "SwanLab: permanently delete 1 experiment in kites-test2/mnist with its metrics, logs and media?"
    assert len(questions) == 1
    assert questions[0].startswith(f'{question}\n"a" (cuid-a, FINISHED, ')
    if answer == "agree":
        assert result.structured_content["data"]["done"] is True
        assert names(project) == ["b", "c"]
    else:
        assert result.structured_content["code"] == 403
        assert "did not agree; no changes were made" in text_of(result)
        assert "was used before" in text_of(again)
        assert changes(state) == []


@pytest.mark.usefixtures("project")
async def test_invalid_confirmation_shows_no_question(writable: Settings) -> None:

    async def ask(_context: Any, _params: Any) -> ElicitResult:
        raise AssertionError

    async with Client(create_server(writable), elicitation_callback=ask) as client:
        refused = await client.call_tool("delete_project", {"project": "kites-test2/mnist", "confirmation": "x"})
    assert "not issued for these arguments" in text_of(refused)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("delete_experiments", {"project": "kites-test2/mnist", "exp_cuids": ["cuid-a"]}),
        ("delete_project", {"project": "kites-test2/mnist"}),
        ("create_project", {"project": "new", "username": "kites-test2"}),
    ],
)
@pytest.mark.usefixtures("project")
async def test_failed_question_changes_no_data_and_can_be_confirmed_later(
    writable: Settings, state: State, mode: str, tool: str, arguments: dict[str, Any]
) -> None:

    questions: list[str] = []

    async def decline(_context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="decline")

    async with Client(create_server(writable), mode=mode, elicitation_callback=decline) as client:
        token = (await client.call_tool(tool, arguments)).structured_content["data"]["confirmation"]
        # enough faults for all attempts of the check before the question; the call's own reads would succeed
        state.faults.append(Fault("", method="GET", times=5, status=503))
        failed = await client.call_tool(tool, {**arguments, "confirmation": token})
        state.faults.clear()
        assert failed.is_error
        assert failed.structured_content["code"] == 503
        assert questions == []
        retried = await client.call_tool(tool, {**arguments, "confirmation": token})
    assert "did not agree; no changes were made" in text_of(retried)
    assert len(questions) == 1
    assert changes(state) == []


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.usefixtures("project")
async def test_refusal_is_final_if_swanlab_fails_afterwards(writable: Settings, state: State, mode: str) -> None:

    async def decline(_context: Any, _params: Any) -> ElicitResult:
        state.faults.append(Fault("", method="GET", times=5, status=503))
        return ElicitResult(action="decline")

    async with Client(create_server(writable), mode=mode, elicitation_callback=decline) as client:
        failed = await confirm(client, "delete_project", {"project": "kites-test2/mnist"})
    assert failed.structured_content["code"] in (403, 503)
    assert changes(state) == []


@pytest.mark.usefixtures("project")
async def test_refused_confirmation_is_invalid_in_other_clients(writable: Settings, state: State) -> None:

    async def decline(_context: Any, _params: Any) -> ElicitResult:
        return ElicitResult(action="decline")

    server = create_server(writable)
    arguments = {"project": "kites-test2/mnist"}
    async with Client(server, elicitation_callback=decline) as client, connect(server) as other:
        token = (await client.call_tool("delete_project", arguments)).structured_content["data"]["confirmation"]
        assert "did not agree" in text_of(
            await client.call_tool("delete_project", {**arguments, "confirmation": token})
        )
        again = await other.call_tool("delete_project", {**arguments, "confirmation": token})
    assert "was used before" in text_of(again)
    assert changes(state) == []


# --- Python API ---


def test_openapi_creates_and_deletes_like_the_official_api(
    host: str, state: State, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_API_HOST", host)
    with OpenApi(api_key="test-key") as api:
        made = api.create_project("new", username="kites-test2", description="d")
        assert (made.code, made.errmsg, made.data.name, made.data.visibility) == (200, "", "new", "PRIVATE")
        deleted = api.delete_experiment(project="mnist", exp_cuid="cuid-a", username="kites-test2")
        assert (deleted.code, deleted.errmsg, deleted.data) == (200, "", {})
        assert api.delete_experiment("mnist", exp_id="b", username="kites-test2").data == {}
        assert names(project) == ["c"]
        missing = api.delete_experiment("mnist", "a", "kites-test2")
        assert (missing.code, missing.data) == (404, None)
        assert api.delete_project(project="mnist", username="kites-test2").data == {}
        assert api.delete_project(project="mnist", username="kites-test2").code == 404
        taken = api.create_project("new", username="kites-test2")
        assert (taken.code, taken.data) == (409, None)
    assert project not in state.projects
