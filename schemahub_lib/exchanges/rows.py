"""Reads trades out of JSON exactly: numbers stay text, and every row keeps its own text, character for character.

A page of flat objects, all alike and all well, is read by one regular expression over its whole text, made from the
fields and from the first row's order of keys. Whatever that leaves any doubt about is read row by row, by the judges in
`fields`; both give the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from json import JSONDecodeError
from typing import Any

from schemahub_lib.exchanges.fields import Field
from schemahub_lib.http.messages import Page, Record, Rejected, Value
from schemahub_lib.schemas import RAW_PAYLOAD

# A row's value and its own text.
Row = tuple[Any, str]

_decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).raw_decode
_space = re.compile(r"[ \t\n\r]*").match
_colon = re.compile(r"[ \t\n\r]*:[ \t\n\r]*").match
# What stands after an element; group 1 where it was the last one.
_after = {bracket: re.compile(rf"[ \t\n\r]*(?:,|(\{bracket}))[ \t\n\r]*").match for bracket in "]}"}

# A key, a quote where the value is a string, and what follows the value.
_member = re.compile(r'"([^"\\\x00-\x1f]+)":(?:(")[^"\\]*"|[^\s"\\{}\[\],]+)([,}])').match
_ANY_STRING = r'[^"\\\x00-\x1f]*'
_ANY_OTHER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in the order they stand, as columns. Those that are no trades have their reason in `rejected`, by place, and
    None in every column."""

    columns: Mapping[str, Sequence[Value]]
    rejected: Mapping[int, Rejected] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns[RAW_PAYLOAD.name])

    def __getitem__(self, part: slice) -> Rows:
        places = range(len(self))[part]
        rejected = {places.index(place): why for place, why in self.rejected.items() if place in places}
        return Rows({name: values[part] for name, values in self.columns.items()}, rejected)

    def only(self, places: Sequence[int]) -> Rows:
        rejected = {at: self.rejected[place] for at, place in enumerate(places) if place in self.rejected}
        return Rows({name: [values[place] for place in places] for name, values in self.columns.items()}, rejected)

    def with_column(self, name: str, values: Sequence[Value]) -> Rows:
        return Rows({**self.columns, name: values}, self.rejected)

    def page(self, cursor: str) -> Page:
        trades = self
        if self.rejected:
            trades = self.only([place for place in range(len(self)) if place not in self.rejected])
        return Page(trades.columns, list(self.rejected.values()), cursor)


def joined(parts: Sequence[Rows]) -> Rows:
    """One after the other; there must be one at least."""
    if len(parts) == 1:
        return parts[0]
    columns = {name: [value for part in parts for value in part.columns[name]] for name in parts[0].columns}
    rejected: dict[int, Rejected] = {}
    before = 0
    for part in parts:
        rejected |= {before + place: why for place, why in part.rejected.items()}
        before += len(part)
    return Rows(columns, rejected)


def read_page(text: str, fields: tuple[Field, ...]) -> Rows:
    """The rows of an array of objects. Raises ValueError when `text` is no JSON array."""
    text = text.strip(" \t\n\r")
    rows = _read_at_once(text, fields)
    if rows is None:
        found = parse(text)
        if not isinstance(found, list):
            raise ValueError("not an array")
        rows = read(found, fields)
    return rows


def an_object(value: Any) -> dict[str, Any]:
    """`value` when it is a JSON object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("the row is not an object")
    return value


def read(found: Iterable[Row], fields: tuple[Field, ...], members: Callable[[Any], dict[str, Any]] = an_object) -> Rows:
    """Rows one by one. `members` makes an object of a row's value, or raises ValueError."""
    columns: dict[str, list[Value]] = {column: [] for column in (*(f.column for f in fields), RAW_PAYLOAD.name)}
    rejected: dict[int, Rejected] = {}
    for place, (value, text) in enumerate(found):
        try:
            told = record(members(value), fields) | {RAW_PAYLOAD.name: text}
        except ValueError as error:
            told = dict.fromkeys(columns)
            rejected[place] = Rejected(str(error), text)
        for column, values in columns.items():
            values.append(told[column])
    return Rows(columns, rejected)


