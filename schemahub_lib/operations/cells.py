"""Rows as tables of text for people: times in UTC, the numbers of a column with as many decimals each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from schemahub_lib.operations.charts import Rows, words

LONG = 40  # characters, from which on a text may take several lines


@dataclass(frozen=True)
class Column:
    """A column's heading and its cells, from the first row on. `kind` is how they are set: a number, a long text, or
    neither."""

    heading: str
    cells: Sequence[str]
    kind: Literal["number", "long", ""]


def columns(rows: Rows) -> list[Column]:
    """The columns of rows that all have the same names."""
    return [_column(name, [row[name] for row in rows]) for name in rows[0]] if rows else []


def _column(name: str, values: Sequence[Any]) -> Column:
    heading = words(name)
    numbers = [value for value in values if isinstance(value, (int, float))]
    decimals = _decimals(numbers)
    cells = [_text(value, decimals) for value in values]
    if any(isinstance(value, datetime) for value in values):
        heading = f"{heading} (UTC)"
    return Column(heading, cells, "number" if numbers else "long" if max(map(len, cells)) > LONG else "")


def _decimals(numbers: Sequence[float]) -> int:
    if all(isinstance(number, int) for number in numbers):
        return 0
    most = max(map(abs, numbers))
    return 1 if most >= 100 else 2 if most >= 1 else 4


def _text(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (int, float)):
        return f"{value:,.{decimals}f}"
    return str(value)
