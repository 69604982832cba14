"""symbols.yaml, read strictly: the common tickers of assets that an exchange calls otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from schemahub_lib.errors import MappingError
from schemahub_lib.mapping.nodes import Reader, compose, nearest

SYMBOLS = "symbols.yaml"
# By exchange, and the exchange's own name of an asset.
Tickers = Mapping[str, Mapping[str, str]]

_is_ticker = re.compile(r"[^\s/-]+").fullmatch  # the dash stands between base and quote


def parse_symbols(text: str, file: str, exchanges: Sequence[str]) -> Tickers:
    """The tickers in `text`; `file` names it in messages. Raises MappingError with every problem found."""
    loader, root = compose(text, file, exchanges)
    reader = Reader(file, loader)
    tickers: dict[str, dict[str, str]] = {}
    for exchange, exchange_node, section in reader.pairs(root, "venue"):
        if exchange not in exchanges:
            reader.refuse(exchange_node, f"there is no exchange {exchange!r}{nearest(exchange, exchanges)}")
        tickers[exchange] = {}
        for asset, _, node in reader.pairs(section, "ticker"):
            ticker = reader.name(node, "a common ticker")
            if ticker is not None and not _is_ticker(ticker):
                reader.refuse(node, f"{ticker!r} is no ticker: it must have no space, slash or dash")
            elif ticker is not None:
                tickers[exchange][asset] = ticker
    if reader.problems:
        raise MappingError(reader.problems)
    return tickers
