"""Restatement: a part of the unified table, or all of it, made anew from raw in one publish."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from schemahub_lib.errors import AuditFailed, UsageError
from schemahub_lib.mapping.restatement import Region, elsewhere_sql, present_sql
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.types import arrow_schema
from tests.unified.conftest import BY_TIME_OF_FETCHING, NO_SIDE, NOON, PAYLOADS_SIDE, Trade, World, trades, unified

DAY = timedelta(days=1)
OTHER_SIDES = (
    f"\nexpressions:\n  side: if({PAYLOADS_SIDE} = 'B', 'BUY', null)\n",
    *NO_SIDE,
)  # words of another exchange
OLD, NEW = trades(range(1, 5), NOON - DAY), trades(range(11, 15))


def filled(world: World) -> None:
    world.append(*OLD, *NEW)
    world.unify()


def test_only_the_part_asked_for_follows_the_new_mapping(world: World) -> None:
    filled(world)
    world.mapping(*OTHER_SIDES)
    preview = world.restate(NOON - timedelta(hours=1), dry_run=True)
    assert (preview.status, preview.rows, preview.changed, preview.removed) == ("dry_run", 0, 4, 0)
    assert {(s.change, s.before["side"], s.after["side"]) for s in preview.samples if s.before and s.after} == {
        ("change", "SELL", None)
    }
    assert world.rows() == unified(*OLD, *NEW)
    report = world.restate(NOON - timedelta(hours=1))
    assert (report.status, report.changed) == ("ok", 4)
    assert world.rows() == unified(*OLD, *(trade.but(side="?") for trade in NEW))
    assert world.restate(NOON - timedelta(hours=1)).status == "nothing_new"
    assert world.refs() == {"main"}


def test_rows_that_are_right_already_stay_in_their_files(world: World) -> None:
    filled(world)
    table = world.lake.find("trades_unified")
    assert table is not None
    before = {task.file.file_path for task in table.scan().plan_files()}
    world.append(NEW[0].but(id=99))  # not unified yet: a restatement brings it too
    assert world.restate().rows == 1
    table = world.lake.find("trades_unified")
    assert table is not None
    assert before < {task.file.file_path for task in table.scan().plan_files()}
    assert world.rows() == unified(*OLD, *NEW, NEW[0].but(id=99))
    report = world.unify()
    assert (report.rows, report.duplicates) == (0, 1)


def test_garbage_and_doubles_leave_wherever_they_are(world: World) -> None:
    filled(world)
    world.plant(Trade(777, NOON), NEW[0], NEW[1].but(at=NOON - 40 * DAY), NEW[2].but(price=1.0))
    report = world.restate(NOON - timedelta(hours=1), NOON + timedelta(hours=1))
    assert (report.rows, report.changed, report.removed) == (0, 3, 1)
    assert world.rows() == unified(*OLD, *NEW)


def test_rows_that_a_mapping_moves_into_the_part_or_out_of_it_are_followed(world: World) -> None:
    moved = [trade.but(fetched=NOON + 30 * DAY) for trade in NEW]
    world.append(*OLD, *moved)
    world.unify()
    world.mapping(*BY_TIME_OF_FETCHING)
    later = [trade.but(at=trade.fetched) for trade in moved]
    world.restate(NOON - timedelta(hours=1), NOON + timedelta(hours=1))  # out of it
    assert world.rows() == unified(*OLD, *later)
    world.mapping()
    world.restate(NOON - timedelta(hours=1), NOON + timedelta(hours=1))  # into it
    assert world.rows() == unified(*OLD, *moved)


@pytest.mark.parametrize("symbol", ["ETH-USD", "BTC-USD"])
def test_a_symbol_alone_is_restated(world: World, symbol: str) -> None:
    rows = [*NEW, *(trade.but(product="ETH-USD") for trade in NEW)]
    world.append(*rows)
    world.unify()
    world.mapping(*OTHER_SIDES)
    assert world.restate(symbols=(symbol,)).changed == 4
    assert world.rows() == unified(*(row.but(side="?") if row.product == symbol else row for row in rows))


def test_a_full_refresh_makes_all_anew_and_goes_on_from_there(world: World) -> None:
    filled(world)
    world.plant(Trade(777, NOON), NEW[0])
    world.mapping(*OTHER_SIDES)
    late = trades([20])
    world.append(*late)
    report = world.refresh()
    assert (report.status, report.rows) == ("ok", 9)
    assert world.rows() == unified(*(trade.but(side="?") for trade in (*OLD, *NEW, *late)))
    assert world.unify().status == "nothing_new"
    assert world.refs() == {"main"}


def test_a_full_refresh_takes_out_what_no_mapping_makes_any_more(world: World) -> None:
    filled(world)
    world.mapping("", ("  exchange: COINBASE", "  exchange: CB"))
    assert world.restate(dry_run=True, everything=True).removed == 8
    world.refresh()
    assert world.rows() == unified(*OLD, *NEW)
    table = world.lake.find(TRADES_UNIFIED.name)
    assert table is not None
    assert set(table.scan().to_arrow()["exchange"].to_pylist()) == {"CB"}


def test_a_refresh_of_some_sources_tells_of_rows_that_no_mapping_makes_any_more(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    filled(world)
    world.plant(Trade(777, NOON), exchange="CB")
    world.refresh()
    assert "no mapping makes the rows of CB any more" in caplog.text


def test_a_symbol_that_nobody_has_is_told_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    filled(world)
    assert world.restate(symbols=("BTC-USD", "btc-usd")).status == "nothing_new"
    assert "neither raw nor trades_unified has trades of btc-usd there" in caplog.text


def test_garbage_without_a_time_leaves_too(world: World) -> None:
    filled(world)
    world.plant(Trade(777, NOON).but(at=None))
    assert world.restate().removed == 1
    assert world.rows() == unified(*OLD, *NEW)


def test_a_preview_is_audited_too(world: World) -> None:
    filled(world)
    world.append(Trade(9, NOON, price=-1.0))
    preview = world.restate(dry_run=True)
    assert [finding.audit for finding in preview.audits if finding.status == "blocked"] == ["positive"]
    assert world.refs() == {"main"}


@pytest.mark.parametrize("statement", ["elsewhere", "present"])
def test_no_statement_compares_each_row_with_each_other(world: World, statement: str) -> None:
    filled(world)
    spark, name = world.lake.spark, world.lake.identifier(TRADES_UNIFIED.name)
    spark.table(name).createOrReplaceTempView("rows_there")
    region = Region(NOON).condition(TRADES_UNIFIED, mappings_for(world.lake, TRADES_UNIFIED.name))
    sql = {
        "elsewhere": elsewhere_sql(TRADES_UNIFIED, "rows_there", "rows_there", region),
        "present": present_sql(TRADES_UNIFIED, name, "rows_there"),
    }[statement]
    plan = spark.sql(f"EXPLAIN {sql}").collect()[0][0]
    assert "HashJoin" in plan or "SortMergeJoin" in plan
    assert "NestedLoopJoin" not in plan


def test_other_exchanges_rows_are_left_alone(world: World) -> None:
    filled(world)
    table = world.lake.ensure(TRADES_UNIFIED)
    other = {"exchange": "KRAKEN", "symbol": "XBTUSD", "trade_id": "5", "price": 1.0, "quantity": 1.0, "trade_ts": NOON}
    table.append(pa.Table.from_pylist([other], schema=arrow_schema(TRADES_UNIFIED)))
    world.restate()
    world.refresh()
    assert ("XBTUSD", "5", None, 1.0, 1.0, NOON) in world.rows()
    assert len(world.rows()) == 9


def test_a_restatement_that_breaks_an_audit_is_held_back(world: World) -> None:
    filled(world)
    world.append(Trade(9, NOON, price=-1.0))
    with pytest.raises(AuditFailed, match="audit positive"):
        world.restate()
    with pytest.raises(AuditFailed, match="audit positive"):
        world.refresh()
    assert world.rows() == unified(*OLD, *NEW)
    assert len([name for name in world.refs() if name.startswith("blocked_")]) == 2


def test_without_a_raw_table_nothing_is_taken_out(world: World) -> None:
    world.plant(*NEW)
    for restate in (world.restate, world.refresh):
        with pytest.raises(UsageError, match="there is no raw table to make anything from"):
            restate()
    assert world.rows() == unified(*NEW)
