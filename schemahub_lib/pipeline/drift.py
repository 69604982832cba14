"""What to do about a drift: the ledger's findings as proposals, each with its evidence."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from sqlglot.dialects.spark import Spark

from schemahub_lib.exchanges import fields
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.fields import JsonType, Kind
from schemahub_lib.mapping.drift import Addition, add_column_sql
from schemahub_lib.quality.drift import SAMPLES, DriftKind, Finding, findings
from schemahub_lib.schemas import Column, SqlType, TimeEncoding
from schemahub_lib.tables.lake import Lake

Confidence = Literal["high", "medium", "low"]

ENOUGH, FEW = 20, 5  # payloads
ALWAYS, MOSTLY = 0.95, 0.5  # of the payloads looked at
SETTLED = timedelta(days=1)
_key = re.compile(r"[A-Za-z_][\w-]*", re.ASCII).fullmatch
_member = re.compile(r"\[(\d+)\]").fullmatch
# No column's name in DuckDB unless quoted; Spark's tokenizer knows these with what follows (ORDER BY), or not at all.
_reserved = re.compile(
    "analyse|asymmetric|at|authorization|both|by|cast|check|collation|columns|concurrently|deferrable|"
    "do|foreign|freeze|generated|group|initially|lambda|leading|only|order|pivot_longer|pivot_wider|"
    "placing|positional|primary|similar|summarize|symmetric|to|trailing|try_cast|tuple|unpack|"
    "variadic|verbose"
).fullmatch


class Reading(NamedTuple):
    """How a new field is read: the column's type, the name of the kind in `exchanges.fields`, how times are told."""

    type: SqlType
    kind: str
    time_encoding: TimeEncoding = "datetime"


@dataclass(frozen=True)
class Proposal:
    """What is proposed about one field of a source, and why. `addition` is the column a new field could have.

    `declared_as` is what the connector should say of the field: the kind of a new one, the JSON type of a retyped one
    that is read well. Where it is None there is nothing to patch, and `advice` tells what to do.
    """

    source: str
    field: str
    kind: DriftKind
    expected: JsonType | None
    types: tuple[JsonType, ...]
    streams: int
    count: int
    looked_at: int
    first_seen: datetime
    last_seen: datetime
    samples: tuple[str, ...]
    confidence: Confidence
    evidence: str
    advice: str
    addition: Addition | None = None
    alter: str | None = None
    declared_as: str | None = None

    @property
    def headline(self) -> str:
        what = {"new": "is new", "missing": "is missing"}.get(
            self.kind, f"is {' or '.join(self.types)} in place of {self.expected}"
        )
        return f"{self.source}: {self.field} {what}  (confidence: {self.confidence})"


def proposals(lake: Lake, exchange: Exchange) -> list[Proposal]:
    """A proposal for every field of a source that drifted and that its connector still does not know of."""
    grouped: dict[tuple[str, DriftKind], list[Finding]] = {}
    for finding in findings(lake, exchange):
        grouped.setdefault((finding.change.field, finding.change.kind), []).append(finding)
    taken = set(exchange.raw_table.column_names)
    return [_proposal(lake, exchange, found, taken) for found in grouped.values()]


