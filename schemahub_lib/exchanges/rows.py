"""Reads trades out of JSON exactly: numbers stay text, and every row keeps its own text, character for character."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from json import JSONDecodeError
from typing import Any

from schemahub_lib.http.messages import Page, Record, Rejected
from schemahub_lib.schemas import TimeEncoding

# A row's value and its own text.
Row = tuple[Any, str]
# A row that was read: a trade, or what is set aside.
Entry = Record | Rejected

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).raw_decode
_space = re.compile(r"[ \t\n\r]*").match
_colon = re.compile(r"[ \t\n\r]*:[ \t\n\r]*").match
# What stands after an element; group 1 where it was the last one.
_after = {bracket: re.compile(rf"[ \t\n\r]*(?:,|(\{bracket}))[ \t\n\r]*").match for bracket in "]}"}
_number = re.compile(r"-?(?:\d{1,50}(?:\.\d{0,50})?|\.\d{1,50})(?:[eE][+-]?\d{1,2})?", re.ASCII).fullmatch
_integer = re.compile(r"\d{1,19}", re.ASCII).fullmatch
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
    if isinstance(value, str) and _number(value):
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


def flag(value: Any, name: str) -> bool:
    """`value` when it is a boolean. Raises ValueError."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} is {value!r:.60}, not true or false")


def text(value: Any, name: str) -> str:
    """`value` when it is a text of printable characters, possibly empty. Raises ValueError."""
    if isinstance(value, str) and value.isprintable():
        return value
    raise ValueError(f"{name} is {value!r:.60}, not a printable text")


def time_text(value: Any, encoding: TimeEncoding) -> str:
    """A time's text, as it came, when it can be read. Raises ValueError."""
    if isinstance(value, str):
        _READERS[encoding](value)
        return value
    raise ValueError(f"time is {value!r:.60}, not a time")


def microseconds(value: Any, encoding: TimeEncoding) -> int:
    """A time in an exchange's own encoding as whole microseconds since 1970, cut and not rounded. Raises ValueError."""
    read = _READERS[encoding](str(value))
    return since_epoch(read) if isinstance(read, datetime) else read


def _iso8601(text: str) -> datetime:
    if len(text) >= len("2024-03-13T11:00:17Z") and text[10] == "T" and text[-1] == "Z":
        return datetime.fromisoformat(text)
    raise ValueError(f"time is {text!r:.60}, not in ISO 8601")


def _epoch_ms_or_us(text: str) -> int:
    if len(text) in (13, 16) and is_integer(text):
        return int(text) * 1000 if len(text) == 13 else int(text)
    raise ValueError(f"time is {text!r:.60}, not milliseconds or microseconds since 1970")


def _epoch_s(text: str) -> int:
    parts = _seconds(text)
    if parts:
        return int(parts[1]) * 1_000_000 + int((parts[2] or "").ljust(6, "0")[:6])
    raise ValueError(f"time is {text!r:.60}, not seconds since 1970")


_READERS: Mapping[TimeEncoding, Callable[[str], datetime | int]] = {
    "iso8601": _iso8601,
    "epoch_ms_or_us": _epoch_ms_or_us,
    "epoch_s": _epoch_s,
}


def since_epoch(moment: datetime) -> int:
    """An aware time as microseconds since 1970. Raises TypeError for one without a time zone."""
    return (moment - _EPOCH) // _MICROSECOND
