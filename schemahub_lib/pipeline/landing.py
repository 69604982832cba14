"""Landing: trades as objects under a prefix, before any table."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.http.messages import Page, Rejected, Value
from schemahub_lib.landing.claim import Claim, claim
from schemahub_lib.landing.formats import Compression, Format, RecordWriter, open_writer, suffix
from schemahub_lib.landing.names import lock_key, object_key, parse_key, quarantine_key
from schemahub_lib.landing.store import Sink, Store
from schemahub_lib.pipeline.landed import batches, layout_of
from schemahub_lib.pipeline.pages import refuse_unreadable
from schemahub_lib.pipeline.workers import Outcome

log = logging.getLogger(__name__)

Columns = Mapping[str, Sequence[Value]]

MOST_ROWS = 1_000_000  # of an object
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Landing:
    """Where objects go and how they are written."""

    store: Store
    prefix: str
    format: Format = "jsonl"
    compress: Compression = "none"
    keep_payload: bool = True


class Objects:
    """What one product lands: the object under way, whole and visible at `commit`. Trades come `newest_first` or oldest
    first; the first one of an object names it."""

    def __init__(self, landing: Landing, exchange: Exchange, outcome: Outcome, *, newest_first: bool) -> None:
        self.landing, self.exchange, self.outcome = landing, exchange, outcome
        self.product, self.newest_first = outcome.product, newest_first
        self._sink: Sink | None = None
        self._writer: RecordWriter | None = None
        self._rejected: list[Rejected] = []

    @property
    def rows(self) -> int:
        return self._writer.rows if self._writer else 0

    @property
    def size(self) -> int:
        return self._writer.size if self._writer else 0

    @property
    def waiting(self) -> bool:
        """Whether there is anything to commit."""
        return self._writer is not None or bool(self._rejected)

    def add(self, page: Page) -> None:
        """Write a page's trades."""
        refuse_unreadable(self.exchange, self.product, len(page), page.rejected)
        self._rejected += page.rejected
        columns = page.columns
        if self._writer is None:
            columns = self._not_landed_otherwise(columns)
        if not columns[self.exchange.id_column]:
            return
        if self._writer is None:
            landing = self.landing
            self._sink = landing.store.create(self._key(columns))
            layout = layout_of(self.exchange)
            self._writer = open_writer(self._sink, layout, landing.format, landing.compress, landing.keep_payload)
        self._writer.add(columns, datetime.now(UTC))

    def _key(self, columns: Columns) -> str:
        when = moment(self.exchange.time_of(columns[self.exchange.time_column][0]))
        first = str(columns[self.exchange.id_column][0])
        ending = suffix(self.landing.format, self.landing.compress)
        return object_key(self.landing.prefix, self.exchange.name, self.product, when, first, ending)

    def _not_landed_otherwise(self, columns: Columns) -> Columns:
        """What is left to write, where an object of the name to come is there from a run in the other direction.

        A microbatch that begins with a trade and a backfill's batch that ends with it are called alike: the trade has
        landed then, and neither may take the other's place. An object from a run in this direction is our own, from
        before a crash, and is written over.
        """
        while columns[self.exchange.id_column] and self._runs_the_other_way(self._key(columns)):
            columns = {name: values[1:] for name, values in columns.items()}
        return columns

    def _runs_the_other_way(self, key: str) -> bool:
        store = self.landing.store
        name = parse_key(key)
        there = next((entry for entry in store.list(key) if entry.key == key), None)
        if name is None or there is None:
            return False
        try:
            batch = next(batches(store, there, name, layout_of(self.exchange), 2))
        except SchemaHubError as error:
            log.warning("%s; it is written over", error)
            return False
        places = self.exchange.positions(batch.columns)
        return len(places) > 1 and places[0] != places[1] and (places[0] > places[1]) != self.newest_first

    def commit(self) -> None:
        """Make what was written visible. Malformed rows go first, so that none is ever passed over unseen."""
        if self._rejected:
            told = [json.dumps({"reason": row.reason, "payload": row.payload}) + "\n" for row in self._rejected]
            body = "".join(told).encode()
            key = quarantine_key(self.landing.prefix, self.product, hashlib.sha256(body).hexdigest()[:16])
            with self.landing.store.create(key) as sink:
                sink.write(body)
            log.warning(
                "%s %s: %d malformed rows set aside in %s/%s, first: %s",
                *(self.exchange.name, self.product, len(self._rejected), self.landing.store.uri, key),
                self._rejected[0].reason,
            )
            self.outcome.set_aside += len(self._rejected)
            self._rejected = []
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            self._sink.commit()
            self.outcome.objects += 1
            self.outcome.bytes += self._sink.size
            self.outcome.trades += self._writer.rows
            self._sink = self._writer = None

    def abort(self) -> None:
        """Leave nothing of what was not committed."""
        if self._sink is not None:
            self._sink.abort()
            self._sink = self._writer = None


@contextmanager
def claimed(landing: Landing, job: str, exchange: Exchange, product: str) -> Iterator[Claim]:
    """Be the only one who does this job on a product under this prefix. Raises Conflict, StoreError."""
    owner = f"{socket.gethostname()}, process {os.getpid()}"
    what = f"{job} of {exchange.name} {product}"
    with claim(landing.store, lock_key(landing.prefix, job, product), owner, what=what) as held:
        yield held
