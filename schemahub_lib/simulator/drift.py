"""A feed that drifts: pages of trades in another shape than documented, by faults of these names.

A trade is a flat object, or (Kraken) an array that begins with the price, a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from zlib import crc32

OBJECT = re.compile(rb"\{([^{}\[\]]*)\}")
ARRAY = re.compile(rb'\["([^\[\]]*)\]')
PRICE = re.compile(rb'("(?:price|px)":|\[(?="\d))"([\d.]+)"')
BEST_MATCH = re.compile(rb',?"isBestMatch":(?:true|false)')


def _with_a_fee(body: bytes) -> bytes:
    # The same trade has the same fee on every page that it is on.
    if ARRAY.search(body):
        return ARRAY.sub(lambda row: b'["%b,"%b"]' % (row[1], _fee(row[1])), body)
    return OBJECT.sub(lambda row: b'{%b,"maker_fee":"%b"}' % (row[1], _fee(row[1])), body)


def _fee(row: bytes) -> bytes:
    return b"0.00%02d" % (crc32(row) % 25)


DRIFTS: dict[str, Callable[[bytes], bytes]] = {
    "new-field": _with_a_fee,
    "missing-field": lambda body: BEST_MATCH.sub(b"", body),
    "retyped-field": lambda body: PRICE.sub(rb"\1\2", body),
}
