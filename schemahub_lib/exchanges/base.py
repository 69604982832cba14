"""What an exchange is to the rest of SchemaHub: data about it, requests it understands, answers it can read.

A connector does no I/O. Its methods are conversations (`Flow`): they yield a `Request`, are sent the `Response`, and
yield `Page`s of trades. One `HttpClient` holds every conversation, so live fetching, recorded answers and the
simulator differ by a base URL only.
"""

from __future__ import annotations

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Literal, Self, TypeVar

from schemahub_lib.errors import UnexpectedResponse, UsageError
from schemahub_lib.exchanges import fields, rows
from schemahub_lib.exchanges.books import Books
from schemahub_lib.exchanges.fields import Field
from schemahub_lib.exchanges.rows import Rows
from schemahub_lib.http.messages import Credentials, Flow, Page, RateLimit, Request, Response, Trouble, Value
from schemahub_lib.schemas import Table
from schemahub_lib.watermark import Watermark

A = TypeVar("A")
# What a connector makes of a page: the one it asked for; perhaps not; certainly another one.
Verdict = Literal["good", "doubtful", "stale"]
TRIES = 10
SEPARATORS = frozenset("/-_ ")


@dataclass(frozen=True, slots=True)
class Product:
    """A market. `symbol` is its spelling in the raw table; `aliases` are other names users may type for it.

    Assets are as the exchange calls them. `tradable` is whether it is open; `spot` whether one asset is exchanged for
    the other there.
    """

    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    tradable: bool
    aliases: tuple[str, ...] = ()
    spot: bool = True


@dataclass(frozen=True)
class Archive:
    """The bulk files an exchange publishes: lines of comma-separated fields, one a trade, in CSV files inside zips.

    Every kind in `fields` has the texts that lines may show: those of `values`, else those of the pattern `bare`.
    `payload` is the JSON kept of a trade, as the API's would be: `<key>` stands for a field's own text, `<_archive>`
    for the name of the file the trade came from, which tells it from what the API sent.
    """

    names: re.Pattern[str]  # of CSV files of trades, with a group `product`
    others: Mapping[str, str]  # patterns of other files' names, and what those files are
    published_at: str
    fields: tuple[Field, ...]  # in a line's order
    payload: str
    ascending: str  # the column by which lines ascend: an id strictly, a time with equals
    header: Mapping[str, str] = field(default_factory=dict)  # how header lines call a field, other than by its key
    other_widths: Mapping[int, str] = field(default_factory=dict)  # numbers of fields that tell another kind of file
    checksums: bool = False  # every zip has its <name>.CHECKSUM beside it
    id_made_of: tuple[str, ...] = ()  # columns, besides the time, of which an id is made where lines have none
    untold: tuple[str, ...] = ()  # columns of the raw table that no line tells: null, even where required


