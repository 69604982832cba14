"""Recorded response files in place of the model.

A folder holds `<exchange>/<kind>/<date>_<product>….json` response bodies, and beside some of them `….http.json` with
the request. Of each exchange and product, the union of all recorded trade rows is one stream that pages like the live
one; every row keeps the JSON text it was recorded with.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson

from schemahub_lib.errors import UsageError
from schemahub_lib.simulator.listings import ns
from schemahub_lib.simulator.source import Json, Render, Stream

# Numbers stay text: a double would round Kraken's times.
DECODER = json.JSONDecoder(parse_float=str, parse_int=str)
ELEMENT = re.compile(r"[\s,]*(?=[^\s,\]])")  # what stands before an array's next element
COINBASE_PATH = re.compile(r"/products/([^/]+)/")
DATED_NAME = re.compile(r"\d{4}-\d{2}(?:-\d{2})?_([A-Za-z0-9-]+)")


@dataclass(frozen=True)
class Row:
    """One trade. `number` is its id, or its place among the rows of a time when the exchange gave no ids."""

    number: int
    time_ns: int
    text: str


class RecordedStream:
    """Rows of one product in order of time; ids may have holes."""

    def __init__(self, rows: Iterable[Row]) -> None:
        unique = {row.number: row for row in rows}
        self._rows = sorted(unique.values(), key=attrgetter("time_ns", "number"))

    def end(self, now_ns: int) -> int:
        return len(self._rows)

    def find_id(self, trade_id: int) -> int:
        # Not bisected: old rows without ids, and aggregates made from trades, have numbers of another kind.
        return next((place for place, row in enumerate(self._rows) if row.number >= trade_id), len(self._rows))

    def find_time(self, time_ns: int) -> int:
        return bisect_left(self._rows, time_ns, key=attrgetter("time_ns"))

    def id_at(self, position: int) -> int:
        return self._rows[position].number

    def time_at(self, position: int) -> int:
        return self._rows[position].time_ns

    def rows(self, start: int, stop: int) -> list[str]:
        return [row.text for row in self._rows[start:stop]]


class RecordedSource:
    """One exchange's recorded files. The clock does not matter: all recorded trades are there.

    Binance aggregates that were not recorded are made from recorded trades, one aggregate a trade with the trade's own
    id, so that a look-up by time finds the trade there. A product that is neither listed nor recorded does not exist.
    """

    def __init__(self, folder: Path, exchange: str) -> None:
        if not folder.is_dir():
            raise UsageError(f"no folder of recorded responses at {folder}")
        self._products: dict[str, Json] = {}
        self._assets: dict[str, Json] = {}
        self._books: dict[str, Json] = {}
        self._rows: dict[str, list[Row]] = defaultdict(list)
        self._aggregate_rows: dict[str, list[Row]] = defaultdict(list)
        self._made_aggregates: dict[str, list[Row]] = defaultdict(list)
        self._covered: dict[str, set[int]] = defaultdict(set)  # trades that recorded aggregates hold
        read = {
            "coinbase": self._read_coinbase,
            "binance": self._read_binance,
            "kraken": self._read_kraken,
            "okx": self._read_okx,
        }[exchange]
        for path in sorted((folder / exchange).rglob("*.json")):
            if not path.name.endswith(".http.json"):
                read(path.relative_to(folder / exchange).parts[0], path)
        known = self._products.keys() | self._rows.keys()
        self._trades = {symbol: RecordedStream(self._rows[symbol]) for symbol in known}
        self._aggregates = {symbol: RecordedStream(self._all_aggregates(symbol)) for symbol in known}

    def _all_aggregates(self, symbol: str) -> list[Row]:
        made = [row for row in self._made_aggregates[symbol] if row.number not in self._covered[symbol]]
        return self._aggregate_rows[symbol] + made

    def products(self) -> dict[str, Json]:
        return self._products

    def assets(self) -> dict[str, Json]:
        return self._assets

    def trades(self, symbol: str, render: Render) -> Stream | None:
        return self._trades.get(symbol)

    def aggregates(self, symbol: str, render: Render) -> Stream | None:
        return self._aggregates.get(symbol)

    def book(self, symbol: str, depth: int, now_ns: int) -> tuple[list[Json], list[Json]]:
        book = self._books.get(symbol, {"bids": [], "asks": []})
        return book["bids"][:depth], book["asks"][:depth]

    def _read_coinbase(self, kind: str, path: Path) -> None:
        if kind == "products":
            self._products.update({product["id"]: product for product in orjson.loads(path.read_bytes())})
        elif kind == "trades":
            self._rows[_product(path)] += [
                Row(int(row["trade_id"]), ns(row["time"]), text) for row, text in _array(path.read_text())
            ]
        elif kind == "book":
            self._books[_product(path)] = orjson.loads(path.read_bytes())

    def _read_binance(self, kind: str, path: Path) -> None:
        if kind == "exchangeInfo":
            symbols = orjson.loads(path.read_bytes())["symbols"]
            self._products.update({symbol["symbol"]: symbol for symbol in symbols})
        elif kind in ("trades", "historicalTrades"):
            for row, text in _array(path.read_text()):
                number, time_ns = int(row["id"]), _milliseconds(row["time"])
                self._rows[_product(path)].append(Row(number, time_ns, text))
                self._made_aggregates[_product(path)].append(Row(number, time_ns, _aggregate(row)))
        elif kind == "aggTrades":
            for row, text in _array(path.read_text()):
                self._aggregate_rows[_product(path)].append(Row(int(row["a"]), _milliseconds(row["T"]), text))
                self._covered[_product(path)].update(range(int(row["f"]), int(row["l"]) + 1))
        elif kind == "depth":
            self._books[_product(path)] = orjson.loads(path.read_bytes())

    def _read_kraken(self, kind: str, path: Path) -> None:
        result = orjson.loads(path.read_bytes()).get("result", {})
        if kind == "AssetPairs":
            self._products.update(result)
        elif kind == "Assets":
            self._assets.update(result)
        elif kind == "depth":
            self._books.update(result)
        elif kind == "trades":
            last = int(result.pop("last"))
            (pair,) = result
            self._rows[pair] += _kraken_rows(path.read_text(), pair, last)

    def _read_okx(self, kind: str, path: Path) -> None:
        text = path.read_text()
        if kind == "instruments":
            self._products.update({product["instId"]: product for product in orjson.loads(text)["data"]})
        elif kind in ("trades", "history-trades"):
            for row, row_text in _array(text, text.index('"data"')):
                self._rows[row["instId"]].append(Row(int(row["tradeId"]), _milliseconds(row["ts"]), row_text))
        elif kind == "books":
            self._books[_product(path)] = orjson.loads(text)["data"][0]


def _product(path: Path) -> str:
    """The product a file is about: from the request beside it, or else from the dated name of it or its folder."""
    request = path.with_name(f"{path.stem}.http.json")
    if request.exists():
        url = urlsplit(orjson.loads(request.read_bytes())["request"]["url"])
        in_path = COINBASE_PATH.search(url.path)
        return (in_path[1] if in_path else parse_qs(url.query)["symbol"][0]).upper()
    for name in (path.name, path.parent.name):
        dated = DATED_NAME.match(name)
        if dated:
            return dated[1].upper()
    raise UsageError(f"cannot tell which product {path} is about; name it <date>_<product>.json")


def _array(text: str, start: int = 0) -> list[tuple[Json, str]]:
    """Every element of the JSON array at `start` with its own text. Numbers come as text."""
    elements: list[tuple[Json, str]] = []
    place = text.index("[", start) + 1
    while element := ELEMENT.match(text, place):
        value, place = DECODER.raw_decode(text, element.end())
        elements.append((value, text[element.end() : place]))
    return elements


def _milliseconds(text: str) -> int:
    """Binance times have 13 digits in milliseconds and 16 in microseconds."""
    return int(text) * (1_000_000 if len(text) <= 13 else 1_000)


def _aggregate(row: dict[str, str | bool]) -> str:
    """A trade as an aggregate of one."""
    fields = {"p": row["price"], "q": row["qty"], "m": row["isBuyerMaker"], "M": row["isBestMatch"]}
    number = row["id"]
    return f'{{"a":{number},"f":{number},"l":{number},"T":{row["time"]},{orjson.dumps(fields).decode()[1:]}'


def _kraken_rows(text: str, pair: str, last: int) -> list[Row]:
    """One file's rows. Printed times are rounded, so equal ones are told apart by a nanosecond each, in order, and
    the file's final row has the exact time that `last` gives."""
    array = re.search(rf'"{re.escape(pair)}"\s*:', text)
    rows = _array(text, array.end()) if array else []
    times = [int(Decimal(row[2]) * 1_000_000_000) for row, _ in rows]
    if times:
        times[-1] = last
    for place in range(len(times) - 2, -1, -1):
        times[place] = min(times[place], times[place + 1] - 1)
    return [
        Row(int(row[6]) if len(row) > 6 else time_ns, time_ns, row_text)
        for (row, row_text), time_ns in zip(rows, times, strict=True)
    ]
