"""What becomes of a fetched page on its way to a table or an object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemahub_lib.errors import UnexpectedResponse
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.messages import Page, Rejected
from schemahub_lib.tables.batches import to_arrow

if TYPE_CHECKING:
    import pyarrow as pa


def typed(exchange: Exchange, product: str, page: Page, *, keep_payload: bool) -> tuple[pa.Table, list[Rejected]]:
    """A page's trades in the raw table's types, and the rows that are none.

    Raises UnexpectedResponse when there are several rows and none of them is a trade.
    """
    rows, unfit = to_arrow(
        exchange.raw_table,
        page.columns,
        source=exchange.name,
        fetched_at=datetime.now(UTC),
        keep_payload=keep_payload,
    )
    rejected = page.rejected + unfit
    refuse_unreadable(exchange, product, rows.num_rows, rejected)
    return rows, rejected


def refuse_unreadable(exchange: Exchange, product: str, rows: int, rejected: Sequence[Rejected]) -> None:
    """Raises UnexpectedResponse for a page of several rows none of which is a trade: that is no malformed row."""
    if len(rejected) > 1 and not rows:
        raise UnexpectedResponse(
            f"none of the {len(rejected)} rows of a page is a trade, so the API has changed its shape; first: "
            f"{rejected[0].reason}: {rejected[0].payload[:120]}",
            exchange=exchange.name,
            endpoint="trades",
            product=product,
        )
