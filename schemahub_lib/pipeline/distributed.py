"""Pieces of history fetched on Spark's executors; the driver alone writes and commits.

Exchanges count requests per IP address, so this helps where executors have addresses of their own. What one address
may ask is divided among all tasks, so that it is kept to wherever they run. Executors need the library and requests.
"""

from __future__ import annotations

import pickle
import time
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import ExchangeError, SchemaHubError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.pipeline.history import Fetched, fetch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAGES = 20  # of a piece: a task that takes seconds is worth its start


class Cluster:
    """The executors of a Spark session. `slots` is how many tasks run at once."""

    def __init__(self, spark: SparkSession, base_url: str | None) -> None:
        self._context: Any = spark.sparkContext
        self._base_url = base_url
        self.slots = int(self._context.defaultParallelism)

    def fetch(self, exchange: Exchange, product: str, low: int, high: int) -> Fetched:
        """A piece fetched by an executor, without API keys: those stay with the driver.

        Raises ExchangeError, and SchemaHubError when the task failed otherwise.
        """
        from py4j.protocol import Py4JJavaError

        # Where positions are times a product has one task at a time, and the exchange counts by product.
        share = self.slots if exchange.raw_table.position == "id" else 1
        work = partial(_on_executor, exchange.name, exchange.page_size, self._base_url, share, product, low, high)
        try:
            (answer,) = self._context.parallelize([0], 1).map(work).collect()
        except Py4JJavaError as error:
            raise SchemaHubError(f"{exchange.name} {product}: a Spark task failed: {error.java_exception}") from error
        found: Fetched | ExchangeError = pickle.loads(zlib.decompress(answer))
        if isinstance(found, ExchangeError):
            raise found
        return found


def _on_executor(
    name: str, page_size: int, base_url: str | None, share: int, product: str, low: int, high: int, _: int
) -> bytes:
    exchange = EXCHANGES[name].in_pages_of(page_size).with_share(share)
    limit = exchange.rate_limit
    # A task begins with an empty bucket: the one before it on this slot may just have emptied it.
    time.sleep(limit.seconds * exchange.page_weight / limit.units)
    found: Fetched | ExchangeError
    with HttpClient(exchange, base_url=base_url) as client:
        try:
            found = fetch(client, exchange, product, low, high)
        except ExchangeError as error:
            found = error
    return zlib.compress(pickle.dumps(found), 1)
