"""Texts from the server follow the language of the argument or environment, while names and keys do not change."""

from __future__ import annotations

import asyncio
import locale
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client, MCPError
from mcp.types import ElicitResult, ResourceTemplateReference

import swanlab_mcp
from swanlab_mcp import OpenApi
from swanlab_mcp.cli import main as cli
from swanlab_mcp.core.i18n import use_language
from swanlab_mcp.present.report import write_report
from swanlab_mcp.server.app import create_server
from swanlab_mcp.server.limits import Limits
from swanlab_mcp.settings import Settings, load_settings
from tests.cli.test_command import start
from tests.conftest import RUNS, opened, session, text_of
from tests.fake_swanlab import Fault, State
from tests.run_files import encode_point, write_run
from tests.server.test_shared_server import ask, serve

DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",), language="zh")
PROJECT = {"project": "digits-mlp"}
LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE")


@pytest.mark.parametrize("name", LOCALES)
@pytest.mark.parametrize(
    ("value", "chosen"),
    [("zh_CN.UTF-8", "zh"), ("zh", "zh"), ("zh_TW:en", "zh"), ("en_US.UTF-8", "en"), ("C", "en"), ("de_DE", "en")],
)
def test_auto_follows_the_environment(name: str, value: str, chosen: str) -> None:
    assert load_settings(environ={name: value}).language == chosen
    assert load_settings(environ={name: value}, lang="auto", demo=True).language == chosen


@pytest.mark.parametrize("index", range(3))
def test_locale_variables_have_a_precedence(index: int) -> None:
    environ = {LOCALES[index]: "en_US", LOCALES[index + 1]: "zh_CN"}
    assert load_settings(environ=environ).language == "en"
    assert load_settings(environ={**environ, LOCALES[index]: ""}).language == "zh"


@pytest.mark.parametrize(
    ("expected", "chosen"), [("zh_CN", "zh"), ("Chinese (Simplified)_China", "zh"), ("en_GB", "en"), (None, "en")]
)
def test_operating_system_language_is_the_fallback(
    monkeypatch: pytest.MonkeyPatch, expected: str | None, chosen: str
) -> None:
    monkeypatch.setattr(locale, "getlocale", lambda: (expected, "UTF-8"))
    assert load_settings(environ={}).language == chosen


