"""What of a product lies landed already, read from the objects themselves: for a checkpoint that was lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.http.messages import Value
from schemahub_lib.landing.formats import Batch, Layout, read_records
from schemahub_lib.landing.names import ObjectName, parse_key
from schemahub_lib.landing.store import Entry, Store

log = logging.getLogger(__name__)


def layout_of(exchange: Exchange) -> Layout:
    """A landed record: the trade's id, the product, then the exchange's other fields, by its own names."""
    keys = {field.column: field.key for field in exchange.fields}
    keys.setdefault(exchange.symbol_column, exchange.symbol_column)  # most exchanges do not repeat it in a row
    first = {column: keys[column] for column in (exchange.id_column, exchange.symbol_column)}
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
class Part:
    """Landed trades of a product with none left out between them: the lowest and the highest position, the id at the
    one, the ids at the other and their time, and how many trades were landed. `ingested`: some of them came oldest
    first, as `ingest` lands them and `backfill` does not."""

    low: int
    high: int
    oldest: str
    newest: tuple[str, ...]
    newest_ts: datetime
    trades: int
    ingested: bool

    def joined(self, other: Part) -> Part:
        """Both as one."""
        first = min(self, other, key=lambda part: (part.low, _by_number(part.oldest)))
        last = max(self, other, key=lambda part: part.high)
        newest = {*self.newest, *other.newest} if self.high == other.high else last.newest
        return Part(
            first.low,
            last.high,
            first.oldest,
            tuple(sorted(newest, key=_by_number)),
            last.newest_ts,
            self.trades + other.trades,
            self.ingested or other.ingested,
        )

    def leads_to(self, other: Part) -> bool:
        """Whether nothing can be between this part and one that begins at the same position or later."""
        last, first = self.newest[-1], other.oldest
        follows = last.isdecimal() and first.isdecimal() and int(first) == int(last) + 1
        return follows or other.low <= self.high + 1


def survey(store: Store, prefix: str, exchange: Exchange, product: str) -> tuple[Part, ...]:
    """Read every landed object of a product: the parts they make, lowest first. Raises SchemaHubError for a damaged
    object."""
    layout = layout_of(exchange)
    found: list[Part] = []
    for entry, name in objects(store, f"{prefix}/", exchange.name):
        if name.product != product:
            continue
        log.info("%s %s: reading %s", exchange.name, product, entry.key)
        whole: Part | None = None
        ends: list[int] = []
        for batch in batches(store, entry, name, layout):
            if places := exchange.positions(batch.columns):
                ends += places[0], places[-1]
                part = _part(exchange, batch.columns, places)
                whole = whole.joined(part) if whole else part
        if whole is not None:
            found.append(replace(whole, ingested=ends[0] <= ends[-1]))
    parts: list[Part] = []
    for part in sorted(found, key=lambda part: part.low):
        if parts and parts[-1].leads_to(part):
            part = parts.pop().joined(part)
        parts.append(part)
    return tuple(parts)


def _part(exchange: Exchange, columns: Mapping[str, Sequence[Value]], places: Sequence[int]) -> Part:
    low, high = min(places), max(places)
    ids = [str(shown) for shown in columns[exchange.id_column]]
    oldest, newest = (
        sorted((number for number, place in zip(ids, places, strict=True) if place == end), key=_by_number)
        for end in (low, high)
    )
    when = moment(exchange.time_of(columns[exchange.time_column][places.index(high)]))
    return Part(low, high, oldest[0], tuple(newest), when, len(places), ingested=False)


def _by_number(trade_id: str) -> tuple[int, str]:
    """What orders ids that are numbers as numbers, and others somehow."""
    return len(trade_id), trade_id
