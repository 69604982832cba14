"""One venue's trades of a window, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
