"""Faults on request: which request goes wrong and how, determined by the seed and the request's number alone."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemahub_lib.errors import UsageError
from schemahub_lib.simulator.listings import VENUES

FEED_KINDS = {
    "feed-gap": "a frame of the WebSocket feed is left out",
    "feed-cut": "the feed's connection is reset",
    "feed-silent": "the feed stays connected and says nothing more",
}
KINDS = {
    "500": "the exchange's own internal error",
    "503": "the exchange says it is in maintenance",
    "reset": "the connection is reset before an answer",
    "truncate": "the body ends before its Content-Length",
    "slow": "the answer comes late, by default after 3 seconds",
    "html": "a gateway's HTML page instead of JSON",
    "malformed-row": "one number in a page of trades is not a number",
    "stale": "the stream's previous page of trades once more",
    "new-field": "every trade of a page has a field more, maker_fee",
    "missing-field": "a page of trades without a field that may be missing: Binance's isBestMatch",
    "retyped-field": "the prices in a page of trades are bare numbers, not strings",
    **FEED_KINDS,
}
FAULT = re.compile(rf"(?:({'|'.join(VENUES)}):)?({'|'.join(KINDS)})(?::(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Fault:
    kind: str
    seconds: float = 3.0  # of `slow`
    draw: float = 0.0  # in [0, 1): which row, where to cut


def parse_faults(options: Iterable[str]) -> dict[str, float]:
    """`["500=0.1", "kraken:slow:2.5=0.05"]` as a mapping. Raises UsageError."""
    faults = {}
    for option in options:
        name, _, rate = option.partition("=")
        try:
            faults[name] = float(rate)
        except ValueError:
            raise UsageError(f"fault {option!r}: expected KIND=RATE, such as 500=0.1") from None
    Faults(0, faults)
    return faults


class Faults:
    """Rates in [0, 1] by `[EXCHANGE:]KIND[:SECONDS]`. Raises UsageError for anything else."""

    def __init__(self, seed: int, rates: Mapping[str, float]) -> None:
        self._seed = seed
        self._rates: list[tuple[str | None, Fault, float]] = []
        for name, rate in rates.items():
            match = FAULT.fullmatch(name)
            if match is None:
                known = ", ".join(KINDS)
                raise UsageError(f"no fault {name!r}; write [EXCHANGE:]KIND[:SECONDS] with one of {known}")
            if not isinstance(rate, int | float) or not 0.0 <= rate <= 1.0:
                raise UsageError(f"fault {name}: a rate is between 0 and 1, not {rate!r}")
            exchange, kind, seconds = match.groups()
            self._rates.append((exchange, Fault(kind, float(seconds or 3.0)), rate))

    def draw(self, exchange: str, number: int, feed: bool = False) -> Fault | None:
        """The fault of an exchange's `number`-th request, or frame of its feed, if any."""
        for place, fault, rate in self._rates:
            if place in (None, exchange) and (fault.kind in FEED_KINDS) == feed:
                chance = random.Random(f"{self._seed}/{exchange}/{fault.kind}/{number}")
                if chance.random() < rate:
                    return Fault(fault.kind, fault.seconds, chance.random())
        return None
