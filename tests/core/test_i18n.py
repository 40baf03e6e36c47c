"""Text of ours in two languages: every text has a translation that fits it, and none escapes the catalogue."""

from __future__ import annotations

import ast
import io
import os
import re
from datetime import datetime, timezone
from gettext import GNUTranslations
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from swanlab_mcp.core import errors
from swanlab_mcp.core.i18n import LANGUAGES, language, say

PACKAGE = Path(__file__).parents[2] / "swanlab_mcp"
FOLDER = PACKAGE / "locale" / "zh" / "LC_MESSAGES"
ERRORS = set(errors.__all__)


def collect() -> Catalog:
    """Return every text that the package says, where it stands."""
    found = Catalog(charset="utf-8")
    for name, line, text, _, _ in extract_from_dir(PACKAGE, method_map=[("**.py", "python")], keywords={"say": None}):
        assert isinstance(text, str)
        found.add(text, locations=[(name, line)])
    return found


def read_catalogue() -> Catalog:
    with (FOLDER / "swanlab_mcp.po").open(encoding="utf-8") as file:
        return read_po(file, locale="zh")


def compile_catalogue(catalogue: Catalog) -> bytes:
    # the same bytes from the same texts
    catalogue.creation_date = catalogue.revision_date = datetime(2026, 1, 1, tzinfo=timezone.utc)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    return compiled.getvalue()


def test_the_catalogue_holds_what_the_code_says() -> None:
    said, catalogue = collect(), read_catalogue()
    if os.environ.get("UPDATE_CATALOGUE"):
        kept = {message.id: message.string for message in catalogue if message.id}
        written = Catalog(locale="zh", project="swanlab-mcp-server", charset="utf-8", fuzzy=False)
        for text in sorted(str(message.id) for message in said if message.id):
            written.add(text, kept.get(text, ""))
        with (FOLDER / "swanlab_mcp.po").open("wb") as file:
            write_po(file, written, width=120, omit_header=True, no_location=True)
        catalogue = read_catalogue()
        (FOLDER / "swanlab_mcp.mo").write_bytes(compile_catalogue(catalogue))
    assert {message.id for message in catalogue} == {message.id for message in said}
    # else: UPDATE_CATALOGUE=1 pytest tests/core/test_i18n.py, after translating


def test_every_text_is_translated_and_keeps_its_places() -> None:
    for message in read_catalogue():
        if not message.id:
            continue
        assert message.string, f"not translated: {message.id}"
        assert not message.fuzzy
        places, translated = (
            sorted((name, spec) for _, name, spec, _ in Formatter().parse(str(text)) if name is not None)
            if message.python_brace_format
            else []
            for text in (message.id, message.string)
        )
        assert places == translated, message.id


def test_the_compiled_catalogue_is_the_readable_one() -> None:
    with (FOLDER / "swanlab_mcp.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in read_catalogue():
        if message.id:
            assert compiled.gettext(str(message.id)) == message.string


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_is_said_is_a_literal_and_errors_are_said(path: Path) -> None:
    """An f-string would be looked up with its values in it; an error without `say` would be English for ever."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name == "say":
            assert isinstance(node.args[0], ast.Constant), f"line {node.lineno}"
        spoken = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "hint")] if name in ERRORS else []
        for one in spoken:
            words = [part.value for part in ast.walk(one) if isinstance(part, ast.Constant)]
            inside = [part for part in ast.walk(one) if isinstance(part, ast.Call)]
            plain = isinstance(one, (ast.JoinedStr, ast.Constant, ast.BinOp)) or not inside
            assert not (plain and any(isinstance(text, str) and re.search(r"[a-z] [a-z]", text) for text in words)), (
                f"line {node.lineno} is not said"
            )


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_place_of_a_text_has_its_value(path: Path) -> None:
    """What is rarely said would fail only then."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"):
            continue
        given = {one.arg for one in node.keywords}
        places = (
            {name for _, name, _, _ in Formatter().parse(ast.literal_eval(node.args[0])) if name} if given else set()
        )
        # a mapping gives names that only a call shows
        assert given == places or (None in given and given - {None} < places), f"line {node.lineno}: {given ^ places}"


def test_an_unknown_text_stays_english_and_braces_without_values_stay() -> None:
    token = language.set("zh")
    try:
        assert say("No such text {here}") == "No such text {here}"
    finally:
        language.reset(token)
    assert set(LANGUAGES) == {"en", *(folder.name for folder in (PACKAGE / "locale").iterdir())}
