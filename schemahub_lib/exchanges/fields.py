"""What the fields of a trade may hold. Each kind has one judge, and the texts of which the judge need not be asked.

Values come in as JSON's own: text for strings and (see `rows.parse`) for numbers too. They go out as they came, except
where a kind names other values for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from schemahub_lib.http.messages import Value
from schemahub_lib.schemas import Position, TimeEncoding

JsonType = Literal["string", "integer", "number", "boolean", "object", "array", "null"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_number = re.compile(r"-?(?:\d{1,50}(?:\.\d{0,50})?|\.\d{1,50})(?:[eE][+-]?\d{1,2})?", re.ASCII).fullmatch
_integer = re.compile(r"\d{1,19}", re.ASCII).fullmatch
_iso = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,18})?Z", re.ASCII).fullmatch
_seconds = re.compile(r"(\d{9,10})(?:\.(\d+))?", re.ASCII).fullmatch


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of value. `read` takes a value and the field's name, and gives what stands in the column.

    `quoted` and `bare` are patterns of JSON texts, with and without quotes around them, that `read` certainly takes and
    gives back as they are, or as `values` says. They may leave out what is rare: that is then read by `read`.
    `json` is how exchanges mostly send it; `read` may well take other types.
    """

    read: Callable[[Any, str], Value]
    quoted: str | None = None
    bare: str | None = None
    values: Mapping[str, Value] | None = None
    json: JsonType = "string"


@dataclass(frozen=True)
class Field:
    """A field of an exchange's JSON and the column of the raw table it goes to."""

    key: str
    column: str
    kind: Kind
    optional: bool = False  # absent or null: the column is null
    since: datetime | None = None  # older trades lack it, and that is no drift
    json: JsonType | None = None  # how this exchange sends it, where not as its kind says

    @property
    def sent_as(self) -> JsonType:
        return self.json or self.kind.json


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


def microseconds(value: Value, encoding: TimeEncoding) -> int:
    """A time in an exchange's own encoding as whole microseconds since 1970, cut and not rounded. Raises ValueError."""
    read = _READERS[encoding](str(value))
    return since_epoch(read) if isinstance(read, datetime) else read


def since_epoch(moment: datetime) -> int:
    """An aware time as microseconds since 1970. Raises TypeError for one without a time zone."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    """Microseconds since 1970 as an aware time."""
    return _EPOCH + microseconds * _MICROSECOND


def place_text(place: int, position: Position) -> str:
    """A position as people read it: an id, or a time to the second."""
    return f"{moment(place):%Y-%m-%d %H:%M:%S}" if position == "time" else str(place)


def _iso8601(text: str) -> datetime:
    if _iso(text):
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


def _time(encoding: TimeEncoding) -> Callable[[Any, str], str]:
    def read(value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{name} is {value!r:.60}, not a time")
        _READERS[encoding](value)
        return value

    return read


def one_of(values: Mapping[str, str]) -> Kind:
    """One of the texts that `values` has, and what stands for it in the column."""

    def read(value: Any, name: str) -> str:
        if isinstance(value, str) and value in values:
            return values[value]
        raise ValueError(f"{name} is {value!r:.60}, not one of {', '.join(values)}")

    return Kind(read, quoted="|".join(map(re.escape, values)), values=values)


_DAY = (
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"  # no 29 February
)
NUMBER = Kind(
    number,
    quoted=r"-?\d{1,50}(?:\.\d{1,50})?(?:[eE][+-]?\d{1,2})?",
    bare=r"-?(?:0|[1-9]\d{0,49})(?:\.\d{1,50})?(?:[eE][+-]?\d{1,2})?",
)
INTEGER = Kind(integer, quoted=r"\d{1,19}", bare=r"0|[1-9]\d{0,18}", json="integer")
FLAG = Kind(flag, bare="true|false", values={"true": True, "false": False}, json="boolean")
TEXT = Kind(text, quoted=r"[ !#-\[\]-~]*")
ISO8601 = Kind(_time("iso8601"), quoted=rf"(?:19|20)\d\d-{_DAY}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{{1,6}})?Z")
EPOCH_MS_OR_US = Kind(
    _time("epoch_ms_or_us"), quoted=r"\d{13}(?:\d{3})?", bare=r"[1-9]\d{12}(?:\d{3})?", json="integer"
)
EPOCH_S = Kind(_time("epoch_s"), json="number")
