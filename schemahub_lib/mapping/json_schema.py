"""The mapping language as a JSON Schema, by which editors complete and check mapping files while they are written.

It knows names and shapes; what only the compiler knows (types, meanings, expressions) is `mappings validate`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemahub_lib.mapping.audits import AUDITS, SEVERITIES
from schemahub_lib.mapping.sections import REQUIRED, SECTIONS
from schemahub_lib.mapping.spec import ON_CONFLICT
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.schemas import Table


def json_schema(raw_tables: Mapping[str, Table], targets: Mapping[str, Table]) -> dict[str, Any]:
    """The schema of a mapping from one of `raw_tables` into one of `targets`, as JSON."""
    raw = _union(raw_tables.values())
    target = {
        name: comment
        for table in targets.values()
        for name, comment in _columns(table).items()
        if not table.column(name).filled
    }
    transform = {name: f"{one.meaning}; {one.nulls}" for name, one in TRANSFORMS.items()}
    severity = {"enum": list(SEVERITIES)}
    rule = {
        "type": "object",
        "properties": {"severity": severity, "limit": {"type": "number", "exclusiveMinimum": 1}},
        "additionalProperties": False,
    }
    shapes: dict[str, dict[str, Any]] = {
        "source": _one_of(dict.fromkeys(raw_tables, "")),
        "target_table": _one_of(dict.fromkeys(targets, "")),
        "description": {"type": "string"},
        "owner": {"type": "string"},
        "key": {"type": "array", "items": {"enum": list(target)}, "uniqueItems": True},
        "mappings": _lines(raw, _ref("target")),
        "expressions": _lines(target, {"type": "string"}),
        "constants": _lines(target, {"type": ["string", "number", "boolean"]}),
        "defaults": _lines(target, {"type": ["string", "number", "boolean"]}),
        "transforms": _lines(raw | target, _ref("transform")),
        "filters": {"type": "array", "items": {"type": "string"}},
        "on_conflict": {"enum": list(ON_CONFLICT)},
        "audits": _lines(
            {name: audit.meaning for name, audit in AUDITS.items()}, {"anyOf": [{"enum": list(SEVERITIES)}, rule]}
        ),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "SchemaHub mapping",
        "type": "object",
        "required": list(REQUIRED),
        "additionalProperties": False,
        "properties": {name: {"description": told} | shapes[name] for name, told in SECTIONS.items()},
        "definitions": {"target": _one_of(target), "transform": _one_of(transform)},
        "allOf": [_of_source(table) for table in raw_tables.values()],
    }


def _of_source(table: Table) -> dict[str, Any]:
    """Of a file with this source: the raw columns it may name."""
    return {
        "if": {"properties": {"source": {"const": table.name}}, "required": ["source"]},
        "then": {"properties": {"mappings": {"propertyNames": {"enum": list(table.column_names)}}}},
    }


def _union(tables: Iterable[Table]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in tables:
        for name, comment in _columns(table).items():
            found[name] = f"{found[name]} | {comment}" if name in found and comment not in found[name] else comment
    return found


def _columns(table: Table) -> dict[str, str]:
    return {column.name: f"{column.type}: {column.comment}" for column in table.columns}


def _one_of(names: Mapping[str, str]) -> dict[str, Any]:
    """One of some names, each described where there is something to tell."""
    if not any(names.values()):
        return {"enum": list(names)}
    return {"oneOf": [{"const": name, "description": told} for name, told in names.items()]}


def _ref(name: str) -> dict[str, Any]:
    return {"allOf": [{"$ref": f"#/definitions/{name}"}]}  # what stands right beside a $ref is not read


def _lines(keys: Mapping[str, str], value: dict[str, Any]) -> dict[str, Any]:
    lines = {name: {"description": told} | value for name, told in keys.items()}
    return {"type": "object", "properties": lines, "additionalProperties": False}
