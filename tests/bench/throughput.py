"""Rows a second from a local server into the raw table, and what the rate limiter leaves unused."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import requests

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.coinbase import Coinbase
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import RateLimit, Request
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.pipeline import run_ingest
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import new_run_id
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.bench.pages import pages

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1_000_000
DLT_ROWS = 200_000
LIMITER_SECONDS = 30
STEADY_AFTER = 5


class Unlimited(Coinbase):
    """As fast as the server answers."""

    rate_limit = RateLimit(units=1e6, seconds=1, burst=1e6)


def throughput() -> None:
    """run ingest from a local server without rate limit, against dlt's REST client on the same pages (target: 4 x)"""
    import pyiceberg.catalog.sql
    import pyiceberg.io.pyarrow  # noqa: F401 - imports are excluded on both sides

    with tempfile.TemporaryDirectory() as folder, pages(ROWS) as url:
        bare = _bare_loop(url, DLT_ROWS)
        print(f"  bare requests loop (get and json)   {bare:10,.0f} rows/s")
        lake = Lake(Settings.load(warehouse=f"{folder}/w", environment={"SCHEMAHUB_COINBASE_URL": url}))
        for rows in (DLT_ROWS, 250_000, ROWS - 250_000 - DLT_ROWS):
            started = time.perf_counter()
            options = IngestOptions(products=("BTC-USD",), since=datetime(2020, 1, 1, tzinfo=UTC), max_catch_up=rows)
            with Progress(live=False) as progress:
                (report,) = run_ingest(lake, [Unlimited()], options, new_run_id(), progress)
            ours = report.rows / (time.perf_counter() - started)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"  run ingest, {report.rows:9,} trades        {ours:10,.0f} rows/s   peak memory {peak:.0f} MiB")
        dlt = os.environ.get("SCHEMAHUB_BENCH_DLT_PYTHON")
        if not dlt:
            print("  dlt is not measured: set SCHEMAHUB_BENCH_DLT_PYTHON to a Python that has dlt[pyiceberg]")
            return
        command = [dlt, str(ROOT / "tests/bench/dlt_side.py"), url, str(DLT_ROWS), f"{folder}/dlt"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        theirs = DLT_ROWS / float(done.stdout.split()[-1])
        print(f"  dlt's REST client into Iceberg      {theirs:10,.0f} rows/s   ours is {ours / theirs:.1f} x")


def _bare_loop(url: str, rows: int) -> float:
    started = time.perf_counter()
    with requests.Session() as session:
        for before in range(0, rows, 1000):
            window = {"before": before, "after": before + 1001}
            assert len(session.get(f"{url}/products/BTC-USD/trades", params=window).json()) == 1000
    return rows / (time.perf_counter() - started)


def limiter() -> None:
    """requests used of the 10 a second allowed, 50 ms latency, four threads (target: 97 %, no 429)"""
    exchange = EXCHANGES["coinbase"]
    with Simulator(latency=0.05) as simulator, HttpClient(exchange, base_url=simulator.urls["coinbase"]) as client:
        stop = time.monotonic() + STEADY_AFTER + LIMITER_SECONDS

        def ask() -> None:
            while time.monotonic() < stop:
                client.send(Request("/products/BTC-USD/trades", {"limit": 1}))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(STEADY_AFTER)  # the burst is spent by then
        before = client.stats.requests
        for thread in threads:
            thread.join()
        sent, throttled = client.stats.requests - before, client.stats.throttled
        allowed = LIMITER_SECONDS * exchange.rate_limit.units / exchange.rate_limit.seconds
        print(f"  {sent} requests in {LIMITER_SECONDS} s: {sent / allowed:.1%} used, {throttled} throttled")
