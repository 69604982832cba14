"""Mapping YAML to a checked model. Strict: every problem of a file is reported at once, with its line and a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import yaml

from schemahub_lib.errors import MappingError, Problem
from schemahub_lib.mapping.transforms import TRANSFORMS, Transform, candidates
from schemahub_lib.schemas import TARGETS, Column, SqlType, Table

SECTIONS = ("source", "target_table", "mappings", "constants", "transforms")
# Target columns SchemaHub fills itself, the same way for every source.
INGEST_TS = "ingest_ts"
FROM_PRODUCTS = ("canonical_symbol", "base_asset", "quote_asset")
FILLED = {INGEST_TS: "with the time of the run"} | dict.fromkeys(FROM_PRODUCTS, "from the exchange's product list")

# YAML 1.1 tags a constant may have.
_CONSTANT_TAGS: dict[SqlType, tuple[str, ...]] = {
    "STRING": ("str",),
    "DOUBLE": ("int", "float"),
    "BIGINT": ("int",),
    "BOOLEAN": ("bool",),
    "TIMESTAMP": (),
}
_SCALARS = ("int", "float", "bool", "timestamp")


@dataclass(frozen=True)
class Constant:
    """A value every row of the source gets."""

    value: str | int | float | bool


@dataclass(frozen=True)
class ColumnMapping:
    """Where one target column comes from. `transform` is the one named in the file, needed or not."""

    target: str
    origin: Column | Constant
    transform: Transform | None = None


@dataclass(frozen=True)
class MappingSpec:
    """One valid mapping file. `columns` are in target order and hold only what the file maps."""

    file: str
    source: str
    target_table: str
    columns: tuple[ColumnMapping, ...]

    @property
    def by_target(self) -> dict[str, ColumnMapping]:
        """The mapped columns by target name."""
        return {column.target: column for column in self.columns}


def parse_mapping(
    text: str, file: str, raw_tables: Mapping[str, Table], targets: Mapping[str, Table] = TARGETS
) -> MappingSpec:
    """The mapping in `text`, checked against the schemas it names; `file` is its name in messages.

    Raises MappingError with all problems, in file order.
    """
    loader, root = _compose(text, file)
    parser = _Parser(file, loader, raw_tables, targets)
    spec = parser.parse(root)
    if spec is None or parser.problems:
        raise MappingError(sorted(parser.problems, key=lambda problem: (problem.line, problem.column)))
    return spec


def _compose(text: str, file: str) -> tuple[yaml.SafeLoader, yaml.MappingNode]:
    """The YAML node tree, which unlike the loaded dicts has line numbers and repeated keys."""

    def refuse(message: str, line: int = 0, column: int = 0) -> MappingError:
        return MappingError([Problem(file, line, column, message)])

    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context}"
        raise (refuse(message, mark.line + 1, mark.column + 1) if mark else refuse(message)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        message = f"not valid YAML: character U+{error.character:04X} is not allowed; save the file as plain UTF-8"
        raise refuse(message, len(before), len(before[-1]) + 1) from None
    except (ValueError, OverflowError, RecursionError) as error:  # PyYAML lets "\UFFFFFFFF" and 1000 brackets through
        raise refuse(f"not valid YAML: {error}") from None
    if root is None:
        raise refuse(f"the file is empty: a mapping has the keys {', '.join(SECTIONS)}")
    if not isinstance(root, yaml.MappingNode):
        line, column = _place(root)
        raise refuse(f"a mapping file has the keys {', '.join(SECTIONS)}; this is {_describe(root)}", line, column)
    return loader, root


@dataclass(frozen=True)
class _Entry:
    """One line under `mappings`. `raw` is None when the name is unknown; `target` is None when it is refused."""

    raw_name: str
    raw: Column | None
    target: str | None
    node: yaml.Node


class _Parser:
    """Reads the tree once, section by section, and notes problems instead of stopping at the first."""

    def __init__(
        self, file: str, loader: yaml.SafeLoader, raw_tables: Mapping[str, Table], targets: Mapping[str, Table]
    ) -> None:
        self.file, self.loader, self.raw_tables, self.targets = file, loader, raw_tables, targets
        self.problems: list[Problem] = []

    def parse(self, root: yaml.MappingNode) -> MappingSpec | None:
        sections: dict[str, yaml.Node] = {}
        for key, key_node, value in self._pairs(root, "key"):
            if key in SECTIONS:
                sections[key] = value
            else:
                self._refuse(key_node, f"unknown key {key!r}{_nearest(key, SECTIONS)}")
        for section in SECTIONS[:3]:
            if section not in sections:
                self._refuse(root, f"the key {section!r} is missing")
        source = self._table(sections.get("source"), self.raw_tables, "raw table")
        target = self._table(sections.get("target_table"), self.targets, "target table")
        entries = self._mappings(sections.get("mappings"), source, target)
        constants = self._constants(sections.get("constants"), entries, target)
        transforms = self._transforms(sections.get("transforms"), entries, constants, source, target)
        if source is None or target is None:
            return None
        columns = dict(constants)
        for entry in entries:
            if entry.raw and entry.target:
                transform, node = transforms.get(entry.raw_name, (None, entry.node))
                self._check_types(node, entry.raw, transform, target.column(entry.target))
                columns[entry.target] = ColumnMapping(entry.target, entry.raw, transform)
        self._check_complete(sections.get("mappings", root), target, {*columns, *(entry.target for entry in entries)})
        ordered = tuple(columns[name] for name in target.column_names if name in columns)
        return MappingSpec(self.file, source.name, target.name, ordered)

    def _table(self, node: yaml.Node | None, known: Mapping[str, Table], what: str) -> Table | None:
        name = None if node is None else self._name(node, f"the {what}")
        if node is None or name is None:
            return None
        if name not in known:
            self._refuse(node, f"unknown {what} {name!r}{_nearest(name, known)}")
        return known.get(name)

    def _mappings(self, node: yaml.Node | None, source: Table | None, target: Table | None) -> list[_Entry]:
        entries: list[_Entry] = []
        for raw_name, raw_node, target_node in self._pairs(node, "raw column"):
            raw = None
            if source is not None:
                raw = next((column for column in source.columns if column.name == raw_name), None)
                if raw is None:
                    near = _nearest(raw_name, source.column_names)
                    self._refuse(raw_node, f"{source.name} has no column {raw_name!r}{near}")
            name = self._name(target_node, f"the target column of {raw_name!r}")
            chosen = None if name is None else self._target_column(target_node, name, target)
            if chosen is not None and any(entry.target == chosen for entry in entries):
                if name == chosen:
                    self._refuse(target_node, f"target column {chosen!r} is mapped twice: keep one raw column for it")
                chosen = None
            entries.append(_Entry(raw_name, raw, chosen, target_node))
        return entries

    def _target_column(self, node: yaml.Node, name: str, target: Table | None) -> str | None:
        """`name`, or the name that was probably meant, so that one slip is not reported again as a missing column."""
        if target is None:
            return name
        if name in FILLED and name in target.column_names:
            self._refuse(node, f"{name!r} cannot be mapped: SchemaHub fills it {FILLED[name]}; remove this line")
            return None
        if name in target.column_names:
            return name
        known = [column for column in target.column_names if column not in FILLED]
        self._refuse(node, f"{target.name} has no column {name!r}{_nearest(name, known)}")
        return _close(name, known)

    def _constants(
        self, node: yaml.Node | None, entries: list[_Entry], target: Table | None
    ) -> dict[str, ColumnMapping]:
        constants: dict[str, ColumnMapping] = {}
        for name, name_node, value_node in self._pairs(node, "target column"):
            column = self._target_column(name_node, name, target)
            if column is None or target is None:
                continue
            mapped = next((entry for entry in entries if entry.target == name), None)
            if mapped is not None:
                self._refuse(name_node, f"{name!r} is mapped from {mapped.raw_name!r} and constant too: keep one")
                continue
            value = self._constant(value_node, target.column(column))
            constants[column] = ColumnMapping(column, Constant(value))
        return constants

    def _constant(self, node: yaml.Node, column: Column) -> str | int | float | bool:
        if not _may_be_constant(column):
            message = f"{column.name!r} differs from trade to trade and cannot be constant: map a raw column to it"
            self._refuse(node, message)
            return ""
        if _tag(node) in _CONSTANT_TAGS[column.type]:
            try:
                value = self.loader.construct_object(node)
            except (ValueError, KeyError, yaml.YAMLError):  # an explicit tag that lies: `!!int abc`
                value = None
            if isinstance(value, str | bool) or (isinstance(value, int | float) and abs(value) < 2**63):
                return value  # the bound also refuses .nan and .inf
        hint = " (put it in quotes to make it text)" if column.type == "STRING" and _tag(node) in _SCALARS else ""
        self._refuse(node, f"the constant of {column.name!r} must be {column.type}, not {_describe(node)}{hint}")
        return ""

    def _transforms(
        self,
        node: yaml.Node | None,
        entries: list[_Entry],
        constants: Mapping[str, ColumnMapping],
        source: Table | None,
        target: Table | None,
    ) -> dict[str, tuple[Transform, yaml.Node]]:
        """By raw column. A key may be the raw or the target name of a mapping, as long as both mean the same one."""
        chosen: dict[str, tuple[Transform, yaml.Node]] = {}
        keys: dict[str, str] = {}
        columns = {name for table in (source, target) if table is not None for name in table.column_names}
        for key, key_node, value_node in self._pairs(node, "column"):
            name = self._name(value_node, f"the transform of {key!r}")
            if name is not None and name not in TRANSFORMS:
                self._refuse(value_node, f"unknown transform {name!r}{_nearest(name, TRANSFORMS)}")
                name = _close(name, TRANSFORMS)
            meant = [entry for entry in entries if key in (entry.raw_name, entry.target)]
            if not meant:
                if key in constants:
                    message = f"{key!r} is a constant: transforms apply to mapped raw columns only"
                elif key in columns:
                    message = f"{key!r} is not under mappings, so there is nothing to transform"
                else:
                    mapped = [name for entry in entries for name in (entry.raw_name, entry.target) if name]
                    message = f"no mapping has a column {key!r}{_nearest(key, mapped)}"
                self._refuse(key_node, message)
            elif len(meant) > 1:
                pairs = " or ".join(f"{entry.raw_name!r} to {entry.target!r}" for entry in meant)
                self._refuse(key_node, f"{key!r} could mean the mapping of {pairs}: use the other name of the pair")
            elif first := keys.get(meant[0].raw_name):
                self._refuse(key_node, f"{key!r} and {first!r} are the same mapping: give its transform once")
            else:
                keys[meant[0].raw_name] = key
                if name in TRANSFORMS:
                    chosen[meant[0].raw_name] = (TRANSFORMS[name], value_node)
        return chosen

    def _check_types(self, node: yaml.Node, raw: Column, transform: Transform | None, target: Column) -> None:
        fitting = " or ".join(candidates(raw.type, target.type))
        if transform is not None and transform.accepts(raw.type) and transform.output == target.type:
            return
        if transform is None and raw.type == target.type:
            return
        if transform is None:
            wrong = f"{raw.name!r} is {raw.type} and {target.name!r} needs {target.type}"
        elif transform.accepts(raw.type):
            wrong = f"{transform.name} gives {transform.output}, and {target.name!r} needs {target.type}"
        else:
            reads = " or ".join(transform.inputs)
            wrong = f"{transform.name} reads {reads}, and raw column {raw.name!r} is {raw.type}"
        if raw.type == target.type:
            remedy = "remove it"
        elif fitting:
            remedy = f"write `{raw.name}: ...` under transforms with {fitting}"
        else:
            remedy = f"no transform turns {raw.type} into {target.type}, map another raw column"
        self._refuse(node, f"{wrong}; {remedy}")

    def _check_complete(self, node: yaml.Node, target: Table, present: set[str | None]) -> None:
        for column in target.columns:
            needed = column.required or column.name in target.key
            if needed and column.name not in FILLED and column.name not in present:
                message = f"{target.name} requires {column.name!r} ({column.comment}): map a raw column to it"
                self._refuse(node, message + (", or make it constant" if _may_be_constant(column) else ""))

    def _pairs(self, node: yaml.Node | None, what: str) -> Iterable[tuple[str, yaml.Node, yaml.Node]]:
        """(key, key's node, value's node) of a section; an absent or empty section has none. Repeated keys once."""
        if node is None or _tag(node) == "null":
            return
        if not isinstance(node, yaml.MappingNode):
            self._refuse(node, f"expected `{what}: value` lines, not {_describe(node)}")
            return
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self._name(key_node, f"a {what}")
            if key is None:
                continue
            if key in seen:
                self._refuse(key_node, f"{key!r} is there twice, first in line {seen[key]}: keep one")
                continue
            seen[key] = _place(key_node)[0]
            yield key, key_node, value_node

    def _name(self, node: yaml.Node, what: str) -> str | None:
        if isinstance(node, yaml.ScalarNode) and _tag(node) == "str" and node.value:
            return str(node.value)
        self._refuse(node, f"{what} must be a name, not {_describe(node)}")
        return None

    def _refuse(self, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(self.file, *_place(node), message))


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _may_be_constant(column: Column) -> bool:
    # One time or one id for all trades would make most of them duplicates of each other.
    return column.type != "TIMESTAMP" and column.name != "trade_id"


def _tag(node: yaml.Node) -> str:
    """`str`, `int`, `float`, `bool`, `null`, `timestamp`, `seq`, `map`."""
    return str(node.tag).removeprefix("tag:yaml.org,2002:")


def _describe(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if isinstance(node, yaml.MappingNode):
        return "a nested mapping"
    return f"the {_tag(node)} `{node.value}`" if node.value else "nothing"


def _close(name: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(name, known, n=1)), None)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(dict.fromkeys(known))
    if close := _close(name, names):
        return f"; did you mean {close!r}?"
    return f"; choose one of {', '.join(names)}" if names else ""
