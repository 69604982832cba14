"""The exchanges' REST APIs over a tape of trades, as small as they can be: each answers as `exchange-apis` measured.

`Venue.client` is an HttpClient whose transport is the tape, so that connectors are driven as in earnest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.exchanges import raw_tables
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.binance import Binance
from schemahub_lib.exchanges.coinbase import Coinbase
from schemahub_lib.exchanges.kraken import Kraken
from schemahub_lib.exchanges.okx import Okx
from schemahub_lib.http.client import HttpClient
from schemahub_lib.http.messages import Page, Record, Request, Response
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.schemas import TRADES_UNIFIED, Column
from schemahub_lib.watermark import Watermark

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RAW_TABLES = raw_tables()
# By raw table: which of its columns is the unified price, quantity, …, as the shipped mappings say.
COLUMNS = {
    spec.source: {mapped.target: mapped.origin.name for mapped in spec.columns if isinstance(mapped.origin, Column)}
    for spec in load_mappings(None, RAW_TABLES)[TRADES_UNIFIED.name]
}


@dataclass(frozen=True)
class Trade:
    id: int
    ns: int
    price: str = "100.50"
    size: str = "0.0100"
    taker: str = "buy"


@dataclass
class Tape:
    """An exchange's side of the wire: `trades` by id, `cap` rows a page at most."""

    trades: list[Trade] = field(default_factory=list)
    cap: int = 1000
    requests: list[Request] = field(default_factory=list)
    stale: Callable[[], bool] = lambda: False
    previous: tuple[str, dict[str, str]] | None = None

    def send(self, request: Request, timeout: float) -> Response:
        self.requests.append(request)
        answer = self.answer(request)
        if self.previous is not None and self.stale():
            answer = self.previous
        self.previous = answer
        return Response(request, 200, answer[1], answer[0])

    def close(self) -> None:
        self.requests.clear()

    def answer(self, request: Request) -> tuple[str, dict[str, str]]:
        raise NotImplementedError


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class CoinbaseTape(Tape):
    def answer(self, request):
        limit = min(int(request.params["limit"]), self.cap)
        above, below = int(request.params.get("before", 0)), int(request.params.get("after", 10**18))
        page = [trade for trade in self.trades if above < trade.id < below][-limit:][::-1]
        headers = {"cb-before": str(page[0].id), "cb-after": str(page[-1].id)} if page else {}
        return f"[{','.join(map(self.row, page))}]", headers

    def row(self, trade):
        time = f"{EPOCH + timedelta(microseconds=trade.ns // 1000):%Y-%m-%dT%H:%M:%S.%f}".rstrip("0").rstrip(".")
        maker = {"buy": "sell", "sell": "buy"}[trade.taker]
        return compact(
            {"time": f"{time}Z", "trade_id": trade.id, "price": trade.price, "size": trade.size, "side": maker}
        )


