"""The state of a table of order books: when the newest snapshot of each product was fetched, also without marks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import book_tables
from schemahub_lib.tables.books import append_books, book_state
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.state import state_folder
from schemahub_lib.tables.types import arrow_schema

BOOKS = book_tables()["raw_coinbase_books"]
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(Settings.load(warehouse=str(tmp_path), environment={}))


def append(lake: Lake, **fetched: datetime) -> int:
    rows = [{"product_id": product, "_source_ingest_ts": at, "bids": [], "asks": []} for product, at in fetched.items()]
    return append_books(lake, BOOKS, "run", pa.Table.from_pylist(rows, schema=arrow_schema(BOOKS))).result


def newest(lake: Lake) -> dict[str, datetime]:
    streams = book_state(BOOKS, lake.ensure(BOOKS)).streams
    return {product: stream.watermark.last_ts for product, stream in streams.items() if stream.watermark}


def count(lake: Lake) -> int:
    return lake.ensure(BOOKS).scan().to_arrow().num_rows


def lose_marks(lake: Lake) -> None:
    for file in Path(state_folder(lake.ensure(BOOKS)).removeprefix("file://")).glob("*.json"):
        file.unlink()


def test_it_tells_when_the_newest_snapshot_of_each_product_was_fetched(lake: Lake) -> None:
    assert newest(lake) == {}
    assert append(lake, A=NOON, B=NOON + MINUTE) == 2
    append(lake, A=NOON + 2 * MINUTE)
    assert newest(lake) == {"A": NOON + 2 * MINUTE, "B": NOON + MINUTE}


def test_a_run_that_comes_late_adds_its_snapshot_and_takes_nothing_back(lake: Lake) -> None:
    append(lake, A=NOON + MINUTE)
    assert append(lake, A=NOON) == 1
    assert (newest(lake), count(lake)) == ({"A": NOON + MINUTE}, 2)


def test_where_the_marks_are_lost_the_rows_tell(lake: Lake) -> None:
    append(lake, A=NOON, B=NOON)
    append(lake, A=NOON + MINUTE)
    lose_marks(lake)
    assert newest(lake) == {"A": NOON + MINUTE, "B": NOON}
    append(lake, B=NOON + 2 * MINUTE)
    assert (newest(lake), count(lake)) == ({"A": NOON + MINUTE, "B": NOON + 2 * MINUTE}, 4)
