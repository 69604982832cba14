"""Coinbase Exchange (not the Advanced Trade API): ids per product, pages newest first, bounded by ids on both sides.

`before=X` alone is no forward cursor: it filters, but the page is cut from the newest end. So a window is
`before=W&after=W+limit+1`, both bounds exclusive.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import rows
from schemahub_lib.exchanges.base import Product, ask, decode_secret, status_trouble
from schemahub_lib.exchanges.books import Books, books_table
from schemahub_lib.exchanges.fields import INTEGER, ISO8601, NUMBER, Field, is_integer, one_of
from schemahub_lib.exchanges.rows import Rows
from schemahub_lib.exchanges.windows import NewestFirst
from schemahub_lib.http.messages import Credentials, Flow, Page, RateLimit, Request, Response, Trouble
from schemahub_lib.schemas import RAW_COMMON, Column, Table


class Coinbase(NewestFirst):
    name = "coinbase"
    base_url = "https://api.exchange.coinbase.com"
    time_path = "/time"
    rate_limit = RateLimit(units=10, seconds=1, burst=15)
    page_size = 1000
    first_position = 1
    bounded_below = True
    id_column = "trade_id"
    symbol_column = "product_id"
    time_column = "time"
    separator = "-"
    raw_table = Table(
        "raw_coinbase_trades",
        (
            Column("trade_id", "STRING", "unique within a product, ascending", required=True, meaning="trade_id"),
            Column("product_id", "STRING", "e.g. BTC-USD", required=True, meaning="symbol"),
            Column("price", "DOUBLE", "in quote currency", required=True, meaning="price"),
            Column("size", "DOUBLE", "in base currency", required=True, meaning="base_amount"),
            Column(
                "time",
                "TIMESTAMP",
                "when the trade executed",
                required=True,
                time_encoding="iso8601",
                meaning="time",
            ),
            Column(
                "side",
                "STRING",
                "the maker's side, BUY or SELL: the taker's is the other",
                required=True,
                meaning="maker_side",
            ),
            *RAW_COMMON,
        ),
        partition_by_day="time",
        sort_by=("product_id", "time"),
        key=("product_id", "trade_id"),
    )

    fields = (
        Field("trade_id", "trade_id", INTEGER),
        Field("price", "price", NUMBER),
        Field("size", "size", NUMBER),
        Field("time", "time", ISO8601),
        Field("side", "side", one_of({"buy": "BUY", "sell": "SELL", "BUY": "BUY", "SELL": "SELL"})),
    )

    # {"bids":[["8966.04","3009.994",1]],"asks":[["8966.06","3009.993",1]],"sequence":12259075,"auction_mode":false,
    #  "auction":null,"time":"2024-02-08T15:20:00.123456Z"}: price, size, number of orders. Level 2 is all of them.
    books = Books(
        books_table(name, symbol_column, "iso8601"),
        depth=500,
        request=lambda product, depth: Request(
            _path(product, "book"), {"level": 1 if depth == 1 else 2}, product=product
        ),
        fields=(Field("sequence", "sequence", INTEGER), Field("time", "time", ISO8601, optional=True)),
    )

    def products(self) -> Flow[list[Product]]:
        response = yield from ask(Request("/products"))
        expected = "an array of products with id, base_currency and quote_currency"
        listed = self.parse(response, 0, expected)
        try:
            return [self._product(rows.an_object(item)) for item, _ in listed]
        except (TypeError, KeyError, ValueError) as error:
            raise self.unexpected(response, expected) from error

    def _product(self, item: dict[str, Any]) -> Product:
        # {"id":"SKL-EUR","base_currency":"SKL","quote_currency":"EUR",...,"status":"online"}; no status in 2017
        status = item.get("status", "online")
        assets = (item["base_currency"], item["quote_currency"])
        return Product(item["id"], *assets, status, tradable=status == "online")

    def page_request(self, product: str, before: int | None = None, after: int = 0) -> Request:
        product = product.upper()
        params: dict[str, str | int] = {"limit": self.page_size}
        if after:
            params["before"] = after  # sic: in the exchange's words, what is newer stands before
        if before is not None:
            params["after"] = before
        return Request(_path(product, "trades"), params, product=product)

    def page(self, page: Rows, product: str, cursor: str) -> Page:
        return super().page(page, product.upper(), cursor)

    # [{"time":"2016-05-12T15:04:30.982824Z","trade_id":8408114,"price":"453.30000000","size":"0.04","side":"buy"},
    #  {"time":"2016-05-12T15:04:30.982654Z","trade_id":8408113,"price":"453.30000000","size":"0.1","side":"buy"}]
    # with CB-BEFORE: 8408114, the newest, and CB-AFTER: 8408113, the oldest
    def read_rows(self, response: Response) -> Rows:
        return self.read_page(response, "an array of trades, newest first")

    def ends(self, response: Response, ids: Sequence[int]) -> tuple[int | None, int | None]:
        newest, oldest = super().ends(response, ids)
        return _told(response, "cb-before", newest), _told(response, "cb-after", oldest)

    def trouble(self, response: Response) -> Trouble | None:
        if response.status < 300:
            return None
        try:
            message = str(json.loads(response.text)["message"])
        except (ValueError, TypeError, KeyError):
            message = repr(response.text[:80])
        if response.status == 404:
            message += " (is the product's name spelled as the exchange does, e.g. BTC-USD?)"
        return status_trouble(response, message)

    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        """CB-ACCESS-* headers: a base64 HMAC-SHA256 of time, method, path with query, and the (empty) body."""
        secret = decode_secret(self, credentials)
        if not credentials.passphrase:
            raise UsageError("coinbase: a key needs its passphrase too: set SCHEMAHUB_COINBASE_PASSPHRASE")
        timestamp = str(int(now))
        target = f"{request.path}?{request.query}" if request.params else request.path
        signature = hmac.digest(secret, f"{timestamp}{request.method}{target}".encode(), hashlib.sha256)
        headers = {
            "CB-ACCESS-KEY": credentials.key,
            "CB-ACCESS-SIGN": base64.b64encode(signature).decode(),
            "CB-ACCESS-TIMESTAMP": timestamp,
            "CB-ACCESS-PASSPHRASE": credentials.passphrase,
        }
        return replace(request, headers={**request.headers, **headers})


def _path(product: str, what: str) -> str:
    return f"/products/{quote(product, safe='')}/{what}"


def _told(response: Response, header: str, otherwise: int | None) -> int | None:
    told = response.headers.get(header)
    return int(told) if is_integer(told) and told is not None else otherwise
