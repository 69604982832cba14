"""The exchanges' public WebSocket feeds: quotes and trades of the model as they happen."""

from __future__ import annotations

from schemahub_lib.simulator.feeds.base import Feed
from schemahub_lib.simulator.feeds.binance import BinanceFeed
from schemahub_lib.simulator.feeds.coinbase import CoinbaseFeed
from schemahub_lib.simulator.feeds.kraken import KrakenFeed

FEEDS: dict[str, type[Feed]] = {"coinbase": CoinbaseFeed, "binance": BinanceFeed, "kraken": KrakenFeed}
