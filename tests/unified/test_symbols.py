"""The names that unify gives come from the one current row that the products ledger has of a symbol."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Product
from schemahub_lib.pipeline.products import history, note
from schemahub_lib.schemas import PRODUCTS, TRADES_UNIFIED
from tests.unified.conftest import NOON, World, trades, unified

DAY = timedelta(days=1)


def listed(base: str, status: str = "online") -> dict[str, Product]:
    return {"BTC-USD": Product("BTC-USD", base, "USD", status, tradable=True)}


def names(world: World) -> list[tuple[object, ...]]:
    table = world.lake.find(TRADES_UNIFIED.name)
    assert table is not None
    found = table.scan().to_arrow().select(["canonical_symbol", "base_asset", "quote_asset"]).to_pylist()
    return [tuple(row.values()) for row in found]


def test_a_symbol_with_a_history_gives_each_trade_once_and_todays_names(world: World) -> None:
    rows: list[dict[str, object]] = []
    for day, told in enumerate((listed("OLD"), listed("OLD", "delisted"))):
        rows = history(rows, told, {}, "coinbase", NOON + day * DAY)
    rows = history(rows, listed("CGLD"), {"CGLD": "CELO"}, "coinbase", NOON + 2 * DAY)
    assert len(rows) == 3
    world.lake.update_partition(PRODUCTS, "coinbase", lambda _: rows)
    day_by_day = [
        *trades(range(1, 4), NOON - DAY),
        *trades(range(4, 7), NOON + DAY),
        *trades(range(7, 9), NOON + 3 * DAY),
    ]
    world.append(*day_by_day)
    report = world.unify()
    assert (report.rows, report.duplicates) == (8, 0)
    assert (world.rows(), names(world)) == (unified(*day_by_day), [("CELO-USD", "CELO", "USD")] * 8)
    assert world.restate().status == "nothing_new"


def test_after_a_change_of_names_a_restatement_brings_the_new_ones(world: World) -> None:
    note(world.lake, EXCHANGES["coinbase"], ["BTC-USD"])
    world.append(*trades(range(1, 4)))
    world.unify()
    renamed = history(world.lake.partition(PRODUCTS, "coinbase"), {}, {"BTC": "XBT"}, "coinbase", NOON)
    world.lake.update_partition(PRODUCTS, "coinbase", lambda _: renamed)
    assert world.restate(symbols=("BTC-USD",)).changed == 3
    assert names(world) == [("XBT-USD", "XBT", "USD")] * 3


def test_a_products_ledger_of_an_older_version_still_gives_names(world: World) -> None:
    known = ("source", "symbol", "canonical_symbol", "base_asset", "quote_asset", "status")
    older = replace(PRODUCTS, columns=tuple(PRODUCTS.column(name) for name in known))
    values = ("coinbase", "BTC-USD", "BTC-USD", "BTC", "USD", "online")
    world.lake.append(older, [dict(zip(known, values, strict=True))])
    world.append(*trades(range(1, 3)))
    assert world.unify().rows == 2
    assert names(world) == [("BTC-USD", "BTC", "USD")] * 2
