"""What a backfill would fetch, how long that takes at the exchange's rate limit, and how big it becomes."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from schemahub_lib.config import Settings
from schemahub_lib.errors import SchemaHubError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.limits import SHARE
from schemahub_lib.pipeline.backfill import BackfillOptions, missing_ranges, wanted_range
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.products import spelled, wanted_products
from schemahub_lib.pipeline.resume import Earlier, Resumption
from schemahub_lib.schemas import Position
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import Intervals, Stream, read_state

# Bytes a trade, as measured by the benchmark `landing_size`: the mean of the exchanges.
_SIZES = {"none": 374.0, "gzip": 36.0, "zstd": 27.0, "parquet": 25.0, "raw": 33.0}
_SIZES_WITHOUT_PAYLOAD = {"none": 227.0, "gzip": 21.0, "zstd": 15.0, "parquet": 10.0, "raw": 18.0}


@dataclass(frozen=True)
class Plan:
    """One product's part. `newest` is where its newest trade stands, by `position`; `trades` and all that follows from
    it are estimates, None where the exchange gives nothing to go by. `seconds` is at the rate limit, alone."""

    product: str
    position: Position
    newest: int | None = None
    trades: int | None = None
    requests: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    error: str | None = None


def bytes_a_trade(format: str, compress: str, *, keep_payload: bool) -> float:
    """About how much room a trade takes: in the raw table ('raw'), in Parquet, or in JSON lines."""
    sizes = _SIZES if keep_payload else _SIZES_WITHOUT_PAYLOAD
    return sizes[compress if format == "jsonl" else format]


def plan(
    settings: Settings,
    exchange: Exchange,
    options: BackfillOptions,
    size: float,
    lake: Lake | None = None,
    resumption: Resumption | None = None,
) -> list[Plan]:
    """The parts of all products: with a lake, what its raw table does not cover; with a resumption, what is left to
    it. Writes nothing.

    `size` is in bytes a trade. Raises UsageError, ExchangeUnavailable.
    """
    exchange = exchange.in_pages_of(options.chunk_size)
    names = wanted_products(exchange, options.products, options.seed_path)
    table = lake.find(exchange.raw_table.name) if lake else None
    streams = read_state(table).streams if table else {}
    limit, position = exchange.rate_limit, exchange.raw_table.position
    plans = []
    with open_client(settings, exchange, threading.Event()) as client:
        for product in spelled(exchange, client, names)[0]:
            try:
                newest = client.ask(exchange.head(product))
                ranges: Intervals
                if lake is not None:
                    ranges = missing_ranges(client, exchange, product, streams.get(product, Stream(None)), options)
                else:
                    earlier = resumption.earlier(product, look=True) if resumption else Earlier()
                    wanted = wanted_range(client, exchange, product, options.since, options.until)
                    left = resumption.left(product, earlier, wanted, options.until) if resumption else wanted
                    ranges = earlier.missing(*left) if left else ()
                counts = [client.ask(exchange.count(product, low, high)) for low, high in ranges]
            except SchemaHubError as error:
                plans.append(Plan(product, position, error=str(error)))
                continue
            if None in counts:
                plans.append(Plan(product, position, newest))
                continue
            trades = sum(count or 0 for count in counts)
            requests = math.ceil(trades / exchange.page_size)
            seconds = requests * exchange.page_weight * limit.seconds / limit.units / SHARE
            plans.append(Plan(product, position, newest, trades, requests, seconds, round(trades * size)))
    return plans
