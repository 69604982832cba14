"""Payloads of the exchanges, as documented and as they may come to be."""

from __future__ import annotations

from datetime import UTC, datetime

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.messages import Page, Rejected
from schemahub_lib.quality.drift import Change, changes

COINBASE, BINANCE, KRAKEN = (EXCHANGES[name] for name in ("coinbase", "binance", "kraken"))
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)
NOW = int(NOON.timestamp() * 1e6)

# Payloads as the exchanges' documentation has them.
KNOWN = {
    "coinbase": '{"time":"2024-02-08T12:00:00Z","trade_id":7,"price":"10.00","size":"0.01","side":"sell"}',
    "binance": '{"id":7,"price":"10.0","qty":"1.0","quoteQty":"10.0","time":1707393600000,"isBuyerMaker":true,'
    '"isBestMatch":true}',
    "kraken": '["10.0","1.0",1707393600.1234567,"b","l","",7]',
}


def found_in(exchange: Exchange, payload: str, when: int | None = NOW) -> dict[Change, str | None]:
    return dict(changes(exchange, payload, when))


class Other(type(COINBASE)):  # type: ignore[misc]
    """Coinbase, if it left this field in the payload."""

    untaken = frozenset({"maker_fee"})


def page_of(*payloads: str, rejected: tuple[str, ...] = ()) -> Page:
    times = ["2024-02-08T12:00:00Z"] * len(payloads)
    columns = {"time": times, "_raw_payload": list(payloads)}
    return Page(columns, [Rejected("no trade", payload) for payload in rejected], "7")


def with_field(name: str, value: str = '"1.5"') -> str:
    return KNOWN["coinbase"].replace("}", f',"{name}":{value}}}')
