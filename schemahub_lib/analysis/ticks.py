"""Trades as columns, and those of one venue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
BASIS_POINTS = 1e4  # in a whole


@dataclass(frozen=True)
class Ticks:
    """Trades in the order of their time. `time` is in microseconds since 1970, `price` in quote asset, `side` +1 where
    the taker bought, -1 where they sold, 0 where the source does not tell."""

    time: I64
    price: F64
    side: F64

    def __len__(self) -> int:
        return len(self.time)

    def middle(self) -> tuple[F64, F64]:
        """Where the middle between bid and ask was: times in milliseconds since 1970, and logarithms of prices, one for
        each order that took.

        Buyers pay the ask and sellers get the bid, so prices jump to and fro by the spread while the market stands
        still. Half of it is what neighbours of unlike sides differ by, in the median.
        """
        log_price = np.log(self.price)
        # An order that eats through several prices makes trades of one time and side; the first is at the touch.
        first = np.ones(len(self), dtype=bool)
        first[1:] = (np.diff(self.time) != 0) | (np.diff(self.side) != 0)
        time, log_price, side = self.time[first], log_price[first], self.side[first]
        turned = np.diff(side) != 0
        half_spread = np.median(np.diff(log_price)[turned] / np.diff(side)[turned]) if turned.any() else 0.0
        return time / 1e3, log_price - half_spread * side


def runs(rows: pa.Table, *columns: str) -> Iterator[pa.Table]:
    """The rows in parts: those that follow each other with the same values in these columns."""
    turned = np.zeros(max(len(rows) - 1, 0), dtype=bool)
    for name in columns:
        turned |= np.diff(rows[name].combine_chunks().dictionary_encode().indices.to_numpy()) != 0
    edges = [0, *(np.flatnonzero(turned) + 1).tolist(), len(rows)]
    return (rows.slice(first, after - first) for first, after in pairwise(edges) if after > first)
