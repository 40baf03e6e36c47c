"""The thresholds on which verdicts depend. Each verdict lists the thresholds that it used."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULTS", "Thresholds"]


@dataclass(frozen=True)
class Thresholds:
    """The thresholds for events and verdicts. All sigmas are robust (1.4826 times the median absolute deviation)."""

    # smoothing and minimum numbers of points
    levels: int = 100
    fine_levels: int = 1000
    smoothing: int = 5
    fewest_points: int = 12
    few_points: int = 5
    few_significance: float = 0.01
    log_decades: float = 3.0
    # spikes
    spike_sigmas: float = 10.0
    spike_floor: float = 0.005
    spike_neighbours: int = 5
    spike_recovered: float = 0.5
    spike_settling: float = 0.1
    shock_points: int = 40
    shock_back: float = 0.25
    # worsening: divergence, overfitting
    worse_share: float = 0.05
    worse_sigmas: float = 5.0
    worse_doubt: float = 2.0
    worse_scatter: float = 7.5
    stays_sigmas: float = 6.0
    stays_scatter: float = 10.0
    worse_drift: float = 1.6
    few_drift: float = 2.5
    sure_drift: float = 3.2
    quick_drift: float = 5.0
    slight_share: float = 0.15
    worse_order: float = 0.9
    worse_trend: float = 5.0
    onset_share: float = 0.05
    onset_sigmas: float = 1.0
    # never learned, plateau
    flat_points: int = 20
    flat_share: float = 0.005
    learned_sigmas: float = 4.0
    learned_drift: float = 2.0
    quick_sigmas: float = 6.0
    learned_trend: float = 4.0
    chance_share: float = 0.01
    trained_accuracy: float = 0.8
    zero_sigmas: float = 2.0
    plateau_share: float = 0.02
    plateau_length: float = 0.3
    # reinforcement learning
    collapse_share: float = 0.25
    unstable_points: int = 40
    unstable_share: float = 0.4
    unstable_falls: int = 2
    entropy_factor: float = 100.0
    length_factor: float = 4.0
    clipped_share: float = 0.95
    halved: float = 0.5
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
    broken_share: float = 0.5
    broken_scatter: float = 5.0
    batch_points: int = 50
    batch_window: float = 0.1
    short_share: float = 0.5
    significance: float = 0.05
    power: float = 0.8
    # with a value of 4, the variance of 2, 3 or 5 repeats is raised by 400, 100 or 25 %; the value for a baseline is
    # larger, because a noisy baseline affects all comparisons
    chance_calm: float = 4.0
    baseline_calm: float = 6.0
    noisy_doubt: float = 1e-6
    most_repeats: int = 20
    strong_association: float = 0.8
    associated: int = 5


DEFAULTS = Thresholds()
