"""The Live page as a person uses it, on simulated exchanges that speak their feeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.products import note
from schemahub_lib.schemas import RUNS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import snapshot
from tests.ui.conftest import Watched, keep, opened, served, violations

pytestmark = pytest.mark.slow

VENUES = ("BINANCE", "COINBASE", "KRAKEN")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(seed=7, rate_limits=False, trade_rate=3) as simulator:
        yield simulator


def at(simulator: Simulator) -> dict[str, str]:
    return {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}


@pytest.fixture(scope="module")
def address(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served("--warehouse", str(tmp_path_factory.mktemp("live")), **at(simulator)) as found:
        yield found


@pytest.fixture(autouse=True)
def no_faults(simulator: Simulator) -> Iterator[None]:
    yield
    simulator.set_faults({})


def go(page: Page, address: str) -> None:
    """Open the page, and wait until every venue quotes every market."""
    page.goto(f"{address}/live")
    for column in ("bid", "ask"):
        expect(page.locator(f".ag-row [col-id={column}]").filter(has_text=re.compile(r"\d"))).to_have_count(9)


def cells(page: Page, *columns: str) -> list[list[str]]:
    """Columns of the table at one moment, row by row from top to bottom."""
    found: list[list[str]] = page.evaluate(
        """(columns) => {
            const rows = new Map();
            for (const cell of document.querySelectorAll(".ag-row [col-id]")) {
                const at = Number(cell.closest(".ag-row").getAttribute("row-index"));
                rows.set(at, { ...rows.get(at), [cell.getAttribute("col-id")]: cell.textContent.trim() });
            }
            return [...rows].sort((a, b) => a[0] - b[0]).map(([_, row]) => columns.map((name) => row[name]));
        }""",
        columns,
    )
    return found


def changed(page: Page, bids: list[list[str]]) -> None:
    """Wait until the bids are others."""
    expect(page.locator(".ag-center-cols-container [col-id=bid]")).not_to_have_text([bid for (bid,) in bids])


def test_every_venue_streams_its_quotes_and_trades(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address)
    told = cells(page, "venue", "bid", "ask", "spread", "deviation", "age")
    assert {venue for venue, *_ in told} == set(VENUES)
    for _, bid, ask, spread, *_ in told:
        assert float(spread) == pytest.approx((float(ask) / float(bid) - 1) * 1e4, abs=0.02)
        assert float(spread) > 0
    assert all(re.fullmatch(r"-?\d+(\.\d\d)?", text) for *_, deviation, age in told for text in (deviation, age))
    expect(page.locator(".ag-row [col-id=side]").filter(has_text=re.compile("buy|sell")).first).to_be_visible()
    changed(page, cells(page, "bid"))
    expect(page.get_by_role("list", name="feeds")).to_have_text(re.compile("COINBASE live.*BINANCE live.*KRAKEN live"))
    expect(page.locator(".history canvas")).to_be_visible()
    keep(page, "live")
    assert {url for url in watched.asked if not url.startswith((address, "blob:", "data:", "ws:"))} == set()


def test_it_pauses_and_goes_on(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address)
    page.get_by_role("button", name="pause").click()
    expect(page.get_by_text(re.compile(r"paused at \d\d:\d\d:\d\d\.\d{6} UTC"))).to_be_visible()
    stopped = cells(page, "bid")
    page.wait_for_timeout(1500)
    assert cells(page, "bid") == stopped
    page.get_by_role("button", name="resume").press("Enter")
    changed(page, stopped)


def test_it_filters_and_sorts(watched: Watched, address: str) -> None:
    page = watched.page
    go(page, address)
    sought = page.get_by_role("searchbox", name="filter the table")
    for words in ("kraken, BTC", "XBTUSD"):  # the exchange's own symbol is known too
        sought.fill(words)
        expect(page.locator(".ag-row [col-id=venue]")).to_have_text(["KRAKEN"])
    nothing = page.get_by_text("no market fits the filter")
    expect(nothing).to_be_hidden()
    sought.fill("XMR")
    expect(nothing).to_be_visible()
    sought.fill("")
    expect(nothing).to_be_hidden()
    expect(page.locator(".ag-row [col-id=venue]")).to_have_count(9)
    page.get_by_role("columnheader", name="bid", exact=True).click()
    page.get_by_role("button", name="pause").click()
    bids = [float(bid) for (bid,) in cells(page, "bid")]
    assert bids == sorted(bids)


def test_the_order_books_of_the_chosen_asset_are_beside_its_quotes(
    watched: Watched, simulator: Simulator, tmp_path: Path
) -> None:
    lake = Lake(Settings.load(warehouse=str(tmp_path), environment={}))
    for exchange, symbol in (("coinbase", "ETH-USD"), ("kraken", "ETHUSD")):
        note(lake, EXCHANGES[exchange], [symbol])
        snapshot(lake, exchange, symbol, datetime.now(UTC), [(2999, 1), (2998, 2)], [(3001, 1), (3002, 2)])
    page = watched.page
    with served("--warehouse", str(tmp_path), **at(simulator)) as address:
        go(page, address)
        expect(page.get_by_label("asset of the charts")).to_have_value("BTC in dollars")
        expect(page.get_by_text("There is no order book of BTC. To take some: schemahub run ingest")).to_be_visible()
        page.locator(".ag-row [col-id=venue]", has_text="KRAKEN").nth(1).click()
        expect(page.get_by_label("asset of the charts")).to_have_value("ETH in dollars")
        expect(page.get_by_role("rowheader", name="COINBASE")).to_be_visible()
        expect(page.get_by_role("row", name="KRAKEN ETHUSD 2999 3001")).to_be_visible()
        keep(page, "live-depth")


def test_a_feed_that_fails_is_told_and_its_row_is_not_believed(
    watched: Watched, address: str, simulator: Simulator
) -> None:
    page = watched.page
    go(page, address)
    simulator.set_faults({"kraken:feed-cut": 1.0, "kraken:500": 1.0})
    expect(page.get_by_role("list", name="feeds")).to_contain_text("KRAKEN down: ")
    expect(page.locator(".ag-row [col-id=state]").filter(has_text="stale feed").first).to_be_visible()
    expect(page.locator(".found .stale-feed").first).to_be_visible()
    simulator.set_faults({})
    expect(page.get_by_role("list", name="feeds")).to_contain_text("KRAKEN live")


def test_a_venue_whose_feed_is_away_is_polled_and_the_page_says_so(
    watched: Watched, simulator: Simulator, tmp_path: Path
) -> None:
    nowhere = {"SCHEMAHUB_COINBASE_FEED_URL": simulator.urls["coinbase"].replace("http", "ws") + "/nothing"}
    with served("--warehouse", str(tmp_path), **at(simulator), **nowhere) as address:
        go(watched.page, address)
        feeds = watched.page.get_by_role("list", name="feeds")
        expect(feeds).to_contain_text(re.compile("COINBASE polled: .* HTTP 404: there is no feed at this address"))
        expect(watched.page.locator(".ag-row [col-id=state]").filter(has_text="polled")).to_have_count(3)


def test_a_browser_that_goes_away_takes_nothing_from_the_others(
    watched: Watched, chromium: Browser, address: str
) -> None:
    go(watched.page, address)
    with opened(chromium) as other:
        go(other.page, address)
    changed(watched.page, cells(watched.page, "bid"))
    expect(watched.page.get_by_role("list", name="feeds")).to_have_text(
        re.compile("COINBASE live.*BINANCE live.*KRAKEN live")
    )


def test_an_alert_comes_when_a_difference_comes_to_its_threshold(
    watched: Watched, address: str, simulator: Simulator
) -> None:
    page = watched.page
    go(page, address)
    expect(page.get_by_text("None yet.")).to_be_visible()
    page.get_by_label("Alert at, bps").fill("1")
    page.get_by_label("Alert at, bps").press("Tab")
    simulator.set_faults({"binance:feed-gap": 1.0})  # its quotes stand, the others' move on
    told = page.get_by_role("log").get_by_role("listitem")
    expect(told.first).to_have_text(re.compile(r"\d\d:\d\d:\d\d\.\d{6} \d+\.\d bps apart: buying"))
    expect(page.locator(".found .fee-sized").first).to_be_visible()


def test_a_recording_that_fails_is_told_and_a_new_connection_doubles_no_alert(watched: Watched, address: str) -> None:
    page, asked = watched.page, []
    told = {
        **{
            "now": 1_788_481_280_000_000,
            "lines": [],
            "found": [],
            "recorded": 5,
            "unrecorded": "kraken: no space left",
        },
        "alerts": [{"time": 1_788_481_280_000_000, "words": "buying BTC", "apart": 30.0}],
    }

    def answer(route: Route) -> None:
        asked.append(route)
        route.fulfill(content_type="text/event-stream", body=f"retry: 100\n\ndata: {json.dumps(told)}\n\n")

    page.route("**/live/told", answer)
    page.goto(f"{address}/live")
    expect(
        page.get_by_text("Trades are not recorded now, and it is tried again: kraken: no space left")
    ).to_be_visible()
    expect(page.get_by_text("trades recorded")).to_have_count(0)
    while len(asked) < 4:  # the browser connects again by itself
        page.wait_for_timeout(100)
    told["unrecorded"] = ""
    expect(page.get_by_text("5 trades recorded")).to_be_visible()
    expect(page.get_by_role("log").get_by_role("listitem")).to_have_count(1)


def test_where_nobody_answers_the_page_says_so(chromium: Browser, tmp_path: Path) -> None:
    nowhere = {f"SCHEMAHUB_{name}_URL": "http://127.0.0.1:1" for name in VENUES}
    with served("--warehouse", str(tmp_path), **nowhere) as address, opened(chromium) as watched:
        watched.page.goto(f"{address}/live")
        expect(watched.page.get_by_text("Connecting to the exchanges …")).to_be_visible()
        expect(watched.page.get_by_role("alert")).to_contain_text("No feed could be reached: ws://127.0.0.1:1/")
        expect(watched.page.get_by_text("There is nothing to compare")).to_be_visible()


def test_with_record_the_trades_are_landed(chromium: Browser, simulator: Simulator, tmp_path: Path) -> None:
    recording = served("--warehouse", str(tmp_path), "ui", "--port", "0", "--record", **at(simulator))
    with recording as address, opened(chromium) as watched:
        go(watched.page, address)
        expect(watched.page.get_by_text("trades recorded")).to_be_visible()
        expect(watched.page.locator(".ag-row [col-id=last]").filter(has_text=re.compile(r"\d"))).to_have_count(9)
    lake = Lake(Settings.load(warehouse=str(tmp_path), environment={}))
    runs = lake.ensure(RUNS).scan().to_arrow().to_pylist()
    assert {run["source"].upper() for run in runs if run["job"] == "record" and run["rows"]} == set(VENUES)


@pytest.mark.parametrize(("size", "scheme"), [((1280, 800), "light"), ((390, 800), "dark")])
def test_it_fits_and_is_accessible(chromium: Browser, address: str, size: tuple[int, int], scheme: str) -> None:
    with opened(chromium, size, scheme) as watched:
        go(watched.page, address)
        keep(watched.page, f"live-{scheme}-{size[0]}")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert violations(watched.page) == []
        assert watched.complaints == []
