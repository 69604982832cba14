"""Order books: one snapshot of each product, published into the source's table of books."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import Interrupted, UnexpectedResponse, UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.pipeline.clients import open_client
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.products import resolve, wanted_products
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.workers import Outcome, for_each, overall
from schemahub_lib.schemas import Table
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.books import append_books
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa


def books_of(exchange: Exchange) -> Table:
    """The table of an exchange's order books. Raises UsageError where they are not fetched."""
    if exchange.books is None:
        raise UsageError(f"{exchange.name}: its order books are not fetched, only its trades; leave --books out")
    return exchange.books.table


def ingest_books(
    lake: Lake,
    exchange: Exchange,
    options: IngestOptions,
    report: Report,
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Take one snapshot of each product's order book and publish them together; tell in the report what was done.

    Of the options those about time do not apply: a book is what the exchange shows now. One product's failure is in the
    report and not raised. Setting `stop` ends it before the publish, if that has not begun; the report then says
    'interrupted'. Raises PublishRefused, UsageError, and ExchangeUnavailable when it is the exchange as a whole.
    """
    import pyarrow as pa

    table = books_of(exchange)
    snapshots: dict[str, pa.Table] = {}
    with open_client(lake.settings, exchange, stop) as client:

        def take(symbol: str, outcome: Outcome) -> None:
            book = client.ask(exchange.book(symbol))
            snapshots[symbol] = _row(exchange, table, book, keep_payload=options.keep_payload)

        names = wanted_products(exchange, options.products, options.seed_path)
        try:
            outcomes = [Outcome(symbol) for symbol in resolve(lake, exchange, client, names)]
            progress.say(f"{exchange.name}: order books of {len(outcomes)} products")
            for_each(exchange.name, outcomes, options.workers, stop, take)
            if stop.is_set():
                raise Interrupted("stopped")
        except Interrupted:
            report.finish("interrupted")
            return
        finally:
            report.count(client.stats)
    if snapshots:
        rows = pa.concat_tables([snapshots[symbol] for symbol in sorted(snapshots)])
        published = append_books(lake, table, report.run_id, rows)
        report.rows = published.result
        report.publish_seconds = sum(published.seconds.values())
    report.errors = {outcome.product: outcome.error for outcome in outcomes if outcome.error}
    report.finish(overall([outcome.status for outcome in outcomes]))


def _row(exchange: Exchange, table: Table, book: dict[str, Any], *, keep_payload: bool) -> pa.Table:
    """A snapshot in the table's types. Raises UnexpectedResponse when a value does not fit."""
    columns = {name: [value] for name, value in book.items()}
    row, unfit = to_arrow(table, columns, source=exchange.name, fetched_at=datetime.now(UTC), keep_payload=keep_payload)
    for misfit in unfit:
        product = book[exchange.symbol_column]
        raise UnexpectedResponse(misfit.reason, exchange=exchange.name, endpoint="book", product=product)
    return row
