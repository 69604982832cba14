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
        self._reaches = 0  # the position of the last trade written
        self._there: tuple[int, int] | None = None  # the object in whose place this one is put

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

    def add(self, pages: Sequence[Page]) -> None:
        """Write the trades of some pages: of all, or of none when one of them is refused."""
        for page in pages:
            refuse_unreadable(self.exchange, self.product, len(page), page.rejected)
        for page in pages:
            self._rejected += page.rejected
            columns = page.columns if self._writer else self._not_landed_otherwise(page.columns)
            if columns[self.exchange.id_column]:
                writer = self._writer or self._open(columns)
                writer.add(columns, datetime.now(UTC))
                self._reaches = self._ends(columns)[-1]

    def _open(self, columns: Columns) -> RecordWriter:
        landing = self.landing
        self._sink = landing.store.create(self._key(columns))
        layout = layout_of(self.exchange)
        self._writer = open_writer(self._sink, layout, landing.format, landing.compress, landing.keep_payload)
        return self._writer

    def _key(self, columns: Columns) -> str:
        when = moment(self.exchange.time_of(columns[self.exchange.time_column][0]))
        first = str(columns[self.exchange.id_column][0])
        ending = suffix(self.landing.format, self.landing.compress)
        return object_key(self.landing.prefix, self.exchange.name, self.product, when, first, ending)

    def _not_landed_otherwise(self, columns: Columns) -> Columns:
        """What is left to write, where an object of the name to come is there from a run in the other direction; one
        from a run in this direction is noted.

        A microbatch that begins with a trade and a backfill's batch that ends with it are called alike: the trade has
        landed then, and neither may take the other's place.
        """
        while columns[self.exchange.id_column]:
            there = self._span(self._key(columns))
            if there is None or there[0] == there[1] or (there[0] > there[1]) == self.newest_first:
                self._there = there
                break
            columns = {name: values[1:] for name, values in columns.items()}
        return columns

    def _span(self, key: str) -> tuple[int, int] | None:
        """The positions of the first and the last trade of the object that is there by this name."""
        store, name = self.landing.store, parse_key(key)
        there = next((entry for entry in store.list(key) if entry.key == key), None)
        if name is None or there is None:
            return None
        try:
            found = [self._ends(batch.columns) for batch in batches(store, there, name, layout_of(self.exchange))]
        except SchemaHubError as error:
            log.warning("%s; it is written over", error)
            return None
        ends = [ends for ends in found if ends]
        return (ends[0][0], ends[-1][-1]) if ends else None

    def _ends(self, columns: Columns) -> list[int]:
        """The positions of the first and the last trade."""
        names = (self.exchange.id_column, self.exchange.time_column)
        if not columns[names[0]]:
            return []
        return self.exchange.positions({name: [columns[name][0], columns[name][-1]] for name in names})

    @property
    def reaches_further(self) -> bool:
        """Whether the object under way has all that the one by its name has. While it has not, its batch is not full:
        a following one would land again what is there."""
        if self._there is None:
            return True
        return self._reaches <= self._there[1] if self.newest_first else self._reaches >= self._there[1]

    def commit(self) -> int | None:
        """Make what was written visible. Malformed rows go first, so that none is ever passed over unseen.

        Where the object that is there reaches further it stays, and the position to which it does is returned.
        """
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
        if self._there is not None and not self.reaches_further:  # it is of a run that was killed, or asked for more
            log.info("%s %s: the object there reaches further, and stays", self.exchange.name, self.product)
            end = self._there[1]
            self.abort()
            return end
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            self._sink.commit()
            self.outcome.objects += 1
            self.outcome.bytes += self._sink.size
            self.outcome.trades += self._writer.rows
            self._sink = self._writer = self._there = None
        return None

    def abort(self) -> None:
        """Leave nothing of what was not committed."""
        sink, self._sink, self._writer, self._there = self._sink, None, None, None
        if sink is not None:
            sink.abort()


@contextmanager
def claimed(landing: Landing, job: str, exchange: Exchange, product: str) -> Iterator[Claim]:
    """Be the only one who does this job on a product under this prefix. Raises Conflict, StoreError."""
    owner = f"{socket.gethostname()}, process {os.getpid()}"
    what = f"{job} of {exchange.name} {product} into {landing.store.uri}/{landing.prefix}"
    with claim(landing.store, lock_key(landing.prefix, job, product), owner, what=what) as held:
        yield held
