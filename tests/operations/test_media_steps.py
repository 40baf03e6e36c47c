"""List the steps that have media, without contents."""

from __future__ import annotations

import pytest

from swanlab_mcp.settings import Settings
from tests.conftest import session, text_of
from tests.fake_swanlab import Media, State

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(state: State) -> State:
    images = {"samples": [Media(step, [f"image/{step}.png"]) for step in (0, 50, 100, 400)]}
    texts = {"notes": [Media(100, ["text/100.txt"])]}
    state.add_experiment(
        state.projects[0], "pictures", cuid="pictures1", media=images | texts, metrics={"loss": [(0, 1.0)]}
    )
    return state


async def test_steps_and_counts_need_no_download(settings: Settings, state: State) -> None:
    async with session(settings) as client:
        given = {"project": state.projects[0].name, "exp_cuid": "pictures1", "keys": ["*"], "steps_only": True}
        result = await client.call_tool("get_media", given)
    output = text_of(result)
    assert output.startswith("0 of 5\nnote: Without contents, as requested.")
    assert "Steps with samples: 0-100 every 50, 400 (4)." in output
    assert "Steps with notes: 100 (1)." in output
    assert [one.type for one in result.content] == ["text"]
    # file URLs are never requested
    assert not state.get_calls("presigned")


async def test_scalar_list_mentions_media(settings: Settings, state: State) -> None:
    async with session(settings) as client:
        given = {"project": state.projects[0].name, "exp_cuids": ["pictures1"]}
        plain = await client.call_tool("list_metrics", given)
        media = await client.call_tool("list_metrics", given | {"kind": "media"})
    assert [row["key"] for row in plain.structured_content["data"]] == ["loss"]
    assert "There are also 2 media keys (kind='media')." in plain.structured_content["notes"]
    assert {row["key"] for row in media.structured_content["data"]} == {"samples", "notes"}
