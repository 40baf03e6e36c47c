from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.core.errors import InvalidArgument
from swanlab_mcp.core.refs import Reference, find_near_names, parse_experiment, parse_project, parse_workspace

names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/@ "), min_size=1, max_size=20
).filter(lambda name: name not in (".", "..") and name == name.strip() and name.lower()[:4] != "http")
URL = "https://swanlab.cn"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("p",), Reference("", "p")),
        (("t/p",), Reference("t", "p")),
        (("@t/p",), Reference("t", "p")),
        (("t/p", "t"), Reference("t", "p")),
        (("t/p", "other"), Reference("other", "t/p")),
        (("t/p/e",), Reference("t", "p")),
        ((f"{URL}/@t/p%20q",), Reference("t", "p q", host=URL)),
        ((f"{URL}/@t/p/overview", "@t"), Reference("t", "p", host=URL)),
        ((f"{URL}/@t/p/runs/e/chart",), Reference("t", "p", "e", host=URL)),
        (("a/b/c/d/e",), Reference("", "a/b/c/d/e")),
    ],
)
def test_project_is_a_name_a_path_or_a_url(arguments: tuple[str, ...], expected: Reference) -> None:
    assert parse_project(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("e", "p"), Reference("", "p", "e")),
        (("e", "t/p"), Reference("t", "p", "e")),
        (("t/p/e",), Reference("t", "p", "e")),
        (("t/p/runs/e",), Reference("t", "p", "e")),
        (("@t/p/runs/e/log", "p"), Reference("t", "p", "e")),
        (("t/p/e", "p", "t"), Reference("t", "p", "e")),
        (("x/y", "p"), Reference("", "p", "x/y")),
        (("x/y/z", "p"), Reference("x", "y", "z", fallback=Reference("", "p", "x/y/z"))),
        (("t/q/e", "p", "t"), Reference("t", "q", "e", fallback=Reference("t", "p", "t/q/e"))),
        (("t/p/e", "u/p"), Reference("t", "p", "e", fallback=Reference("u", "p", "t/p/e"))),
        (("t/p/e", "", "other"), Reference("t", "p", "e")),
        (("x/y/z/w", "p"), Reference("", "p", "x/y/z/w")),
        ((f"{URL}/@t/p/runs/e", "q"), Reference("t", "p", "e", URL)),
        ((f"{URL}/@t/p/runs/e", "", "u"), Reference("t", "p", "e", URL)),
        ((f"{URL}/@t/p/runs/e/chart",), Reference("t", "p", "e", URL)),
        ((f"{URL}:8443/@t/p/runs/e", "t/p"), Reference("t", "p", "e", f"{URL}:8443")),
    ],
)
def test_experiment_is_an_id_a_path_or_a_url(arguments: tuple[str, ...], expected: Reference) -> None:
    assert parse_experiment(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("",), "No exp_cuid"),
        (("e",), "without a project"),
        (("t/p",), "without a project"),
        ((f"{URL}/@t/p", ""), "not the URL of an experiment"),
        (("e", f"{URL}/@t/p", "u"), "points to the workspace 't', but the other arguments specify 'u'"),
        (("https://[bad/@t", ""), "not a valid URL"),
        ((f"{URL}/settings", ""), "not the URL of a SwanLab page"),
        ((f"{URL}/@t/p/runs/%00", ""), "does not allow the name"),
        (("a\ud800b", "p"), "invalid character"),
        (("e", f"{URL}/@t"), "URL of a workspace"),
    ],
)
def test_invalid_reference_is_refused_with_the_reason(arguments: tuple[str, ...], expected: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(expected)):
        parse_experiment(*arguments)


@given(names, names, names)
def test_all_reference_spellings_are_equal(username: str, project: str, experiment: str) -> None:
    expected = Reference(username, project, experiment)
    assert parse_experiment(experiment, project, username) == expected
    assert parse_experiment(f"{username}/{project}/runs/{experiment}") == expected
    assert parse_experiment(f"@{username}/{project}/runs/{experiment}/chart") == expected


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_parsed_or_refused(experiment: str, project: str, username: str) -> None:
    try:
        found = parse_experiment(experiment, project, username)
    except InvalidArgument as error:
        str(error).encode()
        return
    assert found.experiment
    assert found.project


def test_workspace_can_be_a_url() -> None:
    assert parse_workspace(f"{URL}/@t/p") == Reference("t", host=URL)
    assert parse_workspace("@t") == Reference("t")
    assert parse_workspace("") == Reference()


def test_near_names_cover_case_typos_and_parts() -> None:
    known = ["bert-base", "BERT-large", "resnet18", "vit", "a"]
    assert find_near_names("Bert-Base", known)[0] == "bert-base"
    assert find_near_names("resnet19", known) == ["resnet18"]
    assert find_near_names("large", known) == ["BERT-large"]
    assert find_near_names("my-resnet18-run", known) == ["resnet18"]
    assert find_near_names("zzz", known) == []
    assert find_near_names("x", known) == []
