"""What connectors describe and the client sends: requests, responses, pages. No I/O here."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a REST API, relative to the exchange's base URL.

    `weight` is what the call costs in the exchange's own unit (Binance weights; 1 elsewhere); `scope` names the rate
    bucket where the exchange counts per product (Kraken); `product` is only for error messages.
    """

    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    weight: int = 1
    scope: str = ""
    product: str | None = None

    @property
    def query(self) -> str:
        """The parameters as they go over the wire, which is what signatures are made over."""
        return urlencode(self.params)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete HTTP answer. `headers` has lower-case names; `text` is the decoded body; `size` its bytes received."""

    request: Request
    status: int
    headers: Mapping[str, str]
    text: str
    size: int = 0


# What stands in a field of a trade: ids, prices, sizes and times as text, exactly as sent.
Value = str | bool | None
# A trade by the columns of its raw table.
Record = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be a trade: kept aside with the reason, in the exchange's own words."""

    reason: str
    payload: str


@dataclass(frozen=True, slots=True)
class Page:
    """Trades of one stream, oldest first, without gap after the previous page. `cursor` continues after the last.

    `columns` has the raw table's own columns by name, all of one length; a trade is a place in them.
    """

    columns: Mapping[str, Sequence[Value]]
    rejected: list[Rejected]
    cursor: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def records(self) -> list[Record]:
        """The trades one by one."""
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*self.columns.values(), strict=True)]


T = TypeVar("T")
# A conversation with an exchange: yields requests and is sent their responses; yields pages and is sent None.
# It ends when it is caught up, so there is no second flag for 'has more'.
Flow = Generator[Request | Page, Response | None, T]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an answer says is wrong. `throttled` and `unavailable` are worth another try, `rejected` is not."""

    kind: Literal["throttled", "unavailable", "rejected"]
    message: str
    retry_after: float | None = None  # seconds, where the exchange said so


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an exchange allows one IP: `units` of weight per `seconds`, of which `burst` may come at once.

    With `per_scope` each `Request.scope` has a budget of its own.
    """

    units: float
    seconds: float
    burst: float
    per_scope: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """An exchange API key. Its repr shows no secret."""

    key: str
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)