class BinanceTape(Tape):
    def answer(self, request):
        limit = min(int(request.params["limit"]), self.cap)
        if request.path.endswith("aggTrades"):
            since = int(request.params["startTime"])
            page = [{"a": t.id // 2, "f": t.id, "T": t.ns // 10**6} for t in self.trades if t.ns // 10**6 >= since]
            return compact(page[:limit]), {}
        if "fromId" in request.params:
            page = [trade for trade in self.trades if trade.id >= int(request.params["fromId"])][:limit]
        else:
            page = self.trades[-limit:]
        return f"[{','.join(map(self.row, page))}]", {}

    def row(self, trade):
        texts = {"id": trade.id, "price": trade.price, "qty": trade.size, "quoteQty": "1.00500000"}
        return compact({**texts, "time": trade.ns // 10**6, "isBuyerMaker": trade.taker == "sell", "isBestMatch": True})


class KrakenTape(Tape):
    def answer(self, request):
        since, limit = int(request.params.get("since", 0)), min(int(request.params["count"]), self.cap)
        page = [trade for trade in self.trades if trade.ns > since]
        page = page[:limit] if "since" in request.params else page[-limit:]
        last = page[-1].ns if page else since
        rows = ",".join(map(self.row, page))
        return f'{{"error":[],"result":{{"XXBTZUSD":[{rows}],"last":"{last}"}}}}', {}

    def row(self, trade):
        return self.fields(trade, repr(trade.ns / 1e9))[:-1] + f",{trade.id}]"

    def fields(self, trade, seconds):
        return f'["{trade.price}","{trade.size}",{seconds},"{trade.taker[0]}","l",""]'


class OldKrakenTape(KrakenTape):
    """Before November 2022: six fields, and times rounded to four decimals."""

    def row(self, trade):
        return self.fields(trade, repr(round(trade.ns / 1e9, 4)))


class OkxTape(Tape):
    def answer(self, request):
        limit, trades = min(int(request.params["limit"]), self.cap), self.trades
        if "after" in request.params:
            place = {1: lambda trade: trade.id, 2: lambda trade: trade.ns // 10**6}[request.params.get("type", 1)]
            trades = [trade for trade in trades if place(trade) < int(request.params["after"])]
        return f'{{"code":"0","msg":"","data":[{",".join(map(self.row, trades[-limit:][::-1]))}]}}', {}

    def row(self, trade):
        row = {"instId": "BTC-USDT", "side": trade.taker, "sz": trade.size, "source": "0", "px": trade.price}
        return compact({**row, "tradeId": str(trade.id), "ts": str(trade.ns // 10**6)})


@dataclass
class Venue:
    """An exchange and its side of the wire. `symbol` is a product; `ids` tells whether rows have ids."""

    exchange: Exchange
    tape_type: type[Tape]
    symbol: str
    ids: bool = True
    pages_smaller_than_asked: bool = False

    def value(self, record: Record, target: str) -> object:
        """What `record` has in the column that the unified column `target` is made of."""
        return record[COLUMNS[self.exchange.raw_table.name][target]]

    def key(self, target: str) -> str:
        """What the exchange calls the field that the unified column `target` is made of."""
        column = COLUMNS[self.exchange.raw_table.name][target]
        return next(expected.key for expected in self.exchange.fields if expected.column == column)

    def tape(self, trades: Iterable[Trade], page_size: int) -> Tape:
        """Served in pages of `page_size`, which is also what the connector asks for."""
        self.exchange.page_size = 3 * page_size if self.pages_smaller_than_asked else page_size
        return self.tape_type(list(trades), cap=page_size)

    def client(self, tape: Tape) -> HttpClient:
        clock = iter(range(0, 10**9, 10))
        return HttpClient(
            self.exchange, transport=tape, clock=lambda: float(next(clock)), sleep=lambda seconds: None, deadline=1e9
        )

    def pages(self, tape: Tape, start: Watermark | datetime, until: datetime | None = None) -> Iterable[Page]:
        return self.client(tape).pages(self.exchange.trades(self.symbol, start, until))

    def between(self, tape: Tape, low: int, high: int) -> list[Page]:
        return list(self.client(tape).pages(self.exchange.between(self.symbol, low, high)))

    def position(self, tape: Tape, trade: Trade) -> int:
        return trade.id if self.exchange.raw_table.position == "id" else self.printed(tape, trade)

    def printed(self, tape: Tape, trade: Trade) -> int:
        """The time that a row of `trade` shows, in microseconds."""
        row = json.loads(tape.row(trade), parse_float=str)
        return self.exchange.time_of(row[2] if isinstance(row, list) else row[self.key("trade_ts")])

    def shown(self, tape: Tape, trade: Trade) -> tuple[object, ...]:
        """What identifies a trade in a record: its id, or its time and values where it has none."""
        if self.ids:
            return (str(trade.id),)
        return self.printed(tape, trade), trade.price, trade.size, trade.taker[0]

    def seen(self, record: Record) -> tuple[object, ...]:
        if self.ids:
            return (record[self.exchange.id_column],)
        return self.time_of(record), *(self.value(record, target) for target in ("price", "quantity", "side"))

    def time_of(self, record: Record) -> int:
        return self.exchange.time_of(record[self.exchange.time_column])

    def watermark(self, records: list[Record], cursor: str) -> Watermark:
        """What a run leaves behind that has committed `records`, the whole stream so far."""
        id_column = self.exchange.id_column
        last_ts = self.time_of(records[-1])
        tail = [record[id_column] for record in records if self.time_of(record) == last_ts and not self.ids]
        return Watermark(records[-1][id_column], EPOCH + timedelta(microseconds=last_ts), cursor, tuple(sorted(tail)))


VENUES = {
    "coinbase": (Coinbase, CoinbaseTape, "BTC-USD", {}),
    "coinbase, pages of 100 rows": (Coinbase, CoinbaseTape, "BTC-USD", {"pages_smaller_than_asked": True}),
    "binance": (Binance, BinanceTape, "BTCUSDT", {}),
    "kraken": (Kraken, KrakenTape, "XBTUSD", {}),
    "kraken before 2022": (Kraken, OldKrakenTape, "XBTUSD", {"ids": False}),
    "okx": (Okx, OkxTape, "BTC-USDT", {}),
}


@pytest.fixture(scope="module", params=VENUES)
def venue(request: pytest.FixtureRequest) -> Venue:
    exchange, tape_type, symbol, traits = VENUES[request.param]
    return Venue(exchange(), tape_type, symbol, **traits)


@pytest.fixture(scope="session")
def trade() -> type[Trade]:
    return Trade
