"""Every message is in the catalogue and has a matching translation."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from swanlab_mcp.core import errors
from swanlab_mcp.core.i18n import LANGUAGES, gettext, language, ngettext, use_language

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "swanlab_mcp"
FOLDER = PACKAGE / "locale" / "zh" / "LC_MESSAGES"
ERRORS = set(errors.__all__)


def collect() -> Catalog:
    """Return every message in the package with its location."""
    found = Catalog(charset="utf-8")
    keywords = {"gettext": None, "ngettext": (1, 2)}
    for name, line, text, _, _ in extract_from_dir(PACKAGE, method_map=[("**.py", "python")], keywords=keywords):
        found.add(text, locations=[(name, line)])
    return found


def read_catalogue(folder: Path = FOLDER) -> Catalog:
    with (folder / "swanlab_mcp.po").open(encoding="utf-8") as file:
        return read_po(file, locale="zh")


def test_catalogue_matches_the_messages_in_the_code() -> None:
    wanted = {message.id for message in collect()}
    assert {message.id for message in read_catalogue()} == wanted, "run scripts/update_catalogue.sh, then translate"


def test_reworded_message_keeps_its_chinese_for_review(tmp_path: Path) -> None:
    for folder in ("swanlab_mcp", "scripts", "release"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    old, new = "There is no run {cuid!r} in {project}.", "There is no run {cuid!r} in the project {project}."
    code = tmp_path / "swanlab_mcp" / "client" / "local" / "catalogue.py"
    text = code.read_text(encoding="utf-8")
    assert text.count(old) == 1
    code.write_text(text.replace(old, new), encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "scripts/update_catalogue.sh"], cwd=tmp_path, check=True, capture_output=True, env={"PATH": path}
    )
    before, after = read_catalogue(), read_catalogue(tmp_path / FOLDER.relative_to(ROOT))
    assert after[new].string == before[old].string
    assert [message.id for message in after if message.id and message.fuzzy] == [new]
    assert {message.id for message in after} == {message.id for message in before} - {old} | {new}
    assert not after.obsolete


def test_every_message_is_translated_with_its_fields() -> None:
    catalogue = read_catalogue()
    assert not catalogue.obsolete
    for message in catalogue:
        if not message.id:
            continue
        assert all(message.string), f"not translated: {message.id}"
        assert not message.fuzzy, f"not reviewed: {message.id}"
        if message.python_brace_format:
            english = message.id if message.pluralizable else (message.id,)
            chinese = message.string if message.pluralizable else (message.string,)
            assert {read_fields(text) for text in (*english, *chinese)} == {read_fields(english[-1])}, message.id


def read_fields(text: str) -> tuple[tuple[str, str | None], ...]:
    return tuple(sorted((name, spec) for _, name, spec, _ in Formatter().parse(text) if name is not None))


# counts that are never 1, because they are limits or always count several things
NEVER_ONE = {
    "(nested deeper than {levels} levels)",
    "A shared server waits at most {seconds} seconds.",
    "Cut to the first {count} of {total} rows to stay within the output limit.",
    "Cut to the last {count} of {total} rows to stay within the output limit.",
    "A baseline applies to only one project, but the experiments are from {count} projects.",
    (
        "Fewer than {needed} finished experiments reach step {until}, so the forecast only extrapolates "
        "the experiment's own curve."
    ),
    "Incomplete: only the first {count} of {total} projects were read; skipped: {names}.",
    "Only the first {count} folders below {name!r} were searched; pass a folder that contains runs as --log-dir.",
    "Only the first {count} of {total} keys were checked; continue with {names} as keys.",
    "Only the newest {count} of {total} running experiments were checked for stalls and problems.",
    ("Recorded in {count} folders by several launches, the last with {ranks} ranks; they are read as one experiment."),
    "The run was resumed or shared between processes; its {count} folders are read as one experiment.",
    "Single values of {metric} are noisy, so the best mean of {count} consecutive points is used.",
    "SwanLab's list of {what} has {count} items on one page, although only {size} were requested.",
    "The 90 % interval is calibrated on the {count} finished experiments, each forecast from the others.",
    "These are the last of {total} lines; for earlier lines, pass start={start} count={count}.",
    "{total} experiments may have diverged, but the points of only {count} were checked; add filters.",
    "The best {key} is {value}, the largest of {count} values: larger values are untried.",
    "The best {key} is {value}, the smallest of {count} values: smaller values are untried.",
    "The body is larger than {size} bytes.",
    "The confirmation is older than {minutes} minutes; no changes were made.",
    "The first {shown} of {total} compared experiments are shown.",
    "The message is nested more than {depth} levels deep.",
    "The server is busy; try again in {seconds} seconds.",
    "Too many of your calls are running; try again in {seconds} seconds.",
    "SWANLAB_MCP_PROXY_SECRET needs at least {count} random characters.",
    "{path} is larger than {size} bytes.",
    (
        "With --allow-writes, set SWANLAB_MCP_CONFIRMATION_SECRET to at least {count} random characters, "
        "the same for all workers: it signs the confirmations."
    ),
    "at={at} reads every point in {count} experiments, but at most {most} can be read at once.",
    "fewer than {needed} points, and their order alone proves nothing",
    "first {name}; {count} of {total} points affected, finite again later",
    "first {name}; {count} of {total} points affected, never recovered",
    "median load {load:.3g} % over {count} samples",
    "rise by more than {share:.0%} of the earlier gain and {sigmas:g} sigmas for {count} points or more, then recovery",
    "{count:.0f} days",
    "{count} experiments are named {name!r}.",
    "{count} experiments are too many to compare; at most {most} at once.",
    "{count} experiments in {project} are named {name!r}.",
    "{count} experiments in {project} have a folder {cuid!r}.",
    "{count} experiments in {project} have the recorded id {cuid!r}.",
    (
        "{count} runs have no recorded end: they are still running or were killed ({names}, …). "
        "get_experiment shows the evidence for a single run."
    ),
    "{name!r} has more than {count} characters.",
    "{name} at step {step}: {total} characters in total; continue with text_start={end}.",
    "{name}: {folder!r}, one of its {count} folders, is skipped: {problem}.",
    "{name}: {count} of {total} ranks {state} ({folders}).",
    "{shown} of {total} rows are shown.",
    "{text} (of {count} characters)",
    "Reading {names} requires one request for each of the {count} experiments, but at most {most} can be read at once.",
    "Incomplete: machine information was read for only {count} of {total} experiments; add filters.",
    "constant for {count} points or more, or a quality metric within {sigmas:g} sigmas of 0",
}
NUMBERS = {
    *("actual", "actual_length", "count", "depth", "levels", "minutes", "most", "needed", "number", "ranks", "seconds"),
    *("shown", "size", "times", "total", "max_length", "min_length", "points", "summaries", "hours", "days", "lines"),
}


def test_counts_that_may_be_one_have_a_singular() -> None:
    catalogue = [message.id for message in collect() if message.id]
    counted = {"days", "hours", "levels", "minutes", "samples", "seconds"}
    for singular, plural in (one for one in catalogue if isinstance(one, tuple)):
        words = set(re.findall(r"[a-z]+", singular))
        counted |= {word for word in re.findall(r"[a-z]+s\b", plural) if word not in words and word[:-1] in words}
    pattern = re.compile(rf"{{({'|'.join(NUMBERS)})(?::[^}}]*)?}} (?:[a-z]+ ){{0,2}}({'|'.join(sorted(counted))})\b")
    found = {text for text in catalogue if isinstance(text, str) and pattern.search(text)}
    assert found == NEVER_ONE, "use ngettext, unless the count is never 1"


def test_plurals_have_two_english_forms_and_a_chinese_form() -> None:
    assert ngettext("{count} row", "{count} rows", 1) == "1 row"
    assert ngettext("{count} row", "{count} rows", 0) == "0 rows"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_messages_are_literals_and_errors_are_translated(path: Path) -> None:
    """An f-string never matches the catalogue, and an error without `gettext` is never translated."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if isinstance(node.func, ast.Name) and name in ("gettext", "ngettext"):
            texts = node.args[:2] if name == "ngettext" else node.args[:1]
            assert all(isinstance(one, ast.Constant) for one in texts), f"line {node.lineno}"
        spoken = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "hint")] if name in ERRORS else []
        for one in spoken:
            words = [part.value for part in ast.walk(one) if isinstance(part, ast.Constant)]
            inside = [part for part in ast.walk(one) if isinstance(part, ast.Call)]
            plain = isinstance(one, (ast.JoinedStr, ast.Constant, ast.BinOp)) or not inside
            assert not (plain and any(isinstance(text, str) and re.search(r"[a-z] [a-z]", text) for text in words)), (
                f"line {node.lineno} is not said"
            )


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_field_of_a_message_has_a_value(path: Path) -> None:
    """Otherwise a rare message would fail only at run time."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "gettext"):
            continue
        given = {one.arg for one in node.keywords}
        placeholders = (
            {name for _, name, _, _ in Formatter().parse(ast.literal_eval(node.args[0])) if name} if given else set()
        )
        # a mapping's names are known only at run time
        assert given == placeholders or (None in given and given - {None} < placeholders), (
            f"line {node.lineno}: {given ^ placeholders}"
        )


def test_unknown_message_stays_english_and_keeps_unused_braces() -> None:
    token = language.set("zh")
    try:
        assert gettext("No such text {here}") == "No such text {here}"
    finally:
        language.reset(token)
    assert set(LANGUAGES) == {"en", *(folder.name for folder in (PACKAGE / "locale").iterdir())}


def test_seconds_may_be_fractions() -> None:
    found = [ngettext("{count:g} second", "{count:g} seconds", seconds) for seconds in (0.5, 1.0, 1.5)]
    assert found == ["0.5 seconds", "1 second", "1.5 seconds"]
    with use_language("zh"):
        text = ngettext(
            "The call did not finish within {count:g} second.",
            "The call did not finish within {count:g} seconds.",
            0.5,
        )
    assert text.startswith("0.5 秒")


def test_catalogue_has_the_format_that_its_script_writes() -> None:
    text = (FOLDER / "swanlab_mcp.po").read_text(encoding="utf-8")
    assert "msgstr[1]" not in text
    assert not re.search(r"^(#~|# |#, .*fuzzy)", text, re.MULTILINE)
