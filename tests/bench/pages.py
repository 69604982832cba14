"""The Replay page in Chromium: on 21 million rows of three venues, and with 20,000 or 10 million trades in a window."""

from __future__ import annotations

import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
from playwright.sync_api import Page, sync_playwright

from schemahub_lib.config import Settings
from schemahub_lib.schemas import EVENTS, TRADES_UNIFIED
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.types import arrow_schema
from tests.analysis.market import BURST, lake_with
from tests.bench.unified_tables import A_DAY, day, new_lake, trades_sql
from tests.ui.conftest import launched, opened, served

DAYS = 7
WINDOWS = 50
BUSY = 10_000_000  # trades in an hour
VENUES = ("COINBASE", "BINANCE", "KRAKEN")
_FIRST_FRAME = """(expected) => new Promise((done) => {
    const started = performance.now();
    const look = () => document.querySelector('.player .words')?.textContent.includes(expected)
        ? requestAnimationFrame(() => done(performance.now() - started))
        : requestAnimationFrame(look);
    [...document.querySelectorAll('button')].find((button) => button.textContent === 'Replay').click();
    look();
})"""
_FRAMES = """(seconds) => new Promise((done) => {
    const spent = [];
    let before = null;
    const count = (now) => {
        if (before !== null) spent.push(now - before);
        before = now;
        if (spent.reduce((a, b) => a + b, 0) > 1000 * seconds) done(spent);
        else requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
})"""


def pages() -> None:
    """The Replay page (targets: start 2 s, events 1 s, first frame 1 s cold and 0.3 s warm, 50 frames a second)"""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, launched(playwright) as chromium:
        _fill(f"{folder}/large")
        started = time.perf_counter()
        with served("--warehouse", f"{folder}/large") as address, opened(chromium) as watched:
            print(f"  server start: {time.perf_counter() - started:.2f} s")
            started = time.perf_counter()
            watched.page.goto(address)
            opened_at = time.perf_counter()
            watched.page.get_by_role("region", name="bursts found").wait_for()
            listed_at = time.perf_counter()
            print(
                f"  page opened: {opened_at - started:.2f} s; a list of 200 events: {listed_at - opened_at:.2f} s more"
            )
            draw = random.Random(1)
            moments = [
                day(0)[0] + timedelta(microseconds=draw.randrange(DAYS * 86_400_000_000)) for _ in range(WINDOWS + 1)
            ]
            cold, *warm = (_first_frame(watched.page, moment) for moment in moments)
            print(
                f"  first frame: {cold:.2f} s cold; warm {median(warm):.2f} s in the median of {WINDOWS} windows, "
                f"{quantiles(warm, n=20)[-1]:.2f} s at the 95th percentile"
            )
        begun = datetime.fromtimestamp(BURST.start_ns / SECOND, UTC)
        lake_with(Path(folder, "burst"), begun, begun + timedelta(minutes=4), "BTC").close()
        with served("--warehouse", f"{folder}/burst") as address, opened(chromium) as watched:
            page = watched.page
            page.goto("about:blank")
            idle = page.evaluate(_FRAMES, 5)
            page.goto(f"{address}/?{urlencode({'asset': 'BTC', 'at': begun.isoformat(), 'window': '4m'})}")
            page.get_by_role("button", name="pause").wait_for()
            spent = page.evaluate(_FRAMES, 10)
            print(
                f"  {page.locator('.words').inner_text()}\n"
                f"  played: {1000 * len(spent) / sum(spent):.1f} frames a second (an empty page: "
                f"{1000 * len(idle) / sum(idle):.1f}), 99 % within {quantiles(spent, n=100)[-1]:.0f} ms, the longest "
                f"{max(spent):.0f} ms"
            )
        _fill_an_hour(f"{folder}/busy", begun)
        with served("--warehouse", f"{folder}/busy") as address, opened(chromium) as watched:
            page = watched.page
            started = time.perf_counter()
            page.goto(f"{address}/?{urlencode({'asset': 'BTC', 'at': begun.isoformat(), 'window': '1h'})}")
            page.get_by_role("button", name="pause").wait_for()
            print(
                f"  {page.locator('.words').inner_text()}\n  from the address on: {time.perf_counter() - started:.1f} s"
            )


def _fill(folder: str) -> None:
    lake = new_lake(folder)
    for venue in VENUES:
        select = trades_sql(0, DAYS * A_DAY).replace("'COINBASE'", f"'{venue}'")
        lake.spark.sql(f"INSERT INTO {lake.identifier(TRADES_UNIFIED.name)} {select}")
    event = {"asset": "S0", "volatility": 1.0, "usual": 1.0, "ratio": 9.0, "move": 1.0, "trades": 1, "venues": "KRAKEN"}
    times = [day(0)[0] + timedelta(minutes=number) for number in range(10_000)]
    lake.append(EVENTS, [event | dict.fromkeys(("starts_at", "ends_at", "peak_at", "found_at"), at) for at in times])
    lake.close()


def _fill_an_hour(folder: str, start: datetime) -> None:
    """Ten million trades of BTC at three venues, whose price walks at random."""
    lake = Lake(Settings.load(warehouse=folder, environment={}))
    table = lake.ensure(TRADES_UNIFIED)
    draw = np.random.default_rng(1)
    for venue, count in zip(VENUES, (BUSY * 3 // 10, BUSY * 6 // 10, BUSY // 10), strict=True):
        time_us = np.sort(draw.integers(0, 3_600_000_000, count)) + int(start.timestamp() * 1e6)
        same = {"exchange": venue, "symbol": "BTC-USD", "canonical_symbol": "BTC-USD"}
        same |= {"base_asset": "BTC", "quote_asset": "USD"}
        columns = {name: pa.repeat(value, count) for name, value in same.items()}
        columns |= dict.fromkeys(("trade_ts", "ingest_ts"), pa.array(time_us, pa.timestamp("us", "UTC")))
        columns |= {
            "trade_id": pa.array(np.arange(count)).cast(pa.string()),
            "side": pa.array(["BUY", "SELL"]).take(pa.array(draw.integers(0, 2, count))),
            "price": pa.array(45_000 + np.cumsum(draw.normal(0, 0.05, count)).round(2)),
            "quantity": pa.array(draw.exponential(0.01, count).round(6)),
        }
        table.append(pa.table(columns, schema=arrow_schema(TRADES_UNIFIED)))
    lake.close()


def _first_frame(page: Page, moment: datetime) -> float:
    """Seconds from the press of the button to the frame in which the window is drawn."""
    page.get_by_label("Asset or symbol").fill("S0")
    page.get_by_label("From (UTC)").fill(moment.isoformat())
    page.wait_for_timeout(300)  # what is typed goes to the server by itself
    spent: float = page.evaluate(_FIRST_FRAME, f"{moment:%H:%M:%S.%f} to")
    return spent / 1000
