"""Run the command as users and MCP clients do: in this process, and in processes with real pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

import pytest
from mcp import Client, StdioServerParameters

import swanlab_mcp
from swanlab_mcp.cli import main as cli
from swanlab_mcp.cli.usage import Parser
from swanlab_mcp.core.i18n import use_language
from swanlab_mcp.server.table import TOOLS
from tests.conftest import RUNS, text_of
from tests.fake_swanlab import State

ROOT = Path(__file__).parents[2]


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWANLAB_")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def start(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process."""
    command = [sys.executable, "-m", "swanlab_mcp", *arguments]
    return subprocess.run(
        command, input="", capture_output=True, text=True, timeout=60, env=environ(**more), check=False
    )


def run(*arguments: str, terminal: TextIO | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which is ten times as fast as a new process. `terminal` replaces stderr."""
    shown, errors = TextIOWrapper(BytesIO(), "utf-8"), TextIOWrapper(BytesIO(), "utf-8")
    with patch.dict(os.environ, more), redirect_stdout(shown), redirect_stderr(terminal or errors):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        shown.flush()
        errors.flush()
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, *(read(one) for one in (shown, errors)))


def read(stream: TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def test_demo_call_needs_no_account_or_network() -> None:
    done = start("--demo", "call", "list_project_exps", "project=digits-mlp")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("19 of 19, newest first\n")
    assert "cosine-128-64-ckpt" in done.stdout


def test_call_prints_the_structured_form() -> None:
    done = run("call", "get_exp_summary", "project=digits-mlp", "exp_cuid=lr-0.1", "keys=val/*,lr", "--json", "--demo")
    data = json.loads(done.stdout)["data"]
    assert list(data) == ["val/loss", "val/acc", "lr"]
    assert data["val/acc"]["max"] == {"step": 20, "value": 0.9844444444444445}


def test_call_repeats_a_name_for_a_list_and_reads_json() -> None:
    arguments = ["--demo", "call", "get_exp_summary", "project=digits-mlp", "exp_cuid=lr-0.1", "--json"]
    assert list(json.loads(run(*arguments, "keys=lr", "keys=val/acc").stdout)["data"]) == ["val/acc", "lr"]
    assert list(json.loads(run(*arguments, 'keys=["val/acc"]').stdout)["data"]) == ["val/acc"]


def test_failed_call_explains_itself_on_stderr() -> None:
    done = run("--demo", "call", "list_project_exps", "project=digit-mlp")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Did you mean digits-mlp?" in done.stderr


def test_wrong_usage_is_reported() -> None:
    done = run("--demo", "call", "list_runs")
    assert done.returncode == 2
    assert "Unknown tool 'list_runs'. Similar names: list_" in done.stderr
    assert "Similar names: rank_experiments" in run("--demo", "call", "rank_experiment").stderr
    assert "start the server with --allow-writes" in run("--demo", "call", "create_project").stderr
    done = run("--demo", "call", "list_projects", "size")
    assert done.returncode == 2
    assert "name=value" in done.stderr
    assert run("--timeout", "-1", "check").returncode == 2
    assert "swanlab-mcp-server: error: unrecognized arguments: --odd\n" in run("check", "--odd").stderr
    assert run("--max-output-tokens", "x", "check").returncode == 2


WRONG_USAGE = [
    ("chek", "swanlab-mcp-server: 错误：参数 {serve,call,tools,check,watch,export,report,install}：取值 'chek' 无效（"),
    ("call", "swanlab-mcp-server call: 错误：缺少参数：tool"),
    ("check --odd", "swanlab-mcp-server: 错误：无法识别的参数：--odd"),
    ("check --timeout", "swanlab-mcp-server check: 错误：参数 --timeout：需要一个值"),
    ("--timeout soon check", "swanlab-mcp-server: 错误：参数 --timeout：'soon' 不是大于 0 的数"),
    ("--max-output-tokens 0.5 check", "swanlab-mcp-server: 错误：参数 --max-output-tokens：'0.5' 不是大于 0 的整数"),
    ("serve --http-port x", "swanlab-mcp-server serve: 错误：参数 --http-port：'x' 不是整数"),
    ("--demo=3 check", "swanlab-mcp-server: 错误：参数 --demo：不接受值 '3'"),
    ("--l check", "swanlab-mcp-server: 错误：选项 --l 有歧义，可能是 --log-dir, --lang, --log-level"),
    ("--api-key canary check", "swanlab-mcp-server: 错误：API key 不从命令行参数读取"),
]


@pytest.mark.parametrize(("words", "problem"), WRONG_USAGE, ids=[words for words, _ in WRONG_USAGE])
@pytest.mark.parametrize("by_option", [True, False], ids=["option", "locale"])
def test_wrong_usage_is_reported_in_chinese(
    words: str,
    problem: str,
    by_option: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "SWANLAB_MCP_LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8" if by_option else "zh_CN.UTF-8")
    with pytest.raises(SystemExit) as ended:
        cli.main([*(["--lang", "zh"] if by_option else []), *words.split()])
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (2, "")
    assert shown.err.startswith("用法：swanlab-mcp-server ")
    assert shown.err.splitlines()[-1].startswith(problem)
    assert "canary" not in shown.err


def test_choice_suggested_by_newer_pythons_is_in_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    with use_language("zh"), pytest.raises(SystemExit):
        Parser(prog="swan").error(
            "argument tool: invalid choice: 'chek', maybe you meant 'check'? (choose from call, check)"
        )
    expected = "swan: 错误：参数 tool：取值 'chek' 无效（是指 'check' 吗？可选：call, check）\n"
    assert capsys.readouterr().err.endswith(expected)


def test_tools_and_version_are_listed() -> None:
    done = run("tools")
    assert done.returncode == 0
    assert "get_exp_summary [project] exp_cuid [username] [keys] [page] [size]\n    Get one" in done.stdout
    assert run("--version").stdout == f"swanlab-mcp-server {swanlab_mcp.__version__}\n"


def test_check_reports_the_configuration_and_login(host: str) -> None:
    done = run("check", "--host", host, "--log-dir", str(RUNS / "0.10.3-offline"), SWANLAB_API_KEY="test-key")
    assert done.returncode == 0
    assert f"host: {host} (pages at {host})" in done.stdout
    assert "API key: found in SWANLAB_API_KEY" in done.stdout
    assert "login: works, as kites-test3, in " in done.stdout
    assert "runs found: 6 experiments in 2 projects, as workspace 'local'" in done.stdout
    assert "test-key" not in done.stdout + done.stderr


def test_check_fails_for_a_refused_key_or_no_data_source(host: str, tmp_path: Path) -> None:
    done = run("check", "--host", host, SWANLAB_API_KEY="key-canary")
    assert done.returncode == 1
    assert "login: failed. SwanLab at" in done.stdout
    assert "canary" not in done.stdout + done.stderr
    done = run("check")
    assert done.returncode == 1
    assert "No data source" in done.stdout
    done = run("check", "--log-dir", str(tmp_path / "missing"), SWANLAB_MCP_MAX_OUTPUT_TOKENS="x")
    assert done.returncode == 1
    assert "problem: SWANLAB_MCP_MAX_OUTPUT_TOKENS='x'" in done.stdout
    assert "runs found: 0 experiments" in done.stdout
    assert run("check", "--demo").returncode == 0


def send(*messages: dict[str, Any]) -> str:
    return "".join(json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in messages)


INITIALIZE = {
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def test_stdout_carries_only_json_rpc_and_eof_stops_the_server(host: str) -> None:
    command = [sys.executable, "-u", "-W", "always", "-m", "swanlab_mcp", "--log-level", "debug", "--host", host]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(SWANLAB_API_KEY="test-key"),
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdin.write(send(INITIALIZE, {"method": "notifications/initialized"}))
        server.stdin.write(
            send({"id": 2, "method": "tools/call", "params": {"name": "list_projects", "arguments": {}}})
        )
        server.stdin.flush()
        lines = [json.loads(server.stdout.readline()) for _ in range(2)]
        server.stdin.close()
        rest, errors = server.stdout.read(), server.stderr.read()
        assert server.wait(timeout=30) == 0
    assert [line["id"] for line in lines] == [1, 2]
    assert lines[0]["result"]["serverInfo"]["version"] == swanlab_mcp.__version__
    assert lines[0]["result"]["protocolVersion"] == "2025-11-25"
    assert lines[1]["result"]["structuredContent"]["data"][0]["name"] == "project1"
    assert rest == ""
    assert "test-key" not in errors
    assert "sid-canary" not in errors
    assert "Traceback" not in errors


def test_terminal_users_get_an_explanation() -> None:
    main, terminal = os.openpty()
    command = [sys.executable, "-m", "swanlab_mcp", "--demo"]
    with subprocess.Popen(
        command, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ()
    ) as server:
        assert server.stderr is not None
        assert server.stdout is not None
        assert "is waiting for an MCP client" in server.stderr.readline()
        assert "list_project_exps project=digits-mlp" in server.stderr.readline()
        server.terminate()
        assert server.stdout.read() == ""
    os.close(main)
    os.close(terminal)


@pytest.mark.anyio
async def test_stdio_client_gets_answers_and_a_bad_key_does_not_prevent_the_start(host: str, state: State) -> None:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "swanlab_mcp", "--host", host],
        env=environ(SWANLAB_API_KEY="wrong-canary"),
    )
    async with Client(parameters) as client:
        assert len((await client.list_tools()).tools) == len(TOOLS)
        assert state.calls == []
        refused = await client.call_tool("list_projects", {})
    assert "refused the API key from SWANLAB_API_KEY" in text_of(refused)
    assert "canary" not in text_of(refused)


def test_startup_imports_no_http_client_no_yaml_and_no_analysis() -> None:
    code = (
        "import sys; from swanlab_mcp.server.app import create_server; from swanlab_mcp.settings import Settings; "
        "create_server(Settings()); "
        "late = ('httpx', 'yaml', 'matplotlib', 'PIL', 'swanlab_mcp.client.cloud.api', 'swanlab_mcp.analysis'); "
        "print([name for name in late if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ(), check=True)
    assert done.stdout == "[]\n"
