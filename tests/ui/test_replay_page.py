"""The Replay page as a person uses it: what it shows is what the tables hold."""

from __future__ import annotations

import csv
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from schemahub_lib.analysis.events import Search, find_events
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.simulator.market import SECOND
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import BURST, lake_with
from tests.e2e.pipelines import rows
from tests.ui.conftest import Watched, keep, opened, served, violations

pytestmark = pytest.mark.slow

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


def test_the_same_time_is_the_same_frame_and_what_is_later_is_hidden(watched: Watched, address: str) -> None:
    frames = []
    for offset in (6_000_000, 6_000_000, 9_000_000):
        go(watched.page, address, t=str(offset))
        shown(watched.page)
        expect(watched.page.locator(".movers")).to_be_visible()  # which moves the screen by its height
        screen = watched.page.locator(".screen")
        frames.append(screen.screenshot())
        box, curtain = screen.bounding_box(), watched.page.locator(".curtain").bounding_box()
        assert box is not None
        assert curtain is not None
        assert curtain["x"] - box["x"] == pytest.approx(70 + (box["width"] - 86) * offset / 12e6, abs=1)
    assert frames[0] == frames[1] != frames[2]


def test_keys_pause_step_from_trade_to_trade_and_go_to_the_ends(
    watched: Watched, address: str, trades: list[dict[str, Any]]
) -> None:
    page = watched.page
    go(page, address)
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="play", exact=True)).to_be_visible()
    page.keyboard.press("Home")
    moments = sorted({row["trade_ts"] for row in trades})
    told = [f"{moment:%H:%M:%S.%f}" for moment in moments[:3]]
    for at in told:
        page.keyboard.press("ArrowRight")
        assert clock(page) == at
    page.keyboard.press("ArrowLeft")
    assert clock(page) == told[1]
    page.keyboard.press("End")
    assert clock(page) == f"{BEGUN + timedelta(seconds=12):%H:%M:%S.%f}"


def test_keys_are_the_players_also_after_a_click(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(address)
    page.get_by_role("button", name=re.compile("replay BTC 2024-02-08 15:12:0")).click()
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="play", exact=True)).to_be_visible()
    for key, speed in (("+", "2x"), ("-", "1x"), ("-", "0.5x")):
        page.keyboard.press(key)
        expect(page.get_by_label("speed")).to_have_value(speed.removesuffix("x"))
    page.get_by_role("button", name="play", exact=True).click()
    page.get_by_role("button", name="pause").click()
    before = clock(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator("output.clock")).not_to_have_text(before)


def test_replay_again_plays_from_the_start(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address, t="7000000")
    shown(page)
    connected(page)
    assert clock(page) == f"{BEGUN + timedelta(seconds=7):%H:%M:%S.%f}"
    page.get_by_label("Window", exact=True).fill("6s")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_role("button", name="pause")).to_be_visible()
    expect(page.get_by_text(f"to {BEGUN + timedelta(seconds=6):%H:%M:%S.%f} UTC")).to_be_visible()


def test_a_link_to_no_time_of_the_window_begins_at_its_start(watched: Watched, address: str) -> None:
    go(watched.page, address, t="abc")
    shown(watched.page)
    watched.page.keyboard.press("Home")
    assert clock(watched.page) == f"{BEGUN:%H:%M:%S.%f}"


def test_a_day_of_the_calendar_is_its_midnight(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address)
    shown(page)
    connected(page)
    page.get_by_role("button", name="calendar").click()
    page.get_by_role("button", name="15", exact=True).click()
    expect(page.get_by_label("From (UTC)")).to_have_value(re.compile(r"\d{4}-\d\d-15T00:00:00Z"))
    page.get_by_role("button", name="15", exact=True).click()  # which chooses nothing
    expect(page.get_by_label("From (UTC)")).to_have_value(re.compile(r"\d{4}-\d\d-15T00:00:00Z"))


def test_light_and_dark_are_chosen_for_all_pages(watched: Watched, address: str) -> None:
    page = watched.page
    ground = "getComputedStyle(document.body).backgroundColor"
    go(page, address)
    shown(page)
    light = page.evaluate(ground)
    page.get_by_role("button", name="light or dark").click()
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    page.goto(f"{address}/books")
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    assert page.evaluate(ground) != light
    page.get_by_role("button", name="light or dark").click()
    expect(page.locator("body")).to_have_class(re.compile("body--light"))