def test_unknown_locale_means_english(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("unknown locale: xx")

    monkeypatch.setattr(locale, "getlocale", fail)
    assert load_settings(environ={}).language == "en"


def test_argument_overrides_setting_and_setting_overrides_locale() -> None:
    environ = {"SWANLAB_MCP_LANG": "ZH ", "LC_ALL": "en_US"}
    assert load_settings(environ=environ).language == "zh"
    assert load_settings(environ=environ, lang="en").language == "en"
    assert load_settings(environ={"SWANLAB_MCP_LANG": "auto", "LANG": "zh_CN"}).language == "zh"


def test_unsupported_language_is_reported() -> None:
    found = load_settings(environ={"SWANLAB_MCP_LANG": "fr", "LANG": "en_US"})
    assert found.language == "en"
    assert found.problems == ("SWANLAB_MCP_LANG='fr' is not auto, en or zh; using auto.",)


def find_english(text: str) -> list[str]:
    """Return sequences of three English words outside commands, quoted names and URLs."""
    plain = re.sub(r"`[^`]*`|'[^']*'|https?://\S+", "", text)
    return re.findall(r"(?<![\w/-])[A-Za-z][a-z']+(?: [A-Za-z][a-z']+){2,}", plain)


def check_chinese(text: str) -> str:
    assert re.search(r"[\u4e00-\u9fff]", text), text
    assert not find_english(text), text
    return text


@pytest.fixture
def chinese(settings: Settings) -> Settings:
    return replace(settings, language="zh")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("get_experiment", {"project": "p", "exp_cuid": "x", "exp_id": 1}, "未知参数 'exp_id'（是指 'exp_cuid' 吗？）"),
        ("get_experiment", {"project": "p"}, "参数不符合要求：'exp_cuid' 缺失。"),
        ("list_projects", {"size": "x"}, "'size' 必须是整数"),
        ("list_projects", {"size": "9" * 5000}, "'size' 必须是整数"),
        ("list_projects", {"size": 1000}, "'size' 必须小于或等于 100"),
        ("list_projects", {"page": -1}, "'page' 必须大于或等于 0"),
        ("list_projects", {"detail": "maybe"}, "'detail' 必须是 true 或 false"),
        ("list_projects", {"sort": "age"}, "'sort' 必须是以下之一：update, create, name"),
        ("list_projects", {"search": True}, "'search' 必须是文本"),
        ("list_projects", {"search": "x" * 600}, "'search' 至多 512 个字符"),
        ("get_metrics", {**PROJECT, "exp_cuids": [], "keys": ["x"]}, "'exp_cuids' 至少要有 1 项，实际有 0 项"),
        ("get_metrics", {**PROJECT, "exp_cuids": ["x"] * 21, "keys": ["x"]}, "'exp_cuids' 至多 20 项，实际有 21 项"),
        ("get_metrics", {**PROJECT, "exp_cuids": ["x"], "keys": [""]}, "'keys.0' 至少要有 1 个字符"),
        ("get_metrics", {**PROJECT, "exp_cuids": ["x"], "keys": {}}, "'keys' 必须是列表"),
        (
            "get_metrics",
            {**PROJECT, "exp_cuids": ["x"], "keys": ["x"], "last_minutes": -1},
            "'last_minutes' 必须大于 0",
        ),
        (
            "get_metrics",
            {**PROJECT, "exp_cuids": ["x"], "keys": ["x"], "last_minutes": "x"},
            "'last_minutes' 必须是数字",
        ),
        ("plot_metrics", {**PROJECT, "exp_cuids": ["x"], "keys": ["x"], "smoothing": 1}, "'smoothing' 必须小于 1"),
        ("find_experiments", {**PROJECT, "filters": [1]}, "'filters.0' 必须是带字段名的对象"),
        ("list_project_exps", {"project": ""}, "没有给出 project。可用 list_projects 查看工作空间中的项目。"),
        (
            "list_project_exps",
            {"project": "a\nb"},
            "不是合法的 SwanLab 名称。请给出名称、形如 'workspace/project/exp",
        ),
        ("list_project_exps", {"project": "https://x.cn/a"}, "不是 SwanLab 页面的 URL"),
        (
            "list_project_exps",
            {"project": "https://swanlab.cn/@a/b", "username": "c"},
            "URL 指向工作空间 'a'，其他参数却是",
        ),
        (
            "get_experiment",
            {"project": "c", "exp_cuid": "https://swanlab.cn/@a/b/runs/x"},
            "这个 URL 属于 swanlab.cn，而本服务器连接的是",
        ),
    ],
)
async def test_invalid_arguments_are_explained_in_chinese(
    chinese: Settings, tool: str, arguments: dict[str, Any], expected: str
) -> None:
    async with session(chinese) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert expected in check_chinese(text_of(result))
    assert result.structured_content["errmsg"] == text_of(result)


