"""A panel asked of a lake: one statement, shown as it is run, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from schemahub_lib.errors import sentence
from schemahub_lib.operations.charts import Chart
from schemahub_lib.operations.panels import PANELS, Panel
from schemahub_lib.operations.statements import EPOCH, asked, present, statement
from schemahub_lib.pipeline.query import DIALECT, Limits, query
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)

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
    sql = statement(panel, dict.fromkeys(panel.tables, EPOCH))
    try:
        sql = statement(panel, present(lake, panel))
        if not asked(sql) <= set(lake.table_names()):
            return Look(panel, sql, [])
        found = [_plain(row) for row in query(lake, sql, dialect=DIALECT, limits=limits).to_pylist()]
        return Look(panel, sql, panel.finish(lake, found) if panel.finish and found else found)
    except Exception as error:
        log.debug("panel %s", panel.id, exc_info=True)
        return Look(panel, sql, [], sentence(error))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Sums of whole numbers, which DuckDB makes decimals of, as whole numbers again."""
    return {
        name: (int(value) if value == value.to_integral_value() else float(value))
        if isinstance(value, Decimal)
        else value
        for name, value in row.items()
    }
