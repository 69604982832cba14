"""What main was and when, told from a table's metadata."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.pipeline.publishes import Publish, head_as_of, publishes
from schemahub_lib.pipeline.query import query
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch, move_main
from schemahub_lib.tables.state import State
from tests.pipeline.trades import RAW, at, head, ingest, rows

MILLISECOND = timedelta(milliseconds=1)


def told(lake: Lake, name: str = RAW.name) -> list[Publish]:
    table = lake.find(name)
    assert table is not None
    return publishes(table)


def seen(lake: Lake, moment: datetime) -> int:
    return query(lake, f"SELECT count(*) AS n FROM {RAW.name}", as_of=moment)["n"][0].as_py()


def test_each_publish_is_one_line_newest_first(lake: Lake) -> None:
    ingest(lake, "one", 1, 5)
    ingest(lake, "two", 6, 8)
    second, first, made = told(lake)
    assert (second.run_id, second.added_rows, second.total_rows, second.operation) == ("two", 3, 8, "append")
    assert (first.run_id, first.added_rows, first.total_rows, first.files) == ("one", 5, 5, 1)
    assert (made.run_id, made.added_rows, made.total_rows, made.files) == (None, 0, 0, 0)
    assert second.snapshot_id == head(lake)
    assert not any(publish.rolled_back for publish in (second, first, made))


def test_a_publish_of_several_snapshots_is_one_line_with_the_sum_of_their_rows(lake: Lake) -> None:
    table = lake.ensure(RAW)
    branch = Branch(lake, RAW.name)
    for first, last in ((1, 3), (4, 9)):
        table.refresh().append(rows(first, last), branch=branch.name)
    branch.mark("several", State())
    assert branch.fast_forward()
    publish, _ = told(lake)
    assert (publish.run_id, publish.added_rows, publish.total_rows, publish.files) == ("several", 9, 9, 2)


def test_rows_that_were_only_written_anew_are_not_added(lake: Lake) -> None:
    from pyiceberg.expressions import EqualTo

    ingest(lake, "one", 1, 5)
    table = lake.find(RAW.name)
    assert table is not None
    table.delete(EqualTo("trade_id", "5"))  # type: ignore[call-arg,arg-type]
    publish, *_ = told(lake)
    assert (publish.operation, publish.added_rows, publish.total_rows) == ("overwrite", -1, 4)


def test_a_rollback_and_what_it_took_back_are_told(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    second = ingest(lake, "two", 6, 8)
    move_main(lake, RAW.name, "back", second, first)
    ingest(lake, "three", 6, 9)
    assert [(p.run_id, p.operation, p.added_rows, p.total_rows, p.rolled_back) for p in told(lake)] == [
        ("three", "append", 4, 9, False),
        ("one", "rollback", 0, 5, False),
        ("two", "append", 3, 8, True),
        ("one", "append", 5, 5, False),
        (None, "append", 0, 0, False),
    ]


def test_a_snapshot_is_seen_from_when_it_was_published_and_not_from_when_it_was_made(lake: Lake) -> None:
    ingest(lake, "one", 1, 5)
    branch = Branch(lake, RAW.name)
    branch.mark("slow", State(), rows(6, 9))
    written = lake.find(RAW.name)
    assert written is not None
    assert branch.head is not None
    made = at(written, branch.head)
    time.sleep(0.05)
    assert branch.fast_forward()
    publish, before, _ = told(lake)
    assert made < publish.published_at
    assert (seen(lake, made), seen(lake, publish.published_at - MILLISECOND)) == (5, 5)
    assert (seen(lake, publish.published_at), seen(lake, datetime.now(UTC))) == (9, 9)
    assert seen(lake, before.published_at) == 5


def test_what_was_rolled_back_is_seen_at_times_when_it_was_mains(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    second = ingest(lake, "two", 6, 8)
    time.sleep(0.005)
    move_main(lake, RAW.name, "back", second, first)
    back, taken, *_ = told(lake)
    assert seen(lake, taken.published_at) == seen(lake, back.published_at - MILLISECOND) == 8
    assert seen(lake, back.published_at) == 5


def test_a_time_before_the_table_is_refused(lake: Lake) -> None:
    ingest(lake, "one", 1, 5)
    with pytest.raises(UsageError, match=r"raw_coinbase_trades did not exist at 2020-01-01 00:00:00 UTC: it was made"):
        seen(lake, datetime(2020, 1, 1, tzinfo=UTC))


def expire(lake: Lake, *snapshots: int) -> None:
    """Expiry as pyiceberg does it: other entries stay in the log, whether or not they are older."""
    for snapshot_id in snapshots:
        table = lake.find(RAW.name)
        assert table is not None
        table.maintenance.expire_snapshots().by_id(snapshot_id).commit()


def test_a_time_whose_snapshot_is_expired_is_refused_and_not_answered_with_an_older_one(lake: Lake) -> None:
    ingest(lake, "one", 1, 5)
    second = ingest(lake, "two", 6, 8)
    third, publish, *_ = (ingest(lake, "three", 9, 10), *told(lake))
    expire(lake, second)
    (left,) = told(lake)
    assert (left.snapshot_id, left.added_rows, left.run_id) == (third, 2, "three")
    with pytest.raises(UsageError, match=r"what raw_coinbase_trades held at .* is expired: the earliest time that can"):
        seen(lake, left.published_at - MILLISECOND)
    assert seen(lake, left.published_at) == 10
    assert publish.snapshot_id == third


def test_an_expired_rolled_back_head_leaves_no_time_that_is_answered_wrongly(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    second = ingest(lake, "two", 6, 8)
    time.sleep(0.005)
    move_main(lake, RAW.name, "back", second, first)
    expire(lake, second)
    (left,) = told(lake)
    assert (left.snapshot_id, left.total_rows) == (first, 5)
    with pytest.raises(UsageError, match="is expired"):
        seen(lake, left.published_at - MILLISECOND)


def test_a_snapshot_that_spark_merged_on_a_branch_is_seen_from_when_it_was_published(
    spark_jvm: None, lake: Lake
) -> None:
    from tests.e2e.pipelines import unify

    ingest(lake, "one", 1, 5)
    unify(lake)
    publish, made = told(lake, TRADES_UNIFIED.name)
    assert (publish.operation, publish.added_rows, publish.total_rows) == ("append", 5, 5)
    table = lake.find(TRADES_UNIFIED.name)
    assert table is not None
    mark = table.current_snapshot()
    assert mark is not None
    assert mark.parent_snapshot_id is not None
    merged_at = at(table, mark.parent_snapshot_id)
    assert merged_at < publish.published_at
    assert head_as_of(table, merged_at) == head_as_of(table, publish.published_at - MILLISECOND) == made.snapshot_id
    assert head_as_of(table, publish.published_at) == publish.snapshot_id


def test_expiry_by_spark_leaves_the_present_head_to_be_told_of(spark_jvm: None, lake: Lake) -> None:
    ingest(lake, "one", 1, 5)
    ingest(lake, "two", 6, 8)
    lake.spark.sql(
        f"CALL schemahub.system.expire_snapshots(table => 'schemahub.schemahub.{RAW.name}', retain_last => 1, "
        f"older_than => TIMESTAMP '{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%fZ}')"
    ).collect()
    (left,) = told(lake)
    assert (left.run_id, left.added_rows, left.total_rows, left.rolled_back) == ("two", 3, 8, False)
    with pytest.raises(UsageError, match="is expired"):
        seen(lake, left.published_at - MILLISECOND)
