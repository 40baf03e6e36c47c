"""Questions about several projects and workspaces, conditions with "or", and empty results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.evals.runner import Case

__all__ = ["SCOPE_CASES"]


def _where(field: str, op: str, value: object = None) -> Mapping[str, Any]:
    return {"field": field, "op": op, **({} if value is None else {"value": value})}


def _find(project: str, *filters: object, **more: object) -> tuple[str, Mapping[str, Any]]:
    return "find_experiments", {"project": project, "filters": list(filters), **more}


SCOPE_CASES: Sequence[Case] = (
    Case(
        "a-name-in-any-project",
        "Where is the run healthy-cosine?",
        [_find("*", _where("name", "=", "healthy-cosine"))],
        ["ada/cifar/good1", "1 of 1"],
        most_tokens=300,
    ),
    Case(
        "a-name-without-a-project-zh",
        "late-nan 在哪个项目我忘了，它的学习率是多少？",
        [("get_experiment", {"exp_cuid": "late-nan", "profile": ["config"]})],
        [r"\blr\b.*0\.5", "nan1"],
        most_tokens=400,
    ),
    Case(
        "a-trial-by-name-only",
        "How good did trial-1234 get?",
        [("get_exp_summary", {"exp_cuid": "trial-1234"})],
        [r"val/acc.*0\.95"],
        most_tokens=300,
    ),
    Case(
        "running-anywhere-zh",
        "所有工作空间里现在有哪些实验在跑？",
        [_find("*", _where("state", "=", "RUNNING"))],
        ["ada/cifar/stal1", "stalled", "1 of 1"],
        most_tokens=300,
    ),
    Case(
        "crashes-by-project",
        "How many runs crashed in each project?",
        [
            (
                "aggregate_experiments",
                {"project": "*", "group_by": ["project"], "filters": [_where("state", "=", "CRASHED")]},
            )
        ],
        [r"ada/cifar \| 2", r"local/digits-mlp \| 1"],
        ["sweep"],
        most_tokens=400,
    ),
    Case(
        "size-of-a-team-zh",
        "视觉组的所有项目一共有多少个实验？",
        [("aggregate_experiments", {"project": "vision-lab/*"})],
        ["1 group with 3 experiments"],
        most_tokens=300,
    ),
    Case(
        "ranking-of-cloud-and-disk",
        "Rank the runs of cifar and the local digits together by val/acc.",
        [("rank_experiments", {"project": "cifar, local/digits-mlp", "metric": "val/acc"})],
        [
            "local/digits-mlp/a7mda5lt",
            r"augmented-seed2|[0-9]+ of 43",
            "larger is better",
            "compare their values with care",
        ],
        most_tokens=1500,
    ),
    Case(
        "either-of-two-conditions-zh",
        "cifar 中学习率大于 10，或者已经崩溃的实验有哪些？",
        [_find("cifar", [_where("config.lr", ">", 10), _where("state", "=", "CRASHED")])],
        ["largest-loss", "oom-batch-512", "oom-batch-1024", "3 of 3"],
        most_tokens=500,
    ),
    Case(
        "closest-number",
        "Which cifar run has a learning rate above 100, or comes closest?",
        [_find("cifar", _where("config.lr", ">", 100))],
        ["No experiment meets config.lr > 100", "closest value is 30, in largest-loss"],
        most_tokens=300,
    ),
    Case(
        "closest-name-zh",
        "cifar 里有没有叫 overfit 的实验？",
        [_find("cifar", _where("name", "=", "overfit"))],
        ["closest value is overfits", "over1"],
        most_tokens=300,
    ),
    Case(
        "conditions-that-exclude-each-other",
        "Which of the seed runs of cifar crashed?",
        [_find("cifar", _where("labels", "contains", "seeds"), _where("state", "=", "CRASHED"))],
        ["No experiment meets all conditions", "without state = CRASHED, 12 experiments match"],
        ["oom-batch"],
        most_tokens=300,
    ),
    Case(
        "clones-of-a-team-zh",
        "视觉组里哪些实验是克隆来的？",
        [_find("vision-lab/*", _where("clone_of", "not-null"))],
        ["late-nan-copy", "vision-lab/archive/copy1", "1 of 1"],
        most_tokens=300,
    ),
    Case(
        "runs-of-a-machine",
        "Which cifar runs were trained on gpu-1?",
        [_find("cifar", _where("host", "=", "gpu-1"))],
        ["plain-seed0", "augmented-seed3", "12 of 12"],
        ["oom-batch"],
        most_tokens=900,
    ),
    Case(
        "incomplete-totals-say-so-zh",
        "我自己的项目里，每个项目各有多少实验？",
        [("aggregate_experiments", {"project": "ada/*", "group_by": ["project"]})],
        ["Incomplete: 1 of 3 projects could not be read", "ada/flaky", r"ada/sweep \| 3000"],
        most_tokens=500,
    ),
    Case(
        "gpu-hours-that-are-unknown",
        "How many GPU hours did the crashed cifar runs cost?",
        [
            (
                "aggregate_experiments",
                {"project": "cifar", "stats": ["gpu_hours"], "filters": [_where("state", "=", "CRASHED")]},
            )
        ],
        ["2 no known GPU hours", "gpu_hours"],
        most_tokens=300,
    ),
    Case(
        "news-of-two-projects-zh",
        "cifar 和本机的 digits-mlp 有什么新情况？",
        [("whats_new", {"project": "cifar, local/digits-mlp", "since": "2026-11-23T08:02:00Z"})],
        ["local/digits-mlp", r"since=2026"],
        most_tokens=1000,
    ),
    Case(
        "one-misspelt-project-of-two",
        "Which runs of cifar and ciphar crashed?",
        [_find("cifar, ciphar", _where("state", "=", "CRASHED"))],
        ["Incomplete: 1 of 2 projects", "Did you mean cifar", "ada/cifar/oom512"],
        most_tokens=500,
    ),
    Case(
        "a-name-that-no-project-has-zh",
        "plain-seed9 在哪个项目？",
        [("get_experiment", {"exp_cuid": "plain-seed9"})],
        ["No experiment in the .* projects", "plain-seed9"],
        most_tokens=200,
        is_refused=True,
    ),
    Case(
        "comparison-across-backends",
        "Compare plain-seed0 with the local run lr-0.1.",
        [("compare_experiments", {"exp_cuids": ["plain-seed0", "lr-0.1"], "metrics": ["val/acc"]})],
        ["cifar/plain-seed0", "digits-mlp/lr-0.1", "val/acc"],
        most_tokens=1500,
    ),
    Case(
        "a-chinese-name-only-zh",
        "“学习率 0.1”这个实验的准确率最高是多少？",
        [("get_exp_summary", {"exp_cuid": "学习率 0.1"})],
        ["验证/准确率", r"0\.75"],
        most_tokens=300,
    ),
)
