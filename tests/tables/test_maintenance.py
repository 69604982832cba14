"""Upkeep of a table: what its metadata says is due, that doing it settles it, and that nothing needed is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from schemahub_lib.errors import SchemaHubError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.books import books_of
from schemahub_lib.schemas import PRODUCTS, RUNS
from schemahub_lib.tables.batches import to_arrow
from schemahub_lib.tables.books import append_books
from schemahub_lib.tables.due import Due, due, figures
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.maintenance import (
    drop_branches,
    expire_snapshots,
    remove_orphans,
    rewrite_manifests,
    rewrite_partition,
)
from schemahub_lib.tables.publish import Branch
from schemahub_lib.tables.raw import append_history
from schemahub_lib.tables.state import read_loaded, read_state
from tests.market_days import RAW, keys, publish_trades

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

LATER = timedelta(days=10)  # when the days of the test are cold
DAY = 144  # trades of a product


def table(lake: Lake, name: str = RAW.name) -> IcebergTable:
    found = lake.find(name)
    assert found is not None
    return found


def needs(lake: Lake, name: str = RAW.name, after: timedelta = timedelta(0), **options: Any) -> Due:
    return due(table(lake, name), now=datetime.now(UTC) + after, **{"keep": timedelta(days=5), **options})


def rewrites(lake: Lake, after: timedelta = timedelta(0), name: str = RAW.name) -> list[str]:
    return [f"{partition}: {partition.files} files" for partition in needs(lake, name, after).partitions]


def rewrite_all(lake: Lake, after: timedelta = timedelta(0), name: str = RAW.name) -> None:
    for partition in needs(lake, name, after).partitions:
        rewrite_partition(lake, name, partition, "test")


def data_files(lake: Lake) -> list[Path]:
    return sorted(Path(urlsplit(path).path) for path in table(lake).inspect.files()["file_path"].to_pylist())


def on_disk(lake: Lake, folder: str, suffix: str) -> set[Path]:
    return set((Path(urlsplit(table(lake).location()).path) / folder).rglob(f"*{suffix}"))


def test_a_day_of_five_small_files_is_packed_once_and_one_of_four_is_left(lake: Lake) -> None:
    for first in range(0, 100, 20):
        publish_trades(lake, first, first + 19)
    for first in range(DAY, DAY + 80, 20):
        publish_trades(lake, first, first + 19)
    before = keys(lake, RAW.name)
    assert rewrites(lake) == ["compact 2026-01-01: 5 files"]
    rewrite_all(lake)
    assert rewrites(lake) == []
    assert len(data_files(lake)) == 1 + 4
    assert keys(lake, RAW.name) == before


def test_a_day_of_order_books_is_packed_with_all_levels(lake: Lake) -> None:
    books = books_of(EXCHANGES["coinbase"])
    lake.ensure(books)
    for number in range(5):
        book = {"product_id": "BTC-USD", "time": None, "sequence": str(number), "_raw_payload": "{}"}
        sides = {"bids": [("100", "1"), ("99.5", str(1 + number))], "asks": []}
        columns = {name: [value] for name, value in (book | sides).items()}
        rows, _ = to_arrow(books, columns, source="coinbase", fetched_at=datetime(2026, 1, 1, number, tzinfo=UTC))
        append_books(lake, books, f"run-{number}", rows)
    before = table(lake, books.name).scan().to_arrow().sort_by("sequence").to_pylist()
    assert rewrites(lake, name=books.name) == ["compact 2026-01-01: 5 files"]
    rewrite_all(lake, name=books.name)
    assert rewrites(lake, name=books.name) == []
    assert table(lake, books.name).scan().to_arrow().sort_by("sequence").to_pylist() == before
    assert figures(table(lake, books.name)).files == 1


def test_large_files_are_left_alone_however_many(lake: Lake) -> None:
    for first in range(0, 100, 20):
        publish_trades(lake, first, first + 19)
    with table(lake).transaction() as transaction:
        transaction.set_properties({"write.target-file-size-bytes": "1000"})
    assert rewrites(lake) == []


def test_a_cold_day_is_sorted_once_into_files_that_follow_each_other(lake: Lake) -> None:
    for first in range(0, 120, 40):
        publish_trades(lake, first, first + 39)
    with table(lake).transaction() as transaction:
        transaction.set_properties({"write.target-file-size-bytes": "4000"})
    before = keys(lake, RAW.name)
    assert rewrites(lake) == []  # written to a moment ago
    assert rewrites(lake, LATER) == ["sort 2026-01-01: 3 files"]
    rewrite_all(lake, LATER)
    contents = [pq.read_table(file, partitioning=None).select(RAW.sort_by).to_pylist() for file in data_files(lake)]
    ordered = [tuple(row.values()) for rows in sorted(contents, key=lambda rows: str(rows[0])) for row in rows]
    assert len(contents) > 1
    assert ordered == sorted(ordered)
    assert keys(lake, RAW.name) == before
    assert rewrites(lake, 2 * LATER) == []


def test_a_cold_day_whose_files_follow_each_other_already_is_left_alone(lake: Lake) -> None:
    for first in range(0, 120, 40):
        publish_trades(lake, first, first + 39, products=("BTC-USD",))
    assert rewrites(lake, LATER) == []


def test_a_late_trade_makes_a_sorted_day_due_again(lake: Lake) -> None:
    for first in (0, 40):
        publish_trades(lake, first, first + 39)
    rewrite_all(lake, LATER)
    assert rewrites(lake, 2 * LATER) == []
    publish_trades(lake, 80, 99)
    assert rewrites(lake, 2 * LATER) == ["sort 2026-01-01: 2 files"]


def lay_out(lake: Lake, statement: str) -> None:
    lake.spark.sql(f"ALTER TABLE {lake.identifier(RAW.name)} {statement}")


def assert_compaction_settles_it(lake: Lake) -> None:
    before = keys(lake, RAW.name)
    rewrite_all(lake)
    assert rewrites(lake) == []
    rewrite_all(lake, LATER)
    assert rewrites(lake, 2 * LATER) == []
    assert keys(lake, RAW.name) == before


def test_a_table_by_hours_is_compacted_day_by_day(lake: Lake) -> None:
    lake.ensure(RAW)
    lay_out(lake, "REPLACE PARTITION FIELD time_day WITH hours(time)")
    for trade in range(5):
        publish_trades(lake, trade, trade)
    for trade in range(DAY + 6, DAY + 10):
        publish_trades(lake, trade, trade)
    assert rewrites(lake) == ["compact 2026-01-01: 5 files"]
    assert rewrites(lake, LATER) == ["sort 2026-01-01: 5 files", "sort 2026-01-02: 4 files"]
    assert_compaction_settles_it(lake)
    assert len(data_files(lake)) == 2


@pytest.mark.parametrize("buckets", [False, True])
def test_a_table_is_compacted_whose_layout_changed_from_days_to_hours_and_back(lake: Lake, buckets: bool) -> None:
    lake.ensure(RAW)
    if buckets:
        lay_out(lake, "ADD PARTITION FIELD bucket(2, product_id)")
    for trade in range(5):
        publish_trades(lake, trade, trade)
    lay_out(lake, "REPLACE PARTITION FIELD time_day WITH hours(time)")
    assert rewrites(lake) == ["compact 2026-01-01: 5 files"]
    assert_compaction_settles_it(lake)
    for trade in (*range(5, 8), 60, 66):
        publish_trades(lake, trade, trade)
    assert rewrites(lake) == []
    lay_out(lake, "REPLACE PARTITION FIELD time_hour WITH days(time)")
    publish_trades(lake, 140, 140)
    assert rewrites(lake) == ["compact 2026-01-01: 7 files"]
    assert_compaction_settles_it(lake)
    assert len(data_files(lake)) == 1


def test_ledgers_are_packed_with_and_without_partitions(lake: Lake) -> None:
    for number in range(5):
        lake.append(RUNS, [{"run_id": str(number)}])
        lake.append(PRODUCTS, [{"source": "kraken", "symbol": str(number)}])
    assert rewrites(lake, name=RUNS.name) == ["compact all: 5 files"]
    assert rewrites(lake, name=PRODUCTS.name) == ["compact kraken: 5 files"]
    for ledger in (RUNS, PRODUCTS):
        rewrite_all(lake, name=ledger.name)
        assert rewrites(lake, name=ledger.name) == []
        assert figures(table(lake, ledger.name)).files == 1
    assert sorted(row["symbol"] for row in lake.partition(PRODUCTS, "kraken")) == ["0", "1", "2", "3", "4"]


def test_many_small_manifests_become_few(lake: Lake) -> None:
    for number in range(51):
        lake.append(RUNS, [{"run_id": str(number)}])
    assert needs(lake, RUNS.name).manifests == 51
    rewritten = rewrite_manifests(lake, RUNS.name, "test")
    assert (rewritten.before, rewritten.after, needs(lake, RUNS.name).manifests) == (51, 1, 0)
    assert table(lake, RUNS.name).scan().count() == 51


def test_expiry_keeps_the_only_mark_of_an_idle_table_and_deletes_the_files_of_the_rest(lake: Lake) -> None:
    for first in range(0, 100, 20):
        publish_trades(lake, first, first + 19)
    old = data_files(lake)
    rewrite_all(lake)
    before, state = keys(lake, RAW.name), read_state(table(lake))
    waiting = needs(lake, after=LATER)
    expire_snapshots(lake, RAW.name, waiting.expire_before)
    # The mark and the rewrite after it. The mark still needs the files of old.
    assert figures(table(lake)).snapshots == 2
    assert read_state(table(lake)) == state
    assert all(file.exists() for file in old)
    publish_trades(lake, 100, 119)
    waiting = needs(lake, after=LATER)
    assert waiting.expired == 2
    expire_snapshots(lake, RAW.name, waiting.expire_before)
    assert not any(file.exists() for file in old)
    assert needs(lake, after=LATER).expired == 0
    assert [key for key in keys(lake, RAW.name) if int(key[1]) < 100] == before


def test_expiry_keeps_a_wanted_snapshot_and_all_that_came_after_it(lake: Lake) -> None:
    snapshots = [publish_trades(lake, first, first + 9) for first in range(0, 50, 10)]
    waiting = needs(lake, after=LATER, wanted={snapshots[2], 4711})
    expire_snapshots(lake, RAW.name, waiting.expire_before)
    assert {snapshot.snapshot_id for snapshot in table(lake).snapshots()} == set(snapshots[2:])


def test_expiry_keeps_a_wanted_snapshot_that_was_rolled_back_and_all_from_where_main_parted_from_it(lake: Lake) -> None:
    snapshots = [publish_trades(lake, first, first + 9) for first in range(0, 50, 10)]
    table(lake).manage_snapshots().set_current_snapshot(snapshots[2]).commit()
    snapshots += [publish_trades(lake, 30, 39)]
    waiting = needs(lake, after=LATER, wanted={snapshots[4]})
    expire_snapshots(lake, RAW.name, waiting.expire_before)
    assert {snapshot.snapshot_id for snapshot in table(lake).snapshots()} == set(snapshots[2:])


def test_snapshots_younger_than_what_is_kept_stay(lake: Lake) -> None:
    for first in range(0, 50, 10):
        publish_trades(lake, first, first + 9)
    assert needs(lake).expired == 0
    assert needs(lake, keep=timedelta(0)).expired == 5


def test_expiry_leaves_a_publish_under_way_its_branch(lake: Lake) -> None:
    publish_trades(lake, 0, 9)
    branch = Branch(lake, RAW.name)
    assert table(lake).refs()[branch.name].max_ref_age_ms is None
    expire_snapshots(lake, RAW.name, needs(lake, keep=timedelta(0)).expire_before)
    branch.mark("test", branch.base_state())
    assert branch.fast_forward()


def test_branches_left_behind_are_due_and_young_ones_are_not(lake: Lake) -> None:
    publish_trades(lake, 0, 9)
    head = table(lake).metadata.current_snapshot_id
    assert head is not None
    for name in ("run_20200101T000000_00000000", "run_20991231T000000_00000000", "blocked_4711"):
        table(lake).manage_snapshots().create_branch(head, name).commit()
    assert needs(lake).branches == ("run_20200101T000000_00000000",)
    old = needs(lake, after=timedelta(days=15)).branches
    assert set(old) == {"run_20200101T000000_00000000", "blocked_4711"}
    drop_branches(lake, RAW.name, [*old, "gone_meanwhile"])
    assert set(table(lake).refs()) == {"main", "run_20991231T000000_00000000"}


def _age(file: Path, days: float) -> Path:
    then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(file, (then, then))
    return file


def test_orphans_go_when_they_are_old_and_only_then(lake: Lake) -> None:
    publish_trades(lake, 0, 9)
    for file in on_disk(lake, "", ""):
        _age(file, 30)  # what is referred to stays, however old
    kept = {file for file in on_disk(lake, "", "") if file.is_file() and not file.name.startswith(".")}
    folder = data_files(lake)[0].parent
    old, young = folder / f"{uuid4()}.parquet", folder / f"{uuid4()}.parquet"
    for file, days in ((old, 3.1), (young, 2.9)):
        file.write_bytes(b"")
        _age(file, days)
    assert needs(lake).sweep
    assert remove_orphans(lake, RAW.name, datetime.now(UTC))[0] == 1
    assert not old.exists()
    assert young.exists()
    states = {file for file in kept if file.parent.name == "_schemahub"}
    assert len(states) == 1
    assert all(file.exists() for file in [*states, *data_files(lake)])
    assert keys(lake, RAW.name) == [(product, str(n)) for product in ("BTC-USD", "ETH-USD") for n in range(10)]
    assert not needs(lake).sweep
    assert needs(lake, after=timedelta(hours=21)).sweep


def test_a_state_file_goes_when_no_snapshot_leads_to_it_any_more(lake: Lake) -> None:
    lake.ensure(RAW)
    append_history(lake, RAW, "load", {}, {"file:///landed/1.jsonl": "v1"})
    loading = on_disk(lake, "metadata/_schemahub", ".json")
    assert len(loading) == 2  # the state, and the ledger of loaded objects it points at
    publish_trades(lake, 100, 109)
    expire_snapshots(lake, RAW.name, needs(lake, keep=timedelta(0)).expire_before)
    lost = Path(urlsplit(table(lake).location()).path) / "metadata" / "_schemahub" / f"{uuid4()}.json"
    lost.write_text("{}")
    for file in loading:
        _age(file, 4)
    assert remove_orphans(lake, RAW.name, datetime.now(UTC))[1] == 1
    left = on_disk(lake, "metadata/_schemahub", ".json")
    assert len(left & loading) == 1
    assert lost in left  # a publish under way may have written it
    assert read_loaded(table(lake), read_state(table(lake))) == {"file:///landed/1.jsonl": "v1"}


def test_no_state_file_goes_while_one_that_is_pointed_at_cannot_be_read(lake: Lake) -> None:
    publish_trades(lake, 0, 9)
    (pointed_at,) = on_disk(lake, "metadata/_schemahub", ".json")
    lost = pointed_at.with_name(f"{uuid4()}.json")
    lost.write_text("{}")
    _age(lost, 4)
    pointed_at.write_text("{}")
    assert remove_orphans(lake, RAW.name, datetime.now(UTC))[1] == 0
    assert lost.exists()


def test_a_procedure_that_cannot_succeed_says_on_which_table_it_failed(make_lake: Callable[..., Lake]) -> None:
    lake = make_lake()
    lake.ensure(RAW)
    with pytest.raises(SchemaHubError, match=r"raw_coinbase_trades: remove_orphan_files failed: .*24 hours"):
        remove_orphans(lake, RAW.name, datetime.now(UTC) + timedelta(days=4))
