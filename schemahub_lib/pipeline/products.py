"""Which products a run fetches, by the names people type, and what is known about each."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from schemahub_lib.errors import RequestRejected, UnexpectedResponse
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange, Product
from schemahub_lib.http.client import HttpClient
from schemahub_lib.landing.seeds import read_seed, seed_file
from schemahub_lib.mapping.registry import load_symbols
from schemahub_lib.schemas import PRODUCTS
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)

Row = dict[str, Any]  # of the products ledger
UNLISTED = "unlisted"  # the status of a product that the exchange's list does not have
ASKED_AGAIN = timedelta(days=1)  # how old the list may be


def wanted_products(exchange: Exchange, names: Sequence[str], seed_path: str | None) -> list[str]:
    """The names given, else those of the seed file. Raises UsageError for a file that is missing or malformed."""
    if names:
        return list(dict.fromkeys(names))
    return read_seed(seed_file(exchange.name, seed_path))


def resolve(lake: Lake, exchange: Exchange, client: HttpClient, names: Sequence[str]) -> list[str]:
    """The raw-table spelling of each name; the products ledger is brought up to date.

    The exchange is asked for its list only when a name is not in the ledger, or once a day. A name that is not in the
    list either is tried as typed, because lists leave out delisted markets: the exchange's own answer is the judge.
    Raises ExchangeUnavailable, and MappingError for a symbols.yaml that is not right.
    """
    known = known_symbols(lake, exchange.name)
    symbols, listed = list(names), list[Product]()
    if not all(name in known for name in names) or not _asked_lately(known.values()):
        symbols, listed = spelled(exchange, client, names)
    _update(lake, exchange, symbols, listed)
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
    """Fill the products ledger with symbols that are not in it, as far as they tell their assets, asking nobody.

    Raises MappingError for a symbols.yaml that is not right.
    """
    _update(lake, exchange, symbols, [])


def known_symbols(lake: Lake, source: str) -> dict[str, Row]:
    """What is known now of each symbol of a source: the current rows of the products ledger."""
    return _current(map(_whole, lake.partition(PRODUCTS, source)))


def history(
    rows: Sequence[Row], told: Mapping[str, Product], tickers: Mapping[str, str], source: str, now: datetime
) -> list[Row]:
    """A source's rows of the products ledger after a look at `told`, by symbol.

    What is as it was known is seen again; else a new row takes the old one's place, and the old one stays. All rows,
    old ones too, are named by `tickers`: they keep what the exchange said, not how it was read.
    """
    after: list[Row] = []
    for row in rows:
        product = told.get(row["symbol"]) if row["replaced_at"] is None else None
        if product is not None:
            row = row | ({"last_seen": now} if _said(product).items() <= row.items() else {"replaced_at": now})
        after.append(row)
    known = _current(after)
    after += [
        {"source": source, "symbol": symbol, **_said(product), "first_seen": now, "last_seen": now, "replaced_at": None}
        for symbol, product in told.items()
        if symbol not in known
    ]
    return [_named(row, tickers) for row in after]


def _update(lake: Lake, exchange: Exchange, symbols: Sequence[str], listed: Sequence[Product]) -> None:
    """Bring the ledger up to date with the exchange's list, where it could be read, and with symbols not in it."""
    tickers = load_symbols(lake.settings.mappings, list(EXCHANGES)).get(exchange.name, {})
    now = datetime.now(UTC)

    def change(found: Sequence[Row]) -> list[Row] | None:
        rows = [_whole(row) for row in found]
        known = _current(rows)
        told = {symbol: product for symbol in symbols if symbol not in known and (product := _split(exchange, symbol))}
        if listed:
            told |= {symbol: _vanished(row) for symbol, row in known.items()}
            told |= {product.symbol: product for product in listed}
        after = history(rows, told, tickers, exchange.name, now)
        return None if after == found else after

    if change(lake.partition(PRODUCTS, exchange.name)) is not None:
        lake.update_partition(PRODUCTS, exchange.name, change)


def _whole(row: Row) -> Row:
    """A row; one of an older version, which knew common tickers only, with what it lacks."""
    if row.get("listed_base") is not None:
        return row
    written = row.get("updated_at")
    assets = {"listed_base": row["base_asset"], "listed_quote": row["quote_asset"]}
    return row | assets | {"first_seen": written, "last_seen": written, "replaced_at": None}


def _current(rows: Iterable[Row]) -> dict[str, Row]:
    return {row["symbol"]: row for row in rows if row["replaced_at"] is None}


def _asked_lately(rows: Iterable[Row]) -> bool:
    seen = [row["last_seen"] for row in rows if row["status"] != UNLISTED]
    return any(when is not None and when > datetime.now(UTC) - ASKED_AGAIN for when in seen)


def _said(product: Product) -> Row:
    """What a row has of the exchange's own words."""
    return {"listed_base": product.base_asset, "listed_quote": product.quote_asset, "status": product.status}


def _named(row: Row, tickers: Mapping[str, str]) -> Row:
    base, quote = (tickers.get(row[column], row[column]) for column in ("listed_base", "listed_quote"))
    return row | {"canonical_symbol": f"{base}-{quote}", "base_asset": base, "quote_asset": quote}


def _split(exchange: Exchange, symbol: str) -> Product | None:
    assets = exchange.split_symbol(symbol)
    return Product(symbol, *assets, status=UNLISTED, tradable=False) if assets else None


def _vanished(row: Row) -> Product:
    return Product(row["symbol"], row["listed_base"], row["listed_quote"], status=UNLISTED, tradable=False)
