"""Every message is in the catalogue and has a matching translation."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from swanlab_mcp.core import errors
from swanlab_mcp.core.i18n import LANGUAGES, language, say, say_plural

PACKAGE = Path(__file__).parents[2] / "swanlab_mcp"
FOLDER = PACKAGE / "locale" / "zh" / "LC_MESSAGES"
ERRORS = set(errors.__all__)


def collect() -> Catalog:
    """Return every message of the package with its location."""
    found = Catalog(charset="utf-8")
    keywords = {"say": None, "say_plural": (1, 2)}
    for name, line, text, _, _ in extract_from_dir(PACKAGE, method_map=[("**.py", "python")], keywords=keywords):
        found.add(text, locations=[(name, line)])
    return found


def read_catalogue() -> Catalog:
    with (FOLDER / "swanlab_mcp.po").open(encoding="utf-8") as file:
        return read_po(file, locale="zh")


def test_catalogue_matches_the_messages_in_the_code() -> None:
    wanted = {message.id for message in collect()}
    assert {message.id for message in read_catalogue()} == wanted, "run scripts/update_catalogue.sh, then translate"


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


def test_plurals_have_two_english_forms_and_a_chinese_form() -> None:
    assert say_plural("{count} row", "{count} rows", 1) == "1 row"
    assert say_plural("{count} row", "{count} rows", 0) == "0 rows"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_say_gets_literals_and_errors_use_say(path: Path) -> None:
    """An f-string never matches the catalogue, and an error without `say` is never translated."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("say", "say_plural"):
            texts = node.args[:2] if name == "say_plural" else node.args[:1]
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
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"):
            continue
        given = {one.arg for one in node.keywords}
        places = (
            {name for _, name, _, _ in Formatter().parse(ast.literal_eval(node.args[0])) if name} if given else set()
        )
        # a mapping's names are known only at run time
        assert given == places or (None in given and given - {None} < places), f"line {node.lineno}: {given ^ places}"


def test_unknown_message_stays_english_and_keeps_unused_braces() -> None:
    token = language.set("zh")
    try:
        assert say("No such text {here}") == "No such text {here}"
    finally:
        language.reset(token)
    assert set(LANGUAGES) == {"en", *(folder.name for folder in (PACKAGE / "locale").iterdir())}
