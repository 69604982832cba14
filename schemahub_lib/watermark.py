"""How far a stream (source + product) is durably committed. Plain data; it travels with the rows it describes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Watermark:
    """The last trade of a stream that is in the raw table, and where the exchange continues after it.

    `last_ts` is aware UTC with microseconds. `tail` holds the ids of all trades at `last_ts` and is filled only where
    the exchange gives no ids (old Kraken rows): there, time and tail together tell what is covered.
    """

    last_trade_id: str
    last_ts: datetime
    cursor: str
    tail: tuple[str, ...] = ()
