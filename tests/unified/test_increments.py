"""Increments into `trades_unified`: right in whatever order trades come, and told when they contradict each other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemahub_lib.errors import AuditFailed, SchemaHubError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.increments import read_increment, reading
from schemahub_lib.schemas import QUARANTINE, TRADES_UNIFIED
from schemahub_lib.tables.publish import Outdated
from tests.unified.conftest import BY_TIME_OF_FETCHING, NOON, RAW, Trade, World, trades, unified

DAY = timedelta(days=1)


def test_late_trades_and_a_backfill_after_live_data_are_there_once(world: World) -> None:
    live = trades(range(1000, 1010))
    world.append(*live)
    assert world.unify().rows == 10
    history = trades(range(900, 930), NOON - 30 * DAY)
    late = trades(range(990, 1000), NOON - timedelta(minutes=1))
    world.append(*history, *live[:5])  # a backfill that overlaps
    world.append(*reversed(late))
    report = world.unify()
    assert (report.rows, report.duplicates) == (40, 5)
    assert world.rows() == unified(*live, *history, *late)
    assert world.unify().status == "nothing_new"


def test_a_batch_of_today_and_last_year_looks_at_both_and_not_between(world: World) -> None:
    between = trades(range(500, 510), NOON - 100 * DAY)
    world.append(*between)
    world.unify()
    old, new = trades(range(1, 4), NOON - 366 * DAY), trades(range(1000, 1003))
    world.append(*new, *old)
    report = world.unify(dry_run=True)
    assert report.sql is not None
    assert report.sql.count("t.trade_ts BETWEEN") == 2
    assert "'2023-02-07T11:59:59" in report.sql
    assert "'2024-02-08T11:59:59" in report.sql
    assert world.rows() == unified(*between)
    world.unify()
    assert world.rows() == unified(*between, *old, *new)


def test_the_same_trade_many_times_in_one_increment_is_there_once(world: World) -> None:
    (trade,) = trades([7])
    world.append(trade, trade)
    world.append(trade, trade.but(product="ETH-USD"))
    report = world.unify()
    assert (report.rows, report.duplicates, report.conflicts) == (2, 2, 0)
    assert world.rows() == unified(trade, trade.but(product="ETH-USD"))


def test_a_correction_is_ignored_and_counted(world: World) -> None:
    first, other = trades([1, 2])
    world.append(first, other)
    world.unify()
    world.append(first.but(price=101.0), other)
    report = world.unify()
    assert (report.rows, report.duplicates, report.conflicts) == (0, 2, 1)
    assert [(f.audit, f.status, f.rows) for f in report.audits if f.status != "passed"] == [("conflicts", "warned", 1)]
    assert world.rows() == unified(first, other)


def test_of_two_versions_in_one_increment_the_one_fetched_first_stays(world: World) -> None:
    (first,) = trades([1])
    later = first.but(price=99.0, fetched=first.fetched + DAY)
    world.append(later)
    world.append(first)
    report = world.unify()
    assert (report.rows, report.conflicts) == (1, 1)
    assert world.rows() == unified(first)


def test_with_update_the_version_fetched_last_takes_the_others_place(world: World) -> None:
    first, other = trades([1, 2])
    world.mapping("\non_conflict: update\n")
    world.append(first, other)
    world.unify()
    second, third = (first.but(price=100.0 + n, fetched=first.fetched + n * DAY) for n in (1, 2))
    world.append(third, second, other)
    report = world.unify()
    assert (report.rows, report.changed, report.conflicts) == (0, 1, 2)
    assert world.rows() == unified(third, other)


def test_with_quarantine_the_other_version_is_set_aside(world: World) -> None:
    first, other = trades([1, 2])
    world.mapping("\non_conflict: quarantine\n")
    world.append(first, first.but(size=3.0))
    world.unify()
    world.append(first.but(price=101.0), other)
    assert world.unify(dry_run=True).quarantined == 0
    report = world.unify()
    assert (report.rows, report.conflicts, report.quarantined) == (1, 1, 1)
    assert world.rows() == unified(first, other)
    ledger = world.lake.find(QUARANTINE.name)
    assert ledger is not None
    rows = ledger.scan().to_arrow().to_pylist()
    assert len(rows) == 2
    assert {(row["source"], row["stream"]) for row in rows} == {("coinbase", "BTC-USD")}
    assert sorted('"price":101.0' in row["payload"] for row in rows) == [False, True]
    assert sorted('"quantity":3.0' in row["payload"] for row in rows) == [False, True]


def test_a_time_in_coarser_units_is_no_contradiction(world: World) -> None:
    (trade,) = trades([1], NOON + timedelta(microseconds=123_456))
    world.append(trade)
    world.unify()
    world.append(trade.but(at=NOON + timedelta(microseconds=123_000)))
    report = world.unify()
    assert (report.rows, report.conflicts) == (0, 0)
    assert world.rows() == unified(trade)


@pytest.mark.parametrize("policy", ["ignore", "update"])
def test_a_trade_told_again_with_another_time_is_still_there_once(world: World, policy: str) -> None:
    first, other = trades([1, 2])
    world.mapping(f"\non_conflict: {policy}\n")
    world.append(first, other)
    world.unify()
    moved = first.but(at=first.at + timedelta(hours=2), fetched=first.fetched + DAY)
    world.append(moved, *trades([3]))
    report = world.unify()
    assert (report.rows, report.conflicts) == (1, 1)
    assert world.rows() == unified(moved if policy == "update" else first, other, *trades([3]))


def test_a_trade_told_again_a_moment_after_midnight_is_still_there_once(world: World) -> None:
    midnight = NOON + timedelta(hours=12)
    (late,) = trades([1], midnight - timedelta(seconds=2))
    world.append(late)
    world.unify()
    world.append(late.but(at=midnight + timedelta(seconds=3)), *trades([2], midnight + timedelta(minutes=1)))
    report = world.unify()
    assert (report.rows, report.conflicts) == (1, 1)
    assert world.rows() == unified(late, *trades([2], midnight + timedelta(minutes=1)))


def test_when_it_is_not_known_what_is_unified_keys_are_compared_wherever_they_are(world: World) -> None:
    first = trades(range(1, 4))
    gone = world.append(*first)
    world.unify()
    second = trades(range(11, 14), NOON + DAY)
    world.append(*second)
    raw = world.lake.find(RAW.name)
    assert raw is not None
    raw.manage_snapshots().remove_tag(f"unified_{TRADES_UNIFIED.name}").commit()
    raw.maintenance.expire_snapshots().by_id(gone).commit()
    world.mapping(*BY_TIME_OF_FETCHING)  # three weeks later
    report = world.unify()
    assert (report.rows, report.conflicts) == (3, 3)
    assert world.rows() == unified(*first, *(trade.but(at=trade.fetched) for trade in second))


def test_a_copy_of_what_is_there_is_no_contradiction_of_a_newer_version(world: World) -> None:
    first, other = trades([1, 2])
    world.append(first, other)
    world.unify()
    changed = first.but(price=101.0, fetched=first.fetched - DAY)
    world.append(changed, first, first, other)
    report = world.unify()
    assert (report.rows, report.duplicates, report.conflicts) == (0, 4, 1)
    world.append(changed, changed, first)
    assert world.unify().conflicts == 2


def test_what_contradicts_is_set_aside_as_one_finding_and_not_before_the_audits_pass(world: World) -> None:
    first, other = trades([1, 2])
    world.mapping("\non_conflict: quarantine\n")
    world.append(first, other)
    world.unify()
    world.append(first.but(price=101.0), Trade(9, NOON, price=0.0))
    for _ in range(2):
        with pytest.raises(AuditFailed):
            world.unify()
    assert world.lake.find(QUARANTINE.name) is None
    world.mapping("\non_conflict: quarantine\naudits: {positive: warn}\n")
    world.unify()
    world.append(first.but(price=101.0))
    world.unify()
    ledger = world.lake.find(QUARANTINE.name)
    assert ledger is not None
    rows = ledger.scan().to_arrow().to_pylist()
    assert len(rows) == 2
    assert len({row["quarantine_id"] for row in rows}) == 1


def test_after_raw_was_rolled_back_what_it_lost_leaves_the_unified_table(world: World) -> None:
    kept, wrong = trades(range(1, 4)), trades(range(10, 14))
    start = world.append(*kept)
    world.unify()
    world.append(*wrong, kept[0])
    world.unify()
    assert len(world.rows()) == 7
    raw = world.lake.find("raw_coinbase_trades")
    assert raw is not None
    raw.manage_snapshots().set_current_snapshot(start).commit()
    right = trades(range(12, 16), price=50.0)
    world.append(*right)
    assert world.unify(dry_run=True).removed == 2
    report = world.unify()
    assert (report.rows, report.removed, report.changed) == (2, 2, 2)
    assert world.rows() == unified(*kept, *right)
    assert world.unify().status == "nothing_new"


def test_a_rollback_without_new_rows_is_followed_too(world: World) -> None:
    kept = trades(range(1, 4))
    start = world.append(*kept)
    world.append(*trades(range(10, 14)))
    world.unify()
    raw = world.lake.find("raw_coinbase_trades")
    assert raw is not None
    raw.manage_snapshots().set_current_snapshot(start).commit()
    assert world.unify().removed == 4
    assert world.rows() == unified(*kept)
    assert world.unify().status == "nothing_new"


def test_too_many_contradictions_to_set_aside_publish_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from schemahub_lib.pipeline import unify

    monkeypatch.setattr(unify, "MOST_SET_ASIDE", 2)
    rows = trades(range(1, 6))
    world.mapping("\non_conflict: quarantine\n")
    world.append(*rows)
    world.unify()
    world.append(*(row.but(price=1.5) for row in rows), *trades([9]))
    with pytest.raises(SchemaHubError, match="5 rows of known keys came with other values, too many to set aside"):
        world.unify()
    assert world.rows() == unified(*rows)
    assert world.refs() == {"main"}


def test_what_is_expired_while_it_is_read_is_told_from_what_fails_for_another_reason(world: World) -> None:
    gone, kept = world.append(*trades([1])), world.append(*trades([2]))
    with pytest.raises(ZeroDivisionError), reading(world.lake, {RAW.name: [gone]}):
        _ = 1 / 0
    raw = world.lake.find(RAW.name)
    assert raw is not None
    raw.maintenance.expire_snapshots().by_id(gone).commit()
    with pytest.raises(Outdated, match="raw_coinbase_trades"), reading(world.lake, {RAW.name: [gone, kept]}):
        read_increment(world.lake, RAW.name, gone, kept).count()


def test_filters_defaults_and_expressions_are_applied(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = trades([1, 2, 3])
    world.mapping(
        "\nfilters:\n  - nullif(price, 10.0) > 50\nexpressions:\n  quantity: size * 2\ndefaults:\n  side: SELL\n",
        ("  size: quantity", "  # size: quantity"),
        ("  quantity: to_double\n", ""),
    )
    world.append(first, second.but(price=10.0), third.but(side="?"))
    report = world.unify()
    assert (report.rows, report.duplicates, report.filtered) == (2, 0, 1)
    assert world.rows() == unified(first.but(size=2.0), third.but(size=2.0, side="BUY"))
    assert [finding for finding in report.audits if finding.status != "passed"] == []
    assert world.restate(dry_run=True).status == "dry_run"
    assert world.restate().status == "nothing_new"
    world.append(*trades([4, 5]))
    world.mapping("\nfilters:\n  - price > 1e12\n")
    assert (world.unify().rows, world.unify().rows) == (0, 0)
    assert "raw_coinbase_trades: its mapping's filters leave out all 2 rows" in caplog.text


def test_a_raw_table_that_no_mapping_reads_is_told_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.lake.ensure(EXCHANGES["kraken"].raw_table)
    world.append(*trades([1]))
    world.unify()
    assert "has no mapping" not in caplog.text  # a mapping that this run leaves out is one all the same
    world.mapping()
    world.unify()
    assert f"raw_kraken_trades has no mapping in {world.lake.settings.mappings}" in caplog.text
