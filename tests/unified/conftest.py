"""A Coinbase raw table that tests fill by hand, and what it should come to in `trades_unified`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.mapping.restatement import Region
from schemahub_lib.pipeline.pipeline import run_refresh, run_restate, run_unify
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import Report, new_run_id
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.types import arrow_schema

RAW = EXCHANGES["coinbase"].raw_table
NOON = datetime(2024, 2, 8, 12, tzinfo=UTC)
MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"


@dataclass(frozen=True)
class Trade:
    """A trade as Coinbase tells it: `side` is the maker's."""

    id: int
    at: datetime
    price: float = 100.0
    size: float = 1.0
    side: str = "BUY"
    product: str = "BTC-USD"
    fetched: datetime = datetime(2024, 3, 1, tzinfo=UTC)

    def but(self, **other: object) -> Trade:
        return replace(self, **other)  # type: ignore[arg-type]

    @property
    def raw(self) -> dict[str, object]:
        return {
            "trade_id": str(self.id),
            "product_id": self.product,
            "price": self.price,
            "size": self.size,
            "time": self.at,
            "side": self.side,
            "_source": "coinbase",
            "_source_ingest_ts": self.fetched,
            "_raw_payload": json.dumps({"trade_id": self.id, "side": self.side}),
        }

    @property
    def unified(self) -> tuple[object, ...]:
        side = {"BUY": "SELL", "SELL": "BUY"}.get(self.side)
        return (self.product, str(self.id), side, self.price, self.size, self.at)


def trades(ids: Iterable[int], start: datetime = NOON, **values: object) -> list[Trade]:
    """One a second from `start` on."""
    return [Trade(number, start + timedelta(seconds=place)).but(**values) for place, number in enumerate(ids)]


# For `World.mapping`: of a shipped line that an expression takes the place of.
PAYLOADS_SIDE = "get_json_object(_raw_payload, '$.side')"  # of which no column tells that it is the maker's
NO_SIDE = (("  side: side\n", ""), ("  side: taker_from_maker", "  #"))
NO_TIME = (("  time: trade_ts\n", ""), ("  trade_ts: iso8601\n", ""))
# Computed anew, for a mapping is refused that takes the time of fetching for the trade's.
BY_TIME_OF_FETCHING = (
    "\nexpressions:\n  trade_ts: timestamp_micros(greatest(unix_micros(time), 0 + unix_micros(_source_ingest_ts)))\n",
    *NO_TIME,
)


class World:
    """A lake whose raw table is filled and unified as a test says."""

    def __init__(self, lake: Lake, folder: Path) -> None:
        self.lake, self._folder = lake, folder

    def append(self, *rows: Trade) -> int:
        """One snapshot of the raw table; its id."""
        table = self.lake.ensure(RAW)
        table.append(pa.Table.from_pylist([row.raw for row in rows], schema=arrow_schema(RAW)))
        assert table.metadata.current_snapshot_id is not None
        return table.metadata.current_snapshot_id

    def mapping(self, more: str = "", *instead: tuple[str, str]) -> None:
        """Use the shipped mapping with some texts in the place of others, and more at its end."""
        text = (MAPPINGS / "coinbase_trades.yaml").read_text()
        for old, new in instead:
            assert old in text
            text = text.replace(old, new)
        folder = self._folder / "mappings"
        folder.mkdir(exist_ok=True)
        (folder / "coinbase_trades.yaml").write_text(text + more)
        self.lake.settings = replace(self.lake.settings, mappings=str(folder))

    def unify(self, *, dry_run: bool = False) -> Report:
        return run_unify(self.lake, TRADES_UNIFIED.name, self._specs(), new_run_id(), _quiet(), dry_run=dry_run)

    def restate(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        symbols: tuple[str, ...] = (),
        *,
        dry_run: bool = False,
        everything: bool = False,
    ) -> Report:
        region = None if everything else Region(start, end, symbols)
        name = TRADES_UNIFIED.name
        return run_restate(self.lake, name, self._specs(), region, new_run_id(), _quiet(), dry_run=dry_run)

    def refresh(self) -> Report:
        return run_refresh(self.lake, TRADES_UNIFIED.name, self._specs(), new_run_id(), _quiet())

    def _specs(self):  # type: ignore[no-untyped-def]
        return mappings_for(self.lake, TRADES_UNIFIED.name, ["coinbase"])

    def rows(self, branch: str | None = None) -> list[tuple[object, ...]]:
        """What is in the unified table, or on a branch of it."""
        table = self.lake.find(TRADES_UNIFIED.name)
        assert table is not None
        ref = table.refs()[branch].snapshot_id if branch else None
        names = ("symbol", "trade_id", "side", "price", "quantity", "trade_ts")
        found = table.scan(snapshot_id=ref).to_arrow().select(names).to_pylist()
        return sorted(tuple(row.values()) for row in found)

    def refs(self) -> set[str]:
        table = self.lake.find(TRADES_UNIFIED.name)
        assert table is not None
        return set(table.refs())

    def plant(self, *rows: Trade, exchange: str = "COINBASE") -> None:
        """Put rows into the unified table behind everybody's back."""
        table = self.lake.ensure(TRADES_UNIFIED)
        names = ("symbol", "trade_id", "side", "price", "quantity", "trade_ts")
        planted = [
            dict(zip(names, row.unified, strict=True)) | {"exchange": exchange, "ingest_ts": NOON} for row in rows
        ]
        table.append(pa.Table.from_pylist(planted, schema=arrow_schema(TRADES_UNIFIED)))


def _quiet() -> Progress:
    return Progress(live=False)


def unified(*rows: Trade) -> list[tuple[object, ...]]:
    return sorted(row.unified for row in rows)


@pytest.fixture
def world(lake: Lake, tmp_path: Path) -> World:
    return World(lake, tmp_path)


@pytest.fixture
def make_world(make_lake: Callable[..., Lake], tmp_path: Path) -> Callable[[str], World]:
    return lambda name: World(make_lake(name), tmp_path)
