"""Proposals as patches that `git apply` takes: the connector's declaration, and the way into the unified table."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
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


@dataclass(frozen=True)
class Patch:
    """A change of some files; `name` is what its own file is called."""

    name: str
    text: str


def patches(lake: Lake, exchange: Exchange, spec: MappingSpec | None, proposals: Sequence[Proposal]) -> list[Patch]:
    """One of the connector with the proposed columns and fields, and one to be applied after it, of the target with the
    same columns and of the mapping (where there is one) that fills them; only those in which something changes."""
    added = [proposal.addition.column for proposal in proposals if proposal.addition is not None]
    found = [_raw_patch(exchange, [proposal for proposal in proposals if proposal.declared_as is not None])]
    if spec is not None and (going := unified_columns(spec, added)):
        found.append(_unified_patch(lake, exchange, spec, going))
    return [patch for patch in found if patch.text]


def write(found: Sequence[Patch], folder: str) -> list[Path]:
    """Write patches into a folder, which is made where there is none; their files. Raises UsageError."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        files = [Path(folder) / patch.name for patch in found]
        for file, patch in zip(files, found, strict=True):
            file.write_text(patch.text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the patches cannot be written to {folder}: {words(error)}") from error
    return files


def _raw_patch(exchange: Exchange, told: Sequence[Proposal]) -> Patch:
    path = Path(inspect.getfile(type(exchange)))
    before = after = path.read_text(encoding="utf-8")
    for proposal in told:
        after = _declared(after, proposal)
    why = "".join(f"{proposal.headline}\n  {proposal.evidence}\n" for proposal in told)  # git skips what is no diff
    changed = _diff(f"schemahub_lib/exchanges/{path.name}", before, after)
    return Patch(f"{exchange.name}-raw.patch", f"{why}\n{changed}" if changed else "")


def _unified_patch(lake: Lake, exchange: Exchange, spec: MappingSpec, added: Sequence[Column]) -> Patch:
    path, file = Path(inspect.getfile(schemas)), PurePath(spec.file).name
    before = after = path.read_text(encoding="utf-8")
    for column in added:
        if column.name not in TARGETS[spec.target_table].column_names:
            new = _as_source(replace(column, time_encoding="datetime"))
            after = _after_last(after, _table_columns(after, spec.target_table), new)
    text = read_mapping(lake.settings.mappings, spec.file)
    told = _diff("schemahub_lib/schemas.py", before, after) + _diff(f"mappings/{file}", text, mapped(text, added))
    return Patch(f"{exchange.name}-unified.patch", told)


def mapped(text: str, added: Sequence[Column]) -> str:
    """A mapping file with each column, which is called the same in both tables, after the last one that it maps."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    section = next(value for key, value in root.value if key.value == "mappings")
    key, last = section.value[-1]
    if section.flow_style:
        at = last.end_mark.index
        return text[:at] + "".join(f", {column.name}: {column.name}" for column in added) + text[at:]
    lines = text.splitlines(keepends=True)
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
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(lines)
