"""A panel asked of a lake: one statement, shown as it is run, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, reduce
from importlib import resources
from typing import TYPE_CHECKING, Any

from schemahub_lib.errors import sentence
from schemahub_lib.exchanges import by_raw_table
from schemahub_lib.operations.charts import Chart
from schemahub_lib.operations.panels import PANELS, Panel
from schemahub_lib.pipeline.query import Limits, query
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    from sqlglot import exp

log = logging.getLogger(__name__)

DIALECT = "athena"
LIMITS = Limits(rows=5_000, seconds=20, megabytes=512)


@dataclass(frozen=True)
class Look:
    """What a panel shows. `sql` is the statement, complete, for Athena. Without rows it is empty, or there is an
    `error`, in words."""

    panel: Panel
    sql: str
    rows: list[dict[str, Any]]
    error: str | None = None

    @cached_property
    def chart(self) -> Chart | None:
        """How it is drawn; None for a table, and where there is nothing to draw."""
        return self.panel.draw(self.rows) if self.panel.draw and self.rows else None


def look_at_all(lake: Lake) -> Iterator[Look]:
    """Every panel, in order."""
    return (look(lake, panel) for panel in PANELS)


def look(lake: Lake, panel: Panel, limits: Limits = LIMITS) -> Look:
    """Ask a panel's question. Never raises: what goes wrong with one panel must not keep others from being shown."""
    sql = statement(panel, panel.tables)
    try:
        there = set(lake.table_names())
        if panel.tables:
            sql = statement(panel, [name for name in panel.tables if name in there] or panel.tables)
        if not _asked(sql) <= there:
            return Look(panel, sql, [])
        found = [_plain(row) for row in query(lake, sql, dialect=DIALECT, limits=limits).to_pylist()]
        return Look(panel, sql, panel.finish(lake, found) if panel.finish and found else found)
    except Exception as error:
        log.debug("panel %s", panel.id, exc_info=True)
        return Look(panel, sql, [], sentence(error))


def statement(panel: Panel, tables: Collection[str]) -> str:
    """A panel's SQL, of these tables where it is about each of some, in the order it asks for of all their rows."""
    from sqlglot import exp, parse_one

    sql = panel.sql or (resources.files(__package__) / "sql" / f"{panel.id}.sql").read_text(encoding="utf-8")
    if not panel.tables:
        return sql.strip()
    tree = parse_one(sql, dialect=DIALECT)
    order = tree.args.pop("order")
    whole = reduce(lambda one, next_: exp.union(one, next_, distinct=False), (_of(tree, name) for name in tables))
    whole.set("order", order)
    return whole.sql(DIALECT, pretty=True)


def _of(tree: exp.Expr, name: str) -> exp.Expr:
    """A statement about each table, about one of them."""
    from sqlglot import exp

    meant = {"each_table": name}
    if raw := by_raw_table().get(name):
        table = raw.raw_table
        meant |= {"each_source": raw.name, "each_time": table.time_column}
        meant |= {"each_symbol": table.key[0], "each_id": table.key[1]}

    def named(node: exp.Expr) -> exp.Expr:
        if isinstance(node, (exp.Identifier, exp.Literal)):
            plain, *metadata = node.name.split("$")
            node.set("this", "$".join([meant.get(plain, plain), *metadata]))
        return node

    return tree.copy().transform(named)


def _asked(sql: str) -> set[str]:
    """The tables that a statement reads."""
    from sqlglot import exp, parse_one

    tree = parse_one(sql, dialect=DIALECT)
    common = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    return {table.name.partition("$")[0] for table in tree.find_all(exp.Table)} - common


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Sums of whole numbers, which DuckDB makes decimals of, as whole numbers again."""
    return {
        name: (int(value) if value == value.to_integral_value() else float(value))
        if isinstance(value, Decimal)
        else value
        for name, value in row.items()
    }
