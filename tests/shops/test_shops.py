"""Another domain than trades: orders of two shops become one table, by connectors, mappings and a target of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from schemahub_lib.errors import AuditFailed
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.ingest import IngestOptions
from schemahub_lib.pipeline.pipeline import run_pipeline, run_restate
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import TARGETS
from schemahub_lib.tables.lake import Lake
from tests.e2e.pipelines import rows
from tests.shops.shops import NOON, ORDERS_UNIFIED, SHOPS, Order, open_shop, orders

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings" / "examples" / "orders"
TARGET = ORDERS_UNIFIED.name
Stores = dict[str, list[Order]]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fork for shops would write into the two registries."""
    for name, shop in SHOPS.items():
        monkeypatch.setitem(EXCHANGES, name, shop)
    monkeypatch.setitem(TARGETS, TARGET, ORDERS_UNIFIED)


@pytest.fixture
def stores() -> dict[str, Stores]:
    return {
        "harbour": {"berlin": orders(range(1, 13)), "rome": orders(range(1, 4), "OPEN")},
        "meadow": {"berlin": orders(range(1, 8)), "oslo": [*orders(range(1, 3)), *orders(range(3, 5), "TEST")]},
    }


@pytest.fixture
def lake(make_lake: Callable[..., Lake], stores: dict[str, Stores]) -> Iterator[Lake]:
    with open_shop(SHOPS["harbour"], stores["harbour"]) as one, open_shop(SHOPS["meadow"], stores["meadow"]) as other:
        yield make_lake(SCHEMAHUB_HARBOUR_URL=one, SCHEMAHUB_MEADOW_URL=other, SCHEMAHUB_MAPPINGS=str(MAPPINGS))


def run(lake: Lake, stores: dict[str, Stores]) -> dict[str, Report]:
    reports: dict[str, Report] = {}
    with Progress(live=False) as progress:
        for name, shop in SHOPS.items():
            options = IngestOptions(products=tuple(stores[name]), since=NOON)
            specs = mappings_for(lake, TARGET)
            reports |= {r.source: r for r in run_pipeline(lake, [shop], TARGET, specs, options, new_run_id(), progress)}
    return reports


def unified(lake: Lake) -> set[tuple[object, ...]]:
    found = rows(lake, TARGET)
    assert len({(row["shop"], row["store"], row["order_id"]) for row in found}) == len(found)
    return {(r["shop"], r["store"], int(r["order_id"]), r["total"], r["status"], r["ordered_at"]) for r in found}


def expected(stores: dict[str, Stores]) -> set[tuple[object, ...]]:
    return {
        (shop.upper(), store, order.number, Decimal(order.cents) / 100, order.status, order.placed)
        for shop, its in stores.items()
        for store, listed in its.items()
        for order in listed
        if order.status != "TEST"
    }


def test_orders_of_two_shops_are_there_once_in_the_same_words_and_units(lake: Lake, stores: dict[str, Stores]) -> None:
    reports = run(lake, stores)
    assert {report.status for report in reports.values()} == {"ok"}
    assert unified(lake) == expected(stores)
    stores["harbour"]["berlin"] += orders(range(13, 30))
    stores["meadow"]["oslo"] += orders(range(5, 9), "OPEN")
    run(lake, stores)
    assert unified(lake) == expected(stores)
    assert run(lake, stores)[TARGET].status == "nothing_new"


def test_they_are_audited_and_restated_like_trades(lake: Lake, stores: dict[str, Stores]) -> None:
    stores["meadow"]["berlin"].append(replace(stores["meadow"]["berlin"][-1], number=8, status="LOST"))
    with pytest.raises(AuditFailed, match="raw_meadow_orders: audit allowed_values: 1 rows where NOT status IN"):
        run(lake, stores)
    with Progress(live=False) as progress:
        preview = run_restate(
            lake, TARGET, mappings_for(lake, TARGET, ["harbour"]), None, new_run_id(), progress, dry_run=True
        )
    assert (preview.status, preview.rows, preview.removed) == ("dry_run", 0, 0)
