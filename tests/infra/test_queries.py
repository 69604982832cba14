"""Athena's named queries read tables and columns that there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlglot import exp, parse_one
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.qualify import qualify

from schemahub_lib.schemas import LEDGERS, TARGETS
from tests.infra.configuration import ROOT

QUERIES = sorted((ROOT / "infra/modules/catalog/queries").glob("*.sql"))
TABLES = {table.name: {column.name: column.type for column in table.columns} for table in (*LEDGERS, *TARGETS.values())}


def qualified(sql: str) -> exp.Expression:
    return qualify(parse_one(sql, read="athena"), schema=TABLES, dialect="athena")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_named_query_reads_columns_that_there_are(query: Path) -> None:
    tree = qualified(query.read_text())
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    assert {table.name for table in tree.find_all(exp.Table)} - ctes <= set(TABLES)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_named_query_begins_with_its_description_and_reads_no_more_than_some_days(query: Path) -> None:
    text = query.read_text()
    assert text.startswith("-- ")
    assert "current_timestamp - INTERVAL" in text


def test_a_column_that_is_not_there_is_found_out() -> None:
    with pytest.raises(OptimizeError, match="traded_at"):
        qualified("SELECT traded_at FROM trades_unified")
