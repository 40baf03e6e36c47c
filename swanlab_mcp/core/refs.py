"""Identify workspaces, projects and experiments, and parse the names, paths and URLs that users give.

Accepted forms are `name`, `workspace/project`, `workspace/project/experiment`, `workspace/project/runs/experiment`,
and the URLs of SwanLab's pages. A path may start with `@`, as in SwanLab's URLs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import shorten

__all__ = [
    "LOCAL",
    "ExperimentRef",
    "ProjectRef",
    "ProjectSet",
    "Ref",
    "Reference",
    "Scope",
    "WorkspaceRef",
    "find_near_names",
    "label_experiments",
    "names_project",
    "parse_experiment",
    "parse_project",
    "parse_workspace",
    "prefix_names",
    "read_bare_name",
]

LOCAL = "local"  # the workspace of the runs on this machine
_SHORTEST_PART = 3
_FEWEST_WORDS = 2
_WORDS = re.compile(r"[\W_]+")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAMED = 3


@dataclass(frozen=True)
class WorkspaceRef:
    """A reference to a workspace."""

    workspace: str

    def project(self, name: str) -> ProjectRef:
        return ProjectRef(self.workspace, name)

    def __str__(self) -> str:
        """Return the path, shortened and safe to show in a message."""
        return shorten(self.workspace)


@dataclass(frozen=True)
class ProjectRef:
    """A reference to a project."""

    workspace: str
    project: str

    @property
    def parent(self) -> WorkspaceRef:
        return WorkspaceRef(self.workspace)

    def experiment(self, cuid: str) -> ExperimentRef:
        return ExperimentRef(self.workspace, self.project, cuid)

    def __str__(self) -> str:
        """Return the path, shortened and safe to show in a message."""
        return f"{shorten(self.workspace)}/{shorten(self.project)}"


@dataclass(frozen=True)
class ExperimentRef:
    """A reference to an experiment. Until SwanLab resolves the reference, `cuid` may be a slug or a name."""

    workspace: str
    project: str
    cuid: str

    @property
    def parent(self) -> ProjectRef:
        return ProjectRef(self.workspace, self.project)

    @property
    def path(self) -> str:
        """Return the full path, which identifies the experiment in any call."""
        return f"{self.workspace}/{self.project}/{self.cuid}"

    def __str__(self) -> str:
        """Return the path, shortened and safe to show in a message."""
        return f"{shorten(self.workspace)}/{shorten(self.project)}/{shorten(self.cuid)}"


@dataclass(frozen=True)
class ProjectSet:
    """A reference to several projects. Experiments in these projects are identified by their full path."""

    projects: tuple[ProjectRef, ...]

    def experiment(self, cuid: str) -> ExperimentRef:
        """Return a reference to the experiment with the path `cuid`."""
        parent, _, name = cuid.rpartition("/")
        workspace, _, project = parent.partition("/")
        return ExperimentRef(workspace, project, name)

    def __str__(self) -> str:
        """Return the paths, shortened and safe to show in a message."""
        shown = ", ".join(map(str, self.projects[:_NAMED]))
        return f"{shown}, …" if len(self.projects) > _NAMED else shown


def label_experiments(refs: Iterable[ExperimentRef]) -> dict[ExperimentRef, str]:
    """Return a label for each experiment: its id, or its path if the experiments belong to several projects."""
    several = list(refs)
    is_one = len({one.parent for one in several}) == 1
    return {one: one.cuid if is_one else one.path for one in several}


def prefix_names(refs: Iterable[ExperimentRef]) -> dict[ProjectRef, str]:
    """Return a prefix for the experiment names in each project. The prefix is empty if there is only one project."""
    projects = {one.parent for one in refs}
    if len(projects) == 1:
        return dict.fromkeys(projects, "")
    is_distinct = len({one.project for one in projects}) == len(projects)
    return {one: f"{one.project}/" if is_distinct else f"{one.workspace}/{one.project}/" for one in projects}


Ref = WorkspaceRef | ProjectRef | ExperimentRef
# the projects that a call covers
Scope = ProjectRef | ProjectSet


@dataclass(frozen=True)
class Reference:
    """The names in a call's arguments, before they are resolved. `host` is set if the call passed a URL.

    `fallback` is the alternative interpretation of an ambiguous argument: a path to another project may also be an
    experiment name that contains slashes.
    """

    username: str = ""
    project: str = ""
    experiment: str = ""
    host: str = ""
    fallback: Reference | None = None


def parse_workspace(username: str) -> Reference:
    """Parse the name or URL of a workspace. An empty `username` means the default workspace. Raises InvalidArgument."""
    pasted = _parse_address(username, "username")
    if pasted:
        return Reference(pasted.username, host=pasted.host)
    return Reference(_check(username.strip().removeprefix("@"), "username"))


def parse_project(project: str, username: str = "") -> Reference:
    """Parse the name, path or URL of a project. Raises InvalidArgument.

    A `workspace/project` path is split unless `username` is a different workspace. If it is, the full text is used as
    the project's name, because old project names may contain a slash.
    """
    workspace = parse_workspace(username)
    pasted = _parse_address(project, "project")
    if pasted:
        if not pasted.project:
            raise InvalidArgument(
                gettext("project={project!r} is the URL of a workspace, not of a project.", project=shorten(project)),
                hint=gettext("list_projects lists the workspace's projects."),
            )
        return _agree(pasted, workspace)
    text = project.strip()
    if not text:
        raise InvalidArgument(
            gettext("No project was given."), hint=gettext("list_projects lists the projects of a workspace.")
        )
    path = _split(text)
    if len(path) >= 2 and (not workspace.username or path[0] == workspace.username):
        text = path[1]
        workspace = Reference(_check(path[0], "project"), host=workspace.host)
    return Reference(workspace.username, _check(text, "project"), host=workspace.host)


def parse_experiment(exp_cuid: str, project: str = "", username: str = "") -> Reference:
    """Parse the cuid, slug, name, path or URL of an experiment. Raises InvalidArgument.

    A path or URL in `exp_cuid` includes the project and workspace, and takes precedence over the other arguments. If
    the path leads to another project, the reference also has a fallback: the experiment in the given project whose name
    is the full path, because experiment names may contain slashes.
    """
    pasted = _parse_address(exp_cuid, "exp_cuid")
    if pasted:
        if not pasted.experiment:
            raise InvalidArgument(
                gettext("exp_cuid={exp_cuid!r} is not the URL of an experiment.", exp_cuid=shorten(exp_cuid)),
                hint=gettext("The URL of an experiment contains /runs/<id>; list_project_exps lists the experiments."),
            )
        return pasted
    text = exp_cuid.strip()
    if not text:
        raise InvalidArgument(
            gettext("No exp_cuid was given."), hint=gettext("list_project_exps lists a project's experiments.")
        )
    path = _split(text)
    if not project.strip():
        if len(path) < 3:
            raise InvalidArgument(
                gettext("exp_cuid={exp_cuid!r} was given without a project.", exp_cuid=shorten(text)),
                hint=gettext(
                    "Pass project, or pass exp_cuid as 'workspace/project/experiment' or as the URL of the "
                    "experiment's page."
                ),
            )
        return _reference(path)
    given = parse_project(project, username)
    if len(path) < 3:
        return Reference(given.username, given.project, _check(text, "exp_cuid"), given.host)
    if path[1] == given.project and given.username in ("", path[0]):
        return replace(_reference(path), host=given.host)
    name = Reference(given.username, given.project, _check(text, "exp_cuid"), given.host)
    return replace(_reference(path), fallback=name)


def read_bare_name(exp_cuid: str) -> str:
    """Return `exp_cuid` if it is a plain id or name. Return "" if it is empty, a path or a URL."""
    text = exp_cuid.strip()
    if not text or _parse_address(text, "exp_cuid") or len(_split(text)) == 3:
        return ""
    return _check(text, "exp_cuid")


def names_project(text: str) -> bool:
    """Return whether `text` is the path or URL of a project. Raises InvalidArgument for an invalid URL."""
    pasted = _parse_address(text, "project")
    return bool(pasted.project and not pasted.experiment) if pasted else len(_split(text.strip())) == 2


def find_near_names(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Return the `names` most similar to `name`, best match first.

    The best matches differ only in case. Names with the same words come next. Names with a similar spelling
    follow, and then names that contain `name` or are contained in it.
    """
    known = list(dict.fromkeys(names))
    folded = {candidate: candidate.casefold() for candidate in known}
    wanted = name.casefold()
    close = difflib.get_close_matches(wanted, folded.values(), n=count, cutoff=0.6)
    near = [candidate for candidate in known if folded[candidate] == wanted]
    near += _find_by_words(_split_words(name), known)
    near += [candidate for match in close for candidate in known if folded[candidate] == match]
    if len(wanted) >= _SHORTEST_PART:
        near += [one for one in known if wanted in folded[one]]
        near += [one for one in known if len(one) >= _SHORTEST_PART and folded[one] in wanted]
    return list(dict.fromkeys(near))[:count]


