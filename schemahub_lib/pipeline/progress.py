"""Progress for people: a live line on a terminal, a log line every few seconds elsewhere. Always on stderr."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between log lines


class Progress:
    """Counts trades as they arrive from several threads. A context manager, so that the live line is taken down."""

    def __init__(self, *, live: bool) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._where: dict[str, str] = {}
        self._started = self._spoken = time.monotonic()
        self._status = None
        if live:
            from rich.console import Console

            self._status = Console(stderr=True).status("connecting")

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def add(self, source: str, product: str, rows: int) -> None:
        with self._lock:
            self._counts[source] = self._counts.get(source, 0) + rows
            self._where[source] = product
            now = time.monotonic()
            text = self._text(now - self._started)
            if self._status is not None:
                self._status.update(text)
            elif now - self._spoken >= INTERVAL:
                self._spoken = now
                log.info(text)

    def say(self, text: str) -> None:
        """A step that has no count, such as the unify."""
        if self._status is not None:
            self._status.update(text)
        else:
            log.info(text)

    def _text(self, seconds: float) -> str:
        return "   ".join(
            f"{source}: {count:,} trades, {count / max(seconds, 0.001):,.0f}/s, {self._where[source]}"
            for source, count in self._counts.items()
        )