@pytest.mark.anyio
async def test_invalid_values_are_described_in_english(settings: Settings) -> None:
    async with session(settings) as client:
        result = await client.call_tool("list_projects", {"size": 1000})
    assert "'size' must be at most 100" in text_of(result)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(path="/login", status=401), "拒绝了来自 SWANLAB_API_KEY 的 API key。请确认 key 没有过期"),
        (Fault(path="/login", status=403), "不允许这个账号登录"),
        (Fault(path="/project/", status=403), "“GET /project/kites-test3”返回了 403"),
        (
            Fault(path="/project/", status=429, headers={"retry-after": "60"}),
            "返回了 429。请等 60 秒再试。",
        ),
        (Fault(path="/project/", status=429), "请等一分钟再试。"),
        (Fault(path="/project/", status=503), "SwanLab 自身出了问题，请稍后再试。（SwanLab 追踪号 trace-"),
        (Fault(path="/project/", status=302), "不会跟随重定向"),
        (Fault(path="/project/", status=400), "请检查调用的参数。"),
        (Fault(path="/project/", status=200, body=b"<html>"), "的响应不是 JSON。"),
        (Fault(path="/project/", status=200, body=b""), "的响应是空的。"),
        (Fault(path="/project/", status=200, body=b'{"list": 1}'), "SwanLab 的项目列表没有给出总数。"),
        (Fault(path="/project/", status=200, body=b'{"list": [{}], "total": 1}'), "SwanLab 返回的项目信息缺少 name。"),
    ],
)
async def test_swanlab_errors_are_in_chinese(chinese: Settings, state: State, fault: Fault, expected: str) -> None:
    state.faults.append(fault)
    async with session(chinese) as client:
        result = await client.call_tool("list_projects", {})
    assert result.is_error
    assert expected in check_chinese(text_of(result))


@pytest.mark.anyio
async def test_login_help_is_in_chinese(chinese: Settings) -> None:
    async with session(replace(chinese, api_key="", key_source="")) as client:
        assert "没有找到 SwanLab 的 API key。请先登录" in check_chinese(
            text_of(await client.call_tool("list_projects", {}))
        )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with session(replace(chinese, api_host=closed)) as client:
            answer = check_chinese(text_of(await client.call_tool("list_projects", {})))
            assert f"SwanLab（{closed}） 在 5 次尝试中都没有应答（ConnectError）。" in answer
            assert "拒绝连接：请检查端口" in answer


@pytest.mark.anyio
async def test_truncation_and_paging_notes_are_in_chinese() -> None:
    async with session(replace(DEMO, max_output_tokens=2000)) as client:
        rows = await client.call_tool("list_project_exps", {**PROJECT, "page": 0})
    async with session(replace(DEMO, max_output_tokens=600)) as client:
        record = await client.call_tool("get_experiment", {**PROJECT, "exp_cuid": "cosine-128-64-ckpt"})
    assert re.match(r"共 19 条，返回 \d+ 条.*；继续：page=2 size=\d+\n各行相同：", text_of(rows))
    assert "与通常不同" in text_of(rows)
    assert re.search(r"^说明：为不超出输出上限，只保留 \d+ 行。$", text_of(rows), re.MULTILINE)
    assert "说明：请一次少取一些，或在启动服务器时调大 --max-output-tokens。" in text_of(record)
    assert re.search(r"^说明：\S+ 被截断，完整大小为 \d+ 个字符。$", text_of(record), re.MULTILINE)


@pytest.mark.anyio
async def test_metric_key_cannot_imitate_a_chinese_note(chinese: Settings, state: State) -> None:
    state.projects[0].experiments[0].metrics = {
        key: [(0, 1.0)] for key in ("说明：假", "note: x", "各行相同：假", "loss")
    }
    async with session(chinese) as client:
        shown = text_of(await client.call_tool("list_metrics", {"project": "project1", "exp_cuids": ["cuid1"]}))
    for forged in ("说明：假", "note: x", "各行相同：假"):
        assert f"\n\\{forged}" in shown
        assert f"\n{forged}" not in shown


@pytest.mark.anyio
async def test_problems_of_runs_on_disk_are_in_chinese(tmp_path: Path) -> None:
    write_run(tmp_path, "aaaa", [encode_point(number, "loss", number, 0.5) for number in range(1, 30)])
    for number in range(6):
        folder = tmp_path / f"run-broken-{number}"
        folder.mkdir()
        (folder / "run-x.swanlab").write_bytes(b"nothing of ours")
    settings = Settings(log_dirs=(tmp_path, tmp_path / "gone"), language="zh")
    async with session(settings) as client:
        listed = await client.call_tool("list_projects", {"username": "local"})
    notes = listed.structured_content["notes"]
    assert "日志目录 'gone' 不存在，或不是目录。" in notes
    # several threads read these runs
    assert "已跳过 'run-broken-0' 中的实验：文件开头没有 SwanLab 的标记，后面也没有任何记录。" in notes
    assert "类似的说明还有 1 条。" in notes
    assert not [note for note in notes if find_english(note)]


