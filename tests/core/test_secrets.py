"""The key, the session and signed URLs reach only their own server, and recorded secrets are masked."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import LOG_LEVEL_META_KEY, ResourceTemplateReference

from swanlab_mcp import OpenApi
from swanlab_mcp.core import secret_masking as secret_values
from swanlab_mcp.core.errors import InvalidArgument, SwanLabError
from swanlab_mcp.core.refs import ExperimentRef
from swanlab_mcp.core.secret_masking import make_mask, mask_secrets, may_hold_secret
from swanlab_mcp.core.untrusted import is_plain, neutralise_value
from swanlab_mcp.present.report import write_report
from swanlab_mcp.present.text import fit
from swanlab_mcp.server.app import create_server
from swanlab_mcp.settings import Settings, load_settings
from tests.cli.test_command import ROOT, environ, run
from tests.client.cloud.test_sign_in import write_netrc
from tests.conftest import opened, session, text_of
from tests.fake_swanlab import Fault, LogLine, Media, State, create_app, serve

pytestmark = pytest.mark.anyio

KEY = "key-canary"
# secrets of the fake server: sid-canary-1, presigned-canary
CANARY = "canary"
GIVEN: dict[str, Any] = {
    "project": "project1",
    "exp_cuid": "cuid1",
    "exp_cuids": ["cuid1", "cuid2"],
    "keys": ["loss"],
    "metric": "loss",
}


@pytest.fixture
def state(state: State) -> State:
    state.users[0].api_key = KEY
    experiment = state.projects[0].experiments[0]
    experiment.media = {"texts": [Media(1, ["a.txt"])]}
    state.files = {"project1/cuid1/a.txt": b"text"}
    state.add_experiment(state.projects[0], "other", cuid="cuid2", state="CRASHED", metrics={"loss": [(0, 1.0)]})
    return state


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, api_key=KEY)


def faults() -> list[Fault | None]:
    return [
        None,
        Fault(status=500),
        Fault(path="/project", status=401),
        Fault(path="/project", status=403, body=b'{"message": "no"}'),
        Fault(path="/project", is_dropped=True),
        Fault(path="/storage", status=403),
        Fault(path="/storage", is_dropped=True),
        Fault(path="/presigned", body=b'{"urls": ["http://127.0.0.1:1/x?signature=presigned-canary"]}'),
        Fault(path="/presigned", body=b'{"urls": ["https://[::1/x?signature=presigned-canary"]}'),
        Fault(path="/presigned", body=b'{"urls": ["https://127.0.0.1:1/x?signature=presigned-canary"]}'),
        Fault.html("/project"),
        Fault.redirect("/storage", "http://127.0.0.1:1/x?signature=presigned-canary"),
        Fault(path="/login", body=b'{"sid": "sid-canary\\u0000", "userInfo": {"username": "x"}}'),
    ]


def choose_arguments(tool: Any) -> dict[str, Any]:
    given = {name: GIVEN[name] for name in tool.input_schema.get("required", ())}
    if tool.name == "compare_experiments":
        given["exp_cuids"] = GIVEN["exp_cuids"]
    if tool.name == "find_similar_experiments":
        given["exp_cuid"] = GIVEN["exp_cuid"]
    if tool.name == "forecast_experiment":
        given["until_step"] = 10**6
    if tool.name == "wait_for_experiments":
        given["timeout"] = 1
    if given and "project" in tool.input_schema["properties"]:
        given["project"] = GIVEN["project"]
    return given | ({"mode": "exact"} if tool.name == "get_metrics" else {})


def read_files(folder: Path) -> str:
    return "".join(file.read_bytes().decode("latin-1") for file in folder.rglob("*") if file.is_file())


async def test_debug_log_over_stdio_contains_no_secret(settings: Settings, state: State, tmp_path: Path) -> None:
    home = tmp_path / "fresh"
    home.mkdir()
    where = {"HOME": str(home), "TMPDIR": str(home), "MPLCONFIGDIR": str(home), "XDG_CACHE_HOME": str(home)}
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-W", "always", "-m", "swanlab_mcp", "--log-level", "DEBUG", "--host", settings.api_host],
        env=environ(SWANLAB_API_KEY=KEY, PYTHONDONTWRITEBYTECODE="1", **where),
        cwd=home,
    )
    seen: list[str] = []
    shown = tmp_path / "stderr"
    with shown.open("w", encoding="utf-8") as errors:
        async with Client(stdio_client(parameters, errlog=errors)) as client:
            seen += [tool.model_dump_json() for tool in (await client.list_tools()).tools]
            for fault in (None, *faults()[5:10]):
                state.faults = [fault] if fault else []
                for name, arguments in (
                    ("list_projects", {}),
                    ("get_metrics", {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["loss"], "mode": "exact"}),
                    ("get_media", {"project": "project1", "exp_cuid": "cuid1", "keys": ["texts"]}),
                ):
                    seen.append((await client.call_tool(name, arguments)).model_dump_json())
            state.faults = []
            resource = await client.read_resource("swanlab://kites-test3/project1")
            seen.append(resource.model_dump_json())
            for command in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.append(command.read_bytes().decode("latin-1"))
    # the key was used, so it could have leaked
    assert state.logins == 1
    assert any(call.raw_path.startswith("/storage/") for call in state.calls)
    logged = shown.read_text(encoding="utf-8")
    assert logged, "nothing was logged at debug level, so nothing was tested"
    assert CANARY not in logged
    assert CANARY not in "".join(seen)
    assert CANARY not in read_files(home)


async def test_replies_errors_and_logs_contain_no_secret(
    settings: Settings, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="swanlab_mcp")
    caplog.set_level("DEBUG", logger="mcp")
    seen: list[str] = []
    for fault in faults():
        state.faults = [fault] if fault else []
        async with session(replace(settings, backoff=0.0001)) as client:
            for tool in (await client.list_tools()).tools:
                # faults affect all tools alike
                if fault is None or tool.name in ("list_projects", "get_metrics", "get_media", "compare_experiments"):
                    result = await client.call_tool(tool.name, choose_arguments(tool))
                    seen.append(result.model_dump_json())
    assert CANARY not in "".join(seen)
    ours = [record for record in caplog.records if record.name.startswith(("swanlab_mcp", "mcp"))]
    assert ours
    formatter = logging.Formatter()
    assert CANARY not in "".join(formatter.format(record) for record in ours)


@pytest.mark.parametrize("fault", faults()[1:], ids=lambda fault: f"{fault.path}-{fault.status}")
async def test_tracebacks_and_reprs_contain_no_secret(settings: Settings, state: State, fault: Fault) -> None:
    state.faults = [fault]
    async with opened(replace(settings, backoff=0.0001)) as client:
        with pytest.raises(SwanLabError) as caught:
            await client.default.read_points(ExperimentRef("kites-test3", "project1", "cuid1"), ["loss"], exact=True)
        shown = repr((client, vars(client), client.default._transport, client.default._transport._session))
    error = caught.value
    output = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert CANARY not in output + repr(error) + repr(vars(error)) + shown
    assert CANARY not in repr(settings) + repr(load_settings(api_key=KEY))


def test_python_api_exposes_no_secret(settings: Settings, state: State) -> None:
    with OpenApi(api_key=KEY, host=settings.api_host) as api:
        answers = [api.list_workspaces(), api.get_experiment(project="project1", exp_cuid="cuid1")]
        state.faults = [Fault(path="/project", status=403)]
        answers.append(api.list_projects())
        assert CANARY not in repr((api, answers, vars(api)))
    assert [answer.code for answer in answers] == [200, 200, 403]


@pytest.mark.parametrize("arguments", [["--api-key", KEY], ["check", f"--api-key={KEY}"], ["call", "--api-key", KEY]])
def test_key_is_not_read_from_the_command_line(host: str, state: State, arguments: list[str]) -> None:
    done = run(*arguments, "--host", host)
    assert done.returncode == 2
    assert "the API key is not read from arguments: set SWANLAB_API_KEY" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert not state.calls


def test_no_option_takes_a_key() -> None:
    shown = run("--help").stdout
    assert "--api-key" not in shown
    assert "never from arguments" in " ".join(shown.split())


async def test_key_from_a_file_reaches_only_its_host(settings: Settings, state: State) -> None:
    theirs = State()
    theirs.add_user("them", api_key="other-key")
    with serve(create_app(theirs)) as other:
        write_netrc(Path.home() / ".swanlab", settings.api_host, KEY, settings.api_host)
        for found in (
            load_settings(host=other),
            load_settings(environ={"SWANLAB_API_HOST": other, "HOME": str(Path.home())}),
        ):
            assert found.api_host == other
            async with session(found) as client:
                result = await client.call_tool("list_projects", {})
            assert result.is_error
            assert f"belongs to {settings.api_host}; it is not used for {other}" in text_of(result)
        async with session(load_settings()) as client:
            assert not (await client.call_tool("list_projects", {})).is_error
    assert not theirs.calls
    assert state.calls[0].headers["authorization"] == KEY


def test_default_netrc_password_is_ignored() -> None:
    folder = Path.home() / ".swanlab"
    folder.mkdir()
    (folder / ".netrc").write_text(f"default login x password {KEY}\n", encoding="utf-8")
    found = load_settings()
    assert (found.api_key, found.api_host) == ("", "https://api.swanlab.cn")


async def test_redirects_carry_no_key_or_session(settings: Settings, state: State) -> None:
    theirs = State()
    with serve(create_app(theirs)) as other:
        for path in ("/login", "/project", "/storage"):
            state.faults = [Fault.redirect(path, f"{other}/api/steal")]
            async with session(settings) as client:
                result = await client.call_tool(
                    "get_metrics", {"project": "project1", "exp_cuids": ["cuid1"], "keys": ["loss"], "mode": "exact"}
                )
            assert result.is_error
    assert not theirs.calls


async def test_log_messages_to_clients_are_masked_and_short(
    settings: Settings, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="swanlab_mcp")
    received: list[Any] = []

    async def listen(params: Any) -> None:
        received.append(params.data)

    state.faults = [Fault("/project", status=503, times=2)]
    async with Client(create_server(settings), logging_callback=listen) as client:
        given = {"project": KEY, "exp_cuid": "x" * 2000}
        await client.call_tool("get_experiment", given, meta={LOG_LEVEL_META_KEY: "info"})
    assert len(received) == 2
    assert not [one for one in received if KEY in one or len(one) > 1000]


async def test_downloads_carry_no_key_or_session(settings: Settings, state: State) -> None:
    theirs = State()
    with serve(create_app(theirs)) as other:
        # only the API host may serve unencrypted files from another port
        elsewhere = other.replace("127.0.0.1", "localhost")
        urls = json.dumps({"urls": [f"{elsewhere}/x?signature=presigned-canary"]}).encode()
        state.faults = [Fault(path="/presigned", body=urls)]
        async with session(settings) as client:
            result = await client.call_tool(
                "get_media", {"project": "project1", "exp_cuid": "cuid1", "keys": ["texts"]}
            )
        assert "unencrypted" in text_of(result)
        assert not theirs.calls
        state.faults = []
        async with session(settings) as client:
            await client.call_tool("get_media", {"project": "project1", "exp_cuid": "cuid1", "keys": ["texts"]})
    (download,) = state.get_calls("^/storage/")
    assert not {"cookie", "authorization"}.intersection(download.headers)


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("http://swan.example.com", False),
        ("http://10.0.0.1:8000", False),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1@example.com", False),
        ("http://0.0.0.0:8000", False),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", True),
        ("http://[::1]:8000", True),
        ("https://swan.example.com", True),
        ("swan.example.com", True),
    ],
)
async def test_only_localhost_may_be_unencrypted(host: str, *, is_allowed: bool) -> None:
    found = load_settings(api_key=KEY, host=host)
    assert (not found.host_problem) == is_allowed
    if not is_allowed:
        async with opened(found) as client:
            with pytest.raises(InvalidArgument, match="not encrypted"):
                await client.list_workspaces()


def test_unencrypted_host_from_a_file_is_refused() -> None:
    write_netrc(Path.home() / ".swanlab", "http://swan.example.com", KEY)
    assert "not encrypted" in load_settings().host_problem


RECORDED = "abc123-recorded-canary"


def record_secrets(state: State) -> None:
    for number, experiment in enumerate(state.projects[0].experiments):
        secret = f"{RECORDED}-{number}"
        experiment.state = "CRASHED"
        experiment.description = f"started with HF_TOKEN={secret}"
        experiment.config = {"lr": number, "hf_token": secret, "db": {"password": secret}, "argv": ["--token", secret]}
        experiment.config |= {
            "remote": f"https://me:{secret}@git.example.com/x",
            "env": [{"name": "TOKEN", "value": secret}],
        }
        experiment.metadata = {
            "command": f"train.py --api-key={secret}",
            "api_key": secret,
            "header": f"Bearer {secret}",
        }
        experiment.requirements = f"mine @ https://me:{secret}@git.example.com/x.git"
        experiment.metrics = {"loss": [(step, 1 / (1 + step)) for step in range(20)]}
        experiment.logs = [
            LogLine(0, f"Authorization: Bearer {secret}"),
            LogLine(0, f"config: {{'wandb_api_key': '{secret}'}}"),
            LogLine(
                0, f"Traceback (most recent call last):\nValueError: bad url https://cos/x?signature={secret}", "ERROR"
            ),
        ]
    state.files["project1/cuid1/a.txt"] = f"export AWS_SECRET_KEY={RECORDED}".encode()


async def test_recorded_secrets_are_masked_in_every_reply(settings: Settings, state: State) -> None:
    record_secrets(state)
    seen: dict[str, str] = {}
    async with session(settings) as client:
        for tool in (await client.list_tools()).tools:
            given = choose_arguments(tool)
            given |= {"keys": ["texts"]} if tool.name == "get_media" else {}
            given |= {"since": "2000-01-01"} if tool.name == "whats_new" else {}
            result = await client.call_tool(tool.name, given)
            assert not result.is_error, text_of(result)
            seen[tool.name] = result.model_dump_json()
        for address in ("swanlab://kites-test3/project1", "swanlab://kites-test3/project1/cuid1"):
            seen[address] = (await client.read_resource(address)).model_dump_json()
    assert not [name for name, reply in seen.items() if RECORDED in reply]
    assert sum("***" in reply for reply in seen.values()) >= 9


@given(st.data(), st.text(max_size=5), st.text(max_size=5))
def test_quick_check_misses_no_secret_pattern(data: st.DataObject, before: str, after: str) -> None:
    names = {"_NAME", "_CAMEL", "_OPTION", "_ANY"}
    patterns = [one for name, one in vars(secret_values).items() if isinstance(one, re.Pattern) and name not in names]
    assert len(patterns) == 10
    for pattern in patterns:
        found = data.draw(st.from_regex(pattern))
        text = next(one for one in (f"{before}{found}{after}", found) if pattern.search(one))
        assert "***" in mask_secrets(text), (pattern, text)


_TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        "hf_token",
        "apı_key",
        "-----BEGIN PRIVATE KEY-----abcdefg",
        "](//x",
        "]: www.x",
        "\u202e",
        "\ufe0f",
        "\x1b[0m",
        "hunter22",
    ]
)


@given(
    st.text(alphabet='abcdefgh"\\\n\t', min_size=6, max_size=12),
    st.text(max_size=5),
    st.text(max_size=5),
    st.booleans(),
)
def test_secrets_with_escapes_in_json_are_masked(secret: str, before: str, after: str, is_masked: bool) -> None:
    payload = {"data": {"x": f"{before}{secret}{after}", "y": [secret]}, "notes": [f"see {secret}"]}
    reply = fit(payload, 1000, secrets={secret}, is_masked=is_masked)
    texts = [reply.structured["data"]["x"], *reply.structured["data"]["y"], *reply.structured["notes"]]
    assert not any(secret in text for text in texts), texts


def test_names_with_quotes_are_masked() -> None:
    reply = fit({"data": {'api"_key': "hunter2hunter2"}}, 1000, is_masked=True)
    assert "hunter2" not in reply.text


@given(st.recursive(_TEXTS, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(_TEXTS, deeper, max_size=3)))
def test_unchecked_values_need_no_change(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if is_plain(text):
        assert neutralise_value(value) == value
    if not may_hold_secret(text):
        assert mask_secrets(value) == value


@pytest.mark.parametrize("letters", ["ISK", "ıſ\N{KELVIN SIGN}", "İſk"])
@pytest.mark.parametrize(
    "text",
    [
        "--password hunter22",
        "credentials=hunter22",
        "api_key=hunter22",
        "private-key=hunter22",
        "authorization: Basic hunter22",
        "sid=hunter22",
        "?sig=hunter22",
        "?x-signature=hunter22",
    ],
)
def test_case_folding_lookalikes_do_not_hide_secrets(text: str, letters: str) -> None:
    assert "hunter22" not in mask_secrets(text.translate(str.maketrans("isk", letters)))


@pytest.mark.parametrize(
    "text",
    [
        "PGPASSWORD=hunter22 psql",
        "MYSQL_PWD=hunter22 mysql",
        "password: hunter22",
        'db_password = "hunter22"',
        "WANDB_API_KEY: hunter22aa",
        "  access_token: hunter22, next",
        "--api-key 'two words hunter22'",
        "curl -s -u user:hunter22 https://example.com",
        "curl --user=user:hunter22 https://example.com",
        "sshpass -p hunter22 ssh host",
        "docker login -u me -p hunter22 registry",
        f"wandb login --relogin {b'hunter22'.hex() * 3}",
    ],
)
def test_secrets_in_settings_and_commands_are_masked(text: str) -> None:
    masked = mask_secrets(text)
    assert "***" in masked
    assert "hunter22" not in masked
    assert b"hunter22".hex() not in masked


@pytest.mark.parametrize(
    "text",
    [
        "loss_per_token: 1.5234e-03",
        "tokens: 123456789",
        "time_per_token = 0.123456ms",
        "step 100: password: required",
        "bos_token: <|begin_of_text_1|>",
        "pad_token: [unused12345]",
        "private_key: ~/.ssh/id_ed25519",
        "PWD=/home/user1/work",
        "the token: a word of 12345 letters",
        "wandb login failed for user1234",
        "tokenizer = LlamaTokenizer2",
    ],
)
def test_measurements_and_prose_are_not_masked(text: str) -> None:
    assert mask_secrets(text) == text


async def test_recorded_secrets_are_shown_with_the_option(settings: Settings, state: State) -> None:
    record_secrets(state)
    async with session(replace(settings, show_secrets=True)) as client:
        for name in ("get_experiment", "get_logs"):
            result = await client.call_tool(name, {"project": "project1", "exp_cuid": "cuid1"})
            assert RECORDED in text_of(result)
            assert "***" not in text_of(result)


@pytest.mark.parametrize("show_secrets", [False, True])
async def test_recorded_copies_of_the_users_key_and_session_are_masked(
    settings: Settings, state: State, *, show_secrets: bool
) -> None:
    for number, experiment in enumerate(state.projects[0].experiments):
        experiment.state = "CRASHED"
        experiment.name = f"by {KEY} {number}"
        experiment.description = f"started with {KEY}, sid-canary-1"
        experiment.config = {"note": f"<{KEY}>", "n": number, KEY: 1, "deep": [{"cookie": "a=1; x=sid-canary-1"}]}
        experiment.metadata = {"command": f"train.py {KEY}"}
        experiment.metrics = {"loss": [(step, 1 / (1 + step)) for step in range(20)], KEY: [(0, 1.0)]}
        experiment.logs = [LogLine(0, f"I am {KEY}"), LogLine(0, "Traceback\nValueError: sid-canary-1", "ERROR")]
    state.files["project1/cuid1/a.txt"] = f"{KEY} is recorded".encode()
    seen: dict[str, str] = {}
    async with session(replace(settings, show_secrets=show_secrets)) as client:
        for tool in (await client.list_tools()).tools:
            given = choose_arguments(tool)
            given |= {"keys": ["texts"]} if tool.name == "get_media" else {}
            given |= {"since": "2000-01-01"} if tool.name == "whats_new" else {}
            result = await client.call_tool(tool.name, given)
            assert not result.is_error, text_of(result)
            seen[tool.name] = result.model_dump_json()
        near = await client.call_tool("get_experiment", {"project": "project1", "exp_cuid": "by key-canari 0"})
        assert near.is_error
        seen["error"] = near.model_dump_json()
        for address in ("swanlab://kites-test3/project1", "swanlab://kites-test3/project1/cuid1"):
            seen[address] = (await client.read_resource(address)).model_dump_json()
        with pytest.raises(MCPError) as failed:
            await client.read_resource("swanlab://kites-test3/project1/by%20key-canari%200")
        seen["failed resource"] = str(failed.value)
        reference = ResourceTemplateReference(uri="swanlab://{username}/{project}/{exp_cuid}")
        chosen = {"username": "kites-test3", "project": "project1"}
        typed = {"name": "exp_cuid", "value": ""}
        async with opened(settings) as own:
            page = await write_report(own, project="project1", show_secrets=show_secrets)
            # this client has its own session
            seen["report"] = page.replace("sid-canary-1", "")
        seen["completion"] = (await client.complete(reference, typed, context_arguments=chosen)).model_dump_json()
    assert not [name for name, reply in seen.items() if CANARY in reply]
    assert sum("***" in reply for reply in seen.values()) >= 12


@pytest.mark.parametrize("before", [20, 28, 33, 52, 67, 72])
async def test_part_of_the_users_key_before_a_cut_is_masked(settings: Settings, state: State, before: int) -> None:
    """A long name or value is cut inside the key, at one of the lengths that replies use."""
    for number, experiment in enumerate(state.projects[0].experiments):
        text = f"{'x' * before}{KEY}"
        experiment.name = f"{text} {number}"
        experiment.config = {"note": f"{text} {number}", "lists": [text, number], "lr": f"{text} {number % 2}"}
        experiment.logs = [LogLine(0, f"Traceback\nValueError: {text}", "ERROR")]
        experiment.metrics = {
            "loss": [(step, 1 / (1 + step + number)) for step in range(20)],
            text: [(step, float(step)) for step in range(20)],
        }
    async with session(settings) as client:
        for tool in (await client.list_tools()).tools:
            given = choose_arguments(tool)
            for more in ({}, {"metric": f"{'x' * before}{KEY}"}, {"keys": ["los"]}, {"exp_cuids": ["cuid3"]}):
                if more.keys() <= tool.input_schema["properties"].keys():
                    result = await client.call_tool(tool.name, given | more)
                    assert KEY[:6] not in result.model_dump_json(), (tool.name, more)


def test_parts_of_secrets_are_masked_only_next_to_an_ellipsis() -> None:
    hide = make_mask(["0123456789abcdef", "canary"])
    assert hide("0123456789a… and …9abcdef") == "***… and …***"
    assert hide("…456789…, …canar…, 0123456789 …") == "…***…, …canar…, 0123456789 …"
    assert hide("01234… …bcdef") == "01234… …bcdef"


def test_server_environment_is_not_changed_or_exposed(host: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "swanlab_mcp", "check", "--host", host],
        capture_output=True,
        text=True,
        env=environ(SWANLAB_API_KEY=KEY),
        check=False,
        timeout=60,
    )
    assert done.returncode == 0
    assert CANARY not in done.stdout + done.stderr
    assert "SWANLAB_API_KEY" not in os.environ


def test_tests_named_in_security_md_exist() -> None:
    named = set(re.findall(r"`(test_\w+)(?:\.py)?`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    files = list((ROOT / "tests").rglob("test_*.py"))
    known = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}
    assert len(named) > 25
    assert named <= known | {file.stem for file in files}


HOSTILE = [
    "eyJ-", "eyJaaaaaaaa.", "://a:", "://a", " -token ", " --token=", "-token", "_", "'token':'", "token=", "bearer ",
    "authorization: ", "sid=", "swanlab login -k ", "?sig=", "&x_token=", "sk-", "hf_a", "github_pat_a-", "xoxb-",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "password: ", "token: 1", "a_pwd", "curl ", "curl -u a",
    "wandb login ", "sshpass ", "docker login -p", "password", "AIza", "key\u0131",
]  # fmt: skip


def test_masking_takes_linear_time() -> None:
    """A quadratic pattern would take minutes of CPU time per text, and all texts together get 30 seconds."""
    code = f"""
