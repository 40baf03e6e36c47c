from __future__ import annotations

import re
from typing import Any, cast

from swanlab_mcp.client.routing import SwanLabClient
from swanlab_mcp.core.i18n import gettext, ngettext
from swanlab_mcp.core.models import ApiResponse, EnvironmentFact, Experiment
from swanlab_mcp.core.refs import label_experiments
from swanlab_mcp.core.untrusted import quote, shorten
from swanlab_mcp.operations.arguments import (
    EnvironmentSearch,
    ExpCuids,
    OptionalProject,
    PageNumber,
    PageSize,
    Username,
)
from swanlab_mcp.operations.hiding import make_hide
from swanlab_mcp.operations.listing import list_page
from swanlab_mcp.operations.partial import ask_known

__all__ = ["get_environment", "read_facts", "read_origin"]

_PINNED = re.compile(r"\s*([A-Za-z0-9][\w.\-\[\],]*)\s*(?:===?\s*([^\s;#]+)|@\s*(\S.*))")

# maps the names in SDKs before 0.8 to the current names, so that the same fact has the same name everywhere
_NEWER_NAMES = {
    "os": "runtime.os",
    "os_pretty_name": "runtime.os_pretty",
    "hostname": "runtime.hostname",
    "pid": "runtime.pid",
    "cwd": "runtime.cwd",
    "python": "runtime.python_version",
    "python_verbose": "runtime.python_verbose",
    "executable": "runtime.python_executable",
    "command": "runtime.command",
    "git_remote": "git.remote_url",
}


async def get_environment(
    client: SwanLabClient,
    *,
    project: OptionalProject = "",
    exp_cuids: ExpCuids,
    username: Username = "",
    search: EnvironmentSearch = "",
    page: PageNumber = 0,
    size: PageSize = 100,
) -> ApiResponse[list[EnvironmentFact]]:
    """Get the environment of experiments: machine, GPU, packages, git and command; for several, only the differences.

    Use compare_experiments to compare configs and results too. Returns facts with dotted names such as package.torch,
    each with its value or a value per experiment. Secrets are masked.
    Example: {"project": "mnist", "exp_cuids": ["lr-0.1", "lr-1"]}.
    """
    found: dict[str, dict[str, Any]] = {}
    answers, unknown = await ask_known(
        client, exp_cuids, lambda backend, ref: backend.get_experiment(ref), project=project, username=username
    )
    notes = [str(error) for error in unknown]
    labels = label_experiments(ref for ref, _ in answers)
    for ref, answer in answers:
        cuid = labels[ref]
        found[cuid] = read_facts(answer.data) if answer.data else {}
        notes += answer.notes
        if not found[cuid]:
            notes.append(gettext("No environment was recorded for {cuid}.", cuid=quote(cuid)))
    # if an experiment has no facts at all, every fact would count as different
    found = {cuid: facts for cuid, facts in found.items() if facts} or found
    names = dict.fromkeys(name for facts in found.values() for name in facts)
    hide = make_hide()
    matching = [name for name in names if search.casefold() in hide(name, "").casefold()]
    if names and not matching:
        notes.append(
            ngettext(
                "The {count} fact has no {text!r} in its name.",
                "None of the {count} facts has {text!r} in its name.",
                len(names),
                text=shorten(search),
            )
        )
    facts = [_compare(name, found) for name in matching]
    if len(found) > 1:
        differing = [fact for fact in facts if fact.values]
        same = len(facts) - len(differing)
        notes.append(
            ngettext(
                "{count} fact is the same in all {total} experiments and is omitted.",
                "{count} facts are the same in all {total} experiments and are omitted.",
                same,
                total=len(found),
            )
        )
        facts = differing
    return list_page(facts, page, size, gettext("as recorded"), notes)


def read_facts(experiment: Experiment) -> dict[str, Any]:
    """Return the facts in an experiment's profile.

    The facts are the flattened metadata, one `package.<name>` entry for each pinned package, and the conda file as one
    string.
    """
    facts = _read_metadata(experiment)
    for line in str(experiment.profile.get("requirements") or "").splitlines():
        pinned = _PINNED.match(line)
        if pinned:
            facts[f"package.{pinned[1].lower()}"] = pinned[2] or pinned[3]
    if experiment.profile.get("conda"):
        facts["conda"] = experiment.profile["conda"]
    return {name: value for name, value in facts.items() if value is not None}


def read_origin(experiment: Experiment) -> tuple[str | None, str | None]:
    """Return the command and the git commit of an experiment, without parsing its list of packages.

    Either value is `None` if it was not recorded.
    """
    facts = _read_metadata(experiment)
    return str(facts.get("runtime.command") or "") or None, str(facts.get("git.commit") or "") or None


def _read_metadata(experiment: Experiment) -> dict[str, Any]:
    metadata: Any = experiment.profile.get("metadata")
    if not isinstance(metadata, dict):
        return {}
    flat = _flatten(cast("dict[str, Any]", metadata), "")
    facts = {_NEWER_NAMES.get(name, name): fact for name, fact in flat.items()}
    git = facts.get("git_info")
    if isinstance(git, list) and len(cast("list[Any]", git)) == 2:
        facts["git.branch"], facts["git.commit"] = facts.pop("git_info")
    return facts


def _flatten(value: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat |= _flatten(cast("dict[str, Any]", item), f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def _compare(name: str, found: dict[str, dict[str, Any]]) -> EnvironmentFact:
    values = {cuid: facts[name] for cuid, facts in found.items() if name in facts}
    distinct = list(values.values())
    if len(values) == len(found) and all(value == distinct[0] for value in distinct):
        return EnvironmentFact(name=name, value=distinct[0])
    return EnvironmentFact(name=name, values=values)