class Exchange(ABC):
    """One exchange. Differences are class attributes; code only where behaviour differs."""

    name: ClassVar[str]  # 'coinbase': the source's name in commands, tables and files
    base_url: ClassVar[str]
    time_path: ClassVar[str]  # answers with the exchange's clock: cheap, and proof that it is reached
    rate_limit: RateLimit  # of one IP address
    page_size: int  # rows asked for at once, at most what the API gives
    page_weight: ClassVar[int] = 1  # what a page of history costs, in the rate limit's units
    first_position: ClassVar[int]  # no trade stands before it, see `Table.position`
    raw_table: ClassVar[Table]
    fields: ClassVar[tuple[Field, ...]]  # of a trade, as the exchange sends it; in their order where trades are arrays
    untaken: ClassVar[frozenset[str]] = frozenset()  # fields that are known, and left in the payload
    id_column: ClassVar[str]  # in raw_table
    symbol_column: ClassVar[str]
    time_column: ClassVar[str]
    separator: ClassVar[str] = ""  # between a symbol's base and quote
    quote_assets: ClassVar[tuple[str, ...]] = ()  # by which symbols without a separator are split
    archive: ClassVar[Archive | None] = None  # its bulk files, where it publishes any
    books: ClassVar[Books | None] = None  # its order books, where they are fetched

    @abstractmethod
    def products(self) -> Flow[list[Product]]:
        """Ask for every market there is. Raises UnexpectedResponse when the list has another shape."""

    @abstractmethod
    def trades(self, product: str, start: Watermark | datetime, until: datetime | None = None) -> Flow[None]:
        """Fetch `product`'s trades oldest first: after a watermark, or from a time on (inclusive).

        Ends at the head of the tape, or before the first trade at or after `until`. Yields only full pages:
        everything up to a page's cursor has been yielded. Raises UnexpectedResponse.
        """

    @abstractmethod
    def head(self, product: str) -> Flow[int | None]:
        """The position of a product's newest trade; None when it has none. Raises UnexpectedResponse."""

    @abstractmethod
    def position_at(self, product: str, when: datetime) -> Flow[int | None]:
        """A position from which on every trade is at or after `when`, and before which none is; None when all trades
        are older. Raises UnexpectedResponse."""

    @abstractmethod
    def between(self, product: str, low: int, high: int) -> Flow[None]:
        """Fetch every trade at the positions `low..high`, oldest first; there must be one at `high` or after it.

        Raises UnexpectedResponse, also when the tape seems to end before `high`.
        """

    def count(self, product: str, low: int, high: int) -> Flow[int | None]:
        """About how many trades there are at the positions `low..high`; None where nothing tells."""
        yield from ()
        return high - low + 1

    def book(self, product: str, depth: int | None = None) -> Flow[dict[str, Any]]:
        """Ask for a product's order book, as it is now: a row of the table of `books`, see `Books.read`.

        At least `depth` levels of each side, where there are so many; those of `books` by default. Raises
        UnexpectedResponse.
        """
        assert self.books is not None, f"{self.name} has no order books"
        response = yield from ask(self.books.request(product, depth or self.books.depth))
        try:
            return {self.symbol_column: product, **self.books.read(response.text)}
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise self.unexpected(response, f"an order book ({error})") from error

    @abstractmethod
    def trouble(self, response: Response) -> Trouble | None:
        """What `response` reports as wrong, in the exchange's own way of saying it; None for a good answer."""

    @abstractmethod
    def sign(self, request: Request, credentials: Credentials, now: float) -> Request:
        """`request` with the headers that authenticate it. `now` is seconds since 1970. Raises UsageError."""

    def in_pages_of(self, rows: int) -> Self:
        """The same exchange, asked for at most `rows` trades at once (never more than it gives, nor fewer than two: a
        page of one cannot show that an id was skipped)."""
        other = copy(self)
        other.page_size = max(min(rows, self.page_size), 2)
        return other

    def with_share(self, tasks: int) -> Self:
        """The same exchange with what one of `tasks` may ask, when all of them count as one."""
        other = copy(self)
        other.rate_limit = replace(self.rate_limit, units=self.rate_limit.units / tasks, burst=1)
        return other

    def pause_after(self, response: Response) -> float:
        """Seconds for which everyone should hold back after `response`, because the exchange says it has counted more
        than we have; 0 where it says nothing."""
        return 0.0

    def resume_cursor(self, trade_id: str, when: datetime) -> str:
        """A cursor that continues after a stream's last trade, for a watermark rebuilt from rows."""
        return trade_id

    def split_symbol(self, symbol: str) -> tuple[str, str] | None:
        """Base and quote, as the exchange calls them, of a symbol that its list has no more; None when unsure."""
        if self.separator:
            base, _, quote = symbol.partition(self.separator)
            sure = base and quote and self.separator not in quote  # of three parts are contracts: BTC-USDT-SWAP
            return (base, quote) if sure else None
        for quote in sorted(self.quote_assets, key=len, reverse=True):
            if symbol.endswith(quote) and symbol != quote and SEPARATORS.isdisjoint(symbol):
                return symbol.removesuffix(quote), quote
        return None

    def time_of(self, shown: Value) -> int:
        """When a trade executed, in microseconds since 1970, from what its time column shows."""
        return fields.microseconds(shown, self.raw_table.column(self.time_column).time_encoding)

    def since(self, page: Rows, start: datetime) -> Rows:
        """A page, oldest first, without the trades older than `start` that it begins with."""
        limit, first = fields.since_epoch(start), 0
        for place, shown in enumerate(page.columns[self.time_column]):
            if place not in page.rejected:
                if self.time_of(shown) >= limit:
                    break
                first = place + 1
        return page[first:]

    def upto(self, page: Rows, until: datetime | None) -> tuple[Rows, bool]:
        """A page's rows before the first trade at or after `until`, and whether there is one."""
        if until is not None:
            limit = fields.since_epoch(until)
            for place, shown in enumerate(page.columns[self.time_column]):
                if place not in page.rejected and self.time_of(shown) >= limit:
                    return page[:place], True
        return page, False

    def positions(self, columns: Mapping[str, Sequence[Value]]) -> list[int]:
        """Where trades stand in their stream, from the columns of a page."""
        if self.raw_table.position == "id":
            return [int(str(shown)) for shown in columns[self.id_column]]
        return [self.time_of(shown) for shown in columns[self.time_column]]

    def page(self, page: Rows, product: str, cursor: str) -> Page:
        """What is handed on of rows: the trades, with the product they are of."""
        return page.with_column(self.symbol_column, [product] * len(page)).page(cursor)

    def read_page(self, response: Response, expected: str) -> Rows:
        """The rows of an array of trades. Raises UnexpectedResponse when the body is none."""
        try:
            return rows.read_page(response.text, self.fields)
        except ValueError as error:
            raise self.unexpected(response, expected) from error

    def parse(self, response: Response, depth: int, expected: str) -> Any:
        """`rows.parse` of a body. Raises UnexpectedResponse when it is no JSON."""
        try:
            return rows.parse(response.text, depth)
        except ValueError as error:
            raise self.unexpected(response, expected) from error

    def unexpected(self, response: Response, expected: str) -> UnexpectedResponse:
        """The error for an answer that has another shape than documented."""
        request = response.request
        return UnexpectedResponse(
            f"expected {expected}, but the answer is {len(response.text)} characters that begin "
            f"{response.text[:80]!r}. Nothing of it was kept; if it stays so, the exchange has changed its API",
            exchange=self.name,
            endpoint=request.path,
            product=request.product,
        )

    def cut_short(self, path: str, product: str, high: int, found: int) -> UnexpectedResponse:
        """The error for a tape that ends at `found`, although there are trades at `high` or after it."""
        message = f"the trades up to {high} were asked for, but the answers end at {found}, as if there were no more"
        return UnexpectedResponse(message, exchange=self.name, endpoint=path, product=product)


