"""How soon the Live page shows a quote, and what it costs, under a feed of 500 quotes a second."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from aiohttp import web

from schemahub_lib.simulator import Simulator
from tests.bench.measure import ROOT
from tests.ui.conftest import launched

QUOTES = 500  # a second
MARKETS = 30
MINUTES = int(os.environ.get("SCHEMAHUB_BENCH_MINUTES", "10"))
BATCH = 0.02  # seconds
# Each bid is the time at which it was sent, in milliseconds since 1970: what is on the screen tells its own age. It is
# looked at in the frame after it was put there, once for each market.
WATCH = """() => {
    window.lags = [];
    new MutationObserver((changes) => {
        const sent = new Map();
        for (const { target } of changes) {
            const cell = (target.nodeType === 3 ? target.parentElement : target)?.closest?.("[col-id=bid]");
            const at = Number(cell?.textContent);
            if (at > 1e12) sent.set(cell.closest(".ag-row").getAttribute("row-id"), at);
        }
        requestAnimationFrame(() => sent.forEach((at) => window.lags.push(Date.now() - at)));
    }).observe(document.querySelector(".grid"), { subtree: true, childList: true, characterData: true });
}"""


def live_screen() -> None:
    """500 quotes a second of 30 markets: from the feed to the screen (target: p99 under 250 ms), and memory (flat)"""
    from playwright.sync_api import sync_playwright

    symbols = [f"A{number:02}USDT" for number in range(MARKETS)]
    with tempfile.TemporaryDirectory() as folder, Simulator(rate_limits=False) as simulator, _feed(symbols) as feed:
        seeds = Path(folder) / "mappings"
        shutil.copytree(ROOT / "mappings", seeds)
        told = {"source": "binance", "last_updated": "2026-01-01T00:00:00Z", "count": MARKETS}
        (seeds / "product_ids_seed_binance.yaml").write_text(yaml.safe_dump({"product_ids": symbols, "metadata": told}))
        urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}
        urls |= {"SCHEMAHUB_BINANCE_FEED_URL": feed}
        urls |= {f"SCHEMAHUB_{name}_FEED_URL": "ws://127.0.0.1:1" for name in ("COINBASE", "KRAKEN")}
        with (
            _served(Path(folder), urls) as (server, url),
            sync_playwright() as playwright,
            launched(playwright) as browser,
        ):
            page = browser.new_page(viewport={"width": 1280, "height": 1400})
            page.goto(f"{url}/live")
            page.wait_for_function("document.querySelectorAll('.ag-center-cols-container .ag-row').length > 30")
            page.evaluate(WATCH)
            before = _cpu(server.pid)
            for minute in range(1, MINUTES + 1):
                page.wait_for_timeout(60_000)
                lags = np.array(page.evaluate("window.lags.splice(0)"))
                p50, p99 = np.percentile(lags, (50, 99))
                cpu, before = _cpu(server.pid) - before, _cpu(server.pid)
                heap = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
                print(
                    f"  minute {minute:2}: {len(lags) / 60:4.0f} shown a second, p50 {p50:3.0f} ms, p99 {p99:3.0f} ms, "
                    f"server {_memory(server.pid):4.0f} MB and {cpu / 60:3.0%} of a core, page {heap:4.0f} MB",
                    flush=True,
                )


def _cpu(pid: int) -> float:
    """Seconds, of the program and the system for it."""
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    """Resident, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def _served(folder: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    program = [sys.executable, "-m", "schemahub_lib", "--quiet", "--warehouse", str(folder / "warehouse")]
    program += ["ui", "--port", "0"]
    variables = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.PIPE}
    with subprocess.Popen(program, cwd=folder, env=variables, text=True, **quiet) as server:
        assert server.stdout is not None
        found = re.match(r"http://[\w.:]+", server.stdout.readline())
        assert found, "the server did not start"
        try:
            yield server, found[0]
        finally:
            server.send_signal(signal.SIGINT)


@contextmanager
def _feed(symbols: list[str]) -> Iterator[str]:
    """Binance's feed as far as its best prices go, at a steady rate, in a thread of its own."""

    async def quotes(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str('{"result":null,"id":1}')
        sent, began = 0, time.monotonic()
        with suppress(ConnectionResetError):  # the server has stopped
            while not socket.closed:
                while sent < (time.monotonic() - began) * QUOTES:
                    now, symbol = time.time_ns() // 1_000_000, symbols[sent % len(symbols)]
                    await socket.send_str(f'{{"u":{sent},"s":"{symbol}","b":"{now}","B":"1","a":"{now + 1}","A":"1"}}')
                    sent += 1
                await asyncio.sleep(BATCH)
        return socket

    async def serve(ready: Any) -> None:
        app = web.Application()
        app.add_routes([web.get("/ws", quotes)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready(runner.addresses[0][1])

    loop, ports, started = asyncio.new_event_loop(), list[int](), threading.Event()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(lambda port: (ports.append(port), started.set())), loop)
    started.wait()
    yield f"ws://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
