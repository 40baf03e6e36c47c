"""Compare the token costs of common questions with the recorded baseline."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import tokens


def test_no_reply_costs_over_5_percent_more_than_recorded() -> None:
    grown = tokens.find_growth(tokens.play(), tokens.read_baseline())
    assert not grown, "if it is worth it: python benchmarks/tokens.py --update"


def test_growth_and_added_or_removed_questions_are_reported() -> None:
    baseline = tokens.read_baseline()
    assert len(baseline) == 1 + 30
    question = "Which one is best?"
    costlier = replace(baseline[question], text=int(baseline[question].text * 1.06) + 1)
    assert tokens.find_growth(baseline, baseline) == []
    (shown,) = tokens.find_growth({**baseline, question: costlier}, baseline)
    assert shown.startswith(f"{question} (text): {costlier.text} tokens")
    assert len(tokens.find_growth({**baseline, "new": costlier}, baseline)) == 1
    assert len(tokens.find_growth({question: baseline[question]}, baseline)) == 30
