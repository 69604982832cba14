"""Landing: trades as objects under a prefix, before any table."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import moment
from schemahub_lib.http.messages import Page, Rejected
from schemahub_lib.landing.claim import Claim, claim
from schemahub_lib.landing.formats import Compression, Format, RecordWriter, open_writer, suffix
from schemahub_lib.landing.names import lock_key, object_key, quarantine_key
from schemahub_lib.landing.store import Sink, Store
from schemahub_lib.pipeline.landed import layout_of
from schemahub_lib.pipeline.pages import refuse_unreadable
from schemahub_lib.pipeline.workers import Outcome

log = logging.getLogger(__name__)

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
    """What one product lands: the object under way, whole and visible at `commit`."""

    def __init__(self, landing: Landing, exchange: Exchange, outcome: Outcome) -> None:
        self.landing, self.exchange, self.outcome = landing, exchange, outcome
        self.product = outcome.product
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
        """Write a page's trades; the first one of an object names it."""
        refuse_unreadable(self.exchange, self.product, len(page), page.rejected)
        self._rejected += page.rejected
        if not len(page):
            return
        if self._writer is None:
            landing, exchange = self.landing, self.exchange
            when = moment(exchange.time_of(page.columns[exchange.time_column][0]))
            first = str(page.columns[exchange.id_column][0])
            ending = suffix(landing.format, landing.compress)
            key = object_key(landing.prefix, exchange.name, self.product, when, first, ending)
            self._sink = landing.store.create(key)
            layout = layout_of(exchange)
            self._writer = open_writer(self._sink, layout, landing.format, landing.compress, landing.keep_payload)
        self._writer.add(page.columns, datetime.now(UTC))

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
def claimed(landing: Landing, exchange: Exchange, product: str) -> Iterator[Claim]:
    """Be the only one who lands a product under this prefix. Raises Conflict, StoreError."""
    owner = f"{socket.gethostname()}, process {os.getpid()}"
    what = f"{exchange.name} {product} under {landing.store.uri}/{landing.prefix}"
    with claim(landing.store, lock_key(landing.prefix, product), what, owner) as held:
        yield held
