"""What is landed is read back as it was, in every format, by us and by others; what is damaged is never read."""

from __future__ import annotations

import gc
import gzip
import io
import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from schemahub_lib.errors import StoreError
from schemahub_lib.http.messages import Rejected, Value
from schemahub_lib.landing.formats import Batch, Compression, Format, Layout, open_writer, read_records, suffix
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.store import Sink
from schemahub_lib.tables.lake import Lake

COINBASE = Layout("coinbase", {name: name for name in ("trade_id", "product_id", "price", "size", "time", "side")})
BINANCE = Layout(
    "binance",
    {"id": "id", "price": "price", "quote_qty": "quoteQty", "is_buyer_maker": "isBuyerMaker", "odd": 'a "%s" \\ key'},
    frozenset({"is_buyer_maker"}),
)
FETCHED = datetime(2025, 12, 15, 10, 30, 50, tzinfo=UTC)
FORMATS: list[tuple[Format, Compression]] = [
    ("jsonl", "none"),
    ("jsonl", "gzip"),
    ("jsonl", "zstd"),
    ("parquet", "none"),
    ("parquet", "gzip"),
    ("parquet", "zstd"),
]
every_format = pytest.mark.parametrize(("format", "compress"), FORMATS)
PAGE: dict[str, Sequence[Value]] = {
    "trade_id": ("123456",),
    "product_id": ("BTC-USD",),
    "price": ("43210.50",),
    "size": ("0.01",),
    "time": ("2025-12-15T10:30:45.123456Z",),
    "side": ("BUY",),
    "_raw_payload": ('{"trade_id":123456,"side":"buy"}',),
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ['","', '"', "\\", '\\","', '"}\n{"', "%s", "%", "é\u2028\0", '{"a":"\\"b\\\\"}', ""]
)


class Memory(Sink):
    def __init__(self) -> None:
        super().__init__()
        self._body = bytearray()

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    def _write(self, data: bytes) -> None:
        self._body += data

    def _commit(self) -> None:
        """It is there already."""

    def _abort(self) -> None:
        self._body.clear()


def written(
    pages: Sequence[Mapping[str, Sequence[Value]]],
    format: Format,
    compress: Compression,
    layout: Layout = COINBASE,
    keep_payload: bool = True,
) -> bytes:
    sink = Memory()
    writer = open_writer(sink, layout, format, compress, keep_payload)
    for number, page in enumerate(pages):
        writer.add(page, FETCHED + timedelta(seconds=number))
    writer.close()
    assert writer.rows == sum(len(page["_raw_payload"]) for page in pages)
    assert writer.size == len(sink.body)
    return sink.body


def read(body: bytes, suffix: str, layout: Layout = COINBASE, batch: int = 50_000) -> Batch:
    whole = Batch({column: [] for column in (*layout.names, "_raw_payload")})
    for part in read_records(io.BytesIO(body), suffix, layout, batch):
        assert 0 < len(part) + len(part.bad) <= batch
        for column, values in part.columns.items():
            whole.columns[column] += values
        whole.fetched_at += part.fetched_at
        whole.bad += part.bad
    return whole


def tape(rows: int, seed: int = 1) -> dict[str, Sequence[Value]]:
    """Trades as on Coinbase: ids that ascend by one, a price that walks, sizes of eight decimals."""
    chance = random.Random(seed)
    when, price = FETCHED, 4_321_050
    columns: dict[str, list[Value]] = {name: [] for name in PAGE}
    for trade_id in range(900_000_000, 900_000_000 + rows):
        when += timedelta(microseconds=int(chance.expovariate(1 / 80_000)))
        price += chance.choice((-2, -1, 0, 0, 0, 1, 2))
        side, size = chance.choice(("buy", "sell")), f"{chance.lognormvariate(-4, 2):.8f}"
        shown, time = f"{price / 100:.2f}", f"{when:%Y-%m-%dT%H:%M:%S.%fZ}"
        payload = f'{{"trade_id":{trade_id},"side":"{side}","size":"{size}","price":"{shown}","time":"{time}"}}'
        row = (str(trade_id), "BTC-USD", shown, size, time, side.upper(), payload)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return dict(columns)


