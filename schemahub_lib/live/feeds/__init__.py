"""The exchanges whose public WebSocket feeds are read. Another one is a file beside this one and a line in `FEEDS`."""

from __future__ import annotations

from schemahub_lib.live.feeds.base import Feed
from schemahub_lib.live.feeds.binance import BinanceFeed
from schemahub_lib.live.feeds.coinbase import CoinbaseFeed
from schemahub_lib.live.feeds.kraken import KrakenFeed

FEEDS: dict[str, type[Feed]] = {"coinbase": CoinbaseFeed, "binance": BinanceFeed, "kraken": KrakenFeed}
