"""What looking for drift costs beside reading a page."""

from __future__ import annotations

from statistics import median
from time import process_time
from typing import Any

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.rows import read_page
from schemahub_lib.http.messages import Page
from schemahub_lib.pipeline.pages import typed
from schemahub_lib.quality.drift import Watch

ROWS = {
    "coinbase": '{"trade_id":%d,"side":"sell","size":"0.00080618","price":"49505.30000000",'
    '"time":"2024-02-08T15:19:59.296238Z"}',
    "binance": '{"id":%d,"price":"49507.67000000","qty":"0.00080000","quoteQty":"4.31706882","time":1707405599711,'
    '"isBuyerMaker":false,"isBestMatch":true}',
}
ROUNDS, PAGES = 30, 20


def watching() -> None:
    """a page of 1,000 trades: reading and typing it, and looking for drift in it (CPU; target: under 1 %)"""
    for source, row in ROWS.items():
        exchange = EXCHANGES[source]
        text = f"[{','.join(row % number for number in range(10**9, 10**9 + 1000))}]"
        drifting = text.replace("}", ',"maker_fee":"0.001"}')

        def read(text: str, exchange: Any = exchange) -> Page:
            page: Page = exchange.page(read_page(text, exchange.fields), "X", "1")
            return page

        pages, watch = {"as it was": read(text), "drifting": read(drifting)}, Watch(exchange)
        spent: dict[str, list[float]] = {"read and typed": [], **{name: [] for name in pages}}
        for _ in range(ROUNDS):
            started = process_time()
            for _ in range(PAGES):
                typed(exchange, "X", read(text), keep_payload=True)
            spent["read and typed"].append((process_time() - started) / PAGES)
            for name, page in pages.items():
                started = process_time()
                for _ in range(PAGES):
                    watch.page("X", page)
                spent[name].append((process_time() - started) / PAGES)
        whole = median(spent["read and typed"])
        print(f"  {source:10} read and typed     {whole * 1e6:7.1f} us")
        for name in pages:
            took = median(spent[name])
            print(f"  {source:10} watch, {name:10}  {took * 1e6:7.1f} us, {took / whole:.2%}")
