"""The one retry policy: exponential backoff with full jitter, and the exchange's own word where it gives one."""

from __future__ import annotations

DEADLINE = 120.0  # seconds from the first try of a request until ExchangeUnavailable
FIRST = 0.5
LONGEST = 30.0
DOUBLINGS = 10  # after which LONGEST is reached


def backoff(failures: int, retry_after: float | None, random: float) -> float:
    """Seconds to wait after a number of failures (from 1). `random` is in [0, 1).

    Never less than `retry_after`, what the exchange asked for.
    """
    jitter = random * min(LONGEST, FIRST * 2.0 ** min(failures - 1, DOUBLINGS))
    return jitter if retry_after is None else retry_after + random * FIRST
