"""Randomness as a function of position: the same key and number always give the same value, in any order of asking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


@cache
def key(*parts: object) -> np.uint64:
    """A 64-bit key for one stream of values, from its names."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "big"))


def hash64(stream: np.uint64 | U64, numbers: I64) -> U64:
    """One well-mixed 64-bit value a number (the splitmix64 finaliser)."""
    mixed: U64 = numbers.astype(np.uint64)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed += stream
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def uniform(stream: np.uint64 | U64, numbers: I64) -> F64:
    """One value in [0, 1) a number."""
    return (hash64(stream, numbers) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def smoothstep(x: F64) -> F64:
    """0 below 0, 1 above 1, without corners between."""
    x = np.minimum(np.maximum(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


@dataclass(frozen=True)
class Noise:
    """A sum of smooth random functions of time, each taking a new direction every period and staying in +-amplitude."""

    streams: U64
    periods: I64  # nanoseconds
    amplitudes: F64

    @classmethod
    def of(cls, name: Sequence[object], waves: Iterable[tuple[int, float]]) -> Noise:
        """Noise with its own streams under `name`, from pairs of period and amplitude."""
        periods, amplitudes = zip(*waves, strict=True)
        streams = np.array([key(*name, period) for period in periods])
        return cls(streams, np.array(periods, dtype=np.int64), np.array(amplitudes))

    def at(self, time_ns: I64) -> F64:
        cell, within = np.divmod(time_ns[:, None], self.periods)
        left, right = uniform(self.streams, cell), uniform(self.streams, cell + 1)
        waves = 2.0 * (left + (right - left) * smoothstep(within / self.periods)) - 1.0
        # Not a matrix product: BLAS would keep threads of its own busy for it.
        total: F64 = (waves * self.amplitudes).sum(axis=1)
        return total
