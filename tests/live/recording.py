"""Records until it is killed: `python -m tests.live.recording WAREHOUSE`, exchanges as the environment names them.

Prints a line once something is recorded.
"""

from __future__ import annotations

import asyncio
import sys

from schemahub_lib.config import Settings
from schemahub_lib.live.session import Live
from schemahub_lib.tables.lake import Lake
from tests.live.conftest import MARKETS


async def often(seconds: float) -> None:
    """Waits a hundredth of what is asked."""
    await asyncio.sleep(seconds / 100)


async def record(warehouse: str) -> None:
    live = Live(Lake(Settings.load(warehouse=warehouse)), MARKETS, record=True, sleep=often)
    running = asyncio.create_task(live.run())
    while not live.recorded:
        await asyncio.sleep(0.01)
    print("recording", flush=True)
    await running


asyncio.run(record(sys.argv[1]))