def record(row: Mapping[str, Any], fields: tuple[Field, ...]) -> Record:
    """The columns of a JSON object that its fields go to. Raises ValueError."""
    columns: Record = {}
    for expected in fields:
        shown = row.get(expected.key)
        if shown is None and expected.optional:
            columns[expected.column] = None
        elif expected.key in row:
            columns[expected.column] = expected.kind.read(shown, expected.key)
        else:
            raise ValueError(f"{expected.key} is missing")
    return columns


def _read_at_once(text: str, fields: tuple[Field, ...]) -> Rows | None:
    """The rows of `text` when every character of it is what the fields and the first row's shape lead to expect."""
    shape = _shape(text)
    pattern = _pattern(shape, fields) if shape else None
    if pattern is None:
        return None
    rows = pattern.findall(text, 1)
    if not text.endswith("]") or len(text) != 1 + sum(len(row[0]) + 1 for row in rows):
        return None
    found = dict(zip(pattern.groupindex, zip(*rows, strict=True), strict=True))
    columns: dict[str, Sequence[Value]] = {}
    for expected in fields:
        values = found.get(expected.column)
        if values is None:
            columns[expected.column] = [None] * len(rows)
        elif expected.kind.values is None:
            columns[expected.column] = values
        else:
            columns[expected.column] = [expected.kind.values[value] for value in values]
    columns[RAW_PAYLOAD.name] = found[RAW_PAYLOAD.name]
    return Rows(columns)


def _shape(text: str) -> tuple[tuple[str, bool], ...] | None:
    """The first row's keys, each with whether its value is a string, where the row is flat and without spaces."""
    if not text.startswith("[{"):
        return None
    keys: dict[str, bool] = {}
    at = len("[{")
    while (member := _member(text, at)) is not None:
        if member[1] in keys:
            return None
        keys[member[1]] = member[2] is not None
        if member[3] == "}":
            return tuple(keys.items())
        at = member.end()
    return None


@lru_cache(maxsize=64)
def _pattern(shape: tuple[tuple[str, bool], ...], fields: tuple[Field, ...]) -> re.Pattern[str] | None:
    """Matches a row of this shape and what separates it from the next, with a group for the row and for each column."""
    by_key = {expected.key: expected for expected in fields}
    if any(not expected.optional and expected.key not in dict(shape) for expected in fields):
        return None
    members = []
    for key, quoted in shape:
        expected = by_key.get(key)
        if expected is None:
            value = f"(?:{_ANY_STRING if quoted else _ANY_OTHER})"
        else:
            texts = expected.kind.quoted if quoted else expected.kind.bare
            if texts is None:
                return None
            value = f"(?P<{expected.column}>{texts})"
        members.append(f'"{re.escape(key)}":' + (f'"{value}"' if quoted else value))
    return re.compile(rf"(?P<{RAW_PAYLOAD.name}>\{{{','.join(members)}\}})(?:,|\]\Z)", re.ASCII)


def parse(text: str, depth: int = 0) -> Any:
    """`text` as JSON in which every array that stands `depth` objects deep is a list of `Row`s.

    Numbers, NaN and Infinity come as text. Raises ValueError when `text` is not JSON.
    """
    try:
        value, end = _value(text, _skip(text, 0), depth)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if _skip(text, end) != len(text):
        raise JSONDecodeError("Extra data", text, end)
    return value


def _skip(text: str, at: int) -> int:
    return _must(_space(text, at), text, at).end()


def _must(match: re.Match[str] | None, text: str, at: int) -> re.Match[str]:
    if match is None:
        raise JSONDecodeError("Expecting a delimiter", text, at)
    return match


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth == 0 and text.startswith("[", at):
        return _array(text, at)
    if depth > 0 and text.startswith("{", at):
        return _object(text, at, depth)
    return _decode(text, at)


def _array(text: str, at: int) -> tuple[list[Row], int]:
    rows: list[Row] = []
    at = _skip(text, at + 1)
    if text.startswith("]", at):
        return rows, at + 1
    after = _after["]"]
    while True:
        value, end = _decode(text, at)
        rows.append((value, text[at:end]))
        match = _must(after(text, end), text, end)
        at = match.end()
        if match.lastindex:
            return rows, at


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    at = _skip(text, at + 1)
    if text.startswith("}", at):
        return members, at + 1
    while True:
        key, end = _decode(text, at)
        members[str(key)], end = _value(text, _must(_colon(text, end), text, end).end(), depth - 1)
        match = _must(_after["}"](text, end), text, end)
        at = match.end()
        if match.lastindex:
            return members, at
