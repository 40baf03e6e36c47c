from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.core.secret_masking import mask_secrets
from swanlab_mcp.settings import Settings
from tests.conftest import RUNS, session, text_of
from tests.fake_swanlab import State

pytestmark = pytest.mark.anyio

METADATA = {
    "runtime": {"python_version": "3.11.7", "command": "train.py --api-key=abc-canary --lr 0.1", "hostname": None},
    "git": {"remote_url": "https://me:secret-canary@git.example.com/x.git", "commit": "a69dddf"},
    "hardware": {"gpu": ["A100", "A100"], "empty": {}},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", "hunter22"),
        ("hf_token", "hf_whatever"),
        ("WANDB_API_KEY", "0123456789"),
        ("db.secret", "abcdefgh"),
        ("accessToken", "abcdefgh"),
        ("aws-secret-key", "abcdefgh"),
    ],
)
def test_values_with_secret_names_are_masked(name: str, value: str) -> None:
    assert mask_secrets({name: value}) == {name: "***"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tokenizer", "bert-base-uncased"),
        ("max_tokens", 8192),
        ("token", 5),
        ("keys", "abcdefgh"),
        ("pass_rate", "0.912345"),
        ("bypass", "abcdefgh"),
        ("secretary", "abcdefgh"),
        ("note", "the token budget of the model"),
        ("url", "https://example.com/a@b"),
        ("time", "2026-11-23T08:00:20"),
    ],
)
def test_similar_names_are_not_masked(name: str, value: Any) -> None:
    assert mask_secrets({name: value}) == {name: value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://me:pw@host/x", "https://***@host/x"),
        ("train.py --token abcdef123 --lr 1", "train.py --token *** --lr 1"),
        ("HF_TOKEN=abcdef123 python x", "HF_TOKEN=*** python x"),
        ("login --wandb-api-key 'abcdef123'", "login --wandb-api-key '***'"),
        ("use hf_abcdefghijklmnopqrstuvwx now", "use *** now"),
        ("train.py --token --lr 0.1000000", "train.py --token --lr 0.1000000"),
        ("Authorization: Bearer abc123.def-456", "Authorization: Bearer ***"),
        ("authorization='Basic bWU6c2VjcmV0'", "authorization='Basic ***'"),
        ("a basic configuration of the bearer certificates", "a basic configuration of the bearer certificates"),
        ("{'hf_token': 'abcdef123', 'lr': 1}", "{'hf_token': '***', 'lr': 1}"),
        ('{"api_key": "abcdef123"}', '{"api_key": "***"}'),
        ("GET https://cos/x.csv?X-Amz-Signature=abcdef123&a=1", "GET https://cos/x.csv?X-Amz-Signature=***&a=1"),
        ("?q-sign-algorithm=sha1&q-signature=abcdef123", "?q-sign-algorithm=sha1&q-signature=***"),
        ("page?key=val/accuracy&step=1", "page?key=val/accuracy&step=1"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSM", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEabc+/=\n-----END RSA PRIVATE KEY-----", "***"),
        ("ghp_abcdefghijklmnopqrstuvwx", "***"),
        ("Authorization: abcdef123", "Authorization: ***"),
        ("{'Authorization': 'abcdef123', 'lr': 1}", "{'Authorization': '***', 'lr': 1}"),
        ("authorization=abcdef123 lr=1", "authorization=*** lr=1"),
        ("Authorization: required for writes", "Authorization: required for writes"),
        ("Cookie: a=1; sid=abcdef123; b=2", "Cookie: a=1; sid=***; b=2"),
        ("sid=abcdef123", "sid=***"),
        ("https://swanlab.cn/x?sid=abcdef123&a=1", "https://swanlab.cn/x?sid=***&a=1"),
        ("the resid=abcdef123", "the resid=abcdef123"),
        ("swanlab login -k abcdef123", "swanlab login -k ***"),
        ("swanlab login --relogin -k 'abcdef123' && python x.py", "swanlab login --relogin -k '***' && python x.py"),
        ("swanlab login --relogin --api-key=abcdef123", "swanlab login --relogin --api-key=***"),
        ("sort -k abcdef123", "sort -k abcdef123"),
        ('swanlab.login(api_key="abcdef123")', 'swanlab.login(api_key="***")'),
        ("push(repo, token='abcdef123', lr=1)", "push(repo, token='***', lr=1)"),
        ("f(token=None)", "f(token=None)"),
    ],
)
def test_secret_inside_a_text_is_masked(text: str, expected: str) -> None:
    assert mask_secrets(["x", text]) == ["x", expected]


def test_secret_next_to_its_name_is_masked() -> None:
    assert mask_secrets(["x.py", "--hf-token", "abcdef123", "--lr", "0.1"]) == [
        "x.py",
        "--hf-token",
        "***",
        "--lr",
        "0.1",
    ]
    assert mask_secrets([{"name": "HF_TOKEN", "value": "abcdef123"}]) == [{"name": "HF_TOKEN", "value": "***"}]
    assert mask_secrets({"name": "x.token", "values": {"a": "abcdef123", "b": ["abcdef123", 1]}})["values"] == {
        "a": "***",
        "b": ["***", 1],
    }
    assert mask_secrets({"name": "lr", "value": "abcdef123"}) == {"name": "lr", "value": "abcdef123"}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_masking_keeps_the_shape_and_is_stable(value: Any) -> None:
    masked = mask_secrets(value)
    assert type(masked) is type(value)
    assert mask_secrets(masked) == masked


