"""Codes are translated in Chinese texts and unchanged in English and in JSON."""

from __future__ import annotations

from typing import get_args

import pytest

from swanlab_mcp.analysis.events import Kind
from swanlab_mcp.core.i18n import use_language
from swanlab_mcp.present import code_words, event_words
from swanlab_mcp.present.code_words import word_code
from swanlab_mcp.present.text import render


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_event_kind_has_a_chinese_word(kind: str) -> None:
    assert word_code("kind", kind) == kind
    with use_language("zh"):
        assert not word_code("kind", kind).isascii()


def test_every_event_kind_and_no_other_has_words() -> None:
    for words in (vars(code_words)["_KINDS"], vars(event_words)["_DETAILS"]):
        assert {*words} == {*get_args(Kind)}


@pytest.mark.parametrize(
    ("column", "code", "word"),
    [
        ("state", "CRASHED", "已崩溃"),
        ("confidence", "high", "高"),
        ("verdict", "within noise", "在噪声之内"),
        ("what", "record", "新纪录"),
        ("better", "larger", "越大越好"),
        ("source", "all points", "全部数据点"),
    ],
)
def test_chinese_texts_show_words_for_codes(column: str, code: str, word: str) -> None:
    table = {"data": [{"name": "a", column: code}, {"name": "b", column: ""}]}
    assert f"a | {code}" in render(table)
    with use_language("zh"):
        assert f"a | {word}" in render(table)
        assert render({"data": {column: code}}) == f"{column}: {word}"


def test_recorded_values_are_never_translated() -> None:
    with use_language("zh"):
        assert "config.state: CRASHED" in render({"data": {"config": {"state": "CRASHED"}}})
        assert word_code("name", "baseline") == "baseline"
        assert word_code("state", "restarted") == "restarted"
