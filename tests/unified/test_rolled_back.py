"""Rollbacks of tables with restatements and corrections: what comes again by itself, and what does not, is told."""

from __future__ import annotations

from datetime import timedelta

from schemahub_lib.pipeline.publishes import publishes
from schemahub_lib.pipeline.rollback import plan_rollback, roll_back
from schemahub_lib.schemas import TRADES_UNIFIED
from tests.unified.conftest import NOON, RAW, World, trades, unified

NAME = TRADES_UNIFIED.name


def head(world: World, name: str = NAME) -> int:
    table = world.lake.find(name)
    assert table is not None
    assert table.metadata.current_snapshot_id is not None
    return table.metadata.current_snapshot_id


def test_a_rollback_across_a_restatement_says_that_unify_does_not_do_it_again(world: World) -> None:
    rows = trades(range(1, 5))
    world.append(*rows)
    world.unify()
    world.plant(rows[0], rows[1].but(price=1.0))
    wrong, planted = world.rows(), head(world)
    world.restate()
    plan = plan_rollback(world.lake, NAME, str(planted))
    assert (plan.vanish_publishes, plan.vanish_rows, plan.sources) == (1, -2, ())
    (warning,) = plan.warnings
    assert "4 rows that were taken out, or replaced by others, come back" in warning
    roll_back(world.lake, plan, "rollback-run")
    assert world.rows() == wrong
    assert world.unify().status == "nothing_new"
    world.restate()
    assert world.rows() == unified(*rows)


def test_where_raw_was_rolled_back_too_it_is_told_what_unify_reads(world: World) -> None:
    start = world.append(*trades(range(1, 4)))
    world.unify()
    first = head(world)
    world.append(*trades(range(11, 15)))
    world.unify()
    second = head(world)
    roll_back(world.lake, plan_rollback(world.lake, NAME, str(first)), "one")
    roll_back(world.lake, plan_rollback(world.lake, NAME, str(second)), "two")
    raw = world.lake.find(RAW.name)
    assert raw is not None
    raw.manage_snapshots().set_current_snapshot(start).commit()
    world.append(*trades([21, 22]))
    roll_back(world.lake, plan_rollback(world.lake, NAME, str(first)), "three")
    (again,) = plan_rollback(world.lake, NAME, str(second)).sources
    assert (again.since_is, again.snapshots, again.rows) == ("rolled back", 1, 2)


def test_history_says_where_rows_can_no_longer_be_counted(world: World) -> None:
    for number in (1, 11, 21):
        world.append(*trades(range(number, number + 5), NOON + timedelta(minutes=number)))
        world.unify()
    table = world.lake.find(NAME)
    assert table is not None
    second = publishes(table)[1]
    expired = table.snapshot_by_id(second.snapshot_id)
    assert expired is not None
    assert expired.parent_snapshot_id is not None
    table.maintenance.expire_snapshots().by_id(expired.parent_snapshot_id).commit()
    table = world.lake.find(NAME)
    assert table is not None
    assert [publish.added_rows for publish in publishes(table)][:2] == [5, None]
