"""Audits before a publish: what they hold back stays on a branch, and main as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from schemahub_lib.errors import AuditFailed
from schemahub_lib.schemas import AUDITS
from tests.unified.conftest import NO_SIDE, NOON, PAYLOADS_SIDE, Trade, World, trades, unified

DAY = timedelta(days=1)
FINE = trades(range(1, 4))


def ledger(world: World) -> list[dict[str, object]]:
    table = world.lake.find(AUDITS.name)
    assert table is not None
    rows: list[dict[str, object]] = table.scan().to_arrow().to_pylist()
    return rows


@pytest.mark.parametrize(
    ("audit", "wrong"),
    [
        ("positive", Trade(9, NOON, price=0.0)),
        ("positive", Trade(9, NOON, size=float("nan"))),
        ("positive", Trade(9, NOON, price=float("inf"))),
        ("not_null", Trade(9, NOON).but(price=None)),
        ("time_bounds", Trade(9, datetime(2008, 12, 31, tzinfo=UTC))),
        ("time_bounds", Trade(9, datetime.now(UTC) + DAY)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_row_holds_the_whole_publish_back(world: World, audit: str, wrong: Trade) -> None:
    world.append(*FINE)
    world.unify()
    world.append(wrong, *trades([10]))
    with pytest.raises(AuditFailed, match=f"raw_coinbase_trades: audit {audit}: 1 rows where") as refused:
        world.unify()
    assert world.rows() == unified(*FINE)
    (branch,) = world.refs() - {"main"}
    assert branch.startswith("blocked_")
    assert len(world.rows(branch)) == 5
    assert f'schemahub query --ref {branch} "SELECT * FROM trades_unified WHERE ' in str(refused.value)
    (row,) = [row for row in ledger(world) if row["status"] == "blocked"]
    assert (row["audit"], row["severity"], row["rows"], row["branch"]) == (audit, "block", 1, branch)


def test_a_value_that_is_not_allowed_holds_the_publish_back(world: World) -> None:
    world.mapping(f"\nexpressions:\n  side: if({PAYLOADS_SIDE} = 'BOTH', 'BOTH', null)\n", *NO_SIDE)
    world.append(*FINE, Trade(9, NOON, side="BOTH"))
    with pytest.raises(AuditFailed, match="audit allowed_values: 1 rows where NOT side IN"):
        world.unify()
    assert world.rows() == []


def test_once_the_mapping_lets_it_pass_the_same_rows_are_published_with_a_warning(world: World) -> None:
    wrong = Trade(9, NOON, price=0.0)
    world.append(*FINE, wrong)
    with pytest.raises(AuditFailed):
        world.unify()
    world.mapping("\naudits:\n  positive: warn\n")
    report = world.unify()
    assert [(f.audit, f.status) for f in report.audits if f.status != "passed"] == [("positive", "warned")]
    assert world.rows() == unified(*FINE, wrong)


def test_an_audit_that_is_off_is_not_told_of(world: World) -> None:
    world.mapping("\naudits:\n  positive: off\n")
    world.append(*FINE, Trade(9, NOON, price=0.0))
    assert "positive" not in {finding.audit for finding in world.unify().audits}


def test_keys_that_somebody_else_wrote_twice_are_found_on_the_days_of_the_batch(world: World) -> None:
    world.append(*FINE)
    world.unify()
    world.plant(FINE[0].but(at=NOON + timedelta(hours=3)))
    world.append(FINE[0], *trades([10]))
    with pytest.raises(AuditFailed, match="audit unique_key: 1 rows too many"):
        world.unify()
    assert "blocked_" in "".join(world.refs())


def test_every_audit_of_a_publish_is_in_the_ledger(world: World) -> None:
    world.append(*FINE)
    report = world.unify()
    rows = ledger(world)
    assert {(row["audit"], row["status"]) for row in rows} >= {
        (name, "passed") for name in ("not_null", "positive", "time_bounds", "unique_key", "row_count", "conflicts")
    }
    assert {(row["run_id"], row["target"], row["source"], row["branch"]) for row in rows} == {
        (report.run_id, "trades_unified", "raw_coinbase_trades", None)
    }


def warned(world: World) -> dict[str, str]:
    return {finding.audit: str(finding.message) for finding in world.unify().audits if finding.status == "warned"}


def test_a_jump_of_price_or_volume_is_told_and_published(make_world: Callable[[str], World]) -> None:
    world = make_world("jumps")
    usual = [Trade(n, NOON + timedelta(minutes=n)) for n in range(200)]
    world.append(*usual, *(trade.but(product="ETH-USD") for trade in usual))
    assert warned(world) == {}
    later = NOON + timedelta(hours=4)
    burst = [Trade(1000 + n, later + timedelta(milliseconds=n), price=250.0) for n in range(200)]
    world.append(*burst, *(trade.but(product="ETH-USD", price=110.0) for trade in burst))
    told = warned(world)
    assert set(told) == {"volume_jump", "price_jump"}
    assert "BTC-USD 100 -> 250" in told["price_jump"]
    assert "ETH-USD" not in told["price_jump"]
    assert "2,400 trades an hour from 2024-02-08 16:00, 100 since 2024-02-08 12:00" in told["volume_jump"]
    assert len(world.rows()) == 800


def test_a_limit_of_the_mappings_own_is_kept_to(world: World) -> None:
    world.mapping("\naudits:\n  price_jump: {severity: block, limit: 1.05}\n")
    world.append(*[Trade(n, NOON + timedelta(minutes=n)) for n in range(100)])
    world.unify()
    world.append(*[Trade(1000 + n, NOON + timedelta(hours=2, seconds=n), price=106.0) for n in range(100)])
    with pytest.raises(AuditFailed, match="price_jump: average prices left those of the 3 days before: BTC-USD"):
        world.unify()