def _find_by_words(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names that contain all wanted words, followed by the names that consist of some of the wanted words.

    In both cases, at least two words must match.
    """
    if len(wanted) < _FEWEST_WORDS:
        return []
    split = {name: _split_words(name) for name in names}
    wider = [name for name in names if _has_words(split[name], wanted)]
    narrower = [name for name in names if len(split[name]) >= _FEWEST_WORDS and _has_words(wanted, split[name])]
    return [
        *sorted(wider, key=lambda name: len(split[name])),
        *sorted(narrower, key=lambda name: -len(split[name])),
    ]


def _has_words(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return all(any(_is_same_word(one, other) for other in words) for one in wanted)


def _split_words(name: str) -> list[str]:
    return [word.removesuffix("s") for word in _WORDS.sub(" ", _CAPITAL.sub(" ", name)).casefold().split()]


def _is_same_word(one: str, other: str) -> bool:
    # "exp" abbreviates "experiment"
    short, long = sorted((one, other), key=len)
    return short == long or (len(short) >= _SHORTEST_PART and long.startswith(short))


def _split(text: str) -> list[str]:
    """Split a path into workspace, project and experiment, without SwanLab's `runs` part or a page name at the end.

    Return a list that contains only `text` if it is not a path.
    """
    parts = text.strip("/").removeprefix("@").split("/")
    if len(parts) >= 4 and parts[2] == "runs":
        return [*parts[:2], parts[3]]
    if len(parts) == 3 and parts[2] == "runs":
        return parts[:2]
    return parts if all(parts) and len(parts) <= 3 else [text]


def _reference(path: list[str]) -> Reference:
    username, project, experiment = (_check(part, "exp_cuid") for part in path)
    return Reference(username, project, experiment)


def _agree(pasted: Reference, given: Reference) -> Reference:
    if given.username and given.username != pasted.username:
        reported = gettext(
            "The URL points to the workspace {theirs!r}, but the other arguments specify {ours!r}.",
            theirs=shorten(pasted.username),
            ours=shorten(given.username),
        )
        raise InvalidArgument(reported, hint=gettext("Pass only the URL, or make the arguments agree."))
    return pasted


def _parse_address(text: str, argument: str) -> Reference | None:
    text = text.strip()
    if not text.lower().startswith(("http://", "https://")):
        return None
    try:
        parts = urlsplit(text)
        host = f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}" + (f":{parts.port}" if parts.port else "")
    except ValueError as error:
        raise InvalidArgument(
            gettext("{argument}={text!r} is not a valid URL.", argument=argument, text=shorten(text)),
            hint=_describe_forms(),
        ) from error
    path = [_check(unquote(part), argument) for part in parts.path.split("/") if part]
    if not path or not path[0].startswith("@") or len(path[0]) == 1:
        raise InvalidArgument(
            gettext("{argument}={text!r} is not the URL of a SwanLab page.", argument=argument, text=shorten(text)),
            hint=gettext("The URL of an experiment looks like https://swanlab.cn/@workspace/project/runs/<id>/chart."),
        )
    project = path[1] if len(path) > 1 else ""
    experiment = path[3] if len(path) > 3 and path[2] == "runs" else ""
    return Reference(path[0][1:], project, experiment, host)


def _describe_forms() -> str:
    return gettext("Pass a name, a path like 'workspace/project/experiment', or the URL of a SwanLab page.")


def _check(name: str, argument: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        name = name.encode(errors="replace").decode()
        raise InvalidArgument(
            gettext("{argument}={name!r} contains an invalid character.", argument=argument, name=shorten(name)),
            hint=_describe_forms(),
        ) from None
    if name in (".", "..") or any(ord(character) < 0x20 or ord(character) == 0x7F for character in name):
        raise InvalidArgument(
            gettext("SwanLab does not allow the name {argument}={name!r}.", argument=argument, name=shorten(name)),
            hint=_describe_forms(),
        )
    return name
