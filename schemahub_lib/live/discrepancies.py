"""Where venues disagree now, and why: what is no opportunity is told apart from what may be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from schemahub_lib.analysis.ticks import BASIS_POINTS
from schemahub_lib.live.board import Board, Row, group

Reason = Literal["real", "fee-sized", "gap", "stale feed", "halt", "alias"]
TRADABLE: tuple[Reason, ...] = ("real", "fee-sized")


# What a taker pays at the lowest volume, in basis points; docs/live.md says where the exchanges tell it.
FEES = {"coinbase": 60, "binance": 10, "kraken": 40}


@dataclass(frozen=True)
class Thresholds:
    """In basis points, but for `alias`, a factor. Differences below `shown` are not told. An alert is given at `alert`,
    and again only after the difference has been below `rearm` of it."""

    shown: float = 1.0
    alert: float = 25.0
    rearm: float = 0.8
    alias: float = 1.2


@dataclass(frozen=True)
class Discrepancy:
    """Two venues' prices of one asset. `apart` is how far the dearer middle is above the cheaper one, `net` what is
    left of buying at the one's ask and selling at the other's bid after both taker fees; both in basis points."""

    base: str
    cheap: Row
    dear: Row
    apart: float
    net: float
    reason: Reason
    words: str

    @property
    def pair(self) -> tuple[str, str, str, str]:
        """What tells it from others, whichever venue is the dearer one."""
        ends = sorted((row.market.exchange, row.market.symbol) for row in (self.cheap, self.dear))
        return (*ends[0], *ends[1])


def discrepancies(board: Board, now: int, thresholds: Thresholds) -> list[Discrepancy]:
    """Every pair of venues that differ now: first what may be real, by what is left of it, then the others by size."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in board.rows.values():
        if row.mid:
            groups.setdefault(group(row.market), []).append(row)
    found = [
        discrepancy
        for rows in groups.values()
        for pair in combinations(rows, 2)
        if pair[0].market.exchange != pair[1].market.exchange
        and (discrepancy := _compared(board, *pair, now, thresholds)).apart >= thresholds.shown
    ]
    return sorted(found, key=lambda d: (d.reason != "real", -d.net if d.reason == "real" else -d.apart))


def _compared(board: Board, one: Row, other: Row, now: int, thresholds: Thresholds) -> Discrepancy:
    cheap, dear = sorted((one, other), key=lambda row: row.mid or 0)
    assert cheap.quote is not None
    assert dear.quote is not None
    low, high = cheap.quote.mid, dear.quote.mid
    apart = float((high - low) / low) * BASIS_POINTS
    edge = float((dear.quote.bid - cheap.quote.ask) / cheap.quote.ask) * BASIS_POINTS
    fees = FEES[cheap.market.exchange] + FEES[dear.market.exchange]
    reason, words = _why(board, cheap, dear, now, float(high / low), edge, fees, thresholds)
    return Discrepancy(cheap.market.base, cheap, dear, apart, edge - fees, reason, words)


def _why(
    board: Board, cheap: Row, dear: Row, now: int, factor: float, edge: float, fees: float, thresholds: Thresholds
) -> tuple[Reason, str]:
    doubts = [doubt for row in (cheap, dear) if (doubt := board.doubt(row, now))]
    for reason in ("halt", "stale feed", "gap"):
        for told, words in doubts:
            if told == reason:
                return told, words
    base = cheap.market.base
    if factor >= thresholds.alias:
        return "alias", (
            f"{base} costs {factor:.3g} times as much at {dear.market.venue} as at {cheap.market.venue}: "
            "probably two assets with one ticker; a line in mappings/symbols.yaml tells them apart"
        )
    way = f"buying {base} at {cheap.market.venue} and selling it at {dear.market.venue}"
    quotes = {cheap.market.quote, dear.market.quote}
    note = f"; it includes the price of {' in '.join(sorted(quotes, reverse=True))}" if len(quotes) > 1 else ""
    if edge <= 0:
        return "fee-sized", f"{way} costs {abs(edge):.1f} bps before fees: the quotes overlap{note}"
    if edge <= fees:
        return "fee-sized", f"{way} brings {edge:.1f} bps, and the two taker fees take {fees:.0f}{note}"
    return "real", f"{way} brings {edge - fees:.1f} bps after taker fees of {fees:.0f}{note}"


@dataclass(frozen=True)
class Alert:
    """A discrepancy that came to the threshold, and when."""

    time: int
    discrepancy: Discrepancy


class Alerts:
    """Tells once that a difference which may be traded has come to the threshold."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str, str]] = set()

    def update(self, found: Sequence[Discrepancy], now: int, thresholds: Thresholds) -> list[Alert]:
        """The new ones among what is found now."""
        apart = {discrepancy.pair: discrepancy.apart for discrepancy in found}
        still = thresholds.alert * thresholds.rearm
        self._told = {pair for pair in self._told if apart.get(pair, 0.0) >= still}
        crossed = [
            discrepancy
            for discrepancy in found
            if discrepancy.reason in TRADABLE
            and discrepancy.apart >= thresholds.alert
            and discrepancy.pair not in self._told
        ]
        self._told |= {discrepancy.pair for discrepancy in crossed}
        return [Alert(now, discrepancy) for discrepancy in crossed]
