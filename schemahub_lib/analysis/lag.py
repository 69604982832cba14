"""How far one venue's price is behind another's, from their trades alone.

Trades come at irregular times, and of one venue more often than of the other: a cross-correlation on a common grid
would take the staleness of the rarer price for lag. So each venue's price is compared with the other's as it was,
interpolated, a lag earlier; the lag at which they differ least is that of the highest correlation of their movements.
How sure it is comes from estimating it again without each second of the window in turn (the jackknife of Quenouille
and Tukey).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemahub_lib.analysis.ticks import F64, I64, Ticks

SPAN = 500  # milliseconds: the longest lag looked for, either way
STEP = 1.0  # milliseconds
FEWEST = 20  # prices of a venue, below which nothing is said
MOST = 4_000  # prices of a venue that are compared, of however many there are
STILL = 1e-14  # variance of logarithms, below which a price stands: a thousandth of a basis point, squared
DIP = 0.5  # of the variance at the longest lags is at most that at the lag found
BLOCK = 1_000.0  # milliseconds left out at a time
RESOLUTION = 2.0  # milliseconds: nothing is surer, as lags wander within a window, and some exchanges tell whole ones


@dataclass(frozen=True)
class Lag:
    """`ms` is how far the second venue is behind the first; below zero it leads. `error` is one standard error."""

    ms: float
    error: float

    @property
    def sure(self) -> bool:
        """Whether one of the two leads, and not merely by chance: two standard errors from zero."""
        return abs(self.ms) > 2 * self.error


def lag(first: Ticks, second: Ticks) -> Lag | None:
    """How far `second` is behind `first`; None where their prices are too few or move too little to tell."""
    if min(len(first), len(second)) < FEWEST:
        return None
    (t1, x1), (t2, x2) = first.middle(), second.middle()
    start, end = max(t1[0], t2[0]) + SPAN, min(t1[-1], t2[-1]) - SPAN
    lags = np.arange(-SPAN, SPAN + STEP, STEP)
    of1, of2 = _some(t1, start, end), _some(t2, start, end)
    if min(len(of1), len(of2)) < FEWEST:
        return None
    apart = np.concatenate(
        [
            x2[of2] - np.interp(t2[of2] - lags[:, None], t1, x1),
            np.interp(t1[of1] + lags[:, None], t2, x2) - x1[of1],
        ],
        axis=1,
    )
    # Both directions count alike, however many prices each venue has.
    weight = np.repeat([1 / len(of2), 1 / len(of1)], [len(of2), len(of1)])
    block = (np.concatenate([t2[of2], t1[of1]]) - start) // BLOCK
    order = np.argsort(block, kind="stable")
    _, edges = np.unique(block[order], return_index=True)
    moments = [
        np.add.reduceat((values * weight)[..., order], edges, axis=-1)
        for values in (np.ones_like(apart[:1]), apart, apart**2)
    ]
    sums = [moment.sum(axis=-1) for moment in moments]
    whole = _least(lags, *sums)
    without = [
        _least(lags, *(total - moment[..., block] for total, moment in zip(sums, moments, strict=True)))
        for block in range(len(edges))
    ]
    estimates = [estimate for estimate in without if estimate is not None]
    if whole is None or len(estimates) < max(len(without), 3):
        return None
    error = np.sqrt((len(estimates) - 1) * np.var(estimates))
    return Lag(whole, float(np.hypot(error, RESOLUTION)))


def _some(time: F64, start: float, end: float) -> I64:
    """Indices of at most `MOST` of the times between two."""
    within = np.flatnonzero((time >= start) & (time <= end))
    return within[:: -(-len(within) // MOST) or 1]


def _least(lags: F64, weight: F64, sums: F64, squares: F64) -> float | None:
    """The lag at which the two prices vary least about a constant distance, between the steps by a parabola. None where
    that is hardly less than at the longest lags (it may be one of these, or chance), and where they stand still."""
    variance = squares / weight - (sums / weight) ** 2
    at = int(variance.argmin())
    edges = min(variance[0], variance[-1])
    if edges < STILL or variance[at] > DIP * edges:
        return None
    before, here, after = variance[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(lags[at] + (STEP * (before - after) / (2 * bend) if bend > 0 else 0.0))
