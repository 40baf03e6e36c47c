"""Choose which of an experiment's metrics to read, and find the metrics that decide its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from swanlab_mcp.analysis.curves import Outline, keep_finite, outline, to_scale
from swanlab_mcp.analysis.metric_catalogue import MetricKind, describe_key, find_pairs
from swanlab_mcp.analysis.thresholds import DEFAULTS

__all__ = ["Curve", "Roles", "assign_roles", "choose_keys", "read_curve"]

_JUDGED = ("loss", "error", "quality", "reward")
_READ = 40
# read at most this many held-out metrics, so that training rewards and losses are read as well
_READ_HELD_OUT = 30
_MAIN = {"core", "main", "overall", "primary"}
_SIDE = {"aux", "auxiliary", "secondary"}
_HARDWARE: Mapping[str, int] = {"gpu_memory": 8, "gpu_load": 8, "host_memory": 1}
# order of preference: means, then plain values, then extremes
_STATISTICS = {"mean": 0, "": 1, "median": 1, "last": 1, "maj": 2}


@dataclass(frozen=True)
class Curve:
    """A metric with the meaning of its key and its recorded points.

    `costs` contains the finite values, negated if larger values are better, so that smaller costs are always better.
    `is_whole` is false if SwanLab sent only a sample of the points.
    """

    key: str
    kind: MetricKind
    steps: Sequence[int]
    values: Sequence[float]
    times: Sequence[int] = ()
    is_whole: bool = True

    @cached_property
    def sign(self) -> int:
        return -1 if self.kind.direction == "max" else 1

    @cached_property
    def _finite(self) -> tuple[Sequence[int], Sequence[float]]:
        steps, values = keep_finite(self.steps, self.values)
        # a loss or error is constant until the first model update, so drop the constant start
        if self.kind.role in ("reward", "quality"):
            return steps, values
        first = next((index for index, value in enumerate(values) if value != values[0]), 0) - 1
        if first >= max(2, len(values) // 50) or (first > 0 and values[0] == 0):
            steps, values = steps[first + 1 :], values[first + 1 :]
        return steps, values

    @property
    def finite_steps(self) -> Sequence[int]:
        return self._finite[0]

    @cached_property
    def costs(self) -> Sequence[float]:
        return self._finite[1] if self.sign == 1 else [-value for value in self._finite[1]]

    @cached_property
    def course(self) -> Outline:
        return outline(to_scale(self.costs), DEFAULTS)

    @cached_property
    def is_constant(self) -> bool:
        return not self.costs or min(self.costs) == max(self.costs)

    @property
    def is_stuck(self) -> bool:
        """Whether a quality or error metric keeps the same bad value over many points."""
        if not self.is_constant or len(self.costs) < DEFAULTS.flat_points or not self.kind.must_improve:
            return False
        value = self.sign * self.costs[0]
        return (self.kind.role == "error" and value > 0) or (
            self.kind.role == "quality" and self.sign < 0 and value < DEFAULTS.trained_accuracy
        )

    @property
    def is_judged(self) -> bool:
        """Whether the values vary and the key shows which values are better."""
        return self.kind.role in _JUDGED and self.kind.direction != "" and not self.is_constant

    @property
    def is_held_out(self) -> bool:
        return self.kind.split in ("validation", "test")


def read_curve(
    key: str, steps: Sequence[int], values: Sequence[float], times: Sequence[int] = (), *, is_whole: bool = True
) -> Curve:
    """Create a metric's curve, and look up the meaning of its key."""
    return Curve(key, describe_key(key), steps, values, times, is_whole)


