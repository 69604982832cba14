"""Progress for people: a live line on a terminal, a log line every few seconds elsewhere. Always on stderr."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

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


class Journey:
    """How far each product of a backfill has come, as bars with the time to go, or a log line every few seconds.

    Distances are in positions: ids or microseconds. A context manager, like `Progress`.
    """

    def __init__(self, *, live: bool) -> None:
        self._lock = threading.Lock()
        self._started = self._spoken = time.monotonic()
        self._bars = None
        if live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[told]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
        self._legs: dict[str, _Leg] = {}
        self._products = 0
        self._all: Any = None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def expect(self, products: int) -> None:
        """How many products there are in all."""
        self._products = products
        if self._bars is not None and products > 1:
            self._all = self._bars.add_task("all", total=products, told="")

    def arrive(self, product: str) -> None:
        """A product has ended, wherever it came to."""
        with self._lock:
            leg = self._legs.setdefault(product, _Leg(1, time.monotonic()))
            leg.gone = leg.distance
            self._show_all()

    def begin(self, product: str, distance: int) -> None:
        """A product sets out; it has so many positions to go."""
        with self._lock:
            leg = self._legs[product] = _Leg(distance, time.monotonic())
            if self._bars is not None:
                leg.bar = self._bars.add_task(product, total=distance, told="")

    def advance(self, product: str, distance: int, rows: int) -> None:
        """A product has come so many positions further, and had so many trades on the way."""
        with self._lock:
            leg = self._legs[product]
            leg.gone += distance
            leg.rows += rows
            now = time.monotonic()
            rate = leg.rows / max(now - leg.started, 0.001)
            if self._bars is not None:
                self._bars.update(leg.bar, completed=leg.gone, told=f"{leg.rows:,} trades, {rate:,.0f}/s")
                self._show_all()
            elif now - self._spoken >= INTERVAL:
                self._spoken = now
                log.info(
                    "%s: %.0f %%, %s trades, %s/s; %d of %d products done, about %s to go",
                    product,
                    100 * leg.gone / leg.distance,
                    f"{leg.rows:,}",
                    f"{rate:,.0f}",
                    sum(other.gone >= other.distance for other in self._legs.values()),
                    self._products,
                    timedelta(seconds=round((now - self._started) * (self._products / self._done() - 1))),
                )

    def _done(self) -> float:
        """How many products' worth of the way is behind: more than 0 once one has set out."""
        return sum(leg.gone / leg.distance for leg in self._legs.values())

    def _show_all(self) -> None:
        if self._all is not None and self._bars is not None:
            rows = sum(leg.rows for leg in self._legs.values())
            self._bars.update(self._all, completed=self._done(), told=f"{rows:,} trades")


@dataclass
class _Leg:
    distance: int
    started: float
    gone: int = 0
    rows: int = 0
    bar: Any = None
