"""A short soak test of the shared server. `python benchmarks/shared_server.py --soak 3600` is the long test."""

from __future__ import annotations

import pytest

from benchmarks.shared_server import soak


@pytest.mark.exhaustive
def test_many_keys_get_correct_or_honest_replies_during_faults_and_memory_stays_flat() -> None:
    lines, is_right = soak(60)
    assert is_right, lines
