"""Proposals as patches that `git apply` takes: the connector's declaration, and the way into the unified table."""

from __future__ import annotations

import ast
import difflib
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from io import StringIO
from pathlib import Path, PurePath

import yaml

from schemahub_lib import schemas
from schemahub_lib.errors import UsageError, words
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.mapping.registry import read_mapping
from schemahub_lib.mapping.spec import MappingSpec
from schemahub_lib.pipeline.drift import Proposal, since_when
from schemahub_lib.schemas import TARGETS, Column, Table
from schemahub_lib.tables.lake import Lake

LINE = 120
CHECKOUT = Path(inspect.getfile(schemas)).resolve().parents[1]
_named = re.compile(r"\d\d-\w+-(?:raw|unified)\.patch", re.ASCII).fullmatch


@dataclass(frozen=True)
class Patch:
    """A change of some files; `name` is what its own file is called."""

    name: str
    text: str


class Series:
    """The patches of one source after another. Each is made upon those before it, so they apply in their order, which
    is that of their names."""

    def __init__(self, lake: Lake) -> None:
        self.patches: list[Patch] = []
        self._mappings = lake.settings.mappings
        self._folder = _in_checkout(self._mappings)
        self._schemas = Path(inspect.getfile(schemas)).read_text(encoding="utf-8")
        self._new: dict[str, Column] = {}  # what the target gets, by name

    def add(self, exchange: Exchange, spec: MappingSpec | None, proposals: Sequence[Proposal]) -> list[Patch]:
        """One of the connector with the proposed columns and fields, and one of the target with the same columns and of
        the mapping (where there is one) that fills them; only those in which something changes."""
        columns = [proposal.addition.column for proposal in proposals if proposal.addition is not None]
        texts = {"raw": _raw_changes(exchange, [one for one in proposals if one.declared_as is not None])}
        if spec is not None:
            texts["unified"] = self._unified_changes(spec, unified_columns(spec, columns))
        before = len(self.patches)
        for layer, text in texts.items():
            if text:
                self.patches.append(Patch(f"{len(self.patches) + 1:02}-{exchange.name}-{layer}.patch", text))
        return self.patches[before:]

    def write(self, folder: str) -> list[Path]:
        """Write the patches into a folder, which is made where there is none, in place of an earlier series; their
        files. Raises UsageError, also where mappings to be changed are outside the checkout."""
        if self._new and self._folder is None:
            raise UsageError(
                f"the mappings in {self._mappings} are outside the checkout {CHECKOUT}, where `git apply` changes "
                "nothing, so no patch was written: name a folder of the checkout with --mappings, or take the lines "
                "that are shown over by hand"
            )
        place = Path(folder)
        try:
            place.mkdir(parents=True, exist_ok=True)
            for file in place.iterdir():
                if _named(file.name):
                    file.unlink()
            for patch in self.patches:
                (place / patch.name).write_text(patch.text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the patches cannot be written to {folder}: {words(error)}") from error
        return [place / patch.name for patch in self.patches]

    def _unified_changes(self, spec: MappingSpec, columns: Sequence[Column]) -> str:
        before, there, going = self._schemas, TARGETS[spec.target_table].column_names, list[Column]()
        for column in columns:
            first = self._new.setdefault(column.name, column)
            if first is column and column.name not in there:
                after = _table_columns(self._schemas, spec.target_table)
                self._schemas = _after_last(self._schemas, after, _as_source(replace(column, time_encoding="datetime")))
            if first.type == column.type:  # else the target has an earlier source's column of this name
                going.append(column)
        if not going:
            return ""
        text = read_mapping(self._mappings, spec.file)
        file = spec.file if self._folder is None else (self._folder / PurePath(spec.file).name).as_posix()
        return _diff("schemahub_lib/schemas.py", before, self._schemas) + _diff(file, text, mapped(text, going))


def _in_checkout(mappings: str | None) -> PurePath | None:
    """Where a folder of mappings is in the checkout; None for one elsewhere."""
    if mappings is None:
        return PurePath("mappings")
    folder = Path(mappings).resolve()
    return folder.relative_to(CHECKOUT) if folder.is_dir() and folder.is_relative_to(CHECKOUT) else None


def _raw_changes(exchange: Exchange, told: Sequence[Proposal]) -> str:
    path = Path(inspect.getfile(type(exchange)))
    before = after = path.read_text(encoding="utf-8")
    for proposal in told:
        after = _declared(after, proposal)
    why = "".join(f"{proposal.headline}\n  {proposal.evidence}\n" for proposal in told)  # git skips what is no diff
    changed = _diff(f"schemahub_lib/exchanges/{path.name}", before, after)
    return f"{why}\n{changed}" if changed else ""


def mapped(text: str, added: Sequence[Column]) -> str:
    """A mapping file with each column, which is called the same in both tables, after the last one that it maps."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    section = next(value for key, value in root.value if key.value == "mappings")
    key, last = section.value[-1]
    if section.flow_style:
        at = last.end_mark.index
        return text[:at] + "".join(f", {column.name}: {column.name}" for column in added) + text[at:]
    lines = (text if text.endswith("\n") else f"{text}\n").splitlines(keepends=True)
    new = [f"{' ' * key.start_mark.column}{column.name}: {column.name}\n" for column in added]
    at = last.end_mark.line + 1
    return "".join([*lines[:at], *new, *lines[at:]])


def with_columns(table: Table, added: Sequence[Column]) -> Table:
    """A table as it will be declared."""
    new = [column for column in added if column.name not in table.column_names]
    return replace(table, columns=(*table.columns, *new))


def unified_columns(spec: MappingSpec, added: Sequence[Column]) -> list[Column]:
    """Those of a raw table's new columns that can go to the target: it has no such column, or one that fits and that
    nothing is mapped to."""
    there = {column.name: column for column in TARGETS[spec.target_table].columns}

    def can(column: Column) -> bool:
        same = there.get(column.name)
        return same is None or (same.type == column.type and not same.filled and column.name not in spec.by_target)

    return [column for column in added if can(column)]


def _declared(source: str, proposal: Proposal) -> str:
    """A connector's source text with what is proposed of one field."""
    if proposal.addition is None:
        return _sent_as(source, _field(source, proposal.field), str(proposal.declared_as))
    column, kind = proposal.addition.column, proposal.declared_as
    day = since_when(proposal) + timedelta(days=1)
    since = f"since=datetime({day.year}, {day.month}, {day.day}, tzinfo=UTC)"
    usual = {"FLAG": "boolean", "INTEGER": "integer"}.get(str(kind), "string")
    # A number may be a whole one; of a text and something else, the text takes both.
    sent_as = next(known for known in ("string", "number", "integer", "boolean") if known in proposal.types)
    told = f'"{proposal.field}", "{column.name}", {kind}, optional=True, {since}'
    told += f', json="{sent_as}"' if sent_as != usual else ""
    source = _after_last(source, _assigned(source, "fields"), f"Field({told})")
    source = _after_last(source, _raw_columns(source), _as_source(column))
    source = _importing(source, "schemahub_lib.exchanges.fields", str(kind))
    return _importing(source, "datetime", "UTC", "datetime")


def _as_source(column: Column) -> str:
    told = f'"{column.name}", "{column.type}", "{column.comment}"'
    if column.time_encoding != "datetime":
        told += f', time_encoding="{column.time_encoding}"'
    return f"Column({told})"


def _assigned(source: str, name: str) -> ast.Tuple:
    """The tuple that a class of `source` has as its attribute `name`."""
    value = _value_of(source, name)
    assert isinstance(value, ast.Tuple)
    return value


def _raw_columns(source: str) -> ast.Tuple:
    value = _value_of(source, "raw_table")
    assert isinstance(value, ast.Call)
    columns = value.args[1]
    assert isinstance(columns, ast.Tuple)
    return columns


def _table_columns(source: str, name: str) -> ast.Tuple:
    """The columns of the table called `name` in `source`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(args=[ast.Constant(value=called), ast.Tuple() as columns, *_]) if called == name:
                return columns
    raise UsageError(f"{name} is not declared where it was: write the patch by hand")


def _value_of(source: str, name: str) -> ast.expr:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Assign(targets=[ast.Name(id=called)], value=value) if called == name:
                return value
    raise UsageError(f"the connector has no {name} of its own: write the patch by hand")


def _field(source: str, key: str) -> ast.Call:
    for one in _assigned(source, "fields").elts:
        match one:
            case ast.Call(args=[ast.Constant(value=called), *_]) if called == key:
                return one
    raise UsageError(f"the connector declares no field {key}: write the patch by hand")


def _after_last(source: str, group: ast.Tuple, new: str) -> str:
    """`source` with a line more after the last element of a tuple that stands one element a line."""
    last = group.elts[-1]
    lines = source.splitlines(keepends=True)
    at = last.end_lineno or last.lineno
    return "".join([*lines[:at], f"{' ' * last.col_offset}{new},\n", *lines[at:]])


def _sent_as(source: str, call: ast.Call, json_type: str) -> str:
    """`source` with another JSON type in a field's declaration, which stands in one line."""
    assert call.end_col_offset is not None
    before = (call.end_col_offset - 1, call.end_col_offset - 1, f', json="{json_type}"')
    for keyword in call.keywords:
        if keyword.arg == "json" and keyword.end_col_offset is not None:
            before = (keyword.col_offset, keyword.end_col_offset, f'json="{json_type}"')
    start, end, text = before
    lines = source.splitlines(keepends=True)
    line = lines[call.lineno - 1]
    lines[call.lineno - 1] = line[:start] + text + line[end:]
    return "".join(lines)


def _importing(source: str, module: str, *names: str) -> str:
    """`source` that imports these names from `module` too, in the formatter's order."""
    imports = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    named = [node for node in imports if isinstance(node, ast.ImportFrom) and node.module == module]
    there = [alias.name for node in named for alias in node.names]
    if set(names) <= set(there):
        return source
    listed = sorted({*there, *names}, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))
    told = f"from {module} import {', '.join(listed)}\n"
    if len(told) > LINE + 1:
        told = f"from {module} import (\n" + "".join(f"    {name},\n" for name in listed) + ")\n"
    # Where it stands, or after those that stand before it.
    before = [node for node in imports if isinstance(node, ast.Import) or str(node.module) < module]
    last = named[0] if named else before[-1]
    lines, start = source.splitlines(keepends=True), last.lineno - 1 if named else last.end_lineno
    return "".join([*lines[:start], told, *lines[last.end_lineno :]])


def _diff(path: str, before: str, after: str) -> str:
    """The way from one text of a file to another, in git's words where its last line does not end."""
    old, new = (StringIO(text).readlines() for text in (before, after))  # ended by \n alone, as git has it
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
