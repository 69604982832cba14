"""What of a product lies landed already, read from the objects themselves: for a checkpoint that was lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.landing.formats import Batch, Layout, read_records
from schemahub_lib.landing.names import ObjectName, parse_key
from schemahub_lib.landing.store import Entry, Store
from schemahub_lib.tables.state import Intervals, cover

log = logging.getLogger(__name__)


def layout_of(exchange: Exchange) -> Layout:
    """A landed record: the trade's id, the product, then the exchange's other fields, by its own names."""
    keys = {field.column: field.key for field in exchange.fields}
    first = {exchange.id_column: keys[exchange.id_column], exchange.symbol_column: exchange.symbol_column}
    flags = [column.name for column in exchange.raw_table.columns if column.type == "BOOLEAN"]
    return Layout(exchange.name, first | keys, frozenset(flags))


def objects(store: Store, prefix: str, source: str) -> Iterator[tuple[Entry, ObjectName]]:
    """The landed objects of a source under a prefix, by key; anything else there is left out."""
    for entry in store.list(prefix):
        name = parse_key(entry.key)
        if name is not None and name.source == source:
            yield entry, name


def batches(store: Store, entry: Entry, name: ObjectName, layout: Layout) -> Iterator[Batch]:
    """An object's records. Raises SchemaHubError, naming the object, when it is damaged."""
    with store.open(entry.key) as file:
        try:
            yield from read_records(file, name.suffix, layout)
        except ValueError as error:
            raise SchemaHubError(
                f"{store.uri}/{entry.key} is damaged: {error}. Move it away, or land it again"
            ) from error


@dataclass(frozen=True)
class Landed:
    """What landed objects of a product hold: the positions each covers from its lowest to its highest, how many trades
    that is, the ids at the newest position and their time, and the id of the oldest trade of the newest part without a
    gap."""

    covered: Intervals
    trades: int
    newest: tuple[str, ...]
    newest_ts: datetime
    oldest: str


def survey(store: Store, prefix: str, exchange: Exchange, product: str) -> Landed | None:
    """Read every landed object of a product; None when there is none. Raises SchemaHubError for a damaged one."""
    layout = layout_of(exchange)
    covered: Intervals = ()
    trades, top, newest_ts = 0, -1, 0
    newest: list[str] = []
    lowest: dict[int, str] = {}  # of each batch: position and id
    for entry, name in objects(store, f"{prefix}/", exchange.name):
        if name.product != product:
            continue
        log.info("%s %s: reading %s", exchange.name, product, entry.key)
        ends: list[int] = []
        for batch in batches(store, entry, name, layout):
            ids = [str(shown) for shown in batch.columns[exchange.id_column]]
            places = exchange.positions(batch.columns)
            trades += len(places)
            if not places:
                continue
            low, high = min(places), max(places)
            ends += [low, high]
            lowest[low] = ids[places.index(low)]
            if high >= top:
                at_top = [number for number, place in zip(ids, places, strict=True) if place == high]
                newest = at_top if high > top else newest + at_top
                top, newest_ts = high, exchange.time_of(batch.columns[exchange.time_column][places.index(high)])
        if ends:
            covered = cover(covered, min(ends), max(ends))
    if not covered:
        return None
    return Landed(covered, trades, tuple(sorted(newest)), moment(newest_ts), lowest[covered[-1][0]])
