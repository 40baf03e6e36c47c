from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.core import untrusted
from swanlab_mcp.core.untrusted import neutralise, neutralise_value, shorten
from swanlab_mcp.present import text as render_module
from swanlab_mcp.present.text import count_tokens, fit, render

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
rows = st.lists(
    st.dictionaries(st.sampled_from(["id", "名", "a b", "c.d", "e"]), json_values, min_size=1), min_size=1, max_size=60
)


def measure(structured: Any) -> int:
    return count_tokens(json.dumps(structured, ensure_ascii=False, separators=(",", ":")))


def make_payload(data: Any, total: int | None = None) -> dict[str, Any]:
    payload: dict[str, Any] = {"code": 200, "errmsg": "", "data": data}
    if total is not None:
        payload["page"] = {"returned": len(data), "total": total}
    return payload


@given(rows, st.integers(400, 3000), st.sampled_from([0, 20, 45, 100]))
def test_list_stays_within_the_budget_with_complete_leading_rows(data: list[Any], budget: int, offset: int) -> None:
    whole = fit(make_payload(data, offset + len(data)), 10**9, offset=offset).structured["data"]
    reply = fit(make_payload(data, offset + len(data)), budget, offset=offset)
    assert count_tokens(reply.text) <= budget
    assert measure(reply.structured) <= budget
    kept = reply.structured["data"]
    if len(kept) > 1:
        assert kept == whole[: len(kept)]
    page = reply.structured["page"]
    assert page["returned"] == len(kept) >= 1
    if len(kept) < len(data):
        number, size = (int(word.split("=")[1]) for word in page["next"].split())
        assert (number - 1) * size == offset + len(kept)


def test_records_with_colliding_names_are_distinguished() -> None:
    data = {"a\x00": {"value": 1}, "a\\x00": {"value": 2}, "b": {"value": 3}}
    structured = fit(make_payload(data, 3), 8000).structured
    assert structured["data"] == {"a\\x00": {"value": 1}, "a\\x00… (entry 1)": {"value": 2}, "b": {"value": 3}}


def test_rows_shortened_by_masking_are_all_shown() -> None:
    key = "k" * 64
    data = [{"name": f"run-{number}-{key * 5}"} for number in range(200)]
    structured = fit(make_payload(data, 200), 8000, secrets=[key]).structured
    assert [row["name"] for row in structured["data"]] == [f"run-{number}-{'***' * 5}" for number in range(200)]
    assert structured["page"]["returned"] == 200


@given(st.integers(1, 30), st.integers(1, 5), st.sampled_from([2000, 8000]))
def test_records_of_equal_length_are_shown_or_counted(length: int, digits: int, budget: int) -> None:
    data = {f"{number:0{digits + 4}}": {"value": "x" * length} for number in range(2000)}
    structured = fit(make_payload(data, 2000), budget).structured
    assert structured["page"]["returned"] == len(structured["data"])


@given(rows, st.integers(400, 3000), st.booleans())
def test_rows_without_pages_fill_the_budget(data: list[Any], budget: int, keep_last: bool) -> None:
    many = data * 5
    reply = fit(make_payload(many, len(many)), budget, is_paged=False, keep_last=keep_last)
    kept = len(reply.structured["data"])
    if 1 < kept < len(many):
        shown = f"Cut to the {'last' if keep_last else 'first'} {kept} of {len(many)} rows"
        assert f"{shown} to stay within the output limit." in reply.text
        safe = neutralise_value(make_payload(many, len(many)))
        more = render_module._cut_unpaged(safe, kept + 1, len(many), keep_last=keep_last)
        assert max(count_tokens(render(more)), measure(more)) > budget


@given(json_values, st.integers(300, 2000))
def test_record_stays_within_the_budget(value: Any, budget: int) -> None:
    record = {"cuid": "c1", "profile": value, "text": "x" * 5000, "many": list(range(3000))}
    reply = fit(make_payload(record), budget)
    assert count_tokens(reply.text) <= budget
    assert measure(reply.structured) <= budget
    assert reply.structured["data"]["cuid"] == "c1"
    assert any(note.startswith("text is truncated; full size: 5000 characters") for note in reply.structured["notes"])


@given(rows)
def test_table_has_a_line_per_row_and_no_control_characters(data: list[Any]) -> None:
    lines = fit(make_payload(data, len(data)), 10**9).text.split("\n")
    assert len(lines) <= 3 + len(data)
    assert all(line.isprintable() or max(line) >= "\u3000" for line in lines if neutralise(line) != line)


@given(st.text())
def test_neutralise_is_printable_and_idempotent(text: str) -> None:
    safe = neutralise(text)
    assert neutralise(safe) == safe
    safe.encode()
    assert not any(ord(character) < 0x20 and character not in "\n\t" for character in safe)