def paged(columns: Mapping[str, Sequence[Value]], size: int = 1000) -> list[dict[str, Sequence[Value]]]:
    rows = len(columns["side"])
    return [{name: values[at : at + size] for name, values in columns.items()} for at in range(0, rows, size)]


def test_a_line_is_the_briefs_record() -> None:
    assert written([PAGE], "jsonl", "none").decode() == (
        '{"trade_id":"123456","product_id":"BTC-USD","price":"43210.50","size":"0.01",'
        '"time":"2025-12-15T10:30:45.123456Z","side":"BUY","_source":"coinbase",'
        '"_source_ingest_ts":"2025-12-15T10:30:50.000000Z",'
        '"_raw_payload":"{\\"trade_id\\":123456,\\"side\\":\\"buy\\"}"}\n'
    )


@pytest.mark.parametrize(
    ("format", "compress", "expected"),
    [
        ("jsonl", "none", ".jsonl"),
        ("jsonl", "gzip", ".jsonl.gz"),
        ("jsonl", "zstd", ".jsonl.zst"),
        ("parquet", "none", ".parquet"),
        ("parquet", "zstd", ".parquet"),
    ],
)
def test_suffixes(format: Format, compress: Compression, expected: str) -> None:
    assert suffix(format, compress) == expected


@st.composite
def pages(draw: st.DrawFn) -> list[dict[str, Sequence[Value]]]:
    def page(rows: int) -> dict[str, Sequence[Value]]:
        def column(values: st.SearchStrategy[Value]) -> Sequence[Value]:
            return draw(st.lists(values, min_size=rows, max_size=rows))

        return {
            "id": column(texts),
            "price": column(texts),
            "quote_qty": column(st.none() | texts),
            "is_buyer_maker": column(st.booleans() | st.none()),
            "odd": tuple(column(texts)),
            "_raw_payload": column(texts),
        }

    return [page(rows) for rows in draw(st.lists(st.integers(0, 4), max_size=3))]


@every_format
@settings(deadline=None, max_examples=60)  # the first example imports pyarrow
@given(pages(), st.booleans())
def test_what_is_written_is_read(
    format: Format, compress: Compression, landed: list[dict[str, Sequence[Value]]], keep_payload: bool
) -> None:
    body = written(landed, format, compress, BINANCE, keep_payload)
    found = read(body, suffix(format, compress), BINANCE)
    for column in (*BINANCE.names, "_raw_payload"):
        expected = [value for page in landed for value in page[column]]
        if column == "_raw_payload" and not keep_payload:
            expected = [None] * len(expected)
        assert found.columns[column] == expected
    assert found.fetched_at == [FETCHED + timedelta(seconds=n) for n, page in enumerate(landed) for _ in page["id"]]
    assert found.bad == []


@every_format
def test_batches_are_read_one_by_one(format: Format, compress: Compression) -> None:
    columns = tape(5000)
    found = read(written(paged(columns), format, compress), suffix(format, compress), batch=1234)
    assert found.columns == {name: list(values) for name, values in columns.items()}


@every_format
def test_without_payload_there_is_no_such_field(format: Format, compress: Compression) -> None:
    body = written([PAGE], format, compress, keep_payload=False)
    if format == "parquet":
        assert "_raw_payload" not in parquet.read_schema(io.BytesIO(body)).names
    else:
        (record,) = read(body, suffix(format, compress)).columns["_raw_payload"]
        assert record is None
    assert b"_raw_payload" not in body


@every_format
def test_equal_records_are_equal_bytes(format: Format, compress: Compression) -> None:
    columns = paged(tape(2000))
    assert written(columns, format, compress) == written(columns, format, compress)


def test_gzip_reads_it() -> None:
    columns = paged(tape(2000))
    assert gzip.decompress(written(columns, "jsonl", "gzip")) == written(columns, "jsonl", "none")