def choose_keys(logged: Sequence[str]) -> tuple[list[str], int]:
    """Return the keys to read, starting with those that decide the verdict, and the number of relevant keys omitted."""
    kinds = {key: describe_key(key) for key in logged}
    best = _choose_of_families(kinds, _find_sides(logged))

    def rank(key: str) -> tuple[bool, int, int, int]:
        kind = kinds[key]
        order = (
            0 if kind.role in _JUDGED and kind.split in ("validation", "test")
            else 1 if kind.role == "reward" or kind.is_total
            else 2 if kind.role in _JUDGED
            else 3 if kind.role in ("entropy", "gradient_norm", "learning_rate", "length", "balance")
            else 4 if kind.role not in ("counter", "setting", "time", "speed")
            else 5
        )  # fmt: skip
        weight = bool(_SIDE.intersection(kind.family)) - bool(_MAIN.intersection(kind.family))
        return key not in best, order, weight, len(kind.family)

    hardware: list[str] = []
    for role, most in _HARDWARE.items():
        hardware += [key for key in logged if kinds[key].role == role][:most]
    others = [
        key
        for key in logged
        # a key with a line break would corrupt a table
        if kinds[key].role not in _HARDWARE and not key.startswith("__swanlab__") and key.isprintable()
    ]
    ranked = sorted(others, key=rank)
    late = set([key for key in ranked if rank(key)[:2] == (False, 0)][_READ_HELD_OUT:])
    chosen = sorted(ranked, key=lambda key: (rank(key)[0], 4 if key in late else rank(key)[1]))[:_READ]
    left = sum(kinds[key].role in (*_JUDGED, "entropy") for key in others if key not in set(chosen))
    return [*chosen, *hardware], left


def _find_sides(keys: Sequence[str]) -> dict[str, str]:
    """Map each key of a training/held-out pair to "train" or "held out".

    The split in the key is not sufficient, because XGBoost labels both data sets as validation.
    """
    pairs = find_pairs(list(keys))
    return dict.fromkeys((held_out for _, held_out in pairs), "held out") | {train: "train" for train, _ in pairs}


def _choose_of_families(kinds: Mapping[str, MetricKind], sides: Mapping[str, str]) -> set[str]:
    """Choose one key per family, split and role, preferring the mean, then the plain value, then other statistics."""
    chosen: dict[tuple[str, ...], str] = {}
    for key, kind in kinds.items():
        name = (kind.role, sides.get(key) or kind.split, *kind.family)
        known = chosen.get(name)
        if known is None or _rank_statistic(kind) < _rank_statistic(kinds[known]):
            chosen[name] = key
    return set(chosen.values())


def _rank_statistic(kind: MetricKind) -> int:
    return _STATISTICS.get(kind.statistic, 3)


@dataclass(frozen=True)
class Roles:
    """An experiment's curves, grouped by their role in the verdict.

    `held_out`, `training` and `rewards` decide the verdict. `parts` and `information` are only checked for events such
    as NaN values and spikes. `pairs` maps held-out keys to the corresponding training curves. If `is_policy` is true, a
    reward decides the verdict, and the losses of reinforcement learning are only informative.
    """

    held_out: Sequence[Curve] = ()
    training: Sequence[Curve] = ()
    rewards: Sequence[Curve] = ()
    parts: Sequence[Curve] = ()
    information: Sequence[Curve] = ()
    pairs: Mapping[str, Curve] = field(default_factory=dict[str, Curve])

    @property
    def is_policy(self) -> bool:
        return bool(self.rewards) or any(curve.kind.role == "reward" for curve in self.held_out)

    @property
    def deciding(self) -> Sequence[Curve]:
        return (*self.rewards, *self.held_out, *(() if self.is_policy else self.training))


def assign_roles(curves: Sequence[Curve]) -> Roles:
    """Group the curves by their role in the verdict."""
    sides = _find_sides([curve.key for curve in curves if len(curve.steps) > 1])
    best = _choose_of_families({curve.key: curve.kind for curve in _by_length(curves)}, sides)
    judged = [curve for curve in curves if curve.is_judged]
    if not any(curve.kind.role == "reward" for curve in judged):
        # a constant reward never improved, so it also decides the verdict
        judged += [curve for curve in curves if curve.kind.role == "reward" and curve.is_constant and curve.costs]
    if not any(curve.is_held_out and curve.kind.role in ("quality", "error") for curve in judged):
        # a held-out result that never leaves a bad value decides for the same reason
        judged += [curve for curve in curves if curve.is_stuck and _is_result(curve, judged)]
    families = [curve for curve in judged if curve.key in best and _rank_statistic(curve.kind) < 3]
    families = families or [curve for curve in judged if curve.key in best]
    held_out = [curve for curve in families if sides.get(curve.key) != "train" and _is_result(curve, families)]
    training = [curve for curve in families if curve not in held_out]
    rewards = _choose_rewards(training, curves) or _choose_results(held_out, curves)
    losses = [curve for curve in training if curve.kind.role in ("loss", "error")]
    parts: list[Curve] = []
    for some in (losses, [curve for curve in held_out if curve.kind.role == "loss"]):
        totals = [curve for curve in some if curve.kind.is_total]
        if totals:
            parts += [curve for curve in some if curve not in totals and curve.kind.role == "loss"]
    held_out = [curve for curve in held_out if curve not in parts and curve not in rewards]
    training = [curve for curve in training if curve not in parts and curve not in rewards]
    if rewards or any(curve.kind.role == "reward" for curve in held_out):
        # while a policy changes its own data, a loss says little, even on held-out episodes
        parts += [curve for curve in (*training, *held_out) if curve.kind.role == "loss"]
        held_out = [curve for curve in held_out if curve.kind.role != "loss"]
        training = [curve for curve in training if curve.kind.role != "loss"]
    deciding = {curve.key for curve in (*held_out, *training, *rewards, *parts)}
    return Roles(
        held_out,
        training,
        rewards,
        parts,
        [curve for curve in curves if curve.key not in deciding],
        {curve.key: pair for curve in held_out if (pair := _find_pair(curve, curves)) is not None},
    )


