"""A lake with a burst, its Replay page, and how a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from schemahub_lib.analysis.events import Search, find_events
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import BURST, lake_with
from tests.e2e.pipelines import rows
from tests.ui.conftest import served

BEGUN = datetime.fromtimestamp(BURST.start_ns / SECOND, UTC)
AROUND = timedelta(minutes=2)
AT = f"{BEGUN:%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = lake_with(tmp_path_factory.mktemp("replay"), BEGUN - AROUND, BEGUN + AROUND, "BTC", "ETH")
    assert find_events(lake, Search(BEGUN - AROUND, BEGUN + AROUND))
    return lake


@pytest.fixture(scope="module")
def address(lake: Lake) -> Iterator[str]:
    with served("--warehouse", lake.settings.warehouse) as found:
        yield found


def btc(lake: Lake) -> list[dict[str, Any]]:
    """Its trades in the 12 seconds from the burst's beginning on."""
    end = BEGUN + timedelta(seconds=12)
    return [
        row for row in rows(lake, TRADES_UNIFIED.name) if row["base_asset"] == "BTC" and BEGUN <= row["trade_ts"] < end
    ]


@pytest.fixture(scope="module")
def trades(lake: Lake) -> list[dict[str, Any]]:
    return btc(lake)


def go(page: Page, address: str, **choice: str) -> None:
    page.goto(f"{address}/?{urlencode({'asset': 'BTC', 'at': AT, **choice})}")


def shown(page: Page) -> None:
    """Wait until a window is drawn, and stop its time."""
    expect(page.get_by_role("img")).to_be_visible()
    pause = page.get_by_role("button", name="pause")
    if pause.is_visible():
        pause.click()


def connected(page: Page) -> None:
    """Wait until the page has its socket: what is typed before reaches nobody."""
    expect(page.get_by_role("region", name="bursts found")).to_be_visible()


def clock(page: Page) -> str:
    return page.locator("output.clock").inner_text()


def numbers(page: Page) -> dict[str, list[str]]:
    """By venue what it last traded: market, price, quantity, side, time."""
    found = [row.locator("th, td").all_inner_texts() for row in page.locator(".venues tbody tr").all()]
    return {cells[0].strip(): cells[1:6] for cells in found}