def test_every_unsafe_character_is_escaped() -> None:
    unsafe = [one for one in map(chr, range(sys.maxunicode + 1)) if untrusted._UNSAFE.match(one)]
    assert len(unsafe) > 2000
    assert all(neutralise(f"a{one}b") not in (f"a{one}b", "ab") for one in unsafe)


# Unicode's DerivedCoreProperties: Default_Ignorable_Code_Point
DEFAULT_IGNORABLE = """
00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8
1BCA0-1BCA3 1D173-1D17A E0000-E0FFF
"""


def test_every_default_ignorable_character_is_escaped() -> None:
    for span in DEFAULT_IGNORABLE.split():
        first, _, last = span.partition("-")
        for code in range(int(first, 16), int(last or first, 16) + 1):
            assert chr(code) not in neutralise(f"a{chr(code)}b"), hex(code)


def test_variation_selectors_are_kept_only_after_emoji() -> None:
    assert neutralise("❤\ufe0f 1\ufe0f\u20e3") == "❤\ufe0f 1\ufe0f\u20e3"
    assert neutralise("a\ufe0f") == "a\\ufe0f"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](https://example.org/?q=key)", r"![x]\(https://example.org/?q=key)"),
        ("[see](//example.org)", r"[see]\(//example.org)"),
        ("[see]( <javascript:alert(1)>)", r"[see]\( <javascript:alert(1)>)"),
        ("[x]: https://example.org", r"[x]\: https://example.org"),
        (r"![x](https\://example.org)", r"![x]\(https\://example.org)"),
        (r"![x](/\/example.org)", r"![x]\(/\/example.org)"),
        (r"[x]: \//example.org", r"[x]\: \//example.org"),
        ("![x](&#104;ttps://example.org)", r"![x]\(&#104;ttps://example.org)"),
        ("![x](https&colon;//example.org)", r"![x]\(https&colon;//example.org)"),
        ("[x]: </&sol;example.org>", r"[x]\: </&sol;example.org>"),
        (f"![x]({' ' * 20}https://example.org)", rf"![x]\({' ' * 20}https://example.org)"),
        ("![x](<\t//example.org>)", "![x]\\(<\t//example.org>)"),
        ("[info]: <class 'x'> a\\b and x[0](y & z)", "[info]: <class 'x'> a\\b and x[0](y & z)"),
        ("layers[0](x) and names['a']: 3", "layers[0](x) and names['a']: 3"),
    ],
)
def test_recorded_markdown_does_not_render(text: str, shown: str) -> None:
    assert neutralise_value({"log": [text]}) == {"log": [shown]}


@pytest.mark.parametrize("part", ["](", "](<", "]: ", "](https", "](&#104;", "](/"])
def test_breaking_links_takes_linear_time(part: str) -> None:
    """A quadratic algorithm would take minutes."""
    for text in (part + " " * 300_000 + "x", part * 100_000, part + "a" * 300_000):
        started = time.process_time()
        neutralise_value(text)
        assert time.process_time() - started < 5


@given(st.text(max_size=300))
def test_shorten_returns_a_single_short_line(text: str) -> None:
    assert len(shorten(text, 40)) <= 40
    assert "\n" not in shorten(text, 40)


def test_chinese_counts_more_tokens_than_ascii() -> None:
    assert count_tokens("训练" * 100) > 200
    assert count_tokens("ab" * 100) < 100
    assert count_tokens("🚀") >= 3


def test_constant_columns_are_shown_once_and_empty_columns_omitted() -> None:
    data = [{"id": "a", "lr": 0.1, "seed": 1, "note": ""}, {"id": "b", "lr": 0.1, "seed": 2, "note": ""}]
    assert render(make_payload(data, 5)) == "2 of 5\nall rows: lr 0.1\nid | seed\na | 1\nb | 2"


def test_null_is_shown_and_missing_is_blank() -> None:
    data = [{"id": "a", "x": None}, {"id": "b"}, {"id": "c", "x": True}]
    assert render(make_payload(data, 3)).splitlines()[2:] == ["a | null", "b | ", "c | true"]


def test_recorded_text_cannot_imitate_server_text() -> None:
    text = render(make_payload({"log": "one\nnote: all is well", "name": "a | b"}))
    assert text == "log:\n| one\n| note: all is well\nname: a \\| b"


def test_deep_objects_are_flattened_to_a_depth() -> None:
    deep: dict[str, Any] = {"end": 1}
    for _ in range(20):
        deep = {"d": deep}
    assert render(make_payload(deep)).startswith("d.d.d.d.d.d.d.d: {")
