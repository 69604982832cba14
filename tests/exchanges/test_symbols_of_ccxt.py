"""Our names of assets and products against ccxt's: docs/symbols.md lists every difference, and only those."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ccxt
import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.kraken import Kraken
from schemahub_lib.http.client import HttpClient
from schemahub_lib.mapping.registry import load_symbols
from schemahub_lib.simulator import Simulator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "symbols.md"
TICKERS = load_symbols(None, list(EXCHANGES))
ASSETS = "kraken/Assets/2017-10-03.json"


def table(second: str) -> list[list[str]]:
    """The rows of the page's table of exchanges whose second column is called so."""
    text = PAGE.read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\| exchange \| {second} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()]


EXPLAINED = {(exchange, kind, name): (ours, theirs) for exchange, kind, name, ours, theirs, _ in table("what")}


def compared(ours: dict[str, str], differences: dict[str, Any]) -> tuple[str, str]:
    """The figures that the page has of a list."""
    return str(len(ours)), str(len(ours) - len(differences))


def told(exchange: str, what: str) -> tuple[str, str]:
    (figures,) = (row[2:] for row in table("recorded list") if row[0] == exchange and what in row[1])
    return figures[0], figures[1]


def explained(exchange: str, kind: str) -> dict[str, tuple[str, str]]:
    return {name: names for (of, what, name), names in EXPLAINED.items() if (of, what) == (exchange, kind)}


def differing(ours: dict[str, str], theirs: dict[str, str]) -> dict[str, tuple[str, str]]:
    assert ours.keys() == theirs.keys()
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}


def common(exchange: str, asset: str) -> str:
    return TICKERS.get(exchange, {}).get(asset, asset)


def ccxts(exchange: str) -> Any:
    return getattr(ccxt, {"coinbase": "coinbaseexchange"}.get(exchange, exchange))()


@pytest.fixture(scope="module")
def recordings(recorded: Path) -> Iterator[Simulator]:
    """The recorded lists, served."""
    with Simulator(recorded=recorded, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def client(recordings: Simulator) -> Iterator[Callable[[str], Any]]:
    """`client(exchange)`: an unmodified ccxt client of the recorded lists."""
    made = []

    def make(exchange: str) -> Any:
        theirs = ccxts(exchange)
        made.append(theirs)
        theirs.enableRateLimit = False
        paths = {name: url.partition("://")[2].partition("/")[2] for name, url in theirs.urls["api"].items()}
        theirs.urls["api"] = {name: f"{recordings.urls[exchange]}/{path}".rstrip("/") for name, path in paths.items()}
        return theirs

    yield make
    for theirs in made:
        if theirs.session is not None:
            theirs.session.close()


@pytest.mark.parametrize("exchange", ["coinbase", "binance", "kraken"])
def test_every_recorded_product_has_ccxts_name_or_an_explanation(
    exchange: str, client: Callable[[str], Any], recordings: Simulator
) -> None:
    with HttpClient(EXCHANGES[exchange], base_url=recordings.urls[exchange]) as http:
        listed = http.ask(EXCHANGES[exchange].products())
    ours = {p.symbol: f"{common(exchange, p.base_asset)}-{common(exchange, p.quote_asset)}" for p in listed}
    theirs = {
        market.get("altname") or market["id"]: market["symbol"].replace("/", "-")
        for market in client(exchange).fetch_markets()
    }
    differences = differing(ours, theirs)
    assert differences == explained(exchange, "product")
    assert compared(ours, differences) == told(exchange, "product")


def test_every_recorded_asset_of_kraken_has_ccxts_name_or_an_explanation(
    client: Callable[[str], Any], drive: Callable[..., Any], recording: Callable[[str], Any]
) -> None:
    """Each asset as the base of a pair of the time before pairs had a wsname."""
    text, _ = recording(ASSETS)
    codes = json.loads(text)["result"]
    pairs = {code: {"altname": code, "base": code, "quote": "ZUSD"} for code in codes}
    listed = drive(Kraken().products(), json.dumps({"error": [], "result": pairs}), text).value
    theirs = {asset["id"]: code for code, asset in client("kraken").fetch_currencies().items()}
    ours = {product.symbol: common("kraken", product.base_asset) for product in listed}
    differences = differing(ours, theirs)
    assert differences == explained("kraken", "code")
    assert compared(ours, differences) == told("kraken", "assets")


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_renaming_of_ccxt_and_of_ours_is_the_others_too_or_has_an_explanation(exchange: str) -> None:
    """ccxt's lines for all exchanges count where we have one as well; Kraken's codes are above."""
    theirs, everywhere = ccxts(exchange).commonCurrencies, ccxt.Exchange().commonCurrencies
    assets = {asset for asset, ticker in theirs.items() if everywhere.get(asset) != ticker} | TICKERS.get(
        exchange, {}
    ).keys()
    if exchange == "kraken":
        assets -= {asset for asset in assets if re.fullmatch("X[A-Z]{3}|Z[A-Z]{3}", asset)}
    ours = {asset: common(exchange, asset) for asset in assets}
    assert differing(ours, {asset: theirs.get(asset, asset) for asset in assets}) == explained(exchange, "asset")


def test_ccxts_lines_for_all_exchanges_are_those_that_the_page_tells() -> None:
    assert ccxt.Exchange().commonCurrencies == {"XBT": "BTC", "BCHSV": "BSV"}


def test_every_difference_is_explained_in_words() -> None:
    assert {row[1] for row in table("what")} <= {"product", "code", "asset"}
    assert [row for row in table("what") if len(row[5]) < 20] == []
    assert len(EXPLAINED) == len(table("what"))
