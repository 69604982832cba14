"""Reads trades out of JSON exactly: numbers stay text, and every row keeps its own text, character for character."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from json import JSONDecodeError
from math import isfinite
from typing import Any

from schemahub_lib.http.messages import Page, Record, Rejected
from schemahub_lib.schemas import TimeEncoding

# A row's value and its own text.
Row = tuple[Any, str]
# A row that was read: a trade, or what is set aside.
Entry = Record | Rejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).raw_decode
_space = re.compile(r"[ \t\n\r]*").match
_number = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII).fullmatch
_integer = re.compile(r"\d{1,19}", re.ASCII).fullmatch
_iso_time = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII).fullmatch
_seconds = re.compile(r"(\d{9,10})(?:\.(\d+))?", re.ASCII).fullmatch


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
    match = _space(text, at)
    assert match is not None  # the pattern matches the empty text too
    return match.end()


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
    while True:
        value, end = _decode(text, at)
        rows.append((value, text[at:end]))
        at = _skip(text, end)
        if text.startswith("]", at):
            return rows, at + 1
        at = _skip(text, _past(text, at, ","))


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    at = _skip(text, at + 1)
    if text.startswith("}", at):
        return members, at + 1
    while True:
        key, end = _decode(text, at)
        at = _skip(text, _past(text, _skip(text, end), ":"))
        members[str(key)], end = _value(text, at, depth - 1)
        at = _skip(text, end)
        if text.startswith("}", at):
            return members, at + 1
        at = _skip(text, _past(text, at, ","))


def _past(text: str, at: int, character: str) -> int:
    if not text.startswith(character, at):
        raise JSONDecodeError(f"Expecting {character!r}", text, at)
    return at + 1


def read(rows: Iterable[Row], trade: Callable[[Any, str], Record]) -> list[Entry]:
    """Each row as `trade` reads it from value and text, or set aside where `trade` raises ValueError or KeyError."""
    entries: list[Entry] = []
    for value, text in rows:
        try:
            entries.append(trade(value, text))
        except KeyError as missing:
            entries.append(Rejected(f"{missing.args[0]} is missing", text))
        except ValueError as error:
            entries.append(Rejected(str(error), text))
    return entries


def page(entries: Iterable[Entry], cursor: str) -> Page:
    records: list[Record] = []
    rejected: list[Rejected] = []
    for entry in entries:
        if isinstance(entry, Rejected):
            rejected.append(entry)
        else:
            records.append(entry)
    return Page(records, rejected, cursor)


def fields(value: Any) -> dict[str, Any]:
    """`value` when it is a JSON object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("the row is not an object")
    return value


def number(value: Any, name: str) -> str:
    """A finite number's text, as it came. Raises ValueError."""
    if isinstance(value, str) and _number(value) and isfinite(float(value)):
        return value
    raise ValueError(f"{name} is {value!r:.60}, not a number")


def integer(value: Any, name: str) -> str:
    """A trade id's text, as it came. Raises ValueError."""
    if is_integer(value):
        return str(value)
    raise ValueError(f"{name} is {value!r:.60}, not an integer")


def is_integer(value: Any) -> bool:
    return isinstance(value, str) and _integer(value) is not None


def one_of(value: Any, name: str, known: tuple[str, ...]) -> str:
    """`value` when it is one of `known`. Raises ValueError."""
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(f"{name} is {value!r:.60}, not one of {', '.join(known)}")


def time_text(value: Any, encoding: TimeEncoding) -> str:
    """A time's text, as it came, when it can be read. Raises ValueError."""
    if isinstance(value, str):
        microseconds(value, encoding)
        return value
    raise ValueError(f"time is {value!r:.60}, not a time")


def microseconds(value: Any, encoding: TimeEncoding) -> int:
    """A time in an exchange's own encoding as whole microseconds since 1970, cut and not rounded. Raises ValueError."""
    text = str(value)
    if encoding == "iso8601" and _iso_time(text):
        try:
            return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND
        except ValueError as error:
            raise ValueError(f"time is {text!r}: {error}") from error
    if encoding == "epoch_ms_or_us" and is_integer(text) and len(text) in (13, 16):
        return int(text) * 1000 if len(text) == 13 else int(text)
    if encoding == "epoch_s" and (parts := _seconds(text)):
        return int(parts[1]) * 1_000_000 + int((parts[2] or "").ljust(6, "0")[:6])
    raise ValueError(f"time is {text!r:.60}, not a time")
