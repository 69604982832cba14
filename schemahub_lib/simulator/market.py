"""The market behind the venues: one latent price an asset, and when it is busy.

Time is cut into one-hour slots. Every slot of a tape holds the same number of trades; a burst of volatility only moves
them closer together. That makes trade number and time convertible into each other without counting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from schemahub_lib.errors import UsageError
from schemahub_lib.simulator.listings import Asset, Listing, ns
from schemahub_lib.simulator.noise import F64, I64, Noise, key, smoothstep, uniform

SECOND = 1_000_000_000
SLOT = 3600 * SECOND
YEAR = 365.25 * 86400 * SECOND
PRICED_AT = ns("2024-02-08")
# Periods of the price's movements, a quarter of a second to half a year.
OCTAVES = tuple(SECOND * 4**power // 4 for power in range(14))
# Movements that a burst adds, and how strong each is as a share of the burst's shock.
BURST_WAVES = ((3 * SECOND, 0.4), (SECOND, 0.35), (SECOND * 2 // 5, 0.25))
# At the height of a burst spreads and the venues' disagreement are this many times wider.
WIDENING = 6.0


@dataclass(frozen=True)
class Burst:
    """A given burst of volatility. `shock` is its move of the log price, `intensity` multiplies the trade rate."""

    start_ns: int
    end_ns: int
    shock: float
    intensity: float


@dataclass(frozen=True)
class Scenario:
    """`starts_ns` is where the simulator's clock begins unless told otherwise. Without it that is the real time, and
    the burst is told from there on."""

    burst: Burst
    starts_ns: int | None

    def burst_for(self, start_ns: int) -> Burst:
        """The burst, for a clock that begins at a time."""
        if self.starts_ns is not None:
            return self.burst
        first, last = start_ns + self.burst.start_ns, start_ns + self.burst.end_ns
        beyond = last % SLOT + 1 if first // SLOT < last // SLOT else 0  # a burst lies within one slot
        return replace(self.burst, start_ns=first - beyond, end_ns=last - beyond)


SCENARIOS = {
    "burst-2024-02-08": Scenario(
        Burst(ns("2024-02-08T15:12:04Z"), ns("2024-02-08T15:12:16Z"), shock=-0.015, intensity=60.0),
        starts_ns=ns("2024-02-08T15:13:00Z"),
    ),
    "burst-just-now": Scenario(Burst(-300 * SECOND, -288 * SECOND, shock=-0.015, intensity=60.0), starts_ns=None),
}


def scenario(name: str) -> Scenario:
    """Raises UsageError for a name that is not known."""
    if name not in SCENARIOS:
        raise UsageError(f"no scenario {name!r}; there is {', '.join(SCENARIOS)}")
    return SCENARIOS[name]


@dataclass(frozen=True)
class Bursts:
    """The burst of each slot asked for, as shares of the slot; `shock` 0 and `intensity` 1 where there is none."""

    start: F64
    end: F64
    shock: F64
    intensity: F64

    @property
    def share(self) -> F64:
        """The share of the slot's trades that fall into its burst."""
        busy = (self.end - self.start) * self.intensity
        return busy / (1.0 - (self.end - self.start) + busy)


