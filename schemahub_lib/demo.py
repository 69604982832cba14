"""`make demo`: simulated exchanges, the pipeline twice with new trades in between, and what a person wants to see.

`make demo-ui`: the same market with a burst of volatility, and the web pages on it until stopped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.query import query
from schemahub_lib.render import show_rows
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake

WAREHOUSE = Path("warehouse/demo")
WAIT = 12  # seconds for new trades to arrive
PIPELINE = ("run", "pipeline", "trades_unified")
TRADE_RATE = 0.15  # of the simulator's: 45 minutes are then a few seconds at the exchanges' real rate limits

ROWS = """
SELECT exchange, canonical_symbol, symbol, count(*) AS trades,
       count(*) - count(DISTINCT trade_id) AS duplicates,
       max(trade_id::BIGINT) - min(trade_id::BIGINT) + 1 - count(DISTINCT trade_id) AS missing_ids,
       strftime(min(trade_ts), '%H:%M:%S') AS first_trade, strftime(max(trade_ts), '%H:%M:%S') AS last_trade,
       round(epoch(now()) - epoch(max(trade_ts)), 1) AS lag_seconds
FROM trades_unified GROUP BY ALL ORDER BY canonical_symbol, exchange
"""
SPREAD = """
WITH minutes AS (
  SELECT base_asset, date_trunc('minute', trade_ts) AS minute, exchange, avg(price) AS price
  FROM trades_unified GROUP BY ALL
)
SELECT base_asset AS asset, strftime(minute, '%H:%M') AS minute,
       arg_min(exchange, price) AS cheapest, round(min(price), 2) AS price,
       arg_max(exchange, price) AS dearest, round(max(price), 2) AS "its price",
       round((max(price) / min(price) - 1) * 10000, 2) AS "spread, bps"
FROM minutes GROUP BY ALL HAVING count(*) = (SELECT count(DISTINCT exchange) FROM trades_unified)
ORDER BY "spread, bps" DESC LIMIT 8
"""


def main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    with _exchanges(console, None, TRADE_RATE) as environment:
        if code := _schemahub(console, environment, "First run: the last 45 minutes of every product", *PIPELINE):
            return code
        console.print(f"\nWaiting {WAIT} s for new trades to arrive …")
        time.sleep(WAIT)
        if code := _schemahub(console, environment, "Second run: only what is new since the watermarks", *PIPELINE):
            return code
    lake = Lake(Settings.load(warehouse=str(WAREHOUSE), environment={}))
    console.print("\n[bold]trades_unified[/], rows per venue and product (duplicates and missing ids should be 0):")
    show_rows(query(lake, ROWS), "table")
    console.print("\n[bold]Where the venues disagree most[/], average price per minute:")
    show_rows(query(lake, SPREAD), "table")
    console.print(
        f"\nThe tables are in [bold]{WAREHOUSE}[/], the simulated exchanges are stopped. What to type next:\n"
        f"  .venv/bin/schemahub --warehouse {WAREHOUSE} status\n"
        f"  .venv/bin/schemahub --warehouse {WAREHOUSE} query"
        ' "SELECT * FROM trades_unified ORDER BY trade_ts DESC LIMIT 5"\n'
        "  .venv/bin/schemahub mappings show coinbase\n"
        "  .venv/bin/schemahub run pipeline          # the real exchanges, into ./warehouse"
    )
    return 0


def pages() -> int:
    """The pages, on a market that has just had a burst, until stopped."""
    console = Console(highlight=False, soft_wrap=True)
    with _exchanges(console, "burst-just-now", 2 * TRADE_RATE) as environment:
        code = _schemahub(console, environment, "The last 45 minutes of every product", *PIPELINE)
        code = code or _schemahub(console, environment, "Their order books", "run", "ingest", *EXCHANGES, "--books")
        code = code or _schemahub(console, environment, "Bursts of volatility in the trades", "events", "find")
        return code or _schemahub(console, environment, "The pages, until Ctrl-C: open this address", "ui")


@contextmanager
def _exchanges(console: Console, scenario: str | None, trade_rate: float) -> Iterator[dict[str, str]]:
    """Simulated exchanges for the block, and the environment in which commands use them, on a new warehouse."""
    shutil.rmtree(WAREHOUSE, ignore_errors=True)
    with Simulator(scenario=scenario, trade_rate=trade_rate) as simulator:
        console.print("[bold]Simulated exchanges[/] on this machine, with the real ones' paging and rate limits:")
        for name, url in simulator.urls.items():
            console.print(f"  {name:9} {url}")
        urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}
        yield os.environ | urls | {"SCHEMAHUB_WAREHOUSE": str(WAREHOUSE), "SCHEMAHUB_PROFILE": "local"}


def _schemahub(console: Console, environment: dict[str, str], title: str, *command: str) -> int:
    console.print(f"\n[bold]{title}[/]\n$ schemahub {' '.join(command)}")
    try:
        return subprocess.run(
            [sys.executable, "-m", "schemahub_lib", *command], env=environment, check=False
        ).returncode
    except KeyboardInterrupt:  # the command has got it too, and has ended by it
        return 130


if __name__ == "__main__":
    sys.exit(pages() if "--pages" in sys.argv else main())
