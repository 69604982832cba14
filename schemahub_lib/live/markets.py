"""Which markets are watched: those of the seed files, at every exchange that has a feed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from schemahub_lib.config import Settings
from schemahub_lib.errors import ExchangeUnavailable
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange, Product
from schemahub_lib.live.feeds import FEEDS
from schemahub_lib.live.feeds.base import Market
from schemahub_lib.live.rest import PATIENCE
from schemahub_lib.mapping.registry import load_symbols
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.products import spelled, wanted_products

log = logging.getLogger(__name__)


def find_markets(settings: Settings, products: Mapping[str, Sequence[str]] | None = None) -> list[Market]:
    """The markets of `products` (names by exchange), else of the seed files, with the assets that the exchange's own
    list tells, in common tickers.

    An exchange that cannot be reached is not waited for long: its symbols tell their assets mostly. Blocks. Raises
    UsageError and MappingError.
    """
    names = {name: wanted_products(EXCHANGES[name], (products or {}).get(name, ()), None) for name in FEEDS}
    tickers = load_symbols(settings.mappings, list(EXCHANGES))
    with ThreadPoolExecutor(len(names), "markets") as pool:
        listed = pool.map(lambda name: _listed(settings, EXCHANGES[name], names[name]), names)
    return [
        market
        for name, (symbols, told) in zip(names, listed, strict=True)
        for market in _markets(EXCHANGES[name], symbols, told, tickers.get(name, {}))
    ]


def _listed(settings: Settings, exchange: Exchange, names: Sequence[str]) -> tuple[list[str], list[Product]]:
    with open_client(settings, exchange, deadline=PATIENCE) as client:
        try:
            return spelled(exchange, client, names)
        except ExchangeUnavailable as error:
            log.warning("%s; its markets are taken from their names", error)
            return [name.upper() for name in names], []


def _markets(
    exchange: Exchange, symbols: Sequence[str], listed: Sequence[Product], tickers: Mapping[str, str]
) -> Iterator[Market]:
    told = {product.symbol: (product.base_asset, product.quote_asset) for product in listed}
    for symbol in symbols:
        assets = told.get(symbol) or exchange.split_symbol(symbol)
        if assets is None:
            log.warning("%s: %s is not watched, because nothing tells its assets", exchange.name, symbol)
            continue
        base, quote = (tickers.get(asset, asset) for asset in assets)
        yield Market(exchange.name, symbol, base, quote, assets)
