"""Which products a run fetches, by the names people type, and what is known about each."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from schemahub_lib.errors import RequestRejected, UnexpectedResponse
from schemahub_lib.exchanges.base import Exchange, Product
from schemahub_lib.http.client import HttpClient
from schemahub_lib.landing.seeds import read_seed, seed_file
from schemahub_lib.schemas import PRODUCTS
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)


def wanted_products(exchange: Exchange, names: Sequence[str], seed_path: str | None) -> list[str]:
    """The names given, else those of the seed file. Raises UsageError for a file that is missing or malformed."""
    if names:
        return list(dict.fromkeys(names))
    return read_seed(seed_file(exchange.name, seed_path))


def resolve(lake: Lake, exchange: Exchange, client: HttpClient, names: Sequence[str]) -> list[str]:
    """The raw-table spelling of each name; the products ledger is filled with what is new.

    The exchange is asked for its list only when a name is not in the ledger. A name that is not in the list either is
    tried as typed, because lists leave out delisted markets: the exchange's own answer is the judge.
    Raises ExchangeUnavailable.
    """
    known = known_symbols(lake, exchange.name)
    if all(name in known for name in names):
        return list(names)
    symbols, listed = spelled(exchange, client, names)
    products = {p.symbol: p for p in listed}
    products |= _split(exchange, [symbol for symbol in symbols if symbol not in products and symbol not in known])
    if products:
        _remember(lake, exchange.name, products)
    return symbols


def spelled(exchange: Exchange, client: HttpClient, names: Sequence[str]) -> tuple[list[str], list[Product]]:
    """The exchange's own symbol for each name, and its product list. Raises ExchangeUnavailable."""
    try:
        listed = client.ask(exchange.products())
    except (RequestRejected, UnexpectedResponse) as error:
        log.warning(
            "%s: the product list could not be read, product names are taken as typed: %s", exchange.name, error
        )
        listed = []
    spelling = {alias.upper(): p.symbol for p in listed for alias in (p.symbol, *p.aliases)}
    symbols = []
    for name in names:
        symbol = spelling.get(name.upper())
        if symbol is None and listed:
            near = difflib.get_close_matches(name.upper(), spelling, n=1)
            hint = f"; did you mean {spelling[near[0]]}?" if near else ""
            log.warning("%s lists no product %s, trying it all the same%s", exchange.name, name, hint)
        symbols.append(symbol or name.upper())
    return list(dict.fromkeys(symbols)), listed


def note(lake: Lake, exchange: Exchange, symbols: Sequence[str]) -> None:
    """Fill the products ledger with symbols that are not in it, as far as they tell their assets, asking nobody."""
    known = known_symbols(lake, exchange.name)
    if products := _split(exchange, [symbol for symbol in symbols if symbol not in known]):
        _remember(lake, exchange.name, products)


def _split(exchange: Exchange, symbols: Sequence[str]) -> dict[str, Product]:
    assets = {symbol: exchange.split_symbol(symbol) for symbol in symbols}
    return {
        symbol: Product(symbol, *parts, status="unlisted", tradable=False) for symbol, parts in assets.items() if parts
    }


def known_symbols(lake: Lake, source: str) -> dict[str, dict[str, Any]]:
    """The products ledger of a source, by symbol."""
    return {row["symbol"]: row for row in lake.partition(PRODUCTS, source)}


def _remember(lake: Lake, source: str, products: dict[str, Product]) -> None:
    """Write the ledger anew: listed products as they are now, vanished ones as they were."""
    now = datetime.now(UTC)
    listed = {
        symbol: {
            "source": source,
            "symbol": symbol,
            "canonical_symbol": product.canonical_symbol,
            "base_asset": product.base_asset,
            "quote_asset": product.quote_asset,
            "status": product.status,
            "updated_at": now,
        }
        for symbol, product in products.items()
    }
    lake.update_partition(PRODUCTS, source, lambda known: ({row["symbol"]: row for row in known} | listed).values())
