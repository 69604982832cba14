"""What the Replay page shows of a window is what the tables hold, and what cannot be shown is told."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, expect

from schemahub_lib.tables.lake import Lake
from tests.analysis.market import lake_with
from tests.ui.conftest import Watched, keep, opened, served, violations
from tests.ui.replay.conftest import AT, BEGUN, btc, clock, connected, go, numbers, shown

pytestmark = pytest.mark.slow


def test_a_burst_that_was_found_is_chosen_and_plays(watched: Watched, address: str, lake: Lake) -> None:
    page = watched.page
    page.goto(address)
    expect(page.get_by_text("Choose an asset and a time")).to_be_visible()
    page.get_by_role("button", name=re.compile("replay BTC 2024-02-08 15:12:0")).click()
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    expect(page.get_by_text("BINANCE leads COINBASE by")).to_be_visible()
    expect(page.get_by_text(re.compile(r"BTC, 2024-02-08 15:12:0\d\.000000 to .* trades at 3 venues"))).to_be_visible()
    first = clock(page)
    expect(page.locator("output.clock")).not_to_have_text(first)
    keep(page, "replay")
    assert {url for url in watched.asked if not url.startswith((address, "blob:", "data:", "ws:"))} == set()


def test_it_says_how_many_trades_the_table_has(watched: Watched, address: str, trades: list[dict[str, Any]]) -> None:
    go(watched.page, address)
    shown(watched.page)
    expect(watched.page.get_by_text(f"{len(trades):,} trades at 3 venues")).to_be_visible()


def test_at_a_time_it_shows_what_each_venue_had_last_traded(
    watched: Watched, address: str, trades: list[dict[str, Any]]
) -> None:
    go(watched.page, address)
    shown(watched.page)
    for offset, venue in product((0, 2_500_000, 7_123_000, 12_000_000), ("BINANCE", "COINBASE", "KRAKEN")):
        watched.page.get_by_role("slider").fill(str(offset))
        now = BEGUN + timedelta(microseconds=offset)
        assert clock(watched.page) == f"{now:%H:%M:%S.%f}"
        found = numbers(watched.page)
        before = [row for row in trades if row["exchange"] == venue and row["trade_ts"] <= now]
        if not before:
            assert found[venue][1:] == ["", "", "", ""]
            continue
        last = max(row["trade_ts"] for row in before)
        told = {(f"{row['price']:.10g}", f"{row['quantity']:.10g}") for row in before if row["trade_ts"] == last}
        price, quantity, side, at = found[venue][1:]
        assert (f"{float(price):.10g}", f"{float(quantity):.10g}") in told
        assert side in ("▲ buy", "▼ sell")
        assert at == f"{last:%H:%M:%S.%f}"


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"at": "noon"}, "'noon' is not a time"),
        ({"window": "2h"}, "at most"),
        ({"window": "soon"}, "is not a duration"),
        ({"at": "2024-02-08T15:30:00Z"}, "no trade"),
        ({"at": "9999-12-31T23:59:59Z"}, "is not a time"),
        ({"at": "0001-01-01T00:00+05:00"}, "is not a time"),
        ({"window": "9999999999999d"}, "longer than there is time"),
        ({"at": "2999-01-01"}, "this time is still to come"),
        ({"asset": "'; DROP TABLE trades_unified; --"}, "no trade"),
        ({"asset": "<script>alert(1)</script>"}, "no trade"),
        ({"venues": "okx"}, "no trade"),
        ({"venues": "coinbase foo"}, "there is no exchange foo: there are binance, coinbase"),
        ({"as_of": "2020-01-01"}, "did not exist at 2020-01-01"),
    ],
)
def test_what_cannot_be_shown_is_told_in_words(
    chromium: Browser, address: str, choice: dict[str, str], says: str
) -> None:
    with opened(chromium) as watched:
        go(watched.page, address, **choice)
        expect(watched.page.locator(".words:visible, .problem:visible")).to_contain_text(says)
        expect(watched.page.get_by_role("button", name="pause")).not_to_be_visible()


def test_a_file_is_named_by_letters_only(address: str) -> None:
    asset = "BTC\r\nSet-Cookie: a=b; filename=x"
    answer = requests.get(f"{address}/replay/trades.csv", params={"asset": asset, "at": AT}, timeout=30)
    assert answer.ok
    assert "Set-Cookie" not in answer.headers
    assert re.fullmatch(r'attachment; filename="[A-Z0-9_]+T\d+\.csv"', answer.headers["Content-Disposition"])


def test_a_window_chosen_by_hand_is_typed(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(address)
    connected(page)
    page.get_by_label("Asset or symbol").fill("eth")
    page.get_by_label("From (UTC)").fill("2024-02-08 15:12:04.5")
    page.get_by_label("Window", exact=True).fill("3s")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("ETH, 2024-02-08 15:12:04.500000 to 15:12:07.500000 UTC")).to_be_visible()


def test_as_the_lake_knew_it_trades_that_came_later_are_missing(watched: Watched, tmp_path: Path) -> None:
    lake = lake_with(tmp_path, BEGUN, BEGUN + timedelta(seconds=3), "BTC", venues=("kraken",))
    early = len(btc(lake))
    lake_with(tmp_path, BEGUN, BEGUN + timedelta(seconds=3), "BTC", venues=("coinbase",))
    page = watched.page
    with served("--warehouse", str(tmp_path)) as address:
        go(page, address)
        expect(page.get_by_text(f"{len(btc(lake)):,} trades at 2 venues")).to_be_visible()
        page.get_by_role("combobox", name="As the lake knew it").click()
        page.get_by_role("option", name=f"{early:,} rows").click()
        page.get_by_role("button", name="Replay", exact=True).click()
        expect(page.get_by_text(f"{early:,} trades at 1 venue.")).to_be_visible()
        assert "as_of=" in page.url


def test_an_empty_lake_says_what_to_run(watched: Watched, tmp_path: Path) -> None:
    with served("--warehouse", str(tmp_path)) as address:
        watched.page.goto(address)
        expect(watched.page.get_by_text("schemahub events find")).to_be_visible()


def test_a_catalog_that_goes_away_is_told_and_comes_back(chromium: Browser, tmp_path: Path) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    lake_with(here, BEGUN, BEGUN + timedelta(seconds=12), "BTC", venues=("kraken",)).close()
    with served("--warehouse", str(here)) as address, opened(chromium) as watched:
        page = watched.page
        go(page, address)
        shown(page)
        here.rename(away)
        page.get_by_role("button", name="Replay", exact=True).click()
        expect(page.locator(".player").get_by_role("alert")).to_be_visible()
        away.rename(here)
        page.get_by_role("button", name="Replay", exact=True).click()
        shown(page)


def test_a_server_that_is_gone_is_told(chromium: Browser, lake: Lake) -> None:
    with opened(chromium) as watched:
        page = watched.page
        with served("--warehouse", lake.settings.warehouse) as address:
            go(page, address)
            shown(page)
        expect(page.locator("#popup")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_it_fits_and_is_accessible(chromium: Browser, address: str, size: tuple[int, int], scheme: str) -> None:
    with opened(chromium, size, scheme) as watched:
        page = watched.page
        go(page, address, t="7000000")
        shown(page)
        expect(page.get_by_role("region", name="bursts found")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert violations(page) == []
        keep(page, f"replay-{scheme}-{size[0]}")