@every_format
def test_duckdb_reads_it(format: Format, compress: Compression, tmp_path: Path) -> None:
    columns = tape(20_000)
    file = tmp_path / f"trades{suffix(format, compress)}"
    file.write_bytes(written(paged(columns), format, compress))
    reader = "read_parquet" if format == "parquet" else "read_ndjson"
    rows = duckdb.sql(f"SELECT trade_id, price, side, _raw_payload FROM {reader}('{file}') ORDER BY trade_id")
    found = [tuple(map(str, row)) for row in rows.fetchall()]
    assert found == list(zip(*(columns[name] for name in ("trade_id", "price", "side", "_raw_payload")), strict=True))


@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_sparks_vectorised_reader_reads_parquet(compress: Compression, lake: Lake, tmp_path: Path) -> None:
    columns = tape(2000) | {"side": [None, *tape(2000)["side"][1:]]}
    file = tmp_path / "trades.parquet"
    file.write_bytes(written(paged(columns), "parquet", compress))
    assert lake.spark.conf.get("spark.sql.parquet.enableVectorizedReader") == "true"
    rows = lake.spark.read.parquet(str(file)).orderBy("trade_id").collect()
    for name in PAGE:
        assert [row[name] for row in rows] == list(columns[name])


def test_parquet_is_ten_times_smaller_than_plain_lines() -> None:
    columns = paged(tape(20_000))
    assert len(written(columns, "parquet", "none", keep_payload=False)) * 10 < len(written(columns, "jsonl", "none"))
    assert len(written(columns, "parquet", "none")) * 10 < len(written(columns, "jsonl", "none"))


@every_format
def test_the_size_told_is_the_objects_but_for_little(format: Format, compress: Compression) -> None:
    sink = Memory()
    writer = open_writer(sink, COINBASE, format, compress)
    for page in paged(tape(20_000)) * 5:
        writer.add({name: values[1:] for name, values in page.items()}, FETCHED)  # just short of a row group
    before = writer.size
    writer.close()
    assert writer.size - before < 3_000_000  # of 64 MB


@every_format
def test_an_aborted_sink_gets_nothing_more(format: Format, compress: Compression) -> None:
    sink = Memory()
    writer = open_writer(sink, COINBASE, format, compress)
    writer.add(tape(10), FETCHED)
    sink.abort()
    with pytest.raises(ValueError, match="the sink ended before"):
        writer.close()
    del writer
    gc.collect()
    assert sink.body == b""


@every_format
def test_a_full_disk_is_reported_as_such(format: Format, compress: Compression) -> None:
    class Full(Memory):
        def _write(self, data: bytes) -> None:
            if data != b"PAR1":
                raise StoreError("no room")

    def write() -> None:
        with Full() as sink:
            writer = open_writer(sink, COINBASE, format, compress)
            writer.add(tape(1000), FETCHED)
            writer.close()

    with pytest.raises(StoreError, match="no room"):
        write()


