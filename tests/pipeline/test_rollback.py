"""Rollback: shown before it is done, exact after it, and what was taken back is done again by the next runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from schemahub_lib.errors import PublishRefused, StateCorrupt, UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.publishes import publishes
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.rollback import Merged, plan_rollback, roll_back
from schemahub_lib.schemas import RUNS, WATERMARKS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.publish import Branch
from schemahub_lib.tables.raw import History, append_history
from schemahub_lib.tables.state import STATE_FILE, State, Stream, read_state
from tests.e2e import pipelines
from tests.e2e.pipelines import NOW, SINCE, TARGET, raw_keys, settings_for, tape, unified, unify
from tests.pipeline.trades import RAW, head, ingest, rows

MakeLake = Callable[..., Lake]
COINBASE = {"coinbase": pipelines.PRODUCTS["coinbase"]}


@pytest.fixture
def own_market() -> Iterator[Simulator]:
    """A little market whose clock the test moves."""
    with Simulator(seed=5, now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        yield simulator


def back(lake: Lake, name: str, to: int) -> Report:
    return roll_back(lake, plan_rollback(lake, name, str(to)), "rollback-run")


def ids(lake: Lake) -> list[int]:
    return sorted(int(row["trade_id"]) for row in pipelines.rows(lake, RAW.name))


def test_unify_restores_exactly_what_a_rollback_of_the_unified_table_took(
    spark_jvm: None, make_lake: MakeLake, own_market: Simulator
) -> None:
    lake = make_lake(**settings_for(own_market.urls))
    pipelines.pipeline(lake, since=SINCE)
    first, early = head(lake, TARGET), unified(lake)
    for _ in range(2):
        own_market.advance(60)
        pipelines.pipeline(lake)
    full = unified(lake)
    assert full == tape(own_market.urls)

    plan = plan_rollback(lake, TARGET, str(first))
    assert (plan.before.snapshot_id, plan.after.snapshot_id) == (head(lake, TARGET), first)
    assert (plan.vanish_publishes, plan.vanish_rows) == (2, len(full) - len(early))
    assert (plan.return_publishes, plan.return_rows, plan.streams, plan.merged) == (0, 0, (), ())
    assert [(again.source, again.since_is, again.snapshots) for again in plan.sources] == [
        (f"raw_{exchange}_trades", "there", 2) for exchange in sorted(EXCHANGES)
    ]
    assert sum(again.rows for again in plan.sources) == len(full) - len(early)

    report = roll_back(lake, plan, "rollback-run")
    assert (report.status, report.rows) == ("ok", len(early) - len(full))
    assert unified(lake) == early
    for again in plan.sources:
        raw = lake.find(again.source)
        assert raw is not None
        assert raw.refs()[f"unified_{TARGET}"].snapshot_id == again.since  # or else expiry could take it
    merged = unify(lake)
    assert (merged.rows, merged.duplicates) == (len(full) - len(early), 0)
    assert unified(lake) == full


def test_unify_restores_exactly_also_when_the_raw_snapshot_named_by_the_state_is_expired(
    spark_jvm: None, lake: Lake
) -> None:
    first_raw = ingest(lake, "one", 1, 5)
    unify(lake)
    first, early = head(lake, TARGET), unified(lake)
    ingest(lake, "two", 6, 9)
    unify(lake)
    full = unified(lake)
    raw = lake.find(RAW.name)
    assert raw is not None
    raw.maintenance.expire_snapshots().by_id(first_raw).commit()

    plan = plan_rollback(lake, TARGET, str(first))
    (again,) = plan.sources
    assert (again.since, again.since_is, again.rows) == (first_raw, "expired", 4)
    roll_back(lake, plan, "rollback-run")
    assert unified(lake) == early
    unify(lake)
    assert unified(lake) == full


def test_a_source_that_was_unified_only_later_is_read_from_its_beginning(spark_jvm: None, lake: Lake) -> None:
    made = head_of_an_empty_target(lake)
    ingest(lake, "one", 1, 5)
    unify(lake)
    full = unified(lake)
    plan = plan_rollback(lake, TARGET, str(made))
    (again,) = plan.sources
    assert (again.since, again.since_is, again.snapshots, again.rows) == (None, "there", 1, 5)
    roll_back(lake, plan, "rollback-run")
    assert unified(lake) == {}
    unify(lake)
    assert unified(lake) == full


def head_of_an_empty_target(lake: Lake) -> int:
    from schemahub_lib.schemas import TRADES_UNIFIED

    snapshot_id = lake.ensure(TRADES_UNIFIED).metadata.current_snapshot_id
    assert snapshot_id is not None
    return snapshot_id


def test_the_next_ingest_is_exact_after_a_rollback_of_a_raw_table_and_so_is_the_next_unify(
    spark_jvm: None, make_lake: MakeLake, own_market: Simulator
) -> None:
    lake = make_lake(**settings_for(own_market.urls))
    pipelines.pipeline(lake, "coinbase", since=SINCE)
    first, early = head(lake), raw_keys(lake, "coinbase")
    marks = ledger(lake)
    for run in (pipelines.pipeline, pipelines.ingest):
        own_market.advance(60)
        run(lake, "coinbase")
    full = raw_keys(lake, "coinbase")

    plan = plan_rollback(lake, RAW.name, str(first))
    assert (plan.vanish_publishes, plan.vanish_rows) == (2, full.total() - early.total())
    (merged,) = plan.merged
    assert merged.target == TARGET
    assert merged.rows == len(unified(lake)) - early.total()  # the second of these publishes is not unified yet
    assert [stream.product for stream in plan.streams] == sorted(COINBASE["coinbase"])
    for stream in plan.streams:
        assert stream.before is not None
        assert stream.after is not None
        assert marks[stream.product] == stream.after.last_trade_id
        low, high = int(stream.after.last_trade_id) + 1, int(stream.before.last_trade_id)
        assert stream.uncovered == ((low, high),)

    roll_back(lake, plan, "rollback-run")
    assert raw_keys(lake, "coinbase") == early
    assert ledger(lake) == marks
    assert {row["run_id"] for row in lake.partition(WATERMARKS, "coinbase")} == {"rollback-run"}
    assert {row["snapshot_id"] for row in lake.partition(WATERMARKS, "coinbase")} == {first}

    own_market.advance(60)
    pipelines.pipeline(lake, "coinbase")
    expected = tape(own_market.urls, products=COINBASE)
    assert raw_keys(lake, "coinbase") == Counter(expected.keys())
    assert unified(lake) == expected


def ledger(lake: Lake) -> dict[str, str]:
    return {row["stream"]: row["last_trade_id"] for row in lake.partition(WATERMARKS, "coinbase")}


def test_a_rollback_can_be_undone(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    second = ingest(lake, "two", 6, 8)
    back(lake, RAW.name, first)
    assert ids(lake) == [1, 2, 3, 4, 5]
    plan = plan_rollback(lake, RAW.name, str(second))
    assert (plan.vanish_publishes, plan.vanish_rows, plan.return_publishes, plan.return_rows) == (0, 0, 1, 3)
    (stream,) = plan.streams
    assert stream.uncovered == ()
    assert roll_back(lake, plan, "undo").rows == 3
    assert ids(lake) == list(range(1, 9))
    assert ledger(lake) == {"BTC-USD": "8"}


def test_a_stream_that_was_not_there_yet_has_no_watermark_again(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    ingest(lake, "two", 20, 25, "ETH-USD")
    (stream,) = plan_rollback(lake, RAW.name, str(first)).streams
    assert (stream.product, stream.after, stream.uncovered) == ("ETH-USD", None, ((20, 25),))
    back(lake, RAW.name, first)
    assert ledger(lake) == {"BTC-USD": "5"}


def test_a_time_chooses_what_readers_saw_then(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    ingest(lake, "two", 6, 8)
    table = lake.find(RAW.name)
    assert table is not None
    last, *_ = publishes(table)
    before = last.published_at - timedelta(milliseconds=1)
    assert plan_rollback(lake, RAW.name, before.isoformat()).after.snapshot_id == first


def test_a_rollback_is_recorded_with_the_rows_it_took_out(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    ingest(lake, "two", 6, 8)
    back(lake, RAW.name, first)
    (run,) = pipelines.rows(lake, RUNS.name)
    assert (run["run_id"], run["job"], run["source"], run["status"], run["rows"], run["error"]) == (
        *("rollback-run", "rollback", RAW.name, "ok", -3),
        None,
    )


def test_a_publish_between_the_plan_and_the_rollback_is_kept_and_the_rollback_refused(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    ingest(lake, "two", 6, 8)
    plan = plan_rollback(lake, RAW.name, str(first))
    third = ingest(lake, "three", 9, 12)
    with pytest.raises(PublishRefused, match="another run published meanwhile; nothing was changed, look again"):
        roll_back(lake, plan, "rollback-run")
    assert head(lake) == third
    assert ids(lake) == list(range(1, 13))
    (run,) = pipelines.rows(lake, RUNS.name)
    assert (run["status"], run["rows"]) == ("failed", 0)


def test_a_publish_under_way_is_refused_by_its_fence_and_writes_again(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    ingest(lake, "two", 6, 8)
    under_way = Branch(lake, RAW.name)
    under_way.mark("late", State({"BTC-USD": Stream(None, ((1, 9),))}), rows(9, 9))
    back(lake, RAW.name, first)
    assert under_way.fast_forward() is False
    ingest(lake, "again", 6, 9)
    assert ids(lake) == list(range(1, 10))


def test_what_a_unified_table_has_merged_of_the_rows_that_vanish_is_told(spark_jvm: None, lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    unify(lake)
    second = ingest(lake, "two", 6, 8)
    assert plan_rollback(lake, RAW.name, str(first)).merged == (Merged(TARGET, first, 0),)
    unify(lake)
    ingest(lake, "three", 9, 12)
    assert plan_rollback(lake, RAW.name, str(first)).merged == (Merged(TARGET, second, 3),)
    back(lake, RAW.name, first)
    third = ingest(lake, "four", 6, 6)
    plan = plan_rollback(lake, RAW.name, str(first))
    assert (plan.before.snapshot_id, plan.merged) == (third, (Merged(TARGET, second, None),))


def test_only_published_heads_can_be_chosen_and_the_nearest_are_named(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    branch = Branch(lake, RAW.name)
    table = lake.find(RAW.name)
    assert table is not None
    table.append(rows(6, 7), branch=branch.name)
    part = table.refs()[branch.name].snapshot_id
    branch.mark("two", State())
    assert branch.fast_forward()
    with pytest.raises(UsageError, match=rf"is a snapshot that main never was at; nearest are .*{first}"):
        plan_rollback(lake, RAW.name, str(part))
    with pytest.raises(
        UsageError, match=rf"cannot be rolled back to {first}7: it is not there.*nearest are {first} \("
    ):
        plan_rollback(lake, RAW.name, f"{first}7")
    with pytest.raises(UsageError, match=f"is at snapshot {head(lake)} already"):
        plan_rollback(lake, RAW.name, str(head(lake)))
    with pytest.raises(UsageError, match="did not exist at 2020-01-01"):
        plan_rollback(lake, RAW.name, "2020-01-01")


def test_ledgers_and_tables_of_others_are_refused(lake: Lake) -> None:
    ingest(lake, "one", 1, 5)
    with pytest.raises(UsageError, match="schemahub_watermarks is a ledger and is not rolled back"):
        plan_rollback(lake, WATERMARKS.name, "1")
    with pytest.raises(UsageError, match=r"there is no table raw_coinbase_trade: did you mean raw_coinbase_trades\?"):
        plan_rollback(lake, "raw_coinbase_trade", "1")
    lake.catalog.create_table(("schemahub", "mine"), lake.ensure(RAW).schema())
    with pytest.raises(UsageError, match="mine is not a table of SchemaHub's"):
        plan_rollback(lake, "mine", "1")


def test_a_head_whose_state_is_lost_is_refused_and_one_that_lost_its_state_can_be_left(lake: Lake) -> None:
    first, second = ingest(lake, "one", 1, 5), ingest(lake, "two", 6, 8)
    state_file(lake, second).unlink()
    (warning,) = plan_rollback(lake, RAW.name, str(first)).warnings
    assert "what goes back with the state cannot be told" in warning
    back(lake, RAW.name, first)
    assert ids(lake) == [1, 2, 3, 4, 5]
    with pytest.raises(StateCorrupt, match="cannot be read"):
        plan_rollback(lake, RAW.name, str(second))


def state_file(lake: Lake, snapshot_id: int) -> Path:
    table = lake.find(RAW.name)
    assert table is not None
    snapshot = table.snapshot_by_id(snapshot_id)
    assert snapshot is not None
    assert snapshot.summary is not None
    return Path(str(snapshot.summary.additional_properties[STATE_FILE]).removeprefix("file://"))


def test_a_rolled_back_state_is_what_the_table_carried_then(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    table = lake.find(RAW.name)
    assert table is not None
    before = read_state(table)
    ingest(lake, "two", 6, 8)
    back(lake, RAW.name, first)
    assert read_state(table.refresh()) == before


def test_landed_objects_that_no_longer_count_as_loaded_are_counted(lake: Lake) -> None:
    first = ingest(lake, "one", 1, 5)
    parts = {"BTC-USD": History(rows(10, 12), ((10, 12),))}
    append_history(lake, RAW, "load", parts, {"s3://b/1.jsonl": "v1", "s3://b/2.jsonl": "v1"})
    assert plan_rollback(lake, RAW.name, str(first)).objects == 2
