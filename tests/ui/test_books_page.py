"""The Books page as a person uses it: what it shows is what the tables hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from schemahub_lib.analysis.books import Book, books
from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.products import note
from schemahub_lib.tables.lake import Lake
from tests.analysis.market import snapshot
from tests.ui.conftest import Watched, keep, opened, served, violations

pytestmark = pytest.mark.slow

FETCHED = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
BEFORE = f"{FETCHED - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """BTC at three venues, ETH crossed at one, and MIR, of which nothing is offered."""
    lake = Lake(Settings.load(warehouse=str(tmp_path_factory.mktemp("books")), environment={}))
    for exchange, symbol, cents in (
        ("coinbase", "BTC-USD", 10_000),
        ("binance", "BTCUSDT", 10_010),
        ("kraken", "XBTUSD", 9_990),
    ):
        note(lake, EXCHANGES[exchange], [symbol])
        levels = [(step, 0.5 + step % 3) for step in range(1, 200)]
        bids, asks = ([((cents + way * step) / 100, quantity) for step, quantity in levels] for way in (-1, 1))
        snapshot(lake, exchange, symbol, FETCHED, bids, asks)
    note(lake, EXCHANGES["coinbase"], ["ETH-USD", "MIR-USD"])
    snapshot(lake, "coinbase", "ETH-USD", FETCHED, [(10.5, 1)], [(10, 1)])
    snapshot(lake, "coinbase", "MIR-USD", FETCHED, [], [])
    return lake


@pytest.fixture(scope="module")
def address(lake: Lake) -> Iterator[str]:
    with served("--warehouse", lake.settings.warehouse) as found:
        yield f"{found}/books"


def table(page: Page) -> dict[str, list[str]]:
    """By venue: market, best bid, best ask, spread, when it was fetched and made, levels."""
    expect(page.locator(".venues tbody tr").first).to_be_visible()
    found = [row.locator("th, td").all_inner_texts() for row in page.locator(".venues tbody tr").all()]
    return {cells[0].strip(): [*cells[1:5], *cells[6:]] for cells in found}


def told(book: Book) -> list[str]:
    numbers = (book.bids.best, book.asks.best)
    levels = len(book.bids.price) + len(book.asks.price)
    return [
        *(book.symbol, *(f"{number:.10g}" for number in numbers), f"{book.spread:.2f}"),
        *(f"{time:%Y-%m-%d %H:%M:%S.%f}" if time else "" for time in (book.fetched_at, book.time)),
        str(levels),
    ]


def test_it_shows_the_best_prices_that_the_tables_hold(watched: Watched, address: str, lake: Lake) -> None:
    watched.page.goto(address)
    assert table(watched.page) == {book.exchange: told(book) for book in books(lake, "BTC")}
    assert list(table(watched.page)) == ["COINBASE", "BINANCE", "KRAKEN"]
    expect(watched.page.get_by_role("img")).to_be_visible()
    keep(watched.page, "books")
    origin = address.removesuffix("/books")
    assert {url for url in watched.asked if not url.startswith((origin, "blob:", "data:", "ws:"))} == set()


def test_another_asset_is_chosen_and_the_address_says_so(watched: Watched, address: str, lake: Lake) -> None:
    page = watched.page
    page.goto(address)
    expect(page.get_by_text("BTC-USD")).to_be_visible()
    page.get_by_role("combobox", name="Asset").click()
    page.get_by_role("option", name="ETH").click()
    expect(page.get_by_text("ETH-USD")).to_be_visible()
    assert page.url == f"{address}?asset=ETH"
    page.reload()
    expect(page.get_by_text("ETH-USD")).to_be_visible()


def test_a_newer_snapshot_shows_by_itself(watched: Watched, lake: Lake, address: str) -> None:
    note(lake, EXCHANGES["kraken"], ["ETHUSD"])
    snapshot(lake, "kraken", "ETHUSD", FETCHED, [(10, 1)], [(11, 1)])
    watched.page.goto(f"{address}?asset=ETH")
    expect(watched.page.get_by_role("row", name="KRAKEN ETHUSD 10 11 952.38")).to_be_visible()
    snapshot(lake, "kraken", "ETHUSD", FETCHED + timedelta(minutes=1), [(10, 1)], [(10.5, 1)])
    expect(watched.page.get_by_role("row", name="KRAKEN ETHUSD 10 10.5 487.80")).to_be_visible()


def test_an_empty_book_has_no_prices_and_a_crossed_one_says_so(watched: Watched, address: str) -> None:
    watched.page.goto(f"{address}?asset=MIR")
    assert table(watched.page)["COINBASE"][:4] == ["MIR-USD", "none", "none", ""]
    watched.page.goto(f"{address}?asset=ETH")
    assert table(watched.page)["COINBASE"][3] == "-487.80 crossed"


def test_what_is_not_there_is_said_in_words(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(f"{address}?asset=nope")
    expect(page.get_by_text("There is no order book of NOPE. To take some: schemahub run ingest")).to_be_visible()
    page.goto(f"{address}?asset=BTC&at={BEFORE}")
    expect(page.get_by_text(f"There is no order book of BTC fetched in the 31 days until {BEFORE}.")).to_be_visible()


def test_a_time_that_is_none_is_refused_in_words(chromium: Browser, address: str) -> None:
    with opened(chromium) as watched:
        watched.page.goto(f"{address}?asset=BTC&at=soon")
        expect(watched.page.get_by_role("alert")).to_have_text(
            "'soon' is not a time: write 2024-02-08 or 2024-02-08T15:12:04Z"
        )


def test_files_that_are_gone_are_told_and_read_again_once_they_are_back(
    chromium: Browser, address: str, lake: Lake, tmp_path: Path
) -> None:
    data = Path(lake.settings.warehouse, lake.settings.database, "raw_coinbase_books", "data")
    moved = data.rename(tmp_path / "data")
    with opened(chromium) as watched:
        watched.page.goto(f"{address}?asset=BTC")
        expect(watched.page.get_by_role("alert")).to_contain_text("FileNotFoundError")
        moved.rename(data)
        watched.page.get_by_role("button", name="Show").click()
        assert "COINBASE" in table(watched.page)
        expect(watched.page.get_by_role("alert")).not_to_be_visible()


def test_without_any_books_it_says_how_to_take_some(watched: Watched, tmp_path: Path) -> None:
    with served("--warehouse", str(tmp_path / "empty")) as found:
        watched.page.goto(f"{found}/books")
        expect(watched.page.get_by_text("schemahub run ingest coinbase binance kraken --books")).to_be_visible()
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 800), (360, 740)])
def test_it_fits_and_is_accessible(chromium: Browser, address: str, scheme: str, size: tuple[int, int]) -> None:
    with opened(chromium, size, scheme) as found:
        found.page.goto(address)
        assert table(found.page)
        keep(found.page, f"books-{scheme}-{size[0]}")
        assert violations(found.page) == []
        width = found.page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0]
