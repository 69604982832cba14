"""Which markets are watched: those of the seed files, at every exchange that has a feed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from schemahub_lib.errors import ExchangeUnavailable
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.live.feeds import FEEDS
from schemahub_lib.live.feeds.base import Market
from schemahub_lib.live.rest import PATIENCE
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.products import known_symbols, note, resolve, wanted_products
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)


def find_markets(lake: Lake, products: Mapping[str, Sequence[str]] | None = None) -> list[Market]:
    """The markets of `products` (names by exchange), else of the seed files, with the assets that the products ledger
    knows for them.

    An exchange that cannot be reached is not waited for long: its symbols tell their assets mostly. Blocks. Raises
    UsageError and MappingError.
    """
    names = {name: wanted_products(EXCHANGES[name], (products or {}).get(name, ()), None) for name in FEEDS}
    with ThreadPoolExecutor(len(names), "markets") as pool:
        found = pool.map(lambda name: _markets(lake, EXCHANGES[name], names[name]), names)
        return [market for markets in found for market in markets]


def _markets(lake: Lake, exchange: Exchange, names: Sequence[str]) -> list[Market]:
    with open_client(lake.settings, exchange, deadline=PATIENCE) as client:
        try:
            symbols = resolve(lake, exchange, client, names)
        except ExchangeUnavailable as error:
            log.warning("%s; its markets are taken from their names", error)
            symbols = [name.upper() for name in names]
            note(lake, exchange, symbols)
    known = known_symbols(lake, exchange.name)
    for symbol in symbols:
        if symbol not in known:
            log.warning("%s: %s is not watched, because nothing tells its assets", exchange.name, symbol)
    return [
        Market(
            exchange.name,
            symbol,
            known[symbol]["base_asset"],
            known[symbol]["quote_asset"],
            (known[symbol]["listed_base"], known[symbol]["listed_quote"]),
        )
        for symbol in symbols
        if symbol in known
    ]
