"""Drift: what payloads show beside the fields their connector knows. Looked for in samples, counted, never lost: the
payload itself is kept with every trade.

    new      a field the connector does not know
    missing  a field it knows that is not there, or null
    retyped  a field it knows, of another JSON type
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import JsonType, moment
from schemahub_lib.http.messages import Page
from schemahub_lib.schemas import DRIFT, RAW_PAYLOAD
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

DriftKind = Literal["new", "missing", "retyped"]

SAMPLES = 5
SAID = 8  # changes in one line
LONGEST = 200  # characters of a sample and of a field's name
NEWS = timedelta(days=7)  # for which a drift is told and counted that is not seen any more
MOST = 100  # findings of one stream: a feed whose keys are ids must not fill the ledger
ARCHIVED = "_archive"  # in payloads that were made here, of an archive's lines

_TYPES: dict[type, JsonType] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}


class Change(NamedTuple):
    """One way in which a payload differs from what its connector knows."""

    field: str
    kind: DriftKind
    expected: JsonType | None
    seen: JsonType | None

    def __str__(self) -> str:
        if self.kind == "new":
            return f"{self.field} is new ({self.seen})"
        if self.kind == "missing":
            return f"{self.field} is {self.seen or 'missing'}"
        return f"{self.field} is {self.seen} in place of {self.expected}"


@dataclass(frozen=True)
class Finding:
    """A change in one stream: a row of `schemahub_drift`. `samples` are values as JSON, each once."""

    source: str
    stream: str
    change: Change
    first_seen: datetime
    last_seen: datetime
    count: int
    looked_at: int
    samples: tuple[str, ...] = ()

    @property
    def is_news(self) -> bool:
        return self.last_seen > datetime.now(UTC) - NEWS

    def plus(self, later: Finding) -> Finding:
        """This one, and what was seen of it later. What was looked at is not added up."""
        samples = tuple(dict.fromkeys((*self.samples, *later.samples)))[:SAMPLES]
        return replace(self, last_seen=later.last_seen, count=self.count + later.count, samples=samples)

    def as_row(self) -> dict[str, Any]:
        row = asdict(self) | self.change._asdict() | {"samples": f"[{', '.join(self.samples)}]"}
        del row["change"]
        return row

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Finding:
        change = Change(*(row[name] for name in Change._fields))
        told = {name: row[name] for name in ("source", "stream", "first_seen", "last_seen", "count", "looked_at")}
        return cls(change=change, samples=tuple(map(json.dumps, json.loads(row["samples"]))), **told)


def changes(exchange: Exchange, payload: str, when: int | None) -> Iterator[tuple[Change, str | None]]:
    """How a trade's payload differs from what its connector knows, and the value that shows it, as JSON.

    `when` is the trade's time in microseconds since 1970; without it, fields that older trades lack are not missed.
    Raises ValueError when the payload is no JSON.
    """
    row = _by_field(exchange, json.loads(payload))
    if not row or ARCHIVED in row:
        return
    for field in exchange.fields:
        there = field.key in row
        value = row.pop(field.key, None)
        seen = _TYPES[type(value)]
        if value is None:
            if field.since is None or (when is not None and moment(when) >= field.since):
                yield Change(field.key, "missing", field.sent_as, seen if there else None), None
        elif seen != field.sent_as and not (seen == "integer" and field.sent_as == "number"):
            yield Change(field.key, "retyped", field.sent_as, seen), _shown(value)
    for key, value in row.items():
        if key not in exchange.untaken:
            name = key if key.isprintable() else json.dumps(key)
            yield Change(name[:LONGEST], "new", None, _TYPES[type(value)]), _shown(value)


def _by_field(exchange: Exchange, row: Any) -> dict[str, Any]:
    """A trade's values by field; none where it is neither an object nor an array, which no connector reads. Members of
    an array are called as the connector's fields, in their order, and `[7]`, `[8]` where none has a name."""
    if isinstance(row, list):
        names = [field.key for field in exchange.fields if not field.key.startswith("[")]
        return {names[at] if at < len(names) else f"[{at}]": value for at, value in enumerate(row)}
    return dict(row) if isinstance(row, dict) else {}


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= LONGEST else json.dumps(text[:LONGEST] + "…")


