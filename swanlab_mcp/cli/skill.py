"""`install --skill`: copy the research-loop skill into an assistant's skills folder."""

from __future__ import annotations

import argparse
from difflib import unified_diff
from pathlib import Path

from swanlab_mcp.cli.installation import Change, write_change
from swanlab_mcp.cli.output import report
from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.i18n import gettext
from swanlab_mcp.core.untrusted import neutralise
from swanlab_mcp.settings import find_home, get_environment

__all__ = ["FOLDERS", "SKILL", "install_skill"]

SKILL = Path(__file__).parents[1] / "skills/swanlab-research-loop/SKILL.md"
# the folder for personal skills of each assistant, relative to the home folder
FOLDERS = {
    "claude-code": ".claude/skills",
    "codex": ".agents/skills",
    "cursor": ".cursor/skills",
    "gemini": ".gemini/skills",
    "opencode": ".config/opencode/skills",
}


def install_skill(arguments: argparse.Namespace) -> int:
    """Show the change and write the skill, keeping a backup of the previous file.

    Return the exit code: 0 for success, 1 if the file was not written because of a problem, 2 for a usage error.
    """
    folder = FOLDERS.get(arguments.assistant)
    if folder is None:
        names = ", ".join(FOLDERS)
        report(gettext("Unknown assistant {name!r}. Known assistants: {names}.", name=arguments.assistant, names=names))
        return 2
    home = find_home(get_environment())
    if home is None:
        print(SKILL.read_text(encoding="utf-8"), end="")
        report(gettext("No home folder was found; save this as SKILL.md in the assistant's skills folder."))
        return 1
    try:
        change = _plan(home / folder / SKILL.parent.name / SKILL.name)
        if not change.difference:
            report(gettext("{path} already has this skill.", path=change.path))
            return 0
        print(change.difference, flush=True)
        if arguments.print:
            return 0
        change.path.parent.mkdir(parents=True, exist_ok=True)
        backup = write_change(change)
    except InvalidArgument as error:
        report(str(error))
        return 1
    except OSError as error:
        report(
            gettext("{path} was not written: {why}.", path=home / folder, why=error.strerror or type(error).__name__)
        )
        return 1
    report(
        gettext("{path}: written. The previous content is in {backup}.", path=change.path, backup=backup)
        if backup
        else gettext("{path}: written.", path=change.path)
    )
    return 0


def _plan(path: Path) -> Change:
    """Return the planned change to the file. Raises InvalidArgument if an existing file cannot be read as text."""
    after = SKILL.read_text(encoding="utf-8")
    try:
        before = path.read_bytes().decode("utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            gettext("{name} cannot be read ({kind}).", name=path, kind=type(error).__name__)
        ) from error
    lines = unified_diff((before or "").splitlines(), after.splitlines(), str(path), str(path), n=2, lineterm="")
    return Change(path, before, after, neutralise("\n".join(lines)) if before != after else "")
