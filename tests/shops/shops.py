"""Two online shops that tell of their orders in different words and units, their connectors, and what unifies them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from schemahub_lib.exchanges.base import Product, ask, status_trouble
from schemahub_lib.exchanges.fields import EPOCH_MS_OR_US, INTEGER, ISO8601, NUMBER, TEXT, Field
from schemahub_lib.exchanges.rows import Rows
from schemahub_lib.exchanges.windows import NewestFirst
from schemahub_lib.http.messages import Credentials, Flow, RateLimit, Request, Response, Trouble
from schemahub_lib.schemas import BY_THE_RUN, RAW_COMMON, Column, Table
from tests.loopback import Handler, serving

ORDERS_UNIFIED = Table(
    "orders_unified",
    (
        Column("shop", "STRING", "its name in capitals", required=True),
        Column("store", "STRING", "where it was ordered", required=True),
        Column("order_id", "STRING", "unique within a store", required=True),
        Column("total", "DECIMAL(38, 18)", "in euro", required=True, positive=True),
        Column("status", "STRING", "", allowed=("OPEN", "PAID", "SHIPPED")),
        Column("ordered_at", "TIMESTAMP", "when it was placed", required=True),
        Column("ingest_ts", "TIMESTAMP", "when this row was written here", required=True, filled=BY_THE_RUN),
    ),
    partition_by_day="ordered_at",
    sort_by=("store", "ordered_at"),
    key=("shop", "store", "order_id"),
)


@dataclass(frozen=True)
class Order:
    number: int
    placed: datetime
    cents: int
    status: str


class Shop(NewestFirst):
    """What both have in common: orders by number, newest first, before and after a number."""

    time_path = "/stores"
    rate_limit = RateLimit(units=1000, seconds=1, burst=1000)
    page_size = 5
    first_position = 1
    bounded_below = True
    path: ClassVar[str]

    def products(self) -> Flow[list[Product]]:
        response = yield from ask(Request("/stores"))
        return [Product(name, name, "EUR", "open", tradable=True) for name in json.loads(response.text)]

    def page_request(self, product: str, before: int | None = None, after: int = 0) -> Request:
        params: dict[str, str | int] = {"store": product, "limit": self.page_size, "after": after}
        if before is not None:
            params["before"] = before
        return Request(self.path, params, product=product)

    def read_rows(self, response: Response) -> Rows:
        return self.read_page(response, "an array of orders, newest first")

    def trouble(self, response: Response) -> Trouble | None:
        return status_trouble(response, response.text[:80])

    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        return request


class Harbour(Shop):
    name = "harbour"
    base_url = "http://harbour.invalid"
    path = "/v1/orders"
    id_column, symbol_column, time_column = "order_no", "store", "placed"
    raw_table = Table(
        "raw_harbour_orders",
        (
            Column("order_no", "STRING", "ascending", required=True),
            Column("store", "STRING", required=True),
            Column("total_cents", "BIGINT", required=True),
            Column("placed", "TIMESTAMP", required=True, time_encoding="epoch_ms_or_us"),
            Column("state", "STRING", required=True),
            *RAW_COMMON,
        ),
        partition_by_day="placed",
        sort_by=("store", "placed"),
        key=("store", "order_no"),
    )
    fields = (
        Field("no", "order_no", INTEGER),
        Field("store", "store", TEXT),
        Field("total_cents", "total_cents", INTEGER),
        Field("placed", "placed", EPOCH_MS_OR_US),
        Field("state", "state", TEXT),
    )

    @staticmethod
    def told(store: str, order: Order) -> dict[str, Any]:
        return {
            "no": order.number,
            "store": store,
            "total_cents": order.cents,
            "placed": int(order.placed.timestamp() * 1000),
            "state": order.status.lower(),
        }


class Meadow(Shop):
    name = "meadow"
    base_url = "http://meadow.invalid"
    path = "/orders"
    id_column, symbol_column, time_column = "id", "branch", "created_at"
    raw_table = Table(
        "raw_meadow_orders",
        (
            Column("id", "STRING", "ascending", required=True),
            Column("branch", "STRING", required=True),
            Column("amount", "STRING", "in euro", required=True),
            Column("created_at", "TIMESTAMP", required=True, time_encoding="iso8601"),
            Column("status", "STRING", required=True),
            *RAW_COMMON,
        ),
        partition_by_day="created_at",
        sort_by=("branch", "created_at"),
        key=("branch", "id"),
    )
    fields = (
        Field("id", "id", INTEGER),
        Field("branch", "branch", TEXT),
        Field("amount", "amount", NUMBER),
        Field("created_at", "created_at", ISO8601),
        Field("status", "status", TEXT),
    )

    @staticmethod
    def told(store: str, order: Order) -> dict[str, Any]:
        return {
            "id": order.number,
            "branch": store,
            "amount": str(Decimal(order.cents) / 100),
            "created_at": f"{order.placed:%Y-%m-%dT%H:%M:%S.%fZ}",
            "status": order.status,
        }


SHOPS: dict[str, Shop] = {"harbour": Harbour(), "meadow": Meadow()}


@contextmanager
def open_shop(shop: Shop, stores: dict[str, list[Order]]) -> Iterator[str]:
    """A shop with these orders, oldest first, on loopback; its URL. More may be added while it is open."""

    class Counter(Handler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            body = json.dumps(list(stores) if url.path == "/stores" else page(asked)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def page(asked: dict[str, str]) -> Sequence[dict[str, Any]]:
        low, high = int(asked["after"]), int(asked.get("before", 2**62))
        found = [order for order in stores[asked["store"]] if low < order.number < high]
        return [shop.told(asked["store"], order) for order in found[::-1][: int(asked["limit"])]]  # type: ignore[attr-defined]

    with serving(Counter) as url:
        yield url


NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)


def orders(numbers: range, status: str = "PAID") -> list[Order]:
    """One a minute from noon on."""
    return [Order(number, NOON + timedelta(minutes=number), 1000 + number, status) for number in numbers]