async def test_single_environment_is_shown_in_full_with_masked_secrets(settings: Settings, state: State) -> None:
    experiment = state.projects[0].experiments[0]
    experiment.metadata = METADATA
    experiment.requirements = "torch==2.5.0\n# comment\nmine @ file:///x\nUnpinned>=1\n"
    async with session(settings) as client:
        result = await client.call_tool("get_environment", {"project": "project1", "exp_cuids": ["cuid1"]})
        whole = await client.call_tool("get_experiment", {"project": "project1", "exp_cuid": "cuid1"})
    assert result.structured_content["data"] == [
        {"name": "runtime.python_version", "value": "3.11.7"},
        {"name": "runtime.command", "value": "train.py --api-key=*** --lr 0.1"},
        {"name": "git.remote_url", "value": "https://***@git.example.com/x.git"},
        {"name": "git.commit", "value": "a69dddf"},
        {"name": "hardware.gpu", "value": ["A100", "A100"]},
        {"name": "hardware.empty", "value": {}},
        {"name": "package.torch", "value": "2.5.0"},
        {"name": "package.mine", "value": "file:///x"},
        {"name": "conda", "value": "name: base"},
    ]
    assert "package.torch | 2.5.0" in text_of(result)
    for reply in (result, whole):
        assert "canary" not in reply.model_dump_json()


async def test_secrets_are_shown_with_the_option(settings: Settings, state: State) -> None:
    state.projects[0].experiments[0].metadata = METADATA
    shown = Settings(api_host=settings.api_host, api_key="test-key", show_secrets=True)
    async with session(shown) as client:
        result = await client.call_tool(
            "get_environment", {"project": "project1", "exp_cuids": ["cuid1"], "search": "COMMAND"}
        )
    assert text_of(result).endswith("runtime.command | train.py --api-key=abc-canary --lr 0.1")


async def test_several_environments_show_only_differences(settings: Settings, state: State) -> None:
    project = state.projects[0]
    other = {**METADATA, "git": {**METADATA["git"], "commit": "b7"}}
    state.add_experiment(project, "one", cuid="one1", metadata=METADATA, requirements="torch==2.5.0\nnumpy==1.0")
    state.add_experiment(project, "two", cuid="two1", metadata=other, requirements="torch==2.6.0\nnumpy==1.0\nnew==1")
    state.add_experiment(project, "bare", cuid="bare1", has_profile=False)
    arguments = {"project": "project1", "exp_cuids": ["one", "two"]}
    async with session(settings) as client:
        result = await client.call_tool("get_environment", arguments)
        empty = await client.call_tool("get_environment", {**arguments, "search": "zzz"})
        bare = await client.call_tool("get_environment", {**arguments, "exp_cuids": ["bare"]})
    assert result.structured_content["data"] == [
        {"name": "git.commit", "values": {"one1": "a69dddf", "two1": "b7"}},
        {"name": "package.torch", "values": {"one1": "2.5.0", "two1": "2.6.0"}},
        {"name": "package.new", "values": {"two1": "1"}},
    ]
    assert "name | values.one1 | values.two1\ngit.commit | a69dddf | b7" in text_of(result)
    assert "6 facts are the same in all 2 experiments and are omitted." in result.structured_content["notes"]
    assert "None of the 9 facts has 'zzz' in its name." in empty.structured_content["notes"]
    assert bare.structured_content["notes"] == ["No environment was recorded for bare1."]


async def test_environments_of_runs_on_disk_are_shown() -> None:
    arguments = {"project": "vision-baselines", "exp_cuids": ["resnet18-lr1e-3"], "search": "python"}
    async with session(Settings(log_dirs=(RUNS / "0.10.3-offline",))) as client:
        result = await client.call_tool("get_environment", arguments)
    assert {row["name"] for row in result.structured_content["data"]} >= {"runtime.python_version"}


async def test_missing_environment_is_not_a_difference(settings: Settings, state: State) -> None:
    project = state.projects[0]
    for cuid, version in (("a1", "2.5.0"), ("b1", "2.6.0")):
        state.add_experiment(project, cuid, cuid=cuid, metadata=METADATA, requirements=f"torch=={version}")
    state.add_experiment(project, "bare", cuid="bare1", has_profile=False)
    async with session(settings) as client:
        arguments = {"project": "project1", "exp_cuids": ["a1", "bare1", "b1"]}
        result = await client.call_tool("get_environment", arguments)
    assert result.structured_content["data"] == [{"name": "package.torch", "values": {"a1": "2.5.0", "b1": "2.6.0"}}]
    assert "No environment was recorded for bare1." in text_of(result)


async def test_facts_renamed_since_older_sdks_match(settings: Settings, state: State) -> None:
    project = state.projects[0]
    old = {"hostname": "a", "python": "3.11.7", "git_info": ["main", "abc"], "git_remote": "x"}
    new = {
        "runtime": {"hostname": "b", "python_version": "3.11.7"},
        "git": {"branch": "main", "commit": "abc", "remote_url": "x"},
    }
    state.add_experiment(project, "old", cuid="old1", metadata=old)
    state.add_experiment(project, "new", cuid="new1", metadata=new)
    async with session(settings) as client:
        arguments = {"project": "project1", "exp_cuids": ["old1", "new1"]}
        result = await client.call_tool("get_environment", arguments)
    assert result.structured_content["data"] == [{"name": "runtime.hostname", "values": {"old1": "a", "new1": "b"}}]
