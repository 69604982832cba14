"""The simulator's time, which runs at its own speed and can be moved forward."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Starts at `start_ns` (nanoseconds since 1970) and runs `speed` times as fast as real time; 0 stands still."""

    def __init__(self, start_ns: int, speed: float = 1.0) -> None:
        self._start_ns = start_ns
        self._speed = speed
        self._began = time.monotonic_ns()
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        return self._start_ns + int((time.monotonic_ns() - self._began) * self._speed)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._start_ns += round(seconds * 1e9)


def iso(time_ns: int, timespec: str = "milliseconds") -> str:
    """`2024-02-08T15:12:04.123Z`"""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).replace(microsecond=time_ns // 1_000 % 1_000_000)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")