def test_time_is_at_the_same_place_on_both_axes(watched: Watched, address: str) -> None:
    go(watched.page, address)
    shown(watched.page)
    places = watched.page.evaluate(
        """async () => {
            const { echarts } = await import("nicegui-echart");
            const chart = echarts.getInstanceByDom(document.querySelector(".screen .chart"));
            return [0, 1].map((xAxisIndex) => [0, 6e6, 12e6].map((t) => chart.convertToPixel({ xAxisIndex }, t)));
        }"""
    )
    assert places[0] == pytest.approx(places[1], abs=0.5)


def test_the_slider_scrubs_and_the_speed_is_chosen(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address)
    shown(page)
    page.get_by_role("slider").fill("3000000")
    assert clock(page) == f"{BEGUN + timedelta(seconds=3):%H:%M:%S.%f}"
    page.get_by_label("speed").select_option("50x")
    page.get_by_role("button", name="play", exact=True).click()
    expect(page.locator("output.clock")).to_have_text(f"{BEGUN + timedelta(seconds=12):%H:%M:%S.%f}")
    expect(page.get_by_role("button", name="play", exact=True)).to_be_visible()


def test_the_link_reproduces_the_view(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address, venues="coinbase,kraken", window="5s")
    shown(page)
    page.get_by_role("slider").fill("1234000")
    page.get_by_role("button", name="link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    before = (clock(page), numbers(page))
    page.goto("about:blank")
    page.goto(link)
    shown(page)
    assert (clock(page), numbers(page)) == before
    assert list(before[1]) == ["COINBASE", "KRAKEN"]


def test_its_trades_are_saved_as_csv_and_the_frame_as_a_picture(
    watched: Watched, address: str, trades: list[dict[str, Any]], tmp_path: Path
) -> None:
    page = watched.page
    go(page, address)
    shown(page)
    with page.expect_download() as saved:
        page.get_by_role("link", name="CSV").click()
    saved.value.save_as(tmp_path / "trades.csv")
    with (tmp_path / "trades.csv").open() as file:
        found = {(row["exchange"], row["trade_ts"], float(row["price"]), row["side"]) for row in csv.DictReader(file)}
    assert found == {
        (row["exchange"], f"{row['trade_ts']:%Y-%m-%dT%H:%M:%S.%f}Z", row["price"], row["side"]) for row in trades
    }


# How many points of a picture, from a share of its width on, are not of its ground: where charts are, and below them.
_DRAWN = """async ([picture, from]) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(picture), (c) => c.charCodeAt(0))]));
    const brush = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    brush.drawImage(bitmap, 0, 0);
    const ground = brush.getImageData(0, 0, 1, 1).data.join();
    const drawn = (left, top, right, bottom) => {
        const { data } = brush.getImageData(left, top, right - left, bottom - top);
        return data.reduce((count, _, i) => count + (i % 4 === 0 && data.slice(i, i + 4).join() !== ground), 0);
    };
    const left = 140 + from * (bitmap.width - 172) + 6;
    return {
        charts: drawn(left, 120, bitmap.width - 34, bitmap.height - 80),
        caption: drawn(0, bitmap.height - 30, 700, bitmap.height),
        legend: drawn(0, 0, bitmap.width, 60),
    };
}"""


def test_the_frame_on_screen_is_saved_as_a_picture(watched: Watched, address: str, tmp_path: Path) -> None:
    page = watched.page
    go(page, address, t="3000000")
    shown(page)

    def drawn(time: int) -> dict[str, int]:
        page.get_by_role("slider").fill(str(time))
        with page.expect_download() as saved:
            page.get_by_role("button", name="PNG").click()
        saved.value.save_as(tmp_path / f"{time}.png")
        picture = b64encode((tmp_path / f"{time}.png").read_bytes()).decode()
        found: dict[str, int] = page.evaluate(_DRAWN, [picture, 0.25])
        return found

    early, late = drawn(3_000_000), drawn(12_000_000)
    assert early["charts"] == 0, "what is later is in the picture"
    assert late["charts"] > 10_000
    assert early["legend"] == late["legend"] > 0
    assert early["caption"] > 0, "it does not say what it is"


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
