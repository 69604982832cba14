"""Backfills that land objects: at the exchange's limit, and as fast as the machine allows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import requests

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.http.limits import RateLimiter
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.pipeline.backfill import BackfillOptions
from schemahub_lib.pipeline.land_history import land_history
from schemahub_lib.pipeline.landing import Landing
from schemahub_lib.pipeline.progress import Journey
from schemahub_lib.pipeline.resume import Resumption
from tests.bench.measure import ROOT
from tests.bench.pages import pages
from tests.e2e.support import environment

PACE_ROWS = int(os.environ.get("SCHEMAHUB_BENCH_PACE_ROWS", "300000"))
LATENCY = 0.08
PRODUCTS = ("BTC-USD", "ETH-USD", "SOL-USD", "XRP-USD", "ADA-USD", "LTC-USD")
WORKERS = 4
SPEED_ROWS = 1_000_000
SPEED_TIMES = 3
MEMORY_ROWS = 10_000_000
VARIANTS = (("jsonl", "none"), ("jsonl", "gzip"), ("jsonl", "zstd"), ("parquet", "none"))


def landing_pace() -> None:
    """backfill --out at 10 requests a second and 80 ms latency, against the limiter's own time (target: within 5 %)"""
    _one_product(PACE_ROWS)
    _six_products(PACE_ROWS)


def _one_product(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder, _limited(rows) as url:
        command = [sys.executable, "-m", "schemahub_lib", "backfill", "--products", "BTC-USD", "--out", folder]
        started = time.perf_counter()
        subprocess.run(
            [*command, "--checkpoint-s3"],
            env=environment({"coinbase": url}, f"{folder}/none"),
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        _show(f"one product, {rows:,} trades", time.perf_counter() - started, rows, url)


def _six_products(rows: int) -> None:
    each = rows // len(PRODUCTS) // 1000 * 1000
    with tempfile.TemporaryDirectory() as folder, _limited(each) as url:
        settings = Settings.load(warehouse=folder, environment={"SCHEMAHUB_COINBASE_URL": url})
        landing = Landing(LocalStore.make(folder), "bench")
        options = BackfillOptions(products=PRODUCTS, workers=WORKERS)
        resumption = Resumption(EXCHANGES["coinbase"], landing, beside=True)
        started = time.perf_counter()
        with _Watched() as journey:
            land_history(
                *(settings, EXCHANGES["coinbase"], options, landing, resumption, journey, threading.Event()),
                resume=False,
            )
        wall = time.perf_counter() - started
        _show(f"six products, {WORKERS} workers", wall, each * len(PRODUCTS), url)
    for share in (0.25, 0.5, 0.75, 1.0):
        came = journey.when_first_had(share * each)
        fair = sum(came) / len(came)
        spread = max(abs(rows - fair) for rows in came) / fair
        told = ", ".join(f"{rows:,}" for rows in sorted(came))
        print(
            f"    first product at {share:4.0%}: the {len(came)} under way have {told}: {spread:.1%} off (target: 20 %)"
        )


def _show(what: str, wall: float, rows: int, url: str) -> None:
    served, refused = requests.get(f"{url}/served", timeout=10).json()
    limit = EXCHANGES["coinbase"].rate_limit
    needed = rows / 1000 * limit.seconds / limit.units
    print(
        f"  {what:32} {wall:7.2f} s: {wall / needed:.3f} x the {needed:.0f} s that its pages take at the limit, "
        f"{wall / _own_time(served):.3f} x our limiter's own; {served} requests, {refused} refused"
    )


def _own_time(count: int) -> float:
    """Seconds that the limiter alone takes for so many requests, its burst at the start and its caution included."""
    now = 0.0

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    limiter = RateLimiter(EXCHANGES["coinbase"].rate_limit, lambda: now, wait)
    for _ in range(count):
        limiter.acquire()
    return now


def _limited(rows: int):  # type: ignore[no-untyped-def]
    return pages(rows, "--latency", str(LATENCY), "--limit", str(EXCHANGES["coinbase"].rate_limit.units))


class _Watched(Journey):
    """Remembers how far each product was at each step."""

    def __init__(self) -> None:
        super().__init__(live=False)
        self.steps: list[dict[str, int]] = [{}]
        self.watching = threading.Lock()

    def begin(self, product: str, distance: int) -> None:
        super().begin(product, distance)
        with self.watching:
            self.steps.append(self.steps[-1] | {product: 0})

    def advance(self, product: str, distance: int, rows: int) -> None:
        super().advance(product, distance, rows)
        with self.watching:
            self.steps.append(self.steps[-1] | {product: self.steps[-1][product] + rows})

    def when_first_had(self, rows: float) -> list[int]:
        """How far those were that set out first, when the first of them had come so far."""
        return next(list(step.values()) for step in self.steps if max(step.values(), default=0) >= rows)


@dataclass(frozen=True)
class _Landed:
    """Seconds on the clock and of CPU, and MiB."""

    wall: float
    cpu: float
    peak: float


def landing_speed() -> None:
    """landing without a rate limit, against a bare loop of get and json over the same pages (target: 60 %, 400 MB)"""
    names = {
        f"{format} {compress}" if format == "jsonl" else format: (format, compress) for format, compress in VARIANTS
    }
    runs: dict[str, list[_Landed]] = {"bare loop": [], **{name: [] for name in names}}
    with tempfile.TemporaryDirectory() as folder, pages(SPEED_ROWS) as url:
        _side(url, SPEED_ROWS, "bare")  # the server makes its pages
        for turn in range(SPEED_TIMES):
            runs["bare loop"].append(_side(url, SPEED_ROWS, "bare"))
            for name, how in names.items():
                runs[name].append(_side(url, SPEED_ROWS, f"{folder}/{turn}/{'-'.join(how)}", *how))
    bare = runs["bare loop"]
    for name, measured in runs.items():
        pairs = list(zip(bare, measured, strict=True))
        print(
            f"  {name:12} {SPEED_ROWS / median(side.wall for side in measured):10,.0f} rows/s, "
            f"{median(base.wall / side.wall for base, side in pairs):4.0%} of the bare loop "
            f"({median(base.cpu / side.cpu for base, side in pairs):4.0%} by CPU), "
            f"peak memory {max(side.peak for side in measured):.0f} MiB"
        )


def memory() -> None:
    """ten million trades landed as JSON lines, and the most memory that took (target: 400 MB)"""
    with tempfile.TemporaryDirectory() as folder, pages(MEMORY_ROWS) as url:
        landed = _side(url, MEMORY_ROWS, folder, "jsonl", "none")
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jsonl"))
    print(
        f"  {MEMORY_ROWS:,} trades, {size / 1e9:.2f} GB in {landed.wall:.0f} s: "
        f"{MEMORY_ROWS / landed.wall:,.0f} rows/s, peak memory {landed.peak:.0f} MiB"
    )


def _side(url: str, rows: int, *how: str) -> _Landed:
    command = [sys.executable, "-m", "tests.bench.landing_side", url, str(rows), *how]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return _Landed(*map(float, done.stdout.split()))
