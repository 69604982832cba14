"""`mappings plan`: what a changed mapping would make of raw, told before it is in use."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline.mapping_plan import MappingPlan, plan_mapping
from tests.unified.conftest import MAPPINGS, NOON, RAW, World, trades

SHIPPED = (MAPPINGS / "coinbase_trades.yaml").read_text()
OLD, NEW = trades(range(1, 5), NOON - timedelta(days=3)), trades(range(11, 15))


def mapping(text: str) -> MappingSpec:
    return parse_mapping(text, "m.yaml", {RAW.name: EXCHANGES["coinbase"].raw_table})


def plan(world: World, text: str, days: int | None = None) -> MappingPlan:
    start = NOON - timedelta(days=days) if days else None
    return plan_mapping(world.lake, mapping(SHIPPED), mapping(text), start, None)


def test_rows_that_come_change_and_go_are_told_by_column_with_samples(world: World) -> None:
    world.append(*OLD, *NEW)
    world.unify()
    before = world.rows()
    text = SHIPPED.replace("  size: quantity", "  # size: quantity").replace("  quantity: to_double\n", "")
    text += "expressions:\n  quantity: size * 2\nfilters:\n  - trade_id <> '11'\n"
    told = plan(world, text)
    assert (told.rows, told.changes.inserted, told.changes.changed, told.changes.removed) == (4, 0, 3, 1)
    assert told.columns == {"quantity": 3}
    assert {sample.change for sample in told.changes.samples} == {"change", "remove"}
    assert plan(world, text, days=5).rows == 8
    assert (world.rows(), world.refs()) == (before, {"main"})
    # and what it says comes true
    world.mapping()
    Path(str(world.lake.settings.mappings), "coinbase_trades.yaml").write_text(text)
    assert world.refresh().filtered == 1
    assert len(world.rows()) == 7


def test_a_mapping_that_says_the_same_in_other_words_changes_nothing(world: World) -> None:
    world.append(*NEW)
    text = SHIPPED.replace("  price: to_double\n", "") + "description: the same\n"
    assert not plan(world, text).changes
    assert mapping(SHIPPED + "owner: me\n").makes_the_same_as(mapping(SHIPPED))
    assert not mapping(SHIPPED + "filters: [price > 0]\n").makes_the_same_as(mapping(SHIPPED))
    assert not mapping(SHIPPED + "on_conflict: update\n").makes_the_same_as(mapping(SHIPPED))


def test_rows_that_get_another_owner_are_made_anew_with_all_others(world: World) -> None:
    """Else those of the old name would stay beside the new ones."""
    world.append(*NEW)
    assert "--sources coinbase --full-refresh" in plan(world, SHIPPED + "filters: [price > 1]\n").command
    command = plan(world, SHIPPED.replace("exchange: COINBASE", "exchange: CB")).command
    assert command == "schemahub run unify trades_unified --full-refresh"


def test_what_an_audit_would_hold_back_is_told_before_it_does(world: World) -> None:
    world.append(*NEW)
    text = SHIPPED.replace("  size: quantity", "  # size: quantity").replace("  quantity: to_double\n", "")
    told = plan(world, text + "expressions:\n  quantity: size * 0\naudits: {positive: warn}\non_conflict: update\n")
    audit, conflicts = told.notes
    assert audit.startswith(f"the audit positive would warn: {told.rows} rows where ")
    assert conflicts.startswith("on_conflict is update, not ignore")


def test_without_raw_rows_there_is_nothing_to_compare_on(world: World) -> None:
    world.lake.ensure(RAW)
    with pytest.raises(UsageError, match="has no rows to compare mappings on"):
        plan(world, SHIPPED)
