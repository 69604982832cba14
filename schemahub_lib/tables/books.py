"""Publishing snapshots of order books, and when the newest of each product was fetched: the state of their tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING

from schemahub_lib.errors import StateCorrupt
from schemahub_lib.schemas import Table
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch, Draft, Published, publish
from schemahub_lib.tables.state import State, Stream, read_state
from schemahub_lib.watermark import Watermark

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

log = logging.getLogger(__name__)


def append_books(lake: Lake, table: Table, run_id: str, rows: pa.Table) -> Published[int]:
    """Publish snapshots, all of them or none; how many. Raises PublishRefused.

    Each is what an exchange showed at a time of its own, so none repeats another run's.
    """

    def write(state: State, branch: Branch) -> Draft[int]:
        newest = {
            product: mark
            for product, mark in _newest(table, rows).items()
            if (before := state.watermark(product)) is None or before.last_ts < mark.last_ts
        }
        return Draft(rows.num_rows, state.with_streams(_streams(newest)), rows)

    return publish(lake, table.name, run_id, write, if_lost=book_state(table, lake.ensure(table)))


def book_state(table: Table, found: IcebergTable) -> State:
    """What main holds: as watermark of each product, when its newest snapshot was fetched. From the rows, where no mark
    can be read."""
    try:
        return read_state(found)
    except StateCorrupt as error:
        log.warning("%s; what is there is read from the rows", error)
        return State(_streams(_newest(table, found.scan(selected_fields=table.key).to_arrow())))


def _newest(table: Table, rows: pa.Table) -> Mapping[str, Watermark]:
    product, fetched = table.key
    newest = rows.select(table.key).group_by(product).aggregate([(fetched, "max")]).to_pylist()
    return {row[product]: Watermark("", row[f"{fetched}_max"].astimezone(UTC), "") for row in newest}


def _streams(newest: Mapping[str, Watermark]) -> Mapping[str, Stream]:
    return {product: Stream(mark) for product, mark in newest.items()}
