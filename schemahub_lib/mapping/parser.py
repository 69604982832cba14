"""Mapping YAML to a checked model. Strict: every problem of a file is reported at once, with its line and a remedy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import yaml

from schemahub_lib.errors import MappingError
from schemahub_lib.mapping.audits import SEVERITIES, Rule
from schemahub_lib.mapping.expressions import parse_condition, parse_expression
from schemahub_lib.mapping.functions import ExpressionError
from schemahub_lib.mapping.meanings import misfit
from schemahub_lib.mapping.nodes import Reader, as_number, close, compose, describe, nearest, tag
from schemahub_lib.mapping.sections import REQUIRED, SECTIONS
from schemahub_lib.mapping.spec import (
    ON_CONFLICT,
    ColumnMapping,
    Constant,
    Expression,
    MappingSpec,
    default_rules,
)
from schemahub_lib.mapping.sql import UNSTORABLE
from schemahub_lib.mapping.transforms import TRANSFORMS, Transform
from schemahub_lib.schemas import TARGETS, Column, SqlType, Table

Choice = TypeVar("Choice", bound=str)

# YAML 1.1 tags a constant may have.
_CONSTANT_TAGS: dict[SqlType, tuple[str, ...]] = {
    "STRING": ("str",),
    "DOUBLE": ("int", "float"),
    "DECIMAL(38, 18)": ("int", "float"),
    "BIGINT": ("int",),
    "BOOLEAN": ("bool",),
    "TIMESTAMP": (),
}
_SCALARS = ("int", "float", "bool", "timestamp")


def parse_mapping(
    text: str, file: str, raw_tables: Mapping[str, Table], targets: Mapping[str, Table] = TARGETS
) -> MappingSpec:
    """The mapping in `text`, checked against the schemas it names; `file` is its name in messages.

    Raises MappingError with all problems, in file order.
    """
    loader, root = compose(text, file, SECTIONS)
    parser = _Parser(file, loader, raw_tables, targets)
    spec = parser.parse(root)
    if spec is None or parser.problems:
        raise MappingError(sorted(parser.problems, key=lambda problem: (problem.line, problem.column)))
    return spec


def tables_named(text: str) -> tuple[str, str]:
    """The raw table and the target table that a mapping names, whatever else is wrong with it; empty where it names
    none."""
    try:
        _, root = compose(text, "", SECTIONS)
    except MappingError:
        return "", ""
    scalars = {
        key.value: value.value
        for key, value in root.value
        if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
    }
    return scalars.get("source", ""), scalars.get("target_table", "")


@dataclass(frozen=True)
class _Entry:
    """One line under `mappings`. `raw` is None when the name is unknown; `target` is None when it is refused."""

    raw_name: str
    raw: Column | None
    target: str | None
    node: yaml.Node


class _Parser(Reader):
    """Reads the tree once, section by section, and notes problems instead of stopping at the first."""

    def __init__(
        self, file: str, loader: yaml.SafeLoader, raw_tables: Mapping[str, Table], targets: Mapping[str, Table]
    ) -> None:
        super().__init__(file, loader)
        self.raw_tables, self.targets = raw_tables, targets

    def parse(self, root: yaml.MappingNode) -> MappingSpec | None:
        sections: dict[str, yaml.Node] = {}
        for key, key_node, value in self.pairs(root, "key"):
            if key in SECTIONS:
                sections[key] = value
            else:
                self.refuse(key_node, f"unknown key {key!r}{nearest(key, SECTIONS)}")
        for section in REQUIRED:
            if section not in sections:
                self.refuse(root, f"the key {section!r} is missing")
        source = self._table(sections.get("source"), self.raw_tables, "raw table")
        target = self._table(sections.get("target_table"), self.targets, "target table")
        self._key(sections.get("key"), target)
        entries = self._mappings(sections.get("mappings"), source, target)
        taken = {entry.target: f"mapped from {entry.raw_name!r}" for entry in entries if entry.target}
        expressions = self._expressions(sections.get("expressions"), source, target, taken)
        constants = self._constants(sections.get("constants"), target, taken)
        transforms = self._transforms(sections.get("transforms"), entries, taken, source, target)
        defaults = self._defaults(sections.get("defaults"), target, taken)
        filters = self._filters(sections.get("filters"), source)
        on_conflict = self._choice(sections.get("on_conflict"), "on_conflict", ON_CONFLICT, "ignore")
        audits = self._audits(sections.get("audits"))
        description, owner = (self._text(sections.get(key), key) for key in ("description", "owner"))
        if source is None or target is None:
            return None
        columns = expressions | constants
        for entry in entries:
            if entry.raw and entry.target:
                transform, node = transforms.get(entry.raw_name, (None, entry.node))
                if wrong := misfit(source, entry.raw, transform, target.column(entry.target)):
                    self.refuse(node, wrong)
                columns[entry.target] = ColumnMapping(entry.target, entry.raw, transform)
        self._check_complete(sections.get("mappings", root), target, taken)
        ordered = tuple(
            replace(columns[name], default=defaults.get(name)) for name in target.column_names if name in columns
        )
        return MappingSpec(
            *(self.file, source.name, target.name, ordered, filters),
            *(on_conflict, audits, description, owner),
        )

    def _text(self, node: yaml.Node | None, key: str) -> str:
        if node is None:
            return ""
        if isinstance(node, yaml.ScalarNode) and tag(node) == "str":
            return str(node.value)
        self.refuse(node, f"{key!r} must be text, not {describe(node)}")
        return ""

    def _key(self, node: yaml.Node | None, target: Table | None) -> None:
        if node is None or target is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            self.refuse(node, f"expected a list of names, not {describe(node)}")
        elif {self.name(item, "a column of the key") for item in node.value} != set(target.key):
            self.refuse(node, f"the key of {target.name} is {', '.join(target.key)}: write that, or leave it out")

    def _table(self, node: yaml.Node | None, known: Mapping[str, Table], what: str) -> Table | None:
        name = None if node is None else self.name(node, f"the {what}")
        if node is None or name is None:
            return None
        if name not in known:
            self.refuse(node, f"unknown {what} {name!r}{nearest(name, known)}")
        return known.get(name)

    def _mappings(self, node: yaml.Node | None, source: Table | None, target: Table | None) -> list[_Entry]:
        entries: list[_Entry] = []
        for raw_name, raw_node, target_node in self.pairs(node, "raw column"):
            raw = None
            if source is not None:
                if self._is_swapped(raw_name, target_node, source, target):
                    self.refuse(raw_node, f"lines read `raw: target`: write `{target_node.value}: {raw_name}`")
                    entries.append(_Entry(target_node.value, None, raw_name, target_node))
                    continue
                raw = next((column for column in source.columns if column.name == raw_name), None)
                if raw is None:
                    near = nearest(raw_name, source.column_names)
                    self.refuse(raw_node, f"{source.name} has no column {raw_name!r}{near}")
            name = self.name(target_node, f"the target column of {raw_name!r}")
            chosen = None if name is None else self._target_column(target_node, name, target)
            if chosen is not None and any(entry.target == chosen for entry in entries):
                if name == chosen:
                    self.refuse(target_node, f"target column {chosen!r} is mapped twice: keep one raw column for it")
                chosen = None
            entries.append(_Entry(raw_name, raw, chosen, target_node))
        return entries

    def _is_swapped(self, name: str, node: yaml.Node, source: Table, target: Table | None) -> bool:
        told = node.value if isinstance(node, yaml.ScalarNode) else None
        raws, targets = source.column_names, target.column_names if target else ()
        return name in targets and name not in raws and told in raws and told not in targets

    def _target_column(self, node: yaml.Node, name: str, target: Table | None) -> str | None:
        """`name`, or the name that was probably meant, so that one slip is not reported again as a missing column."""
        if target is None:
            return name
        known = {column.name: column for column in target.columns}
        if name in known:
            if how := known[name].filled:
                self.refuse(node, f"{name!r} cannot be mapped: SchemaHub fills it {how}; remove this line")
            return None if how else name
        known = {column.name: column for column in target.columns if not column.filled}
        self.refuse(node, f"{target.name} has no column {name!r}{nearest(name, known)}")
        return close(name, known)

    def _fills(
        self, node: yaml.Node | None, how: str, target: Table | None, taken: dict[str, str]
    ) -> Iterator[tuple[Column, yaml.Node]]:
        """The lines of a section that fills target columns; notes in `taken` which, so that each is filled once."""
        for name, name_node, value_node in self.pairs(node, "target column"):
            column = self._target_column(name_node, name, target)
            if column is None or target is None:
                continue
            if column in taken and name != column:  # a slip that is told of already
                continue
            if column in taken:
                self.refuse(name_node, f"{name!r} is {taken[column]} and {how} too: keep one")
                continue
            taken[column] = how
            yield target.column(column), value_node

    def _constants(
        self, node: yaml.Node | None, target: Table | None, taken: dict[str, str]
    ) -> dict[str, ColumnMapping]:
        return {
            column.name: ColumnMapping(column.name, self._constant(value, column, target, "constant"))
            for column, value in self._fills(node, "a constant", target, taken)
            if target is not None
        }

    def _expressions(
        self, node: yaml.Node | None, source: Table | None, target: Table | None, taken: dict[str, str]
    ) -> dict[str, ColumnMapping]:
        found: dict[str, ColumnMapping] = {}
        for column, value in self._fills(node, "an expression", target, taken):
            expression = self._expression(value, source, column)
            if expression is not None:
                found[column.name] = ColumnMapping(column.name, expression)
        return found

    def _expression(self, node: yaml.Node, source: Table | None, target: Column | None) -> Expression | None:
        """What fills `target`; a condition where that is None."""
        if not isinstance(node, yaml.ScalarNode) or tag(node) != "str":
            self.refuse(node, f"an expression must be text, not {describe(node)}")
        elif source is not None:
            try:
                if target is None:
                    return Expression(node.value, parse_condition(node.value, source))
                return Expression(node.value, parse_expression(node.value, source, target))
            except ExpressionError as error:
                self.refuse(node, str(error))
        return None

    def _filters(self, node: yaml.Node | None, source: Table | None) -> tuple[Expression, ...]:
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            self.refuse(node, f"filters must be a list of conditions (`- price > 0`), not {describe(node)}")
            return ()
        found = [self._expression(condition, source, None) for condition in node.value]
        return tuple(expression for expression in found if expression is not None)

    def _defaults(self, node: yaml.Node | None, target: Table | None, taken: Mapping[str, str]) -> dict[str, Constant]:
        defaults: dict[str, Constant] = {}
        for name, name_node, value_node in self.pairs(node, "target column"):
            column = self._target_column(name_node, name, target)
            if column is None or target is None:
                continue
            if column in target.key:
                self.refuse(
                    name_node, f"{name!r} tells rows apart, and a default would make them one: remove this line"
                )
            elif taken.get(column, "a constant") == "a constant":
                said = "a constant" if column in taken else "not mapped"
                self.refuse(name_node, f"{name!r} is {said}: a default is for a mapped column that may be NULL")
            else:
                defaults[column] = self._constant(value_node, target.column(column), target, "default")
        return defaults

    def _constant(self, node: yaml.Node, column: Column, target: Table, what: str) -> Constant:
        if not _may_be_constant(column, target):
            self.refuse(node, f"{column.name!r} differs from row to row and cannot be {what}: map a raw column to it")
            return Constant("")
        value = self.value(node) if tag(node) in _CONSTANT_TAGS[column.type] else None
        if isinstance(value, str | bool) or (isinstance(value, int | float) and abs(value) < 2**63):
            if wrong := _never_right(column, value):
                self.refuse(node, f"the {what} of {column.name!r} {wrong}")
            return Constant(value)  # the bound also refuses .nan and .inf
        quotes = column.type == "STRING" and tag(node) in _SCALARS
        hint = " (put it in quotes to make it text)" if quotes else as_number(node)
        self.refuse(node, f"the {what} of {column.name!r} must be {column.type}, not {describe(node)}{hint}")
        return Constant("")

    def _transforms(
        self,
        node: yaml.Node | None,
        entries: list[_Entry],
        taken: Mapping[str, str],
        source: Table | None,
        target: Table | None,
    ) -> dict[str, tuple[Transform, yaml.Node]]:
        """By raw column. A key may be the raw or the target name of a mapping, as long as both mean the same one."""
        chosen: dict[str, tuple[Transform, yaml.Node]] = {}
        keys: dict[str, str] = {}
        columns = {name for table in (source, target) if table is not None for name in table.column_names}
        for key, key_node, value_node in self.pairs(node, "column"):
            name = self.name(value_node, f"the transform of {key!r}")
            if name is not None and name not in TRANSFORMS:
                self.refuse(value_node, f"unknown transform {name!r}{nearest(name, TRANSFORMS)}")
                name = close(name, TRANSFORMS)
            meant = [entry for entry in entries if key in (entry.raw_name, entry.target)]
            if not meant:
                if key in taken:
                    message = f"{key!r} is {taken[key]}: transforms apply to mapped raw columns only"
                elif key in columns:
                    message = f"{key!r} is not under mappings, so there is nothing to transform"
                else:
                    mapped = [name for entry in entries for name in (entry.raw_name, entry.target) if name]
                    message = f"no mapping has a column {key!r}{nearest(key, mapped)}"
                self.refuse(key_node, message)
            elif len(meant) > 1:
                pairs = " or ".join(f"{entry.raw_name!r} to {entry.target!r}" for entry in meant)
                self.refuse(key_node, f"{key!r} could mean the mapping of {pairs}: use the other name of the pair")
            elif first := keys.get(meant[0].raw_name):
                self.refuse(key_node, f"{key!r} and {first!r} are the same mapping: give its transform once")
            else:
                keys[meant[0].raw_name] = key
                if name in TRANSFORMS:
                    chosen[meant[0].raw_name] = (TRANSFORMS[name], value_node)
        return chosen

    def _audits(self, node: yaml.Node | None) -> dict[str, Rule]:
        """Lines `audit: severity` or `audit: {severity: …, limit: …}`; the others are as declared."""
        rules = default_rules()
        for name, name_node, value in self.pairs(node, "audit"):
            if name not in rules:
                self.refuse(name_node, f"unknown audit {name!r}{nearest(name, rules)}")
            elif isinstance(value, yaml.MappingNode):
                rules[name] = self._rule(rules[name], value)
            else:
                rules[name] = Rule(self._choice(value, name, SEVERITIES, rules[name].severity), rules[name].limit)
        return rules

    def _rule(self, rule: Rule, node: yaml.MappingNode) -> Rule:
        severity, limit = rule.severity, rule.limit
        for key, key_node, value in self.pairs(node, "setting"):
            if key == "severity":
                severity = self._choice(value, key, SEVERITIES, severity)
            elif key != "limit":
                self.refuse(key_node, f"unknown setting {key!r}{nearest(key, ('severity', 'limit'))}")
            elif limit is None:
                self.refuse(key_node, "this audit has no limit: remove this line")
            elif tag(value) in ("int", "float") and isinstance(n := self.value(value), int | float) and 1 < n < 2**63:
                limit = float(n)
            else:
                self.refuse(value, f"the limit must be a number above 1, not {describe(value)}: 2 means half or double")
        return Rule(severity, limit)

    def _choice(self, node: yaml.Node | None, key: str, known: tuple[Choice, ...], otherwise: Choice) -> Choice:
        if node is None:
            return otherwise
        told = str(node.value) if isinstance(node, yaml.ScalarNode) else ""  # an unquoted off is a bool in YAML
        for choice in known:
            if told == choice:
                return choice
        self.refuse(node, f"{key!r} cannot be {describe(node)}{nearest(told, known)}")
        return otherwise

    def _check_complete(self, node: yaml.Node, target: Table, present: Collection[str]) -> None:
        for column in target.columns:
            needed = column.required or column.name in target.key
            if needed and not column.filled and column.name not in present:
                message = f"{target.name} requires {column.name!r} ({column.comment}): map a raw column to it"
                self.refuse(node, message + (", or make it constant" if _may_be_constant(column, target) else ""))


def _never_right(column: Column, value: object) -> str:
    """Why no row could have this value; nothing when one could."""
    if column.allowed and value not in column.allowed:
        return f"cannot be {value!r}{nearest(str(value), column.allowed)}"
    if column.positive and isinstance(value, int | float) and value <= 0:
        return f"must be above zero, not {value}"
    if isinstance(value, str) and UNSTORABLE.search(value):
        return "holds a character that no table can"
    return "must not be empty" if value == "" else ""


def _may_be_constant(column: Column, target: Table) -> bool:
    # One time or one id for all rows would make most of them duplicates of each other.
    return column.type != "TIMESTAMP" and column.name not in target.key[-1:]