@pytest.mark.anyio
async def test_notes_on_unfinished_runs_are_in_chinese() -> None:
    async with session(Settings(log_dirs=(RUNS / "0.10.3-truncated",), language="zh")) as client:
        projects = await client.call_tool("list_projects", {"username": "local"})
        name = projects.structured_content["data"][0]["name"]
        listed = await client.call_tool("list_project_exps", {"project": name, "username": "local"})
    fates = [note for note in listed.structured_content["notes"] if "没有记录到结束" in note]
    assert fates
    assert all(re.search(r"文件最后一次写入是在 \d+ \S+前", check_chinese(note)) for note in fates)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_resources_prompts_and_completion_are_in_chinese(chinese: Settings, state: State, mode: str) -> None:
    async with session(chinese, mode) as client:
        assert (await client.read_resource("swanlab://workspaces")).contents[0].text.startswith("共 2 条，返回 2 条")
        with pytest.raises(MCPError, match=r"没有给出 project。"):
            await client.read_resource("swanlab://kites-test3/%20")
        prompt = await client.get_prompt("weekly_report", {"project": "p"})
        assert "用中文回答。" in prompt.messages[0].content.text
        english = await client.get_prompt("weekly_report", {"project": "p", "language": "en"})
        assert "Answer in English." in english.messages[0].content.text
        for name, arguments, expected in (
            (
                "weekly_report",
                {"projekt": "p"},
                "未知参数 'projekt'（是指 'project' 吗？）。weekly_report 的参数：project,",
            ),
            ("weekly_report", {"odd": "p"}, "未知参数 'odd'。"),
            ("weekly_report", {"language": "fr"}, "不支持 language='fr'。请填 en 或 zh。"),
            ("explain_crash", {"project": "p"}, "缺少 'exp_cuid'。"),
            ("explain_crash", {}, "缺少 'project' 和 'exp_cuid'。"),
            ("weekly_report", {"project": "p" * 3000}, "'project' 超过 2048 个字符。"),
            ("nothing", {}, "没有提示词 'nothing'。可用的有：triage_project,"),
        ):
            with pytest.raises(MCPError) as caught:
                await client.get_prompt(name, arguments)
            assert expected in check_chinese(str(caught.value))
        state.faults.append(Fault(path="/project/", status=403))
        reference = ResourceTemplateReference(uri="swanlab://{username}/{project}")
        with pytest.raises(MCPError, match="返回了 403"):
            await client.complete(reference, {"name": "project", "value": "x"})


@pytest.mark.anyio
async def test_schemas_and_descriptions_are_the_same_in_both_languages(settings: Settings, chinese: Settings) -> None:
    async with session(settings) as english, session(chinese) as other:
        assert (await english.list_tools()).model_dump() == (await other.list_tools()).model_dump()
        assert (await english.list_prompts()).model_dump() == (await other.list_prompts()).model_dump()
        assert english.instructions == other.instructions


@pytest.mark.anyio
async def test_progress_is_reported_in_chinese(chinese: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "many")
    for number in range(250):
        state.add_experiment(project, f"run-{number}")
    received: list[str | None] = []

    async def listen(_done: float, _total: float | None, message: str | None) -> None:
        received.append(message)

    async with session(chinese) as client:
        await client.call_tool("list_project_exps", {"project": "many", "page": 0}, progress_callback=listen)
    assert received == ["1/3 页", "2/3 页", "3/3 页"]


