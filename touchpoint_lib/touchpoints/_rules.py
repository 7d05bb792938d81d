"""The rules of attribution: from paths and how often they ended how to a credit a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import comb

from touchpoint_lib._checks import FloatArray, IntArray
from touchpoint_lib.campaigns._events import DAY
from touchpoint_lib.touchpoints._paths import Paths

#: Pairs of sets that are held at once.
_PAIRS = 4_000_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Endings:
    """How often each path ended how, and the value of its conversions (0 without one).

    ``moment`` is the time of each touch, ``half_life`` is in days.
    """

    paths: Paths
    conversions: FloatArray
    lost: FloatArray
    value: FloatArray
    position: tuple[float, float]
    half_life: float
    moment: IntArray

    def tally(self, code: IntArray, weights: FloatArray) -> FloatArray:
        """Return the sum of weights by channel."""
        return np.asarray(np.bincount(code, weights, len(self.paths.channels)), dtype=np.float64)

    def share_out(self, weights: FloatArray) -> FloatArray:
        """Return the credit if each path's value goes to its touches by weight."""
        paths = self.paths
        total = np.bincount(paths.owner, weights, len(paths.size))
        # Only paths without a conversion may weigh nothing.
        each = self.value / np.where(total > 0, total, 1.0)
        return self.tally(paths.code, weights * each[paths.owner])

    @cached_property
    def removal_effect(self) -> FloatArray:
        """The share of the chain's conversions that is lost without each channel."""
        paths, n = self.paths, len(self.paths.channels)
        often = self.conversions + self.lost
        step = paths.owner[1:] == paths.owner[:-1]
        pair = paths.code[:-1][step] * n + paths.code[1:][step]
        steps = np.bincount(pair, often[paths.owner[1:][step]], n * n).reshape(n, n)
        won = self.tally(paths.last, self.conversions)
        left = steps.sum(axis=1) + won + self.tally(paths.last, self.lost)
        left[left == 0] = 1.0
        inverse = np.linalg.inv(np.eye(n) - steps / left[:, None])
        converts = inverse @ (won / left)
        start = self.tally(paths.first, often)
        through = start @ inverse / np.diag(inverse) * converts
        whole = float(start @ converts)
        return np.asarray(through / whole) if whole > 0 else np.zeros(n)


def _first(ends: Endings) -> FloatArray:
    return ends.tally(ends.paths.first, ends.value)


def _last(ends: Endings) -> FloatArray:
    return ends.tally(ends.paths.last, ends.value)


def _linear(ends: Endings) -> FloatArray:
    return ends.share_out(np.ones(len(ends.paths.code)))


def _time_decay(ends: Endings) -> FloatArray:
    last = ends.moment[ends.paths.start[1:] - 1]
    days = (last[ends.paths.owner] - ends.moment) / DAY
    # A touch long before the last one weighs nothing.
    with np.errstate(over="ignore", under="ignore"):
        return ends.share_out(np.exp2(-days / ends.half_life))


def _position(ends: Endings) -> FloatArray:
    paths, (first, last) = ends.paths, ends.position
    between = np.maximum(paths.size - 2, 1)
    weights = ((1 - first - last) / between)[paths.owner]
    weights[paths.start[:-1]] = first
    weights[paths.start[1:] - 1] = last
    # Two touches have no others between them, and share all by weight.
    weights[paths.start[:-1][paths.size == 1]] = 1.0
    return ends.share_out(weights)


def _markov(ends: Endings) -> FloatArray:
    effect = ends.removal_effect
    total = float(effect.sum())
    return effect * (float(ends.value.sum()) / total) if total > 0 else effect


def _markov_per_path(ends: Endings) -> FloatArray:
    return ends.share_out(ends.removal_effect[ends.paths.code])


def _shapley(ends: Endings) -> FloatArray:
    sets = ends.paths.sets()
    return ends.tally(sets.code, (ends.value / sets.size)[sets.owner])


def _shapley_rate(ends: Endings) -> FloatArray:
    sets = ends.paths.sets()
    group, example = sets.groups()
    won, lost, value = (
        np.bincount(group, part, len(example)) for part in (ends.conversions, ends.lost, ends.value)
    )
    kept = won > 0
    rate, value = won[kept] / (won + lost)[kept], value[kept]
    member = np.zeros((len(sets.size), len(ends.paths.channels)), dtype=np.bool_)
    member[sets.owner, sets.code] = True
    member = member[example[kept]].astype(np.float64)
    size = member.sum(axis=1).astype(np.int64)
    counts = np.arange(len(ends.paths.channels) + 1)
    choices = np.maximum(comb(counts[:, None], counts), 1.0)

    credit = np.zeros(len(ends.paths.channels))
    rows = max(_PAIRS // max(len(rate), 1), 1)
    for begin in range(0, len(rate), rows):
        game = slice(begin, begin + rows)
        inside = (1 - member[game]) @ member.T == 0
        weight = inside * rate / choices[size[game, None], size]
        rest = size[game, None] - size
        # A coalition speaks for its members, and against the other players of the game.
        other = np.where(rest > 0, weight, 0.0) / np.maximum(rest, 1)
        against = other.sum(axis=1)[:, None] - other @ member
        shares = weight / size @ member - member[game] * against
        credit += (value[game] / shares.sum(axis=1)) @ shares
    return credit


#: What each rule makes of the paths.
RULES: dict[str, Callable[[Endings], FloatArray]] = {
    "first": _first,
    "last": _last,
    "linear": _linear,
    "time decay": _time_decay,
    "position": _position,
    "markov": _markov,
    "markov per path": _markov_per_path,
    "shapley": _shapley,
    "shapley rate": _shapley_rate,
}
