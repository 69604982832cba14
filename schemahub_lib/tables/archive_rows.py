"""The lines of an exchange's bulk files, as columns of texts, to rows of its raw table."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from decimal import Context, Decimal
from functools import reduce
from typing import TYPE_CHECKING

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges.base import Archive, Exchange
from schemahub_lib.exchanges.fields import Kind
from schemahub_lib.schemas import INGEST_TS, RAW_PAYLOAD, SOURCE, Column, TimeEncoding
from schemahub_lib.tables.types import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

    from schemahub_lib.tables.archives import ArchiveFile

_EXACT = Context(prec=200)


class RowReader:
    """Lines of texts to rows of the raw table. It remembers what must not come again."""

    def __init__(
        self, exchange: Exchange, archive: Archive, file: ArchiveFile, fetched_at: datetime, keep_payload: bool
    ) -> None:
        self.exchange, self.archive, self.file = exchange, archive, file
        self.fetched_at, self.keep_payload = fetched_at, keep_payload
        self.columns = {field.column: field for field in archive.fields}
        self.newest = -1  # in the column by which lines ascend
        self.moment = -1  # microseconds: the time of the last trade whose id was made
        self.seen: Counter[str] = Counter()  # the trades at that moment, by all that they show

    def read(self, block: pa.RecordBatch) -> tuple[pa.Table, dict[int, str]]:
        """The trades, and the reasons of the lines that are none, by place. Raises UsageError when lines descend."""
        import pyarrow.compute as pc

        well = [_matches(field.kind, texts) for field, texts in zip(self.archive.fields, block.columns, strict=True)]
        good = reduce(pc.and_, well)
        refused = {place: self._reason(line_of(block, place)) for place in _places(pc.invert(good))}
        places = pc.indices_nonzero(good)
        block = block.filter(good) if refused else block
        if len(block):
            again = self._not_after(block)
            refused |= {places[place].as_py(): self._again(block, place) for place in _places(again)}
            block = block.filter(pc.invert(again))
        return self._cast(block), {place: why for place, why in sorted(refused.items()) if why}

    def _reason(self, line: str) -> str:
        """Why a line is no trade; empty for a blank one."""
        texts = line.split(",")
        for field, text in zip(self.archive.fields, texts, strict=True):
            if any(texts) and not fits(field.kind, text):
                try:
                    field.kind.read(text, field.key)
                except ValueError as error:
                    return str(error)
                return f"{field.key} is {text!r:.60}, and not as it is published"
        return ""

    def _not_after(self, block: pa.RecordBatch) -> pa.Array:
        """Which trades repeat the id before theirs. Raises UsageError when ids or times descend."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.exchange.raw_table.column(self.archive.ascending)
        field = self.columns[column.name]
        texts = block[field.key]
        told = _microseconds(column.time_encoding, texts) if column.type == "TIMESTAMP" else texts.cast(pa.int64())
        before = pa.concat_arrays([pa.array([self.newest]), told[:-1]])
        if descending := _places(pc.less(told, before)):
            place = descending[0]
            raise UsageError(
                f"{self.file}: {field.key} {texts[place]} comes after a later one ({before[place]}), in the line "
                f"{line_of(block, place)!r}. Nothing from there on is read; it is not as published, or damaged"
            )
        self.newest = told[-1].as_py()
        strictly = column.type != "TIMESTAMP"
        return pc.equal(told, before) if strictly else pa.repeat(pa.scalar(False), len(told))

    def _again(self, block: pa.RecordBatch, place: int) -> str:
        field = self.columns[self.archive.ascending]
        return f"{field.key} is {block[field.key][place]}, as in the line before"

    def _cast(self, block: pa.RecordBatch) -> pa.Table:
        import pyarrow as pa

        table = self.exchange.raw_table
        return pa.table([self._column(column, block) for column in table.columns], names=list(table.column_names))

    def _column(self, column: Column, block: pa.RecordBatch) -> pa.Array:
        import pyarrow as pa

        kind, rows = arrow_type(column.type), len(block)
        if field := self.columns.get(column.name):
            return _values(column, field.kind, block[field.key])
        if column.name == self.exchange.symbol_column:
            return pa.repeat(pa.scalar(self.file.product), rows)
        if column == SOURCE:
            return pa.repeat(pa.scalar(self.file.source), rows)
        if column == INGEST_TS:
            return pa.repeat(pa.scalar(self.fetched_at, kind), rows)
        if column == RAW_PAYLOAD and self.keep_payload:
            return self._payload(block)
        if column.name == self.exchange.id_column:
            return self._made_ids(block)
        assert column == RAW_PAYLOAD or column.name in self.archive.untold, column.name
        return pa.nulls(rows, kind)

    def _payload(self, block: pa.RecordBatch) -> pa.Array:
        import pyarrow.compute as pc

        shown = {field.key: _json(field.kind, block[field.key]) for field in self.archive.fields}
        shown["_archive"] = json.dumps(self.file.origin)[1:-1]
        parts = re.split("<(.+?)>", self.archive.payload)
        return pc.binary_join_element_wise(
            *(shown[part] if place % 2 else part for place, part in enumerate(parts)), ""
        )

    def _made_ids(self, block: pa.RecordBatch) -> pa.Array:
        """`a<microseconds>-<price>-<volume>-<n>`, n counting the trades that show the same from 0."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not len(block):
            return pa.array([], pa.string())
        time = self.exchange.raw_table.column(self.exchange.time_column)
        moments = _microseconds(time.time_encoding, block[self.columns[time.name].key])
        numbers = [_plain(block[self.columns[name].key]) for name in self.archive.id_made_of]
        shown = pc.binary_join_element_wise(
            pc.binary_join_element_wise("a", moments.cast(pa.string()), ""), *numbers, "-"
        )
        counts = shown.value_counts()
        several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        counted = pc.or_(pc.is_in(shown, several), pc.equal(moments, self.moment))
        before, order = Counter(self.seen), list[str]()
        for trade in shown.filter(counted).to_pylist():
            order.append(str(self.seen[trade]))
            self.seen[trade] += 1
        last = moments[-1].as_py()
        at_last = Counter(shown.filter(pc.equal(moments, last)).to_pylist())
        self.seen = at_last + (before if last == self.moment else Counter())
        self.moment = last
        numbered = pc.replace_with_mask(pa.repeat(pa.scalar("0"), len(shown)), counted, pa.array(order, pa.string()))
        return pc.binary_join_element_wise(shown, numbered, "-")


def fits(kind: Kind, text: str) -> bool:
    """Whether a field of a line is as it is published."""
    if kind.values is not None:
        return text in kind.values
    return re.fullmatch(str(kind.bare), text, re.ASCII) is not None


def line_of(block: pa.RecordBatch, place: int) -> str:
    """A line as it stands in the file."""
    return ",".join(str(column[place]) for column in block.columns)


def _places(mask: pa.Array) -> list[int]:
    import pyarrow.compute as pc

    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found


def _matches(kind: Kind, texts: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind.values is not None:
        return pc.is_in(texts, pa.array(list(kind.values)))
    return pc.match_substring_regex(texts, f"^(?:{kind.bare})$")


def _values(column: Column, kind: Kind, texts: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind.values is not None:
        return pa.array(list(kind.values.values())).take(pc.index_in(texts, pa.array(list(kind.values))))
    if column.type == "TIMESTAMP":
        return _microseconds(column.time_encoding, texts).cast(arrow_type("TIMESTAMP"))
    return texts.cast(arrow_type(column.type))


def _json(kind: Kind, texts: pa.Array) -> pa.Array:
    """The texts as they stand in JSON: true for True."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind.values is None:
        return texts
    shown = [json.dumps(value) for value in kind.values.values()]
    return pa.array(shown).take(pc.index_in(texts, pa.array(list(kind.values))))


