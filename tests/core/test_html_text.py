"""Convert recorded HTML to text without markup and scripts, in a single pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanlab_mcp.core.html_text import extract_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h1>Report</h1><p>step 0: <b>1.0</b></p><script>alert(1)</script>", "Report\nstep 0: 1.0"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n1 | 2"),
        ("<head><title>t</title><style>p{}</style><body>3 &lt; 4 &amp; 5", "3 < 4 & 5"),
        ("a <!-- <b>hidden</b> --> c<br>d", "a c\nd"),
        ("1 < 2 and <SCRIPT>evil()</Script >x", "1 < 2 and x"),
        ("<script>never closed", ""),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_page_text_is_its_visible_text(page: str, text: str) -> None:
    assert extract_text(page) == text


@given(st.text(alphabet="<>/!-abcsript \n&;\"'İ", max_size=200))
def test_any_html_is_read(page: str) -> None:
    assert "<script>" not in extract_text(f"<script>{page.replace('<', '')}</script>")
    extract_text(page)


@pytest.mark.parametrize("piece", ["<", "<!--", "<a ", "&", "</", "<![", "<script>", "<template>", '<a b="', "</td>"])
def test_hostile_page_is_read_in_linear_time(piece: str) -> None:
    assert len(extract_text(piece * 300_000)) <= 2_000_000


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ('<div title="x > y" onclick="if(1>0){alert(1)}">hi</div>', "hi"),
        ("<iframe srcdoc='<p>inner</p>'></iframe>after", "after"),
        ('<a href="open>text', "text"),
    ],
)
def test_quoted_attributes_are_markup(page: str, text: str) -> None:
    assert extract_text(page) == text