class Market:
    """Prices, spreads and trade intensity as functions of time, wholly determined by the seed and the scenario."""

    def __init__(self, seed: int, burst: Burst | None = None) -> None:
        self.seed = seed
        self._burst = burst
        self._noise: dict[tuple[object, ...], Noise] = {}

    def _key(self, *parts: object) -> np.uint64:
        return key(self.seed, *parts)

    def _wave(self, time_ns: I64, name: tuple[object, ...], waves: Iterable[tuple[int, float]]) -> F64:
        if name not in self._noise:
            self._noise[name] = Noise.of((self.seed, *name), waves)
        return self._noise[name].at(time_ns)

    def bursts(self, slot: I64) -> Bursts:
        """One slot in eight holds a burst of 5 to 30 seconds."""
        bursting = uniform(self._key("burst"), slot) < 0.125
        start = 0.05 + 0.85 * uniform(self._key("burst start"), slot)
        seconds = 5.0 + 25.0 * uniform(self._key("burst length"), slot)
        shock = 0.02 * (uniform(self._key("burst shock"), slot) - 0.5)
        intensity = 10.0 + 30.0 * uniform(self._key("burst intensity"), slot)
        found = Bursts(
            start, start + seconds * (SECOND / SLOT), np.where(bursting, shock, 0.0), np.where(bursting, intensity, 1.0)
        )
        if self._burst:
            here = slot == self._burst.start_ns // SLOT
            found.start[here] = self._burst.start_ns % SLOT / SLOT
            found.end[here] = self._burst.end_ns % SLOT / SLOT
            found.shock[here] = self._burst.shock
            found.intensity[here] = self._burst.intensity
        return found

    def share_at(self, time_ns: I64) -> F64:
        """The share of its slot's trades that have happened by a time."""
        slot, within = np.divmod(time_ns, SLOT)
        burst, x = self.bursts(slot), within / SLOT
        calm_rate = (1.0 - burst.share) / (1.0 - (burst.end - burst.start))
        busy_rate = burst.share / (burst.end - burst.start)
        in_burst = np.clip(x, burst.start, burst.end) - burst.start
        return (x - in_burst) * calm_rate + in_burst * busy_rate

    def time_at(self, slot: I64, share: F64) -> I64:
        """When `share` of a slot's trades have happened; the inverse of `share_at`."""
        burst = self.bursts(slot)
        calm_rate = (1.0 - burst.share) / (1.0 - (burst.end - burst.start))
        busy_rate = burst.share / (burst.end - burst.start)
        before = burst.start * calm_rate
        busy = np.clip(share - before, 0.0, burst.share)
        x = (share - busy) / calm_rate + busy / busy_rate
        time_ns: I64 = slot * SLOT + (x * SLOT).astype(np.int64)
        return time_ns

    def log_price(self, asset: Asset, time_ns: I64) -> F64:
        """The logarithm of the latent price in dollars."""
        log_price: F64 = np.log(asset.price) + asset.growth * ((time_ns - PRICED_AT) / YEAR)
        steps = ((period, asset.volatility * (period / SECOND) ** 0.5) for period in OCTAVES)
        log_price += self._wave(time_ns, ("price", asset.code), steps)
        slot, within = np.divmod(time_ns, SLOT)
        burst, x = self.bursts(slot), within / SLOT
        if burst.shock.any():
            moved = smoothstep((x - burst.start) / (burst.end - burst.start))
            recovered = smoothstep((x - burst.end) / (1.0 - burst.end))
            log_price += burst.shock * moved * (1.0 - recovered)
            tremor = self._wave(time_ns, ("burst price", asset.code), BURST_WAVES)
            log_price += np.abs(burst.shock) * self.excitement(time_ns) * tremor
        return log_price

    def excitement(self, time_ns: I64) -> F64:
        """0 in calm times, rising to 1 in the middle of a burst."""
        slot, within = np.divmod(time_ns, SLOT)
        burst = self.bursts(slot)
        x = (within / SLOT - burst.start) / (burst.end - burst.start)
        height = smoothstep(4.0 * x) * smoothstep(4.0 * (1.0 - x))
        return np.where(burst.shock != 0.0, height, 0.0)

    def lag_ns(self, listing: Listing, time_ns: I64) -> I64:
        """How far a venue is behind the latent price; drifts slowly within the venue's bounds."""
        low, high = listing.venue.lag_ms
        place = 0.5 + self._wave(time_ns, ("lag", listing.venue.name), [(20 * SECOND, 0.5)])
        lag: I64 = ((low + (high - low) * place) * 1e6).astype(np.int64)
        return lag

    def quote(self, listing: Listing, time_ns: I64) -> tuple[F64, F64]:
        """The venue's middle price and half its spread, both in dollars."""
        widening = 1.0 + WIDENING * self.excitement(time_ns)
        seen = self.log_price(listing.asset, time_ns - self.lag_ns(listing, time_ns))
        name = ("basis", listing.venue.name, listing.asset.code)
        basis = widening * self._wave(time_ns, name, [(45 * SECOND, 0.5e-4)])
        middle: F64 = np.exp(seen + basis)
        return middle, middle * listing.venue.half_spread * widening
