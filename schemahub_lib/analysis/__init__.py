"""What the trades tell: bursts of volatility, which venue moved first, how far venues disagreed."""