@every_format
def test_an_object_cut_off_anywhere_is_not_read(format: Format, compress: Compression) -> None:
    body = written(paged(tape(20)), format, compress)
    for end in range(len(body)):
        if format == "jsonl" and compress == "none" and body[:end].endswith((b"\n", b"}")) | (end == 0):
            continue  # whole records, as far as it shows
        with pytest.raises(ValueError, match=r"its last line is cut off|it is no whole \.\w+"):
            read(body[:end], suffix(format, compress))


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_a_damaged_object_is_not_read(format: Format) -> None:
    body = written(paged(tape(500)), format, "gzip")
    damaged = bytearray(body)
    damaged[len(body) // 3] ^= 0x10
    with pytest.raises(ValueError, match="it is no whole"):
        read(bytes(damaged), suffix(format, "gzip"))


def test_what_the_store_raises_while_reading_is_not_taken_for_damage() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise StoreError("cannot read s3://b/k")
            return super().read(size)

    body = written(paged(tape(5000)), "jsonl", "zstd")
    with pytest.raises(StoreError, match="cannot read"):
        list(read_records(Broken(body), ".jsonl.zst", COINBASE))


def line(**changes: object) -> bytes:
    record = {"trade_id": "1", "price": "43210.5", "_source": "coinbase", "_source_ingest_ts": "2025-12-15T10:30:50Z"}
    return json.dumps(record | changes).encode() + b"\n"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"no json\n", "not JSON"),
        (b"[1]\n", "not a JSON object"),
        (b'"text"\n', "not a JSON object"),
        (b"{}\n", "none of a trade's fields"),
        (b'{"other": 1}\n', "none of a trade's fields"),
        (line(price=True), "price is True, which is not a trade's"),
        (line(price=["1"]), "price is"),
        (line(price={"a": 1}), "price is"),
        (line(_raw_payload={"a": 1}), "_raw_payload is"),
        (line(_source="kraken"), "_source is 'kraken', not coinbase"),
        (line(_source=["kraken"]), "_source is"),
        (line(_source_ingest_ts="yesterday"), "Invalid isoformat"),
        (line(_source_ingest_ts=7), "_source_ingest_ts is 7, not a time"),
        (b'{"trade_id": "\xff"}\n', "not JSON"),
        (b'{"trade_id":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "not JSON"),
        (b'{"trade_id":1,"x":' + b"[" * 1000 + b"]" * 1000 + b"}\n", "nested too deeply"),
    ],
)
def test_a_line_that_is_no_record_is_kept_aside(bad: bytes, reason: str) -> None:
    found = read(line() + bad + line(trade_id="2"), ".jsonl")
    assert found.columns["trade_id"] == ["1", "2"]
    (rejected,) = found.bad
    assert isinstance(rejected, Rejected)
    assert rejected.payload == bad.decode(errors="replace").rstrip("\n")
    assert reason in rejected.reason


def test_another_tools_file_is_read_with_its_numbers_exact() -> None:
    body = (
        b'{"trade_id":123,"price":43210.50,"size":1e-8,"extra":{"a":[1.0]},"side":null}\r\n'
        b"\n"
        b'{"size":0.10000000000000000000001,"trade_id":12345678901234567890123,'
        b'"_source_ingest_ts":"2025-12-15 10:30:50"}'
    )
    found = read(body, ".jsonl")
    assert found.bad == []
    assert found.columns["trade_id"] == ["123", "12345678901234567890123"]
    assert found.columns["price"] == ["43210.50", None]
    assert found.columns["size"] == ["1e-8", "0.10000000000000000000001"]
    assert found.columns["side"] == [None, None]
    assert abs(found.fetched_at[0] - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.fetched_at[1] == FETCHED


def test_another_tools_parquet_is_read() -> None:
    file = io.BytesIO()
    table = pa.table({"trade_id": [1, 2], "price": ["1.50", None], "other": [True, False]})
    parquet.write_table(table, file)
    found = read(file.getvalue(), ".parquet")
    assert found.columns["trade_id"] == ["1", "2"]
    assert found.columns["price"] == ["1.50", None]
    assert found.columns["side"] == [None, None]


@pytest.mark.parametrize(
    ("table", "reason"),
    [({"other": [1]}, "none of a trade's columns"), ({"price": ["1"], "_source": ["kraken"]}, "_source is 'kraken'")],
)
def test_parquet_of_something_else_is_refused(table: dict[str, list[object]], reason: str) -> None:
    file = io.BytesIO()
    parquet.write_table(pa.table(table), file)
    with pytest.raises(ValueError, match=reason):
        read(file.getvalue(), ".parquet")


def test_an_object_goes_from_store_to_store(tmp_path: Path) -> None:
    store = LocalStore.make(str(tmp_path))
    columns = tape(3000)
    for format, compress in FORMATS:
        key = f"{compress}{suffix(format, compress)}"
        with store.create(key) as sink:
            writer = open_writer(sink, COINBASE, format, compress)
            for page in paged(columns):
                writer.add(page, FETCHED)
            writer.close()
        with store.open(key) as file:
            (batch,) = read_records(file, suffix(format, compress), COINBASE)
        assert batch.columns == {name: list(values) for name, values in columns.items()}
