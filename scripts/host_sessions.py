"""Run real assistants with the demo and a scripted model, and check the tool results that the model receives.

Usage: python scripts/host_sessions.py FOLDER [HOST …]. FOLDER contains a node_modules folder with the assistants.
`bash scripts/host_sessions.sh` installs the assistants and runs this script without access to any network but loopback.
"""

# pyright: basic
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripted_model import Call, Result, ScriptedModel

PROJECT = "digits-mlp"
SEEDS = ["lr-0.1-seed1", "lr-0.1-seed2"]
CURVES = {"project": PROJECT, "exp_cuids": SEEDS, "keys": ["val/loss"]}


@dataclass(frozen=True)
class Step:
    name: str
    call: Call
    right: Callable[[Result], bool]


def holds(*words: str) -> Callable[[Result], bool]:
    return lambda result: all(word in result.text for word in words)


STEPS = (
    Step("list", Call("list_projects", {}), holds("digits-mlp")),
    Step("list argument", Call("get_metrics", CURVES | {"tail": 3}), holds("2 of 2", "val/loss", "0.0810869")),
    Step("image", Call("plot_metrics", CURVES), lambda result: result.images == 1),
    Step("error", Call("get_experiment", {"project": PROJECT, "exp_cuid": "no-such-run"}), holds("no-such-run")),
    # the host may reject the unpaired surrogate itself, but the model must receive a result
    Step("half a character", Call("list_projects", {"search": "digits\ud83d"}), lambda result: bool(result.text)),
    Step("the call after it", Call("list_project_exps", {"project": PROJECT}), holds(*SEEDS)),
)


def write_claude(_home: Path, url: str) -> tuple[dict[str, str], list[str]]:
    environment = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "scripted", "ENABLE_TOOL_SEARCH": "false"}
    environment |= {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    return environment, ["claude", "-p", "go", "--allowedTools", "mcp__swanlab"]


def write_codex(home: Path, url: str) -> tuple[dict[str, str], list[str]]:
    provider = f'name = "scripted"\nbase_url = "{url}/v1"\nenv_key = "SCRIPTED_KEY"\nwire_api = "responses"\n'
    head = 'model = "scripted"\nmodel_provider = "scripted"\n\n[model_providers.scripted]\n'
    (home / ".codex" / "config.toml").write_text(head + provider)
    words = ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go"]
    return {"SCRIPTED_KEY": "scripted"}, words


def require_server(file: Path) -> None:
    """Make Codex wait for the server. Otherwise, Codex may send the first request before it knows the tools."""
    table = "[mcp_servers.swanlab]\n"
    file.write_text(file.read_text().replace(table, f"{table}required = true\n"))


def write_gemini(home: Path, url: str) -> tuple[dict[str, str], list[str]]:
    settings = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False}}
    (home / ".gemini" / "settings.json").write_text(json.dumps(settings))
    environment = {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "scripted", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    return environment, ["gemini", "-p", "go", "--yolo", "-m", "gemini-2.5-flash"]


def write_opencode(home: Path, url: str) -> tuple[dict[str, str], list[str]]:
    model = {"name": "scripted", "attachment": True, "modalities": {"input": ["text", "image"], "output": ["text"]}}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": f"{url}/v1", "apiKey": "scripted"}}
    settings = {"provider": {"scripted": provider | {"models": {"model": model}}}, "autoupdate": False}
    (home / ".config" / "opencode" / "opencode.json").write_text(json.dumps(settings))
    return {"OPENCODE_DISABLE_MODELS_FETCH": "1"}, ["opencode", "run", "-m", "scripted/model", "go"]


# For each assistant, by its name in `install`: a function that writes the settings, and returns the environment
# variables and the command that starts the assistant.
HOSTS = {
    "claude-code": write_claude,
    "codex": write_codex,
    "gemini": write_gemini,
    "opencode": write_opencode,
}


def run(host: str, tools: Path) -> bool:
    """Run the script with one assistant in an empty home folder, and print the results that the model received.

    Return whether all results were as expected.
    """
    home = Path(tempfile.mkdtemp(prefix="host-"))
    for folder in (".codex", ".gemini", ".config/opencode", "project"):
        (home / folder).mkdir(parents=True)
    model = ScriptedModel([step.call for step in STEPS])
    server = model.serve()
    try:
        extra, words = HOSTS[host](home, f"http://127.0.0.1:{server.server_address[1]}")
        own = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        environment = own | {"HOME": str(home)} | extra
        ours = shutil.which("swanlab-mcp-server")
        assert ours, "swanlab-mcp-server is not installed"
        where = {"env": environment, "cwd": home / "project", "text": True, "capture_output": True}
        subprocess.run([ours, "install", host, "--demo"], check=True, **where)
        if host == "codex":
            require_server(home / ".codex" / "config.toml")
        program = str(tools / "node_modules" / ".bin" / words[0])
        version = subprocess.run([program, "--version"], check=True, **where).stdout.split("\n")[0]
        try:
            ended = subprocess.run([program, *words[1:]], check=False, timeout=180, stdin=subprocess.DEVNULL, **where)
            note = f"exit {ended.returncode}\n{(ended.stderr or ended.stdout)[-1500:]}"
        except subprocess.TimeoutExpired:
            note = "did not end within 180 s"
        return report(host, version, model, note)
    finally:
        server.shutdown()
        server.server_close()
        shutil.rmtree(home, ignore_errors=True)


def report(host: str, version: str, model: ScriptedModel, note: str) -> bool:
    right = [step.right(result) for step, result in zip(STEPS, model.results, strict=False)]
    for step, result, fine in zip(STEPS, model.results, right, strict=False):
        print(f"{host} | {version} | {step.name} | {'right' if fine else 'WRONG'} | {result.seconds:.2f} s", end=" | ")
        print(f"{len(result.text)} characters, {result.images} images")
        if not fine or step.name in ("error", "half a character"):
            print(f"    {result.text[:200]!r}")
    if len(right) < len(STEPS):
        print(f"{host} | {version} | ended after {len(right)} of {len(STEPS)} calls; {note}")
        print("\n".join([*model.problems, *model.paths[-10:]]))
    return all(right) and len(right) == len(STEPS)


def main() -> int:
    tools, *chosen = sys.argv[1:]
    right = [run(host, Path(tools).absolute()) for host in chosen or HOSTS]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