def is_open(exchange: Exchange, change: Change) -> bool:
    """Whether the connector still does not know of it."""
    known = {field.key: field.sent_as for field in exchange.fields}
    if change.kind == "new":
        return change.field not in known and change.field not in exchange.untaken
    return known.get(change.field) == change.expected


def findings(lake: Lake, exchange: Exchange) -> list[Finding]:
    """What the ledger holds of a source that its connector still does not know of, by field."""
    found = map(Finding.of_row, lake.partition(DRIFT, exchange.name))
    return sorted((f for f in found if is_open(exchange, f.change)), key=lambda f: (f.change.field, f.stream))


def told(exchange: Exchange, found: Iterable[Change]) -> str:
    """One line about changes."""
    said = list(dict.fromkeys(map(str, sorted(found, key=lambda change: change.field))))
    more = [f"and {len(said) - SAID} more"] if len(said) > SAID else []
    return f"{exchange.name}: payloads differ from what is known of them: {', '.join([*said[:SAID], *more])}"


def remedy(exchange: Exchange) -> str:
    return f"`schemahub mappings drift {exchange.name}` proposes what to do"


class Watch:
    """Looks at a few payloads of everything a run fetches, and brings what it found to the ledger. Thread-safe."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._lock = threading.Lock()
        self._looked: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()  # changes of each stream
        self._found: dict[tuple[str, Change], Finding] = {}
        self._before: dict[tuple[str, Change], int] = {}  # payloads of the stream looked at before the first such one

    def page(self, stream: str, page: Page) -> None:
        """Look at the first and the last trade of a page, and at the first row that is none."""
        payloads, times = page.columns[RAW_PAYLOAD.name], page.columns[self._exchange.time_column]
        for place in {0, len(page) - 1} if len(page) else ():
            self._look(stream, str(payloads[place]), self._exchange.time_of(times[place]))
        for row in page.rejected[:1]:
            self._look(stream, row.payload, None)

    def rows(self, stream: str, rows: pa.Table) -> None:
        """Look at the first and the last row of a part of a raw table."""
        micros = rows[self._exchange.time_column].cast("int64")
        for place in {0, len(rows) - 1} if len(rows) else ():
            payload = rows[RAW_PAYLOAD.name][place].as_py()
            if payload is not None:
                self._look(stream, payload, micros[place].as_py())

    def _look(self, stream: str, payload: str, when: int | None) -> None:
        try:
            found = list(changes(self._exchange, payload, when))
        except ValueError:  # no JSON: the quarantine's business
            return
        with self._lock:
            self._looked[stream] += 1
            for change, value in found:
                now, key = datetime.now(UTC), (stream, change)
                if key not in self._found:
                    self._kept[stream] += 1
                    if self._kept[stream] > MOST:
                        continue
                samples = () if value is None else (value,)
                one = Finding(self._exchange.name, stream, change, now, now, 1, 0, samples)
                self._before.setdefault(key, self._looked[stream] - 1)
                self._found[key] = self._found[key].plus(one) if key in self._found else one

    def settle(self, lake: Lake) -> None:
        """Add what was found to the ledger, and say it: as a warning when some of it is found for the first time."""
        found = {key: replace(f, looked_at=self._looked[key[0]] - self._before[key]) for key, f in self._found.items()}
        if not found and not any(f.is_news and f.stream in self._looked for f in findings(lake, self._exchange)):
            return
        fresh: set[Change] = set()

        def merged(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            ledger = {(f.stream, f.change): f for f in map(Finding.of_row, rows)}
            fresh.clear()
            fresh.update({change for _, change in found} - {change for _, change in ledger})
            kept = Counter(stream for stream, _ in ledger)
            for key, one in ledger.items():
                later = one.plus(found[key]) if key in found else one
                ledger[key] = replace(later, looked_at=one.looked_at + self._looked[one.stream])
            for key in found.keys() - ledger.keys():
                kept[key[0]] += 1
                if kept[key[0]] <= MOST:
                    ledger[key] = found[key]
            return [f.as_row() for f in ledger.values()]

        lake.update_partition(DRIFT, self._exchange.name, merged)
        self.say(logging.WARNING if fresh else logging.INFO, f"; {remedy(self._exchange)}")

    def say(self, level: int = logging.WARNING, more: str = "") -> None:
        """Say what was found, in one line; nothing where nothing was."""
        if self._found:
            log.log(level, "%s%s", told(self._exchange, {change for _, change in self._found}), more)
