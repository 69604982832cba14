"""What is traded where: assets, venues and the listings they make, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


def ns(when: str) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time; UTC where it names no zone."""
    time = datetime.fromisoformat(when)
    time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return (int(time.timestamp()) * 1_000_000 + time.microsecond) * 1_000


@dataclass(frozen=True)
class Venue:
    """How one exchange's market differs. `trades_per_second` is that of BTC; `lag_ms` is behind the leading venue.

    `symbol` is how it names an asset's market, from the asset's own fields.
    """

    name: str
    symbol: str
    trades_per_second: float
    lag_ms: tuple[int, int]
    half_spread: float  # share of the price
    quote: str
    ns_between_ties: int  # trades of one sweep: Kraken spaces them by nanoseconds, which its printed times hide


VENUES = {
    venue.name: venue
    for venue in (
        Venue("coinbase", "{code}-USD", 4.0, (40, 100), 0.3e-4, "USD", 0),
        Venue("binance", "{code}USDT", 20.0, (0, 0), 0.15e-4, "USDT", 0),
        Venue("kraken", "{kraken_pair}", 1.5, (60, 110), 0.6e-4, "USD", 3),
        Venue("okx", "{code}-USDT", 1.2, (20, 60), 0.2e-4, "USDT", 0),  # it has far more, but tells 100 at a time
    )
}


@dataclass(frozen=True)
class Asset:
    """A coin: its price on 2024-02-08 in dollars, how it grows and moves, how busy it is, and its trade sizes."""

    code: str
    name: str
    price: float
    growth: float  # of the logarithm of the price, a year
    volatility: float  # of the logarithm of the price, a square root of a second
    activity: float  # trades as a share of BTC's
    size: float  # a typical trade, in coins
    price_decimals: int
    lot_decimals: int  # Binance's; the others trade 8
    kraken_price_decimals: int
    kraken_asset: str  # XXBT
    kraken_altname: str  # XBT
    kraken_pair: str  # XXBTZUSD
    listed: Mapping[str, str]  # by venue
    delisted: str | None = None


ASSETS = (
    Asset("BTC", "Bitcoin", 45_000, 0.4, 8e-5, 1.0, 0.02, 2, 7, 1, "XXBT", "XBT", "XXBTZUSD",
          {"coinbase": "2014-12-01", "binance": "2017-08-17", "kraken": "2013-10-06", "okx": "2017-11-30"}),
    Asset("ETH", "Ether", 2_450, 0.3, 1e-4, 0.7, 0.3, 2, 4, 2, "XETH", "ETH", "XETHZUSD",
          {"coinbase": "2016-05-18", "binance": "2017-08-17", "kraken": "2015-08-07", "okx": "2017-11-30"}),
    Asset("SOL", "Solana", 100, 0.2, 1.4e-4, 0.4, 5, 2, 3, 2, "SOL", "SOL", "SOLUSD",
          {"coinbase": "2021-06-17", "binance": "2020-08-11", "kraken": "2021-06-17", "okx": "2020-09-30"}),
    Asset("DOGE", "Dogecoin", 0.08, 0.1, 1.4e-4, 0.1, 900, 5, 0, 7, "XXDG", "XDG", "XDGUSD",
          {"coinbase": "2021-06-03", "binance": "2019-07-05", "kraken": "2019-12-20", "okx": "2019-07-23"}),
    Asset("XTZ", "Tezos", 1.0, 0.0, 1.2e-4, 0.002, 60, 3, 1, 4, "XTZ", "XTZ", "XTZUSD",
          {"coinbase": "2019-08-06", "binance": "2019-09-24", "kraken": "2018-10-02", "okx": "2018-09-25"}),
    Asset("MIR", "Mirror Protocol", 0.2, -0.3, 1.8e-4, 0.004, 90, 4, 2, 4, "MIR", "MIR", "MIRUSD",
          {"coinbase": "2021-05-25", "binance": "2021-04-19", "kraken": "2021-06-15", "okx": "2021-04-30"},
          delisted="2022-11-30"),
)  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """One asset at one venue. `symbol` is the venue's own key for it (`BTC-USD`, `BTCUSDT`, `XXBTZUSD`)."""

    venue: Venue
    asset: Asset
    symbol: str
    price_decimals: int
    lot_decimals: int
    listed_ns: int
    delisted_ns: int | None

    def is_delisted(self, now_ns: int) -> bool:
        return self.delisted_ns is not None and self.delisted_ns <= now_ns


def listings(venue: str) -> tuple[Listing, ...]:
    """Everything `venue` has ever listed."""
    place = VENUES[venue]
    return tuple(
        Listing(
            venue=place,
            asset=asset,
            symbol=place.symbol.format_map(vars(asset)),
            price_decimals=asset.kraken_price_decimals if venue == "kraken" else asset.price_decimals,
            lot_decimals=asset.lot_decimals if venue == "binance" else 8,
            listed_ns=ns(asset.listed[venue]),
            delisted_ns=ns(asset.delisted) if asset.delisted else None,
        )
        for asset in ASSETS
    )