def _proposal(lake: Lake, exchange: Exchange, found: Sequence[Finding], taken: set[str]) -> Proposal:
    """A proposal; the name of its column is taken from then on."""
    change = found[0].change
    types = tuple(sorted({f.change.seen for f in found if f.change.seen not in (None, "null")}))
    samples = tuple(dict.fromkeys(sample for f in found for sample in f.samples if sample != "null"))[:SAMPLES]
    # Of a stream with several types, payloads were looked at once for all of them.
    looked_at = sum({f.stream: f.looked_at for f in sorted(found, key=lambda f: f.looked_at)}.values())
    first, last = min(f.first_seen for f in found), max(f.last_seen for f in found)
    count, streams = sum(f.count for f in found), len({f.stream for f in found})
    addition = alter = declared_as = None
    if change.kind == "new":
        reading = _reading(types, samples)
        name = _column_name(change.field, taken)
        if reading is None or name is None:
            advice = f"no column can hold it; it stays in {exchange.raw_table.name}._raw_payload, where queries find it"
        else:
            taken.add(name)
            column = Column(
                name, reading.type, f"{change.field} as {exchange.name} sends it", time_encoding=reading.time_encoding
            )
            addition = Addition(column, _path(change.field))
            alter = add_column_sql(lake.identifier(exchange.raw_table.name), column)
            declared_as = reading.kind
            advice = "add the column, or name the field in the connector's `untaken` to leave it in the payload"
    elif change.kind == "retyped":
        kind = next(field.kind for field in exchange.fields if field.key == change.field)
        if len(types) == 1 and _reads(kind, samples):
            declared_as = types[0]
            advice = "the connector reads both, so no value is lost: say in the connector how it is sent now"
        else:
            advice = "the connector does not read it: such trades are set aside in schemahub_quarantine until it does"
    else:
        field = next(field for field in exchange.fields if field.key == change.field)
        advice = (
            f"{field.column} is null meanwhile; ask the exchange's changelog whether it comes back"
            if field.optional
            else "such trades are set aside in schemahub_quarantine; make it optional if they are trades without it"
        )
    return Proposal(
        exchange.name,
        change.field,
        change.kind,
        change.expected,
        types,
        streams,
        count,
        looked_at,
        first,
        last,
        samples,
        _confidence(types, count, looked_at, last - first),
        _evidence(types, count, looked_at, streams, first, last),
        advice,
        addition,
        alter,
        declared_as,
    )


def _confidence(types: Sequence[JsonType], count: int, looked_at: int, span: timedelta) -> Confidence:
    share = count / looked_at
    if len(types) > 1 or count < FEW or share < MOSTLY:
        return "low"
    return "high" if count >= ENOUGH and share >= ALWAYS and span >= SETTLED else "medium"


def _evidence(
    types: Sequence[JsonType], count: int, looked_at: int, streams: int, first: datetime, last: datetime
) -> str:
    often = f"in {count:,} of {looked_at:,} payloads looked at since {first:%Y-%m-%d %H:%M}"
    where = f"{streams} stream" + ("s" if streams > 1 else "")
    kinds = f", as {' and '.join(types)}" if types else ""
    return f"{often}, last {last:%Y-%m-%d %H:%M}, in {where}{kinds}"


def _reading(types: Sequence[JsonType], samples: Sequence[str]) -> Reading | None:
    """The narrowest type that takes all samples; None for what no column holds: objects, arrays, a bit of each."""
    if tuple(types) == ("boolean",):
        return Reading("BOOLEAN", "FLAG")
    if not types or not {"string", "integer", "number"} >= set(types):
        return None
    numbers = "string" not in types
    if numbers and "number" not in types and _reads(fields.INTEGER, samples):
        return Reading("BIGINT", "INTEGER")
    if _reads(fields.ISO8601, samples):
        return Reading("TIMESTAMP", "ISO8601", "iso8601")
    # Digits alone, in quotes, may be an id: as a number they would lose their zeros, or their end.
    if _reads(fields.NUMBER, samples) and (numbers or any("." in sample for sample in samples)):
        return Reading("DOUBLE", "NUMBER")
    return Reading("STRING", "TEXT")


def _reads(kind: Kind, samples: Sequence[str]) -> bool:
    try:
        for sample in samples:
            kind.read(json.loads(sample, parse_int=str, parse_float=str), "it")
    except ValueError:
        return False
    return True


def _column_name(field: str, taken: Container[str]) -> str | None:
    """`makerFee` as `maker_fee`, `order` as `payload_order`, `[7]` as `member_7`; None for what cannot be called in SQL
    and JSON paths alike."""
    if at := _member(field):
        return f"member_{at[1]}"
    if not _key(field):
        return None
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field).replace("-", "_").lower()
    while name in taken or _reserved(name) or name.upper() in Spark.Tokenizer.KEYWORDS:
        name = f"payload_{name}"
    return name


def _path(field: str) -> str:
    return f"${field}" if _member(field) else f"$.{field}"


def since_when(proposal: Proposal) -> datetime:
    """From when on payloads are looked through for a new field: the day it was seen on first, for what was looked at
    before were samples."""
    return proposal.first_seen.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
