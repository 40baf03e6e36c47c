"""Every figure that a verdict depends on, in one place; each verdict names the one it used."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULTS", "Thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """What counts as an event; sigmas are robust (1.4826 x median absolute deviation)."""

    # a series in blocks
    levels: int = 100
    smoothing: int = 5
    fewest_points: int = 12
    # spikes
    spike_sigmas: float = 10.0
    spike_floor: float = 0.005
    spike_neighbours: int = 5
    spike_recovered: float = 0.5
    spike_many: int = 5
    spike_many_share: float = 0.001
    # worsening: divergence, overfitting
    worse_share: float = 0.05
    worse_sigmas: float = 5.0
    worse_doubt: float = 2.0
    worse_scatter: float = 5.0
    worse_directness: float = 0.8
    onset_share: float = 0.1
    # never learned, plateau
    flat_points: int = 20
    flat_share: float = 0.02
    flat_sigmas: float = 4.0
    slow_share: float = 0.005
    slow_sigmas: float = 6.0
    chance_share: float = 0.01
    trained_accuracy: float = 0.8
    plateau_share: float = 0.02
    plateau_length: float = 0.3
    # learning rate
    jump_factor: float = 3.0
    warm_up_share: float = 0.05
    restarts: int = 3
    # time between points
    gap_factor: float = 10.0
    gap_seconds: float = 60.0
    gap_rank: int = 4
    gap_outstanding: float = 3.0
    stall_factor: float = 20.0
    stall_seconds: float = 600.0
    # hardware, in percent
    full_memory: float = 97.0
    idle_gpu: float = 15.0
    idle_points: int = 30
    # leaderboard and noise
    short_share: float = 0.5
    significance: float = 0.05
    power: float = 0.8
    few_repeats: int = 4
    strong_association: float = 0.8
    associated: int = 5


DEFAULTS = Thresholds()
