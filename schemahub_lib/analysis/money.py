"""What prices are told in, where they are compared."""

from __future__ import annotations

# Dollars and tokens that stand for one are one money; a difference between two of them includes the token's own price.
DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "TUSD", "DAI", "PYUSD"})


def money(quote: str) -> str:
    """The money that a quote asset is: prices are compared within one."""
    return "dollars" if quote in DOLLARS else quote
