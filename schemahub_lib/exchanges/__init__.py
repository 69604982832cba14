"""The exchanges SchemaHub knows. A new one is a file beside this one and a line in `EXCHANGES`."""

from __future__ import annotations

from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.exchanges.binance import Binance
from schemahub_lib.exchanges.coinbase import Coinbase
from schemahub_lib.exchanges.kraken import Kraken
from schemahub_lib.exchanges.okx import Okx

EXCHANGES: dict[str, Exchange] = {
    "coinbase": Coinbase(),
    "binance": Binance(),
    "kraken": Kraken(),
    "okx": Okx(),
}
