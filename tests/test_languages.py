"""What is ours is said in one language, chosen by argument or environment; names and keys are the same in each."""

from __future__ import annotations

import locale

import pytest

from swanlab_mcp.settings import load_settings

LOCALES = ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE")


@pytest.mark.parametrize("name", LOCALES)
@pytest.mark.parametrize(
    ("value", "chosen"),
    [("zh_CN.UTF-8", "zh"), ("zh", "zh"), ("zh_TW:en", "zh"), ("en_US.UTF-8", "en"), ("C", "en"), ("de_DE", "en")],
)
def test_auto_is_what_the_environment_names(name: str, value: str, chosen: str) -> None:
    assert load_settings(environ={name: value}).language == chosen
    assert load_settings(environ={name: value}, lang="auto", demo=True).language == chosen


@pytest.mark.parametrize("place", range(3))
def test_the_stronger_variable_decides(place: int) -> None:
    environ = {LOCALES[place]: "en_US", LOCALES[place + 1]: "zh_CN"}
    assert load_settings(environ=environ).language == "en"
    assert load_settings(environ={**environ, LOCALES[place]: ""}).language == "zh"


@pytest.mark.parametrize(
    ("told", "chosen"), [("zh_CN", "zh"), ("Chinese (Simplified)_China", "zh"), ("en_GB", "en"), (None, "en")]
)
def test_without_variables_the_operating_system_tells(
    monkeypatch: pytest.MonkeyPatch, told: str | None, chosen: str
) -> None:
    monkeypatch.setattr(locale, "getlocale", lambda: (told, "UTF-8"))
    assert load_settings(environ={}).language == chosen


def test_a_locale_that_python_does_not_know_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("unknown locale: xx")

    monkeypatch.setattr(locale, "getlocale", fail)
    assert load_settings(environ={}).language == "en"


def test_the_setting_is_stronger_than_the_locale_and_the_argument_than_the_setting() -> None:
    environ = {"SWANLAB_MCP_LANG": "ZH ", "LC_ALL": "en_US"}
    assert load_settings(environ=environ).language == "zh"
    assert load_settings(environ=environ, lang="en").language == "en"
    assert load_settings(environ={"SWANLAB_MCP_LANG": "auto", "LANG": "zh_CN"}).language == "zh"


def test_a_language_that_we_do_not_speak_is_told() -> None:
    found = load_settings(environ={"SWANLAB_MCP_LANG": "fr", "LANG": "en_US"})
    assert found.language == "en"
    assert found.problems == ("SWANLAB_MCP_LANG='fr' is not auto, en or zh; auto is used.",)
