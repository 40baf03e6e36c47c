"""Check that the event table in docs/verdicts.md lists every kind of event, with the thresholds from the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from swanlab_mcp.analysis.events import Kind
from swanlab_mcp.analysis.thresholds import DEFAULTS

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
# the figures in each row: names of thresholds (`%` means in percent, `/60` in minutes), and figures from elsewhere
ROWS = {
    "never_learned": "flat_points 1 2 4 learned_sigmas quick_sigmas few_points learned_drift learned_trend "
    "learned_sigmas sure_drift flat_share% trained_accuracy%",
    "the same, held out": "flat_points trained_accuracy% 0",
    "overfitting": "worse_share% worse_drift quick_drift worse_sigmas worse_scatter stays_sigmas stays_scatter "
    "worse_order% worse_trend worse_share% worse_order% quick_drift",
    "the same, 5 to 11 points": "few_points 11 few_significance% few_drift",
    "collapse": "collapse_share%",
    "unstable": "unstable_points unstable_share% worse_sigmas sure_drift",
    "no_generalisation": "fewest_points worse_order%",
    "entropy_collapse": "flat_points 1 entropy_factor",
    "length_explosion": "flat_points length_factor",
    "all_clipped": "flat_points clipped_share%",
    "shock": "shock_points spike_sigmas spike_neighbours 2 fine_levels",
    "spike": "spike_sigmas",
    "plateau": "plateau_length% plateau_share%",
    "not_judged": "fewest_points learned_drift 4 learned_trend",
    "learning_rate_jump": "jump_factor warm_up_share% restarts",
    "logging_gap": "fewest_points gap_factor gap_outstanding gap_seconds",
    "resumed": "gap_seconds gap_rank",
    "stalled": "stall_factor stall_seconds/60 gap_outstanding",
    "gpu_idle": "idle_points idle_gpu",
    "gpu_memory_full": "full_memory",
}


def read_rows() -> dict[str, list[str]]:
    """Return the cells of each row in the event table, by the text of its first cell."""
    table = PAGE.read_text(encoding="utf-8").partition("| event | severity | rule |\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[1:]]
    return {cells[0]: cells for cells in rows}


def compute_figure(word: str) -> str:
    if not word[0].isalpha():
        return word
    name, unit = re.fullmatch(r"(\w+)(%|/60)?", word).groups()
    return f"{getattr(DEFAULTS, name) * {None: 1, '%': 100, '/60': 1 / 60}[unit]:g}"


@pytest.mark.parametrize("name", ROWS)
def test_figures_of_a_rule_are_the_thresholds(name: str) -> None:
    found = [cells for first, cells in read_rows().items() if first.startswith((f"`{name}`", name))]
    assert len(found) == 1
    figures = re.findall(r"\d+(?:\.\d+)?", "".join(found[0][:1] + found[0][2:]))
    assert figures == [compute_figure(word) for word in ROWS[name].split()]


def test_every_kind_of_event_has_a_row() -> None:
    assert set(re.findall(r"`(\w+)`", " ".join(read_rows()))) == set(get_args(Kind))
