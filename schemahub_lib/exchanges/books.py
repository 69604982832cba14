"""Order books: the table that snapshots go into, and how one is read, whatever the exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from operator import gt, lt
from typing import Any

from schemahub_lib.exchanges import rows
from schemahub_lib.exchanges.fields import NUMBER, Field
from schemahub_lib.exchanges.rows import Row
from schemahub_lib.http.messages import Request
from schemahub_lib.schemas import INGEST_TS, LEVELS, RAW_COMMON, RAW_PAYLOAD, Column, Table, TimeEncoding

# A price and the quantity offered at it, as sent.
Level = tuple[str, str]


@dataclass(frozen=True)
class Books:
    """An exchange's order books: how a snapshot is asked for, and what of an answer is kept.

    Of each side the best `depth` levels are asked for, and kept where more come. `find` gives the JSON object that has
    the sides, `bids` and `asks`, as arrays of `rows.Row`s, and perhaps `fields`; it raises ValueError, TypeError,
    LookupError or AttributeError where there is none.
    """

    table: Table
    depth: int
    request: Callable[[str, int], Request]  # of a product, and a depth
    fields: tuple[Field, ...] = ()
    find: Callable[[str], Mapping[str, Any]] = lambda text: rows.an_object(rows.parse(text, 1))

    def read(self, text: str) -> dict[str, Any]:
        """The columns of the snapshot in an answer; levels are texts, best first. Raises as `find` does.

        A malformed level costs the whole snapshot: without it the book would be another one.
        """
        found = self.find(text)
        bids, asks = (_best(found[side], self.depth) for side in ("bids", "asks"))
        payload = "".join(('{"bids":[', _joined(bids), '],"asks":[', _joined(asks), "]}"))
        return {
            "time": None,
            "sequence": None,
            **rows.record(found, self.fields),
            "bids": _levels("bids", bids, gt),
            "asks": _levels("asks", asks, lt),
            RAW_PAYLOAD.name: payload,
        }


def books_table(exchange: str, symbol_column: str, time_encoding: TimeEncoding = "iso8601") -> Table:
    """The table of an exchange's snapshots: one row each, by the day on which it was fetched."""
    return Table(
        f"raw_{exchange}_books",
        (
            Column(symbol_column, "STRING", "as in the table of trades", required=True, meaning="symbol"),
            Column("time", "TIMESTAMP", "when the exchange made it; null where it does not tell", False, time_encoding),
            Column("sequence", "BIGINT", "the book's last change, as the exchange counts; null where it does not tell"),
            Column("bids", LEVELS, "best first; in quote asset, and in base asset", required=True),
            Column("asks", LEVELS, "best first; in quote asset, and in base asset", required=True),
            *RAW_COMMON,
        ),
        partition_by_day=INGEST_TS.name,
        sort_by=(symbol_column, INGEST_TS.name),
        key=(symbol_column, INGEST_TS.name),
    )


def _best(side: Any, depth: int) -> list[Row]:
    if not isinstance(side, list):
        raise ValueError("a side is not an array")
    return side[:depth]


def _joined(side: Sequence[Row]) -> str:
    return ",".join(text for _, text in side)


def _levels(side: str, found: Sequence[Row], better: Callable[[Decimal, Decimal], bool]) -> list[Level]:
    levels = []
    for value, text in found:
        if not isinstance(value, list) or len(value) < 2:
            raise ValueError(f"{side} have {text:.60}, not a price and a quantity")
        price, quantity = NUMBER.read(value[0], "price"), NUMBER.read(value[1], "quantity")
        levels.append((str(price), str(quantity)))
    prices = [Decimal(price) for price, _ in levels]
    if not all(better(one, next_) for one, next_ in pairwise(prices)):
        raise ValueError(f"{side} are not best first")
    if any(Decimal(number) <= 0 for level in levels for number in level):
        raise ValueError(f"{side} have a price or a quantity that is not above zero")
    return levels