import resource
from swanlab_mcp.core.secret_masking import mask_secrets
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
for part in {HOSTILE!r}:
    mask_secrets("token eyJ " + part * (400_000 // len(part)) + "!")
    mask_secrets(["--token", part * (400_000 // len(part))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def find_names(client: Any, field: str, op: str, value: str) -> list[str]:
    filters = [{"field": field, "op": op, "value": value}]
    result = await client.call_tool("find_experiments", {"project": "project1", "filters": filters})
    assert not result.is_error, text_of(result)
    return [one["cuid"] for one in result.structured_content["data"]]


@pytest.mark.parametrize("show_secrets", [False, True])
@pytest.mark.parametrize("field", ["config.note", "config.deep.note", "name", "description", "group", "job"])
async def test_filters_do_not_reveal_the_users_key(
    settings: Settings, state: State, field: str, *, show_secrets: bool
) -> None:
    first = state.projects[0].experiments[0]
    state.projects[0].experiments = [first]
    first.config = {"note": KEY, "deep": {"note": KEY}}
    first.name = first.description = first.cluster = first.job = KEY
    async with session(replace(settings, show_secrets=show_secrets)) as client:
        assert await find_names(client, field, "contains", KEY[:4]) == []
        # values that sort before and after the key give the same answer
        assert await find_names(client, field, ">=", KEY[:4]) == await find_names(client, field, ">=", f"{KEY}z")
        assert await find_names(client, field, "<=", KEY[:4]) == await find_names(client, field, "<=", f"{KEY}z")


async def test_filters_compare_masked_values_unless_secrets_are_shown(settings: Settings, state: State) -> None:
    record_secrets(state)
    filters = {"filters": [{"field": "config.hf_token", "op": "contains", "value": f"{RECORDED}-0"}]}
    async with session(settings) as client:
        hidden = await client.call_tool("find_experiments", {"project": "project1", **filters})
        masked = await find_names(client, "config.hf_token", "=", "***")
    assert hidden.structured_content["data"] == []
    assert "use the masked form of secret values: config.hf_token." in text_of(hidden)
    assert len(masked) == len(state.projects[0].experiments)
    async with session(replace(settings, show_secrets=True)) as client:
        shown = await client.call_tool("find_experiments", {"project": "project1", **filters})
    assert len(shown.structured_content["data"]) == 1


async def test_key_searches_do_not_reveal_the_users_key(settings: Settings, state: State) -> None:
    one = state.projects[0].experiments[0]
    one.metrics = {f"a {KEY} b": [(0, 1.0)], "loss": [(0, 1.0)]}
    one.metadata = {f"x {KEY}": 1, "y": 2}
    about = {"project": "project1", "exp_cuids": [one.cuid]}
    guess = KEY[:5]
    async with session(settings) as client:
        listed = await client.call_tool("list_metrics", {**about, "search": guess})
        by_pattern = await client.call_tool("list_metrics", {**about, "search": f"a {guess}*"})
        facts = await client.call_tool("get_environment", {**about, "search": guess})
        summary = await client.call_tool(
            "get_exp_summary", {"project": "project1", "exp_cuid": one.cuid, "keys": [f"a {guess}*"]}
        )
        series = await client.call_tool("get_metrics", {**about, "keys": [f"a {guess}*"]})
    for result in (listed, by_pattern, facts):
        assert result.structured_content["data"] == []
    assert summary.is_error
    assert series.is_error


async def test_users_key_is_masked_in_pictures(settings: Settings, state: State) -> None:
    """A chart whose names contain the key is the same picture as a chart with the masked names."""
    one, two = state.projects[0].experiments[:2]
    given = {"project": "project1", "exp_cuids": [one.cuid, two.cuid], "keys": ["loss"]}
    pictures: list[str] = []
    for name in (KEY, "***"):
        for number, experiment in enumerate((one, two)):
            experiment.name = f"by {name} {number}"
            experiment.metrics = {"loss": [(step, 1 / (number + step + 1)) for step in range(9)]}
        async with session(settings) as client:
            result = await client.call_tool("plot_metrics", given)
        pictures += [block.data for block in result.content if block.type == "image"]
    assert len(pictures) == 2
    assert pictures[0] == pictures[1]
