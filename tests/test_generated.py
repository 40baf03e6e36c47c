"""Check that generated files match the code. To update the files, run `bash scripts/regenerate.sh`."""

from __future__ import annotations

import re

from tests.generated import CHINESE_REFERENCE, DOCS, EVERY_TOOL, ROOT, make_all, mark_english, read_methods


def test_generated_files_match_the_code() -> None:
    stale = [path.relative_to(ROOT) for path, text in make_all().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: bash scripts/regenerate.sh"


def test_every_method_has_a_chinese_text() -> None:
    texts = read_methods(CHINESE_REFERENCE)
    assert len(texts) >= 20
    assert [name for name, text in texts.items() if not re.search(r"[\u4e00-\u9fff]", text)] == []


def test_chinese_texts_follow_the_english() -> None:
    english, chinese = read_methods(DOCS / "openapi.md"), read_methods(CHINESE_REFERENCE)
    stale = [name for name, text in chinese.items() if not text.endswith(mark_english(english[name]))]
    assert stale == [], "correct the Chinese in docs/zh/openapi.md, delete the comment after it, and regenerate"


def test_every_tool_has_a_page() -> None:
    assert {path.stem for path in (DOCS / "tools").glob("*.md")} == {"README", *(entry.name for entry in EVERY_TOOL)}