def _by_length(curves: Iterable[Curve]) -> list[Curve]:
    return sorted(curves, key=lambda curve: -len(curve.steps))


def _is_result(curve: Curve, families: Sequence[Curve]) -> bool:
    """Return whether a metric measures data that the model does not train on.

    If the key contains no split, the metric counts as held out if it is logged at the same steps as a held-out metric,
    or at most half as often as the training losses. A reward or a loss without a split never counts as held out.
    Neither does a metric whose family includes a metric that is explicitly held out.
    """
    kind = curve.kind
    if kind.split:
        return curve.is_held_out
    if kind.role in ("reward", "loss"):
        return False
    if any(one.is_held_out and one.kind.family == kind.family for one in families):
        return False
    losses = [
        one for one in families if one.kind.role in ("loss", "error") and one is not curve and not one.is_held_out
    ]
    with_validation = any(one.is_held_out and list(one.steps) == list(curve.steps) for one in families)
    longest = max((len(one.steps) for one in losses), default=0)
    return with_validation or len(curve.steps) * 2 <= longest


def _choose_rewards(training: Sequence[Curve], curves: Sequence[Curve]) -> list[Curve]:
    """Choose the rewards and success scores that decide the verdict.

    Total and plain rewards are preferred to reward components. If no reward is logged, a policy's success scores decide
    the verdict instead.
    """
    rewards = [curve for curve in training if curve.kind.role == "reward"]
    if not rewards and not _trains_policy(curves):
        return []
    if not rewards:
        return [curve for curve in training if curve.kind.role == "quality" and _measures_success(curve)]
    shortest = min(len(curve.kind.family) for curve in rewards)
    main = [curve for curve in rewards if len(curve.kind.family) == shortest or curve.kind.is_total]
    return [*main, *(curve for curve in training if curve.kind.role == "quality" and _measures_success(curve))]


def _choose_results(held_out: Sequence[Curve], curves: Sequence[Curve]) -> list[Curve]:
    """Return a policy's held-out success scores if no held-out reward is logged, otherwise an empty list."""
    if not _trains_policy(curves) or any(curve.kind.role == "reward" for curve in held_out):
        return []
    return [curve for curve in held_out if curve.kind.role == "quality" and _measures_success(curve)]


def _trains_policy(curves: Sequence[Curve]) -> bool:
    return any(curve.kind.rule == "policy-gradient loss" for curve in curves)


def _measures_success(curve: Curve) -> bool:
    return bool({"success", "score", "win", "winrate", "solved"}.intersection(curve.kind.family))


def _find_pair(held_out: Curve, curves: Sequence[Curve]) -> Curve | None:
    """Return the training curve that corresponds to a held-out curve, or `None`.

    Curves with more points are preferred.
    """
    trains = {train for train, other in find_pairs([one.key for one in curves]) if other == held_out.key}
    found = [
        one
        for one in _by_length(curves)
        if (one.key in trains or (not one.is_held_out and one.kind.family == held_out.kind.family))
        and one.kind.role == held_out.kind.role
        and not one.is_constant
    ]
    if not found and held_out.kind.role in ("loss", "error"):
        found = [one for one in _by_length(curves) if one.kind.is_total and not one.is_held_out and one.is_judged]
    return next((one for one in found if one is not held_out), None)
