"""The SQL of the shipped mappings, compared as text: a change of the compiler or of a mapping is a readable diff.

After an intended change: `SCHEMAHUB_UPDATE_GOLDEN=1 pytest tests/golden`, then look at the difference and commit it.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemahub_lib.exchanges import EXCHANGES, raw_tables
from schemahub_lib.mapping.compiler import batch_sql, increment_select
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.mapping.restatement import Region, changes_sql, elsewhere_sql, present_sql, touched_sql
from schemahub_lib.mapping.spec import Constant, MappingSpec
from schemahub_lib.mapping.sql import to_sql
from schemahub_lib.mapping.statements import (
    Bounds,
    averages_sql,
    clear_sql,
    contradicting_sql,
    delete_sql,
    figures_sql,
    found_sql,
    merge_sql,
    repeated_sql,
)
from schemahub_lib.schemas import TRADES_UNIFIED

HERE = Path(__file__).parent
PRODUCTS = "schemahub.schemahub.schemahub_products"
INGEST_TS = datetime(2024, 2, 8, 16, 0, tzinfo=UTC)
HOUR = (INGEST_TS - timedelta(hours=1), INGEST_TS)
LAST_YEAR = (HOUR[0] - timedelta(days=365), HOUR[1] - timedelta(days=365))
BOUNDS = Bounds((LAST_YEAR, HOUR), "1000", "999")
BRANCH = "schemahub.schemahub.trades_unified.branch_run_1"
REGION = Region(HOUR[0], HOUR[1], ("BTC-USD",))
NAMES = (
    *(f"{name}_trades" for name in EXCHANGES),
    *("batch", "figures", "merge", "found", "contradicting"),
    *("delete", "repeated", "averages", "clear", "touched", "present", "elsewhere", "changes", "region_batch"),
)


@pytest.fixture(scope="module")
def specs() -> tuple[MappingSpec, ...]:
    return load_mappings(None, raw_tables())[TRADES_UNIFIED.name]


@pytest.fixture(scope="module")
def statements(specs: tuple[MappingSpec, ...]) -> dict[str, str]:
    views = [(spec, f"increment_{number}") for number, spec in enumerate(specs)]
    selects = {
        Path(spec.file).stem: to_sql(increment_select(spec, TRADES_UNIFIED, "increment", PRODUCTS, INGEST_TS))
        for spec in specs
    }
    region = REGION.condition(TRADES_UNIFIED, specs[:1])
    return selects | {
        "batch": batch_sql(views, TRADES_UNIFIED, PRODUCTS, INGEST_TS),
        "figures": figures_sql(TRADES_UNIFIED, "batch", INGEST_TS),
        "merge": merge_sql(TRADES_UNIFIED, BRANCH, "batch", BOUNDS),
        "found": found_sql(TRADES_UNIFIED, BRANCH, "batch", BOUNDS.on_whole_days(), INGEST_TS),
        "contradicting": contradicting_sql(TRADES_UNIFIED, BRANCH, "batch", BOUNDS, ["raw_kraken_trades"]),
        "delete": delete_sql(TRADES_UNIFIED, BRANCH, "keys", BOUNDS, INGEST_TS),
        "repeated": repeated_sql(TRADES_UNIFIED, BRANCH, BOUNDS, INGEST_TS),
        "averages": averages_sql(TRADES_UNIFIED, BRANCH, LAST_YEAR[0], *HOUR),
        "clear": clear_sql(BRANCH, Region().condition(TRADES_UNIFIED, specs)),
        "touched": touched_sql(TRADES_UNIFIED, BRANCH, "batch", region),
        "present": present_sql(TRADES_UNIFIED, BRANCH, "touched"),
        "elsewhere": elsewhere_sql(TRADES_UNIFIED, "present", "batch", region),
        "changes": changes_sql(TRADES_UNIFIED, "batch", "present"),
        "region_batch": batch_sql(views[:1], TRADES_UNIFIED, PRODUCTS, INGEST_TS, where=region, keys_view="elsewhere"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_generated_sql_is_the_reviewed_sql(name: str, statements: dict[str, str]) -> None:
    file = HERE / f"{name}.sql"
    generated = statements[name] + "\n"
    if os.environ.get("SCHEMAHUB_UPDATE_GOLDEN"):
        file.write_text(generated, encoding="utf-8")
    reviewed = file.read_text(encoding="utf-8")
    assert generated == reviewed, "if this is intended: SCHEMAHUB_UPDATE_GOLDEN=1 pytest tests/golden"


def test_every_shipped_mapping_has_a_reviewed_file_and_none_is_left_over(statements: dict[str, str]) -> None:
    assert {file.stem for file in HERE.glob("*.sql")} == set(NAMES) == set(statements)


def test_each_mapping_names_the_exchange_its_raw_table_belongs_to(specs: tuple[MappingSpec, ...]) -> None:
    named = {spec.source: spec.by_target["exchange"].origin for spec in specs}
    assert named == {exchange.raw_table.name: Constant(name.upper()) for name, exchange in EXCHANGES.items()}
