"""Records to typed batches: exact, and what does not fit is set aside."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemahub_lib.http.messages import Record, Value
from schemahub_lib.schemas import LEVELS, RAW_COMMON, Column, Table, TimeEncoding
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.types import arrow_schema

FETCHED = datetime(2026, 1, 1, tzinfo=UTC)


def table(encoding: TimeEncoding = "iso8601") -> Table:
    return Table(
        "raw_t",
        (
            Column("id", "STRING", required=True),
            Column("price", "DOUBLE", required=True),
            Column("flag", "BOOLEAN"),
            Column("count", "BIGINT"),
            Column("time", "TIMESTAMP", required=True, time_encoding=encoding),
            *RAW_COMMON,
        ),
    )


def record(**changes: Value) -> Record:
    told: Record = {"id": "1", "price": "0.1", "flag": None, "count": "7", "time": "2024-02-08T15:12:04.5Z"}
    return told | {"_raw_payload": "{}"} | changes


def columns_of(*records: Record) -> dict[str, list[Value]]:
    return {name: [each[name] for each in records] for name in records[0]}


def convert(records: list[Record], encoding: TimeEncoding = "iso8601") -> tuple[pa.Table, list[str]]:
    rows, rejected = to_arrow(table(encoding), columns_of(*records), source="test", fetched_at=FETCHED)
    return rows, [r.reason for r in rejected]


@pytest.mark.parametrize(
    ("encoding", "value", "micros"),
    [
        ("iso8601", "2024-02-08T15:12:04Z", 0),
        ("iso8601", "2024-02-08T15:12:04.5Z", 500_000),
        ("iso8601", "2024-02-08T15:12:04.000001Z", 1),
        ("epoch_ms_or_us", "1707405124001", 1_000),
        ("epoch_ms_or_us", "1707405124000001", 1),
        ("epoch_s", "1707405124", 0),
        ("epoch_s", "1707405124.9999999", 999_999),
        ("epoch_s", "1707405124.0001", 100),
    ],
)
def test_every_spelling_of_time_is_exact_to_the_microsecond(encoding: TimeEncoding, value: str, micros: int) -> None:
    rows, rejected = convert([record(time=value)], encoding)
    assert not rejected
    assert rows["time"].to_pylist() == [datetime(2024, 2, 8, 15, 12, 4, micros, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": "abc"}, "price is 'abc', not a DOUBLE"),
        ({"price": "NaN"}, "price is 'NaN', not a DOUBLE"),
        ({"price": "1e999"}, "price is '1e999', not a DOUBLE"),
        ({"price": None}, "price is None, not a DOUBLE"),
        ({"time": "yesterday"}, "time is 'yesterday', not a TIMESTAMP"),
        ({"id": None}, "id is None, not a STRING"),
        ({"flag": "yes"}, "flag is 'yes', not a BOOLEAN"),
        ({"count": "7.5"}, "count is '7.5', not a BIGINT"),
        ({"count": str(2**63)}, "count is '9223372036854775808', not a BIGINT"),
    ],
)
def test_a_value_that_does_not_fit_sets_its_row_aside_and_no_other(changes: Record, reason: str) -> None:
    rows, rejected = convert([record(id="1"), record(id="2") | changes, record(id="3")])
    assert rejected == [reason]
    assert rows["id"].to_pylist() == ["1", "3"]


def test_a_batch_has_the_tables_columns_and_the_fetch_stamped_on_it() -> None:
    rows, _ = convert([record()])
    assert rows.column_names == list(table().column_names)
    assert rows["_source"].to_pylist() == ["test"]
    assert rows["_source_ingest_ts"].to_pylist() == [FETCHED]


def test_whole_numbers_are_exact() -> None:
    rows, _ = convert([record(count=str(2**63 - 1)), record(count=None)])
    assert rows["count"].to_pylist() == [2**63 - 1, None]


SIDES = Table("raw_b", (Column("bids", LEVELS, required=True), *RAW_COMMON))


def test_levels_of_a_book_become_lists_of_numbers() -> None:
    sides = [[("10.5", "1e-8"), ("10", "2")], [], [("9", "3")]]
    columns = {"bids": sides, "_raw_payload": ["{}"] * len(sides)}
    rows, rejected = to_arrow(SIDES, columns, source="test", fetched_at=FETCHED)
    assert rejected == []
    assert rows.schema == arrow_schema(SIDES)
    numbers = [[(level["price"], level["quantity"]) for level in side] for side in rows["bids"].to_pylist()]
    assert numbers == [[(10.5, 1e-8), (10.0, 2.0)], [], [(9.0, 3.0)]]


def test_a_level_that_is_no_double_sets_its_book_aside() -> None:
    columns = {"bids": [[("10", "1")], [("10", "1e999")]], "_raw_payload": ["good", "bad"]}
    rows, rejected = to_arrow(SIDES, columns, source="test", fetched_at=FETCHED)
    assert (rows["_raw_payload"].to_pylist(), [one.payload for one in rejected]) == (["good"], ["bad"])
    assert rejected[0].reason.startswith("bids is [('10', '1e999')]")


def test_payloads_may_be_left_out() -> None:
    rows, _ = to_arrow(table(), columns_of(record()), source="test", fetched_at=FETCHED, keep_payload=False)
    assert rows["_raw_payload"].to_pylist() == [None]


@given(st.decimals(min_value="1e-12", max_value="1e12", allow_nan=False, allow_infinity=False))
def test_prices_become_the_nearest_double(price: object) -> None:
    rows, rejected = convert([record(price=str(price))])
    assert not rejected
    assert rows["price"].to_pylist() == [float(str(price))]
