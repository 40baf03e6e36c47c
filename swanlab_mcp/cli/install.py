"""`install`: add the server to an assistant's configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from swanlab_mcp.cli.assistants import ASSISTANTS, Assistant, Entry, write_snippet
from swanlab_mcp.cli.installation import Change, find_command, plan_change, write_change
from swanlab_mcp.cli.output import report
from swanlab_mcp.cli.parser import repeat_options
from swanlab_mcp.cli.skill import install_skill
from swanlab_mcp.core.errors import SwanLabError
from swanlab_mcp.core.hosts import hide_password
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.settings import Settings, find_home, get_environment, load_settings, read_network_variables

__all__ = ["run"]

_PATHS = {
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "SWANLAB_ROOT",
    "SWANLAB_SAVE_DIR",
    "SWANLAB_MCP_METRICS",
}
_SECRETS = {"SWANLAB_MCP_CONFIRMATION_SECRET"}


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Show the change, write it, and report how the server will log in.

    Exit codes: 0 for success, 1 if a problem prevented the change, 2 for a usage error.
    """
    if arguments.skill:
        return install_skill(arguments)
    assistant = ASSISTANTS.get(arguments.assistant)
    if assistant is None:
        names = ", ".join(ASSISTANTS)
        report(gettext("Unknown assistant {name!r}. Known assistants: {names}.", name=arguments.assistant, names=names))
        return 2
    missing = [folder for folder in settings.log_dirs if not folder.is_dir()]
    problem = settings.host_problem
    if missing:
        problem = gettext("{folder} is not a folder; no file was written.", folder=missing[0])
    if problem:
        # do not install settings with which every call would fail
        report(problem)
        return 1
    entry, notes = _make_entry(settings, arguments)
    home = find_home(get_environment())
    if home is None:
        print(write_snippet(assistant, entry), end="")
        report(gettext("No home folder was found; add this to {assistant} by hand.", assistant=assistant.title))
        return 1
    path = assistant.find_file(home)
    if path is None:
        print(write_snippet(assistant, entry), end="")
        report(
            gettext(
                "{assistant} manages its own server list: import this in its settings, under MCP.",
                assistant=assistant.title,
            )
        )
        return _describe_all(notes)
    if arguments.print and not path.parent.is_dir():
        # the entry is only printed, so the assistant does not have to be installed yet
        print(write_snippet(assistant, entry), end="")
        return _describe_all(notes)
    return _change(assistant, entry, path, notes, only_shows=arguments.print)


def _change(assistant: Assistant, entry: Entry, path: Path, notes: list[str], *, only_shows: bool) -> int:
    try:
        change: Change = plan_change(assistant, entry, path)
        if not change.difference:
            report(gettext("{path} already has this entry.", path=path))
            return 0
        print(change.difference, flush=True)
        if only_shows:
            return _describe_all(notes)
        backup = write_change(change)
    except SwanLabError as error:
        report(str(error))
        return 1
    report(
        gettext("{path}: written. The previous content is in {backup}.", path=path, backup=backup)
        if backup
        else gettext("{path}: written.", path=path)
    )
    _describe_all(notes)
    report(gettext("Restart {assistant} to use it.", assistant=assistant.title))
    return 0


def _describe_all(notes: list[str]) -> int:
    for note in notes:
        report(note)
    return 0


def _make_entry(settings: Settings, arguments: argparse.Namespace) -> tuple[Entry, list[str]]:
    """Return an entry that works in any working directory and environment.

    Also return notes for the user about the key, the host and the variables that the entry does not contain.
    """
    environ, notes = _carry_variables(settings)
    if not settings.demo:
        arguments.log_dir = [str(folder) for folder in settings.log_dirs]
        if arguments.host or get_environment().get("SWANLAB_API_HOST", "").strip():
            arguments.host = settings.api_host
    entry = Entry((*find_command(), *map(neutralise, repeat_options(arguments))), environ)
    if settings.demo:
        return entry, notes
    found = load_settings(
        host=arguments.host,
        log_dirs=arguments.log_dir,
        allow_insecure_host=arguments.allow_insecure_host,
        environ=environ,
        folder=Path("/"),
    )
    if settings.key_source in ("", "SWANLAB_API_KEY"):
        notes.append(
            gettext(
                "The entry does not contain the key: run `swanlab login`, "
                "or add SWANLAB_API_KEY to the entry's environment."
            )
        )
    if found.api_key and found.api_key != settings.api_key:
        notes.append(gettext("Until then, the entry uses the key from {source}.", source=found.key_source))
    elif settings.api_key and found.api_key == settings.api_key and found.key_source != settings.key_source:
        notes.append(
            gettext("The entry uses the key from {source}, found through SWANLAB_ROOT.", source=settings.key_source)
        )
    if (found.api_host, found.web_host) != (settings.api_host, settings.web_host):
        notes.append(
            gettext(
                "Warning: the entry uses the host {found}, not {wanted}.",
                found=found.api_host,
                wanted=settings.api_host,
            )
        )
    return entry, notes


def _carry_variables(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """Return the environment variables that the entry needs, excluding secrets, and notes about the omitted ones."""
    known, notes = get_environment(), list[str]()
    names = [name for name in known if name.startswith("SWANLAB_MCP_") and name not in _SECRETS]
    names += ["SWANLAB_WEB_HOST", "SWANLAB_ROOT", "SWANLAB_SAVE_DIR"]
    carried = {name: known[name].strip() for name in names if known.get(name, "").strip()}
    network = read_network_variables()
    carried |= {one.name: one.value for one in network.certificates if one.name in _PATHS}
    for one in network.proxies.values():
        if hide_password(one.value) == one.value and one.name in known:
            carried[one.name] = one.value
        else:
            notes.append(
                gettext(
                    "{variable} is not in the entry; add it to the entry's environment if it is needed.",
                    variable=one.name,
                )
            )
    if network.proxies and network.no_proxy:
        carried["NO_PROXY"] = ",".join(network.no_proxy)
    for name in _PATHS & set(carried):
        carried[name] = str(Path(carried[name]).absolute())
    if settings.key_source == "./.swanlab/.netrc":
        carried["SWANLAB_ROOT"] = str(Path.cwd() / ".swanlab")
    elif settings.key_source == "~/.swanlab/.netrc" and (home := find_home(known)) != find_home({}):
        carried["SWANLAB_ROOT"] = f"{home}/.swanlab"
    return carried, notes
