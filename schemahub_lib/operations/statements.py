"""The SQL of panels, made of their files in `sql/` and of the tables there are: complete statements for Athena."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from importlib import resources
from typing import TYPE_CHECKING

from schemahub_lib.exchanges import by_raw_table
from schemahub_lib.operations.panels import Panel
from schemahub_lib.pipeline.query import DIALECT
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable
    from sqlglot import exp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECENT = timedelta(hours=47)  # and the newest trade's hour: the last 48 that a table has trades of


def statement(panel: Panel, tables: Mapping[str, datetime]) -> str:
    """A panel's SQL, of these tables where it is about each of some, in the order it asks for of all their rows.

    By its name a table has the time at which its recent trades start.
    """
    from sqlglot import exp, parse_one

    sql = panel.sql or (resources.files(__package__) / "sql" / f"{panel.id}.sql").read_text(encoding="utf-8")
    if not panel.tables:
        return sql.strip()
    tree = parse_one(sql, dialect=DIALECT)
    order = tree.args.pop("order")
    each = (_of(tree, name, start) for name, start in tables.items())
    whole = reduce(lambda one, next_: exp.union(one, next_, distinct=False), each)
    whole.set("order", order)
    return whole.sql(DIALECT, pretty=True)


def present(lake: Lake, panel: Panel) -> dict[str, datetime]:
    """Those of a panel's tables that are there, as `statement` takes them; all of them while there are none."""
    found = {name: _start(name, table) for name in panel.tables if (table := lake.find(name)) is not None}
    return found or dict.fromkeys(panel.tables, EPOCH)


def asked(sql: str) -> set[str]:
    """The tables that a statement reads."""
    from sqlglot import exp, parse_one

    tree = parse_one(sql, dialect=DIALECT)
    common = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    return {table.name.partition("$")[0] for table in tree.find_all(exp.Table)} - common


def _of(tree: exp.Expr, name: str, start: datetime) -> exp.Expr:
    """A statement about each table, about one of them."""
    from sqlglot import exp

    meant = {"each_table": name, "each_start": f"{start:%Y-%m-%d %H:%M:%S} UTC"}
    if exchange := by_raw_table().get(name):
        symbol, trade_id = exchange.raw_table.key
        meant |= {"each_source": exchange.name, "each_time": exchange.time_column}
        meant |= {"each_symbol": symbol, "each_id": trade_id}

    def named(node: exp.Expr) -> exp.Expr:
        if isinstance(node, (exp.Identifier, exp.Literal)):
            plain, *metadata = node.name.split("$")
            node.set("this", "$".join([meant.get(plain, plain), *metadata]))
        return node

    return tree.copy().transform(named)


def _start(name: str, table: IcebergTable) -> datetime:
    """When a raw table's recent trades start, by the bounds in its manifests: a literal, so that only the files of that
    time are read."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import TimestamptzType

    exchange = by_raw_table().get(name)
    if exchange is None:
        return EPOCH
    column = table.schema().find_field(exchange.time_column).field_id
    files = [task.file for task in table.scan().plan_files()]
    bounds = [bounds[column] for file in files if (bounds := file.upper_bounds) and column in bounds]
    newest = max((int(from_bytes(TimestamptzType(), bound)) for bound in bounds), default=0)
    hour = (EPOCH + timedelta(microseconds=newest)).replace(minute=0, second=0, microsecond=0)
    return hour - RECENT
