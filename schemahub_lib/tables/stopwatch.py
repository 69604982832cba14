"""How long the steps of a publish take: reported, so that one that grows is noticed."""

from __future__ import annotations

import time


class Stopwatch:
    """`laps` are seconds by step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, step: str) -> None:
        """The step that took from the last lap, or the start, to now."""
        now = time.perf_counter()
        self.laps[step] = self.laps.get(step, 0.0) + now - self._since
        self._since = now