def ask(request: Request) -> Flow[Response]:
    """Put a request to whoever drives the flow."""
    response = yield request
    assert response is not None
    return response


def ask_until_believed(
    exchange: Exchange,
    request: Request,
    read: Callable[[Response], A],
    judge: Callable[[A], Verdict],
    another: Request | None = None,
    told_by: Callable[[A], object] = lambda answer: answer,
) -> Flow[A]:
    """Ask until the answer can be believed, because caches at the exchanges' edge now and then repeat another page.

    An answer is doubtful when ids are missing where they should go on: skipped by the exchange, or the page is stale.
    It is believed when `another` request, which no cache can answer with the same page, tells the same (`told_by`).
    Raises UnexpectedResponse when it never settles.
    """
    for _ in range(TRIES):
        response = yield from ask(request)
        answer = read(response)
        verdict = judge(answer)
        if verdict == "doubtful" and another is not None:
            other = read((yield from ask(another)))
            verdict = "good" if told_by(other) == told_by(answer) else "doubtful"
        if verdict == "good":
            return answer
    raise exchange.unexpected(response, f"the page asked for ({request.query}), and not another one {TRIES} times")


def status_trouble(response: Response, message: str) -> Trouble | None:
    """What the HTTP status alone says is wrong; `message` is the exchange's explanation."""
    if response.status < 300:
        return None
    told = f"HTTP {response.status}: {message}"
    if response.status in (418, 429):
        return Trouble("throttled", told, _retry_after(response))
    if response.status >= 500 or response.status == 408:
        return Trouble("unavailable", told, _retry_after(response))
    return Trouble("rejected", told)


def decode_secret(exchange: Exchange, credentials: Credentials) -> bytes:
    """The signing secret, which exchanges hand out as base64. Raises UsageError."""
    variable = f"SCHEMAHUB_{exchange.name.upper()}_SECRET"
    if not credentials.secret:
        raise UsageError(f"{exchange.name}: a key needs its secret too: set {variable}")
    try:
        return base64.b64decode(credentials.secret, validate=True)
    except ValueError:
        raise UsageError(f"{exchange.name}: {variable} is not base64; copy it again from the exchange") from None


def _retry_after(response: Response) -> float | None:
    """Seconds to wait: `Retry-After` as a number, or as a date counted from the answer's own `Date`."""
    told = response.headers.get("retry-after", "")
    if told.isascii() and told.isdigit():
        return float(told)
    try:
        until, since = parsedate_to_datetime(told), parsedate_to_datetime(response.headers["date"])
        return max((until - since).total_seconds(), 0.0)
    except (ValueError, KeyError, TypeError):
        return None