def _microseconds(encoding: TimeEncoding, texts: pa.Array) -> pa.Array:
    """As `fields.microseconds`, for texts of a pattern that is known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if encoding == "epoch_ms_or_us":
        told = texts.cast(pa.int64())
        return pc.if_else(pc.equal(pc.binary_length(texts), 13), pc.multiply(told, 1000), told)
    if not pc.any(pc.match_substring(texts, ".")).as_py():
        return pc.multiply(texts.cast(pa.int64()), 1_000_000)
    parts = pc.extract_regex(texts, r"^(?P<whole>\d+)\.?(?P<part>\d{0,6})")
    return pc.binary_join_element_wise(parts.field("whole"), pc.ascii_rpad(parts.field("part"), 6, "0"), "").cast(
        pa.int64()
    )


def _plain(texts: pa.Array) -> pa.Array:
    """Numbers in the one way that leaves nothing out: 1.10 and 1.1 are 1.1, 5e-05 is 0.00005."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rare = pc.match_substring_regex(texts, "[eE-]")
    if pc.any(rare).as_py():
        spelled = [f"{Decimal(text).normalize(_EXACT):f}" for text in texts.filter(rare).to_pylist()]
        texts = pc.replace_with_mask(texts, rare, pa.array(spelled))
    trimmed = pc.ascii_rtrim(pc.ascii_rtrim(texts, "0"), ".")
    return pc.if_else(pc.match_substring(texts, "."), trimmed, texts)