@pytest.mark.anyio
async def test_parallel_languages_do_not_mix(settings: Settings, chinese: Settings, state: State) -> None:
    state.latency = 0.01
    async with session(settings) as english, session(chinese) as other:

        async def call(client: Any) -> str:
            return text_of(await client.call_tool("list_project_exps", {"project": "https://swanlab.cn/@a"}))

        answers = await asyncio.gather(*(call(client) for _ in range(10) for client in (english, other)))
    assert len(set(answers[::2])) == len(set(answers[1::2])) == 1
    assert answers[0].startswith("project='https://swanlab.cn/@a' is the URL of a workspace, not of a project.")
    assert answers[1].startswith("project='https://swanlab.cn/@a' 是工作空间的 URL，不是项目的 URL。")


@pytest.mark.anyio
async def test_confirmation_form_is_in_chinese(chinese: Settings) -> None:
    forms: list[Any] = []

    async def decline(_context: Any, params: Any) -> Any:
        forms.append(params.requested_schema["properties"]["agreed"])
        return ElicitResult(action="decline")

    writable = replace(chinese, allow_writes=True)
    arguments = {"project": "new", "username": "kites-test2"}
    async with Client(create_server(writable), elicitation_callback=cast("Any", decline)) as client:
        token = (await client.call_tool("create_project", arguments)).structured_content["data"]["confirmation"]
        refused = await client.call_tool("create_project", {**arguments, "confirmation": token})
    assert [(form["title"], form["description"]) for form in forms] == [("是，执行", "此操作无法从这里撤销")]
    assert "已询问用户，用户没有同意；未做任何更改。除非用户要求，否则请不要重试。" in text_of(refused)


def test_http_gateway_errors_are_in_chinese(chinese: Settings, state: State) -> None:
    with serve(chinese, limits=Limits(body=1000)) as url:
        reply = {
            401: ask(url, key=None),
            413: ask(url, body={"x": "y" * 2000}),
            421: ask(url, host="elsewhere"),
            403: ask(url, origin="https://elsewhere"),
        }
        for status, answer in reply.items():
            assert answer.status_code == status
            check_chinese(answer.json()["error"]["message"])
        assert "请发送你自己的 SwanLab API key" in reply[401].json()["error"]["message"]
        state.faults.append(Fault(path="/login", status=401))
        message = ask(url, key="wrong-key").json()["error"]["message"]
        assert "拒绝了来自 Authorization 请求头 的 API key。" in message


@pytest.mark.parametrize(("value", "expected"), [("zh", "没有给出 project。"), ("en", "No project was given.")])
def test_openapi_errmsg_follows_the_environment(
    host: str, monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("SWANLAB_MCP_LANG", value)
    with OpenApi("test-key", host=host) as api:
        assert expected in api.list_project_exps(" ").errmsg
        wrong = api.find_experiments("project1", [{"field": "state", "op": "~", "value": 1}]).errmsg
        bare = api.find_experiments("project1", [{"field": "state"}]).errmsg
    assert bare == ("filters.0.op 缺失。" if value == "zh" else "filters.0.op is missing.")
    assert wrong.startswith("filters.0.op 必须是以下之一：" if value == "zh" else "filters.0.op must be one of")


@contextmanager
def ended(code: int) -> Generator[None, None, None]:
    with pytest.raises(SystemExit) as caught:
        yield
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--demo", "call", "nothing"], 2, "没有工具 'nothing'。可用的有：list_workspaces,"),
        (["--demo", "call", "list_projects", "x"], 2, "参数要写成 name=value 的形式，'x' 不是。"),
        (["--demo", "call", "list_projects", "-o", "x.png"], 1, "结果中没有图片，因此没有写入文件。"),
        (["--demo", "call", "list_projects", "nope=1"], 1, "参数不符合要求：未知参数 'nope'。"),
        (
            ["--demo", "call", "--json", "plot_metrics", "project=digits-mlp", "exp_cuids=lr-1", "keys=lr"],
            2,
            "请去掉 --json",
        ),
        (["check"], 1, "没有可用的数据来源：请设置 SWANLAB_API_KEY"),
        (["--demo", "check"], 0, "找到本机实验：1 个项目中的 19 个实验，工作空间为 'local'"),
        (
            ["--demo", "export", "lr-1", "--project", "digits-mlp", "-o", "old.csv"],
            1,
            "old.csv 已存在，没有覆盖。请用 -o",
        ),
        (["--demo", "export", "lr-1", "--project", "digits-mlp", "--keys", "lr"], 0, "1 个指标的 40 个数据点："),
        (["--demo", "export", "lr-1", "--project", "digits-mlp", "--format", "log"], 0, "17 行：w3e6axyt.log"),
        (["install", "nobody"], 2, "未知的助手 'nobody'。可用的有：claude-desktop,"),
        (["install", "cursor"], 1, "似乎没有安装 Cursor：目录 "),
        (["install", "cherry-studio"], 0, "Cherry Studio 自行保存服务器列表"),
    ],
)
def test_command_output_is_in_chinese(
    capsys: pytest.CaptureFixture[str], words: list[str], code: int, expected: str
) -> None:
    Path("old.csv").write_text("")
    with ended(code):
        cli.main(["--lang", "zh", *words])
    shown = capsys.readouterr()
    assert expected in shown.out + shown.err
    # the language does not persist
    assert load_settings(environ={"SWANLAB_MCP_LANG": "en"}).language == "en"


