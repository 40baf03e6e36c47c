"""Count the tokens (o200k) in the replies to 30 common calls: python benchmarks/tokens.py [--update | --hosts].

The counts are compared with a recorded baseline, which `--update` replaces. Half of the calls use the embedded demo,
and the others use the fake SwanLab from the evals. The text and the JSON of each reply are counted separately, because
an assistant reads only one of them. The tool list is counted as well, because it is sent once per conversation.

`--hosts` prints the table in docs/hosts.md instead, which shows the mean number of tokens that a model reads per eval
in each host.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, Implementation

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import swanlab_mcp
from swanlab_mcp.server.app import connect, create_server
from swanlab_mcp.settings import Settings
from tests.evals.cases import CASES
from tests.evals.world import KEY, build_world
from tests.fake_swanlab import serve

BASELINE = Path(__file__).with_name("tokens.json")
ALLOWED = 1.05
# a fixed host for links, because the port of the fake SwanLab differs in every run
WEB_HOST = "https://swanlab.example"
DEMO = Settings(demo=True, log_dirs=(Path(swanlab_mcp.__file__).parent / "demo",))

Question = tuple[str, str, Mapping[str, Any]]

_DIGITS = {"project": "digits-mlp"}
_CIFAR = {"project": "cifar"}
_GOOD = {"field": "metric.val/acc", "op": ">", "value": 0.949}
_LARGE_LR = {"field": "config.lr", "op": ">", "value": 0.05}

ON_DEMO: tuple[Question, ...] = (
    ("Which projects do I have here?", "list_projects", {}),
    ("What did I run?", "list_project_exps", _DIGITS),
    ("The newest one?", "list_project_exps", {**_DIGITS, "size": 1}),
    (
        "Which ones crashed?",
        "find_experiments",
        {**_DIGITS, "filters": [{"field": "state", "op": "=", "value": "CRASHED"}]},
    ),
    ("Which used a large learning rate?", "find_experiments", {**_DIGITS, "filters": [_LARGE_LR]}),
    ("What were the settings of lr-0.1?", "get_experiment", {**_DIGITS, "exp_cuid": "l4q9h9qs", "profile": ["config"]}),
    ("How good was it?", "get_exp_summary", {**_DIGITS, "exp_cuid": "l4q9h9qs"}),
    ("Which metrics are there?", "list_metrics", {**_DIGITS, "exp_cuids": ["l4q9h9qs"]}),
    ("How did the loss go?", "get_metrics", {**_DIGITS, "exp_cuids": ["l4q9h9qs"], "keys": ["train/loss"]}),
    (
        "Compared with lr 0.01?",
        "get_metrics",
        {**_DIGITS, "exp_cuids": ["l4q9h9qs", "uynk8vtj"], "keys": ["val/*"]},
    ),
    ("Which one is best?", "rank_experiments", {**_DIGITS, "metric": "val/acc"}),
    ("And over the seeds?", "rank_experiments", {**_DIGITS, "metric": "val/acc", "by_seed": True}),
    (
        "What made the difference?",
        "compare_experiments",
        {**_DIGITS, "exp_cuids": ["l4q9h9qs", "ib4xdc5p", "a7mda5lt"]},
    ),
    ("What is wrong with lr-100?", "diagnose_experiment", {**_DIGITS, "exp_cuid": "xzjvwi5m"}),
    ("On which machine did it run?", "get_environment", {**_DIGITS, "exp_cuids": ["l4q9h9qs"]}),
)
ON_SWANLAB: tuple[Question, ...] = (
    ("Which workspaces can I see?", "list_workspaces", {}),
    ("Which projects are in mine?", "list_projects", {}),
    ("List the CIFAR experiments.", "list_project_exps", _CIFAR),
    (
        "Which of them crashed?",
        "find_experiments",
        {**_CIFAR, "filters": [{"field": "state", "op": "=", "value": "CRASHED"}]},
    ),
    ("Rank them by validation accuracy.", "rank_experiments", {**_CIFAR, "metric": "val/acc"}),
    (
        "Does augmentation help, or is it the seed?",
        "rank_experiments",
        {**_CIFAR, "metric": "val/acc", "by_seed": True},
    ),
    ("Best of the sweep?", "rank_experiments", {"project": "sweep", "metric": "val/acc"}),
    (
        "Which setting of the sweep matters?",
        "compare_experiments",
        {"project": "sweep", "metrics": ["val/acc"], "filters": [_GOOD]},
    ),
    ("Why did oom-batch-512 crash?", "diagnose_experiment", {**_CIFAR, "exp_cuid": "oom-batch-512"}),
    ("The end of its log?", "get_logs", {**_CIFAR, "exp_cuid": "oom-batch-512"}),
    ("When did late-nan go wrong?", "diagnose_experiment", {**_CIFAR, "exp_cuid": "nan1"}),
    (
        "Its last points, please.",
        "get_metrics",
        {**_CIFAR, "exp_cuids": ["nan1"], "keys": ["train/loss"], "mode": "exact", "tail": 20},
    ),
    (
        "Where do the environments differ?",
        "get_environment",
        {**_CIFAR, "exp_cuids": ["plain-seed0", "augmented-seed0"]},
    ),
    (
        "Which keys does the large one have?",
        "list_metrics",
        {"project": "vision-lab/many-keys", "exp_cuids": ["keys1"]},
    ),
    ("Is there anything called cifer?", "list_project_exps", {"project": "cifer"}),
)

# the part of a reply that the model reads in each host, according to docs/hosts.md
READS_JSON, READS_TEXT, READS_BOTH_OF_ERRORS = "JSON if there is any", "text", "text; of errors both"
HOSTS = {
    "claude-code": READS_JSON,
    "codex-mcp-client": READS_JSON,
    "opencode": READS_JSON,
    "gemini-cli-mcp-client": READS_BOTH_OF_ERRORS,
    "others": READS_TEXT,
}


@dataclass(frozen=True)
class Cost:
    """The number of tokens in a reply, as text and as JSON."""

    text: int
    structured: int


def count(text: str) -> int:
    import bpe_openai  # noqa: PLC0415 slow to import # pyright: ignore[reportMissingTypeStubs] has none

    return len(bpe_openai.get_encoding("o200k_base").encode(text))


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def ask(client: Any, tool: str, arguments: Mapping[str, Any]) -> Cost:
    result = await client.call_tool(tool, dict(arguments))
    if result.is_error and "cifer" not in str(arguments):
        raise RuntimeError(f"{tool} {arguments}: {result.content}")
    text = "\n".join(block.text for block in result.content if block.type == "text")
    return Cost(count(text), count(to_json(result.structured_content)))


async def measure(host: str) -> dict[str, Cost]:
    """Return the costs of the tool list and of each call. `host` is the URL of the fake SwanLab."""
    cloud = Settings(api_host=host, web_host=WEB_HOST, api_key=KEY, key_source="SWANLAB_API_KEY", backoff=0.001)
    costs: dict[str, Cost] = {}
    for settings, questions in ((DEMO, ON_DEMO), (cloud, ON_SWANLAB)):
        async with connect(create_server(settings)) as client:
            tools = [
                tool.model_dump(mode="json", by_alias=True, exclude_none=True)
                for tool in (await client.list_tools()).tools
            ]
            costs["(the tool list)"] = Cost(count(to_json(tools)), count(to_json(tools)))
            for question, tool, arguments in questions:
                costs[question] = await ask(client, tool, arguments)
    return costs


def play() -> dict[str, Cost]:
    with serve(build_world()) as host:
        return asyncio.run(measure(host))


def count_read(result: CallToolResult, reads: str) -> int:
    """Return the number of tokens in the part of a reply that the model reads. `reads` describes the part."""
    text = count("\n".join(block.text for block in result.content if block.type == "text"))
    if result.structured_content is None or reads == READS_TEXT:
        return text
    structured = count(to_json(result.structured_content))
    if reads == READS_JSON:
        return structured
    return text + structured if result.is_error else text


async def measure_host(settings: Settings, name: str) -> float:
    """Return the mean number of tokens that the model reads per eval in a host."""
    about = Implementation(name=name, version="1")
    async with Client(create_server(settings), client_info=about) as client:
        calls = [await client.call_tool(tool, dict(given)) for case in CASES for tool, given in case.calls]
    return sum(count_read(result, HOSTS[name]) for result in calls) / len(CASES)


def report_hosts() -> list[str]:
    """Return the table for docs/hosts.md."""
    rows = [f"{len(CASES)} questions", "", "| client name | model reads | `--output auto` | `--output both` |"]
    rows.append("|---|---|---:|---:|")
    with serve(build_world()) as host:
        cloud = Settings(api_host=host, web_host=WEB_HOST, api_key=KEY, key_source="", log_dirs=DEMO.log_dirs)
        for name, reads in HOSTS.items():
            auto, both = (asyncio.run(measure_host(replace(cloud, output=output), name)) for output in ("auto", "both"))
            rows.append(f"| {name} | {reads} | {auto:.0f} | {both:.0f} |")
    return rows


def read_baseline() -> dict[str, Cost]:
    return {question: Cost(*pair) for question, pair in json.loads(BASELINE.read_text(encoding="utf-8")).items()}


def write_baseline(costs: Mapping[str, Cost]) -> None:
    rows = [f"  {json.dumps(question)}: [{cost.text}, {cost.structured}]" for question, cost in costs.items()]
    BASELINE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def find_growth(costs: Mapping[str, Cost], baseline: Mapping[str, Cost]) -> list[str]:
    """Return the calls that cost over 5 % more than in the baseline, or that are missing from the baseline."""
    grown = [f"{question}: not in the baseline" for question in costs.keys() ^ baseline.keys()]
    for question, cost in costs.items():
        before = baseline.get(question, cost)
        for form, now, then in (("text", cost.text, before.text), ("structured", cost.structured, before.structured)):
            if now > then * ALLOWED:
                grown.append(f"{question} ({form}): {now} tokens, {then} before")
    return grown


def report(costs: Mapping[str, Cost]) -> list[str]:
    """Return a Markdown table with the cost of each call and the total cost."""
    answers = [cost for question, cost in costs.items() if not question.startswith("(")]
    rows = [f"| {question} | {cost.text:,} | {cost.structured:,} |" for question, cost in costs.items()]
    total = Cost(sum(one.text for one in answers), sum(one.structured for one in answers))
    last = f"| **{len(answers)} replies in total** | {total.text:,} | {total.structured:,} |"
    return ["| question | text | structured |", "|---|---:|---:|", *rows, last]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="record the measured costs as the new baseline")
    parser.add_argument("--hosts", action="store_true", help="print the table of docs/hosts.md")
    arguments = parser.parse_args()
    if arguments.hosts:
        print("\n".join(report_hosts()))
        return
    costs = play()
    if arguments.update:
        write_baseline(costs)
    print("\n".join(report(costs)))
    grown = find_growth(costs, read_baseline())
    print("\n".join(grown))
    sys.exit(1 if grown else 0)


if __name__ == "__main__":
    main()
