"""Lists show the config keys that differ instead of the full config."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp import OpenApi
from swanlab_mcp.analysis.config_columns import choose_columns, list_keys, pick_keys
from swanlab_mcp.analysis.differences import flatten
from swanlab_mcp.present.text import count_tokens
from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import BEGINNING, State
from tests.server.test_tools import DEMO

pytestmark = pytest.mark.anyio
ASK = {"project": "large"}
CONSTANT = {f"argument_{number}": "x" * 50 for number in range(200)}


@pytest.fixture
def state(state: State) -> State:
    """Return a project whose configs are as large as those that transformers logs."""
    project = state.add_project(state.workspaces[0], "large", cuid="large")
    for number in range(30):
        varying = {"learning_rate": 10.0**-number, "optim": {"name": ("adam", "sgd")[number % 2]}, "seed": number}
        more = {f"option_{index}": number % (index + 2) for index in range(12)}
        config = {**CONSTANT, **varying, **more}
        state.add_experiment(project, f"run-{number}", cuid=f"large{number}", config=config)
    return state


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("tool", ["list_project_exps", "find_experiments"])
async def test_lists_show_differing_config_keys(settings: Settings, tool: str) -> None:
    async with session(settings) as client:
        result = await client.call_tool(tool, {**ASK, "page": 1, "size": 30})
    rows = result.structured_content["data"]
    assert len(rows) == 30
    assert len(flatten(rows[0]["profile"]["config"])) == 8
    row = next(row for row in rows if row["cuid"] == "large3")
    assert row["profile"]["config"]["learning_rate"] == 0.001
    assert "200 config keys have the same value in all rows and are omitted" in text_of(result)
    assert "7 more config keys differ: " in text_of(result)


@pytest.mark.usefixtures("state")
async def test_fields_choose_config_keys(settings: Settings) -> None:
    async with session(settings) as client:
        chosen = await client.call_tool("list_project_exps", {**ASK, "size": 2, "fields": ["optim", "config.seed"]})
        unknown = await client.call_tool("list_project_exps", {**ASK, "size": 2, "fields": ["seed", "optim.nme"]})
        whole = await client.call_tool("list_project_exps", {**ASK, "size": 2, "fields": "config"})
    config = chosen.structured_content["data"][1]["profile"]["config"]
    assert set(config) == {"optim", "seed"}
    assert "None of these configs has the key 'optim.nme'. Similar keys: optim.name." in text_of(unknown)
    assert set(unknown.structured_content["data"][0]["profile"]["config"]) == {"seed"}
    assert len(whole.structured_content["data"][0]["profile"]["config"]) == 215


@pytest.mark.usefixtures("state")
async def test_python_lists_contain_the_full_config(host: str) -> None:
    with OpenApi(api_key="test-key", host=host) as api:
        listed = api.list_project_exps("large").data
        found = api.find_experiments("large", [{"field": "name", "op": "=", "value": "run-1"}]).data
    assert listed is not None
    assert found is not None
    assert len(listed[0]["profile"]["config"]) == len(found[0]["profile"]["config"]) == 215


configs = st.recursive(
    st.integers(0, 2) | st.text(max_size=3),
    lambda values: st.dictionaries(st.sampled_from("abcd"), values, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict))


@given(st.lists(configs, min_size=1, max_size=5), st.integers(1, 4))
def test_every_key_is_shown_named_or_counted(values: list[Any], most: int) -> None:
    columns = choose_columns(values, most)
    assert len(columns.shown) <= most
    assert len(columns.shown) + columns.varying + columns.constant == len(list_keys(values))


@given(configs)
def test_all_keys_select_the_full_config(config: Any) -> None:
    assert flatten(pick_keys(config, set(flatten(config)))) == flatten(config)


async def test_dotted_keys_differ_from_nested_keys(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "dotted")
    for number, name in enumerate(("one", "two")):
        config = {"opt.lr": 0.1 + number, "opt": {"lr": 0.5 + number}}
        state.add_experiment(project, name, cuid=name, config=config, metrics={"loss": [(0, 1.0)]})
    async with session(settings) as client:
        compared = await client.call_tool("compare_experiments", {"project": "dotted", "exp_cuids": ["one", "two"]})
        shown = await client.call_tool("get_experiment", {"project": "dotted", "exp_cuid": "one"})
        filters = [
            {"field": 'config."opt.lr"', "op": ">", "value": 1},
            {"field": "config.opt.lr", "op": ">", "value": 1},
        ]
        found = await client.call_tool("find_experiments", {"project": "dotted", "filters": filters})
    rows = {row["name"]: row["values"] for row in compared.structured_content["data"]["differences"]}
    assert rows == {"config.opt.lr": [0.5, 1.5], 'config."opt.lr"': [0.1, 1.1]}
    assert 'profile.config."opt.lr": 0.1' in text_of(shown)
    assert "profile.config.opt.lr: 0.5" in text_of(shown)
    assert [row["cuid"] for row in found.structured_content["data"]] == ["two"]


@pytest.mark.parametrize("field", ['"opt.lr"', 'config."opt.lr"', 'profile.config."opt.lr"'])
async def test_quoted_fields_choose_the_key_with_a_dot(settings: Settings, state: State, field: str) -> None:
    assert await pick(settings, state, field) == {"opt.lr": 0.1}


@pytest.mark.parametrize("field", ["opt.lr", "config.opt.lr", "profile.config.opt.lr"])
async def test_headings_of_a_list_are_fields(settings: Settings, state: State, field: str) -> None:
    assert await pick(settings, state, field) == {"opt": {"lr": 0.5}}


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ('profile.config.deep."a.b"', {"deep": {"a.b": 1}}),
        ("config.only.dot", {"only.dot": 2}),
        ('"only.dot"', {"only.dot": 2}),
        ("config.config.lr", {"config": {"lr": 3}}),
        ("profile.config", {"opt.lr", "opt", "deep", "only.dot", "config"}),
    ],
)
async def test_fields_accept_every_spelling_of_a_key(settings: Settings, state: State, field: str, part: Any) -> None:
    picked = await pick(settings, state, field)
    assert (set(picked) if isinstance(part, set) else picked) == part


async def pick(settings: Settings, state: State, field: str) -> dict[str, Any]:
    project = state.add_project(state.workspaces[0], "dotted")
    deep = {"a.b": 1, "a": {"b": 9}}
    config = {"opt.lr": 0.1, "opt": {"lr": 0.5}, "deep": deep, "only.dot": 2, "config": {"lr": 3}}
    state.add_experiment(project, "one", cuid="one", config=config)
    async with session(settings) as client:
        for tool in ("list_project_exps", "find_experiments"):
            listed = await client.call_tool(tool, {"project": "dotted", "fields": [field]})
            assert not any("None of these configs" in note for note in listed.structured_content["notes"])
            headings = text_of(listed)
    picked: dict[str, Any] = listed.structured_content["data"][0]["profile"]["config"]
    if set(picked) == {"opt.lr"}:
        assert 'profile.config."opt.lr"' in headings
    elif set(picked) == {"opt"}:
        assert "profile.config.opt.lr" in headings
    return picked


async def test_filters_accept_headings(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "dotted")
    for number in range(3):
        state.add_experiment(project, f"run{number}", cuid=f"run{number}", config={"opt": {"lr": number}})
    given = {"project": "dotted", "filters": [{"field": "profile.config.opt.lr", "op": ">", "value": 0}]}
    async with session(settings) as client:
        found = await client.call_tool("find_experiments", {**given, "sort": "profile.config.opt.lr"})
    assert [row["cuid"] for row in found.structured_content["data"]] == ["run1", "run2"]


@pytest.mark.parametrize("field", ['config."only.dot"', 'profile.config."only.dot"', "config.only.dot"])
async def test_filters_accept_a_quoted_key(settings: Settings, state: State, field: str) -> None:
    project = state.add_project(state.workspaces[0], "dotted")
    for number in range(3):
        state.add_experiment(project, f"run{number}", cuid=f"run{number}", config={"only.dot": number})
    async with session(settings) as client:
        filters = [{"field": field, "op": ">", "value": 1}]
        found = await client.call_tool("find_experiments", {"project": "dotted", "filters": filters})
    assert [row["cuid"] for row in found.structured_content["data"]] == ["run2"]


async def test_important_training_settings_come_first(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "mixed")
    for number in range(4):
        config: dict[str, Any] = {
            **{f"count_{index}": number * index for index in range(1, 4)},
            "started_at": 1_790_000_000 + 977 * number,
            "launch": 1_790_000_000.5 + 977 * number,
            "dist": {"master_port": 29_500 + number},
            "node": f"gpu{number % 2}",
            "n_params": 7_000_000 + number,
            "cache": f"/scratch/{number % 2}",
            "template": "x" * 5_000 + str(number),
            "augment": ("none", "mixup")[number // 2],
            "optim": {"name": ("adam", "sgd")[number % 2], "learning_rate": (1e-3, 1e-4)[number // 2]},
            "per_device_train_batch_size": (8, 16)[number % 2],
            "model_name_or_path": f"/models/{number}",
            **CONSTANT,
        }
        state.add_experiment(project, f"run{number}", cuid=f"mixed{number}", config=config)
    async with session(settings) as client:
        listed = await client.call_tool("list_project_exps", {"project": "mixed"})
    rows = listed.structured_content["data"]
    assert len(rows) == 4
    shown = list(flatten(rows[0]["profile"]["config"]))
    assert set(shown[:4]) == {
        *("optim.name", "optim.learning_rate"),
        *("per_device_train_batch_size", "model_name_or_path"),
    }
    assert shown[4:] == ["augment", "count_1", "count_2", "count_3"]
    for key in ("started_at", "launch", "dist.master_port", "node", "n_params", "cache", "template"):
        assert key in text_of(listed)


async def test_single_run_shows_usual_settings_and_counts_the_rest(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "single")
    state.add_experiment(project, "one", cuid="one", config={**CONSTANT, "lr": 0.1, "batch_size": 8})
    async with session(settings) as client:
        listed = await client.call_tool("list_project_exps", {"project": "single"})
    assert list(listed.structured_content["data"][0]["profile"]["config"])[:2] == ["lr", "batch_size"]
    assert "194 more config keys are omitted; fields=config shows all." in text_of(listed)
    assert "differ" not in text_of(listed)


async def test_secret_in_a_quoted_key_is_masked(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "dotted")
    for name in ("one", "two"):
        config = {"hub.api_key": f"canary-{name}", "hub": {"api_key": f"canary-{name}-nested"}}
        state.add_experiment(project, name, cuid=name, config=config, metrics={"loss": [(0, 1.0)]})
    filters = [{"field": 'config."hub.api_key"', "op": "contains", "value": "canary"}]
    async with session(settings) as client:
        compared = await client.call_tool("compare_experiments", {"project": "dotted", "exp_cuids": ["one", "two"]})
        found = await client.call_tool("find_experiments", {"project": "dotted", "filters": filters})
        listed = await client.call_tool("list_project_exps", {"project": "dotted", "fields": ['"hub.api_key"']})
    assert found.structured_content["data"] == []
    for answer in (compared, listed):
        assert "canary" not in text_of(answer)
        assert "canary" not in str(answer.structured_content)


async def test_config_without_the_chosen_keys_is_not_shown_as_empty(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "mixed", cuid="mixed")
    state.add_experiment(project, "first", config={"depth": 3})
    state.add_experiment(project, "second", config={"width": 8})
    async with session(settings) as client:
        answer = await client.call_tool("list_project_exps", {"project": "mixed", "fields": ["depth"]})
    assert "{}" not in text_of(answer).partition("cuid |")[2]
    assert [row["profile"] for row in answer.structured_content["data"]] == [{}, {"config": {"depth": 3}}]


async def test_keys_of_a_single_run_come_after_keys_of_several(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "odd", cuid="odd")
    for number in (None, 1):
        state.add_experiment(project, f"small-{number}", config={"omega": number, "phi": {"x": number}})
    state.add_experiment(project, "large", config={f"zeta_{number}": number for number in range(30)})
    async with session(settings) as client:
        answer = await client.call_tool("list_project_exps", {"project": "odd"})
    assert {"config": {"omega": 1, "phi": {"x": 1}}} in [row["profile"] for row in answer.structured_content["data"]]


async def test_columns_keep_their_order_if_the_first_row_lacks_one(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "sparse")
    for number, config in enumerate([{"b": 1}, {"a": 1, "b": 2, "c": 1}]):
        state.add_experiment(project, f"run{number}", cuid=f"run{number}", config=config)
    async with session(settings) as client:
        answer = await client.call_tool("list_project_exps", {"project": "sparse", "fields": ["a", "b", "c"]})
    rows = [set(row["profile"]["config"]) for row in answer.structured_content["data"]]
    assert {"b"} in rows
    assert "profile.config.a | profile.config.b | profile.config.c" in text_of(answer)


async def test_list_of_19_runs_is_compact() -> None:
    for tool in ("list_project_exps", "find_experiments"):
        async with session(DEMO) as client:
            listed = await client.call_tool(tool, {"project": "digits-mlp"})
        text = text_of(listed)
        assert count_tokens(text) <= 900
        assert "usual: state FINISHED; config: hidden [64], lr 0.1, weight_decay 0.0001" in text
        assert "xzjvwi5m | lr-100-wd-0.1 | 08:00:48 | 08:00:49 | lr 100, weight_decay 0.1, batch_size 128" in text
        assert listed.structured_content["data"][0]["profile"]["config"]["lr"] == 0.1
        assert {"description", "labels", "user", "group"}.isdisjoint(listed.structured_content["data"][0])


async def test_fields_add_metrics_and_facts(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "wanted")
    for number in range(2):
        state.add_experiment(
            project,
            f"run{number}",
            state="CRASHED",
            created_at=BEGINNING,
            finished_at=BEGINNING + timedelta(hours=5 * number),
            config={"lr": number, "user": "x"},
            labels=["paper"],
            metadata={"hostname": f"gpu-{number}"},
            metrics={"val/acc": [(0, 0.1), (1, 0.5 + number)]},
        )
    fields = ["metric.val/acc", "user", "tags", "duration", "host", "lr", "metrics.loss"]
    async with session(settings) as client:
        for tool in ("list_project_exps", "find_experiments"):
            listed = await client.call_tool(tool, {"project": "wanted", "fields": fields})
            rows = {row["name"]: row for row in listed.structured_content["data"]}
            assert rows["run1"]["metrics"] == {"val/acc": 1.5}
            assert rows["run1"]["user"]["username"] == "kites-test3"
            assert rows["run1"]["labels"] == ["paper"]
            assert rows["run1"]["facts"] == {"duration": "5 h 0 min", "host": "gpu-1"}
            assert rows["run1"]["profile"] == {"config": {"lr": 1}}
            assert "None of these experiments has the metric 'loss'." in text_of(listed)
        filters = [{"field": "host", "op": "=", "value": "gpu-0"}, {"field": "user", "op": "=", "value": "me"}]
        found = await client.call_tool("find_experiments", {"project": "wanted", "filters": filters})
    assert found.structured_content["data"][0]["facts"] == {"host": "gpu-0"}


async def test_unusual_settings_cannot_look_like_others(settings: Settings, state: State) -> None:
    project = state.add_project(state.workspaces[0], "odd")
    for number in range(8):
        config = {"note": "plain" if number else "plain, lr 9", "lr": 0.1, "depth": 3}
        state.add_experiment(project, f"run{number}", config=config if number != 1 else {"depth": 4, "lr": 0.1})
    async with session(settings) as client:
        text = text_of(await client.call_tool("list_project_exps", {"project": "odd", "fields": ["note", "depth"]}))
    assert "usual: config: note plain, depth 3" in text
    assert '| note "plain, lr 9"' in text
    assert "| note (none), depth 4" in text