def test_check_reports_problems_and_login_in_chinese(
    host: str, state: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "test-key")
    monkeypatch.setenv("SWANLAB_MCP_LANG", "zh")
    monkeypatch.setenv("SWANLAB_WEB_HOST", "https://x:y")
    monkeypatch.setenv("SWANLAB_MCP_MAX_OUTPUT_TOKENS", "many")
    with ended(0):
        cli.main(["--host", host, "check"])
    out = capsys.readouterr().out
    assert "问题：没有采用 SWANLAB_WEB_HOST：'https://x:y' 不是可用的 SwanLab 地址。" in out
    assert "问题：SWANLAB_MCP_MAX_OUTPUT_TOKENS='many' 不是大于 0 的整数；按 8000 处理。" in out
    assert re.search(r"API key：来自 SWANLAB_API_KEY\n登录：成功，用户 kites-test3，用时 \d+ 毫秒\n", out)
    assert not find_english(out)
    state.faults.append(Fault(path="/login", status=401))
    with ended(1):
        cli.main(["--host", host, "check"])
    assert "登录：失败。SwanLab（" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["--http-host", "0.0.0.0"], 2, "监听 0.0.0.0 需要 --allowed-host NAME"),
        (["--http-port", "99999"], 1, "无法监听 127.0.0.1:99999："),
    ],
)
def test_serve_errors_are_in_chinese(words: list[str], code: int, expected: str) -> None:
    done = start("serve", "--transport", "http", *words, SWANLAB_MCP_LANG="zh", PYTHONIOENCODING="utf-8")
    assert done.returncode == code
    assert expected in done.stderr


def test_process_language_comes_from_the_environment() -> None:
    for name, expected in (("zh_CN.UTF-8", "参数不符合要求"), ("C", "Invalid arguments")):
        done = start("--demo", "call", "list_projects", "nope=1", LC_ALL=name, PYTHONIOENCODING="utf-8")
        assert expected in done.stderr


@pytest.mark.anyio
async def test_report_counts_are_equal_in_both_languages() -> None:
    pages: dict[str, str] = {}
    for language in ("en", "zh"):
        with use_language(language):
            async with opened(DEMO) as client:
                pages[language] = await write_report(client, project="digits-mlp", metric="val/loss")
    assert "诊断了 19 个实验中的 19 个；其中健康的：12 个。" in pages["zh"]
    assert "19 of 19 experiments were diagnosed from all their points; healthy: 12." in pages["en"]
    assert pages["zh"].count("<tr>") == pages["en"].count("<tr>")
    assert pages["zh"].count('<section class="one">') == pages["en"].count('<section class="one">')
