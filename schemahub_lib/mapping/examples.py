"""Examples of a mapping, in a YAML file beside it: rows as the raw table has them, and what must become of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite

import yaml

from schemahub_lib.errors import MappingError
from schemahub_lib.mapping.nodes import Reader, as_number, compose, describe, nearest, place, tag
from schemahub_lib.schemas import Column, Table

KEYS = ("given", "examples")
NOTHING = "nothing"  # what is expected of a row that is filtered out

Value = str | int | float | bool | Decimal | datetime | None


@dataclass(frozen=True)
class Example:
    """`given` has some raw columns, the others are null; `expected` some target columns, or is None: no row at all."""

    name: str
    file: str
    line: int
    given: Mapping[str, Value]
    expected: Mapping[str, Value] | None


def parse_examples(text: str, file: str, source: Table, target: Table) -> list[Example]:
    """The examples in `text`. Raises MappingError with all problems, in file order.

    given: {raw column: value}      # what all examples have in common
    examples:
      - name: what it shows
        given: {raw column: value}
        expect: {target column: value}, or nothing
    """
    loader, root = compose(text, file, KEYS)
    reader = _Reader(file, loader, source, target)
    examples = reader.read(root)
    if reader.problems:
        raise MappingError(sorted(reader.problems, key=lambda problem: (problem.line, problem.column)))
    return examples


class _Reader(Reader):
    def __init__(self, file: str, loader: yaml.SafeLoader, source: Table, target: Table) -> None:
        super().__init__(file, loader)
        self.source, self.target = source, target

    def read(self, root: yaml.MappingNode) -> list[Example]:
        common: dict[str, Value] = {}
        found: list[Example] = []
        for key, key_node, value in self.pairs(root, "key"):
            if key == "given":
                common = self._row(value, self.source)
            elif key == "examples" and isinstance(value, yaml.SequenceNode):
                found = [self._example(node) for node in value.value]
            elif key == "examples":
                self.refuse(value, f"examples must be a list, not {describe(value)}")
            else:
                self.refuse(key_node, f"unknown key {key!r}{nearest(key, KEYS)}")
        if not found and not self.problems:
            self.refuse(root, "there are no examples")
        return [Example(one.name, one.file, one.line, {**common, **one.given}, one.expected) for one in found]

    def _example(self, node: yaml.Node) -> Example:
        name, given = "", dict[str, Value]()
        expected: dict[str, Value] | None = {}
        for key, key_node, value in self.pairs(node, "key"):
            if key == "name":
                name = self.name(value, "the name of an example") or ""
            elif key == "given":
                given = self._row(value, self.source)
            elif key == "expect":
                is_nothing = isinstance(value, yaml.ScalarNode) and value.value == NOTHING
                expected = None if is_nothing else self._row(value, self.target)
            else:
                self.refuse(key_node, f"unknown key {key!r}{nearest(key, ('name', 'given', 'expect'))}")
        if not name:
            self.refuse(node, "an example needs a name")
        if expected == {}:
            self.refuse(node, f"an example needs `expect: {{target column: value}}`, or `expect: {NOTHING}`")
        return Example(name, self.file, place(node)[0], given, expected)

    def _row(self, node: yaml.Node, table: Table) -> dict[str, Value]:
        row: dict[str, Value] = {}
        for name, name_node, value in self.pairs(node, "column"):
            if name not in table.column_names:
                self.refuse(name_node, f"{table.name} has no column {name!r}{nearest(name, table.column_names)}")
            elif how := table.column(name).filled:
                self.refuse(name_node, f"{name!r} is filled {how}, where examples are not run: remove it")
            else:
                row[name] = self._value(value, table.column(name))
        return row

    def _value(self, node: yaml.Node, column: Column) -> Value:
        if tag(node) == "null":
            return None
        try:
            found = _typed(column, self.value(node))
        except OverflowError:
            found = None
        if found is None:
            hint = " (put it in quotes to make it text)" if column.type == "STRING" else as_number(node)
            self.refuse(node, f"{column.name!r} is {column.type}, not {describe(node)}{hint}")
        return found


def _typed(column: Column, value: object) -> Value:
    """A YAML value as the column has it; None for one that it cannot have. Raises OverflowError."""
    if isinstance(value, bool) and column.type != "BOOLEAN":
        return None
    match column.type, value:
        case "STRING", str():
            return value
        case "BOOLEAN", bool():
            return value
        case "BIGINT", int():
            return value
        case "DOUBLE", int() | float() if isfinite(value):
            return float(value)
        case "DECIMAL(38, 18)", int() | float() if isfinite(value):
            return Decimal(str(value))
        case "TIMESTAMP", datetime():
            return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
        case "TIMESTAMP", date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None
