"""Random numbers that are addressed, not drawn in turn.

The same customer in two worlds (contacted or not, with or without a channel) must meet the same
luck, or the difference between the worlds is mostly noise. A generator that is read in turn cannot
give that: one event more shifts every number behind it. Here a number is a hash of the seed, the
stream's name, the customer and the event, so that it is the same in every world, for any number of
customers and in any order of computation.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
from scipy import special

from touchpoint_lib._checks import FloatArray, IntArray

_Words = npt.NDArray[np.uint64]

# Steele, Lea and Flood (2014), "Fast Splittable Pseudorandom Number Generators": the golden
# increment and the finaliser of SplitMix64 (Stafford's variant 13).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S12 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(12)
_ONE = np.uint64(1)
_MASK = (1 << 64) - 1


def _mixed(words: _Words) -> _Words:
    """Return words whose every bit depends on every bit of ``words``, which are overwritten."""
    scratch = words >> _S30
    words ^= scratch
    words *= _FIRST
    np.right_shift(words, _S27, out=scratch)
    words ^= scratch
    words *= _SECOND
    np.right_shift(words, _S31, out=scratch)
    words ^= scratch
    return words


def event_of(name: str, day: npt.ArrayLike = 0) -> IntArray:
    """Return the events of draws for what is called ``name``, on days.

    They hang on its name, not on its place in a list: one more or less changes nobody's luck.
    """
    return (np.asarray(day, dtype=np.int64) << 32) | zlib.crc32(name.encode())


class Draws:
    """The luck of one shop: a number for each stream, customer and event."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, np.uint64] = {}

    def _stream(self, name: str) -> np.uint64:
        if name not in self._streams:
            # Two rounds keep neighbouring seeds and names apart.
            words = np.array([zlib.crc32(name.encode())], dtype=np.uint64)
            words = _mixed(words * _GOLDEN + np.uint64(self._seed & _MASK))
            self._streams[name] = _mixed(words + np.uint64((self._seed >> 64) & _MASK))[0]
        return self._streams[name]

    def uniform(self, stream: str, customer: npt.ArrayLike, event: npt.ArrayLike = 0) -> FloatArray:
        """Return numbers in (0, 1), one for each pair of whole numbers ``customer``, ``event``."""
        key, step = np.asarray(customer), np.asarray(event)
        # In place wherever it can be: this is most of a simulation's time. Never of no dimension:
        # numpy warns where scalars wrap around, as a hash is meant to.
        words = key.astype(np.uint64).reshape(key.shape or 1)
        words *= _GOLDEN
        words += self._stream(stream)
        words = _mixed(words)
        steps = step.astype(np.uint64).reshape(step.shape or 1)
        steps += _ONE
        steps *= _GOLDEN
        words = _mixed(words + steps)
        words >>= _S12
        # 52 bits and a half: exact, never 0, never 1.
        numbers = words.astype(np.float64)
        numbers += 0.5
        numbers *= 2.0**-52
        return numbers if key.ndim or step.ndim else numbers.reshape(())

    def normal(self, stream: str, customer: npt.ArrayLike, event: npt.ArrayLike = 0) -> FloatArray:
        """Return standard normal numbers."""
        return np.asarray(special.ndtri(self.uniform(stream, customer, event)))

    def exponential(
        self, stream: str, customer: npt.ArrayLike, event: npt.ArrayLike = 0
    ) -> FloatArray:
        """Return exponential numbers of mean 1."""
        return -np.log(self.uniform(stream, customer, event))

    def gamma(
        self, stream: str, shape: npt.ArrayLike, customer: npt.ArrayLike, event: npt.ArrayLike = 0
    ) -> FloatArray:
        """Return gamma numbers of the given shape and scale 1."""
        return np.asarray(special.gammaincinv(shape, self.uniform(stream, customer, event)))

    def beta(
        self, stream: str, a: npt.ArrayLike, b: npt.ArrayLike, customer: npt.ArrayLike
    ) -> FloatArray:
        """Return beta numbers."""
        return np.asarray(special.betaincinv(a, b, self.uniform(stream, customer)))

    def choice(
        self, stream: str, shares: npt.ArrayLike, customer: npt.ArrayLike, event: npt.ArrayLike = 0
    ) -> npt.NDArray[np.int8]:
        """Return positions in ``shares`` (which add up to 1), each as often as its share says."""
        bounds = np.cumsum(shares, dtype=np.float64)
        # Divided by their sum, which may be 1e-9 off: a last share of 0 must not be hit.
        chosen = np.searchsorted(
            bounds[:-1] / bounds[-1], self.uniform(stream, customer, event), side="right"
        )
        return np.asarray(chosen, dtype=np.int8)
