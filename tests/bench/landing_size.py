"""How much room a trade takes: landed in each format, and in the raw table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.client import HttpClient
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.pipeline.backfill import _Batch
from schemahub_lib.pipeline.history import Piece, fetch, walk
from schemahub_lib.pipeline.land_history import _flipped
from schemahub_lib.pipeline.landing import Landing, Objects
from schemahub_lib.pipeline.reports import new_run_id
from schemahub_lib.pipeline.workers import Outcome
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake

ROWS = 100_000
PRODUCTS = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "XXBTZUSD"}
FORMATS = {
    "jsonl": ("jsonl", "none"),
    "gzip": ("jsonl", "gzip"),
    "zstd": ("jsonl", "zstd"),
    "parquet": ("parquet", "none"),
}


def landing_size() -> None:
    """bytes a trade of the simulator, with and without payload (target: JSON lines 10 x Parquet without payload)"""
    measured: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder, Simulator(speed=0, rate_limits=False) as simulator:
        print(f"  {'':24}" + "".join(f"{name:>9}" for name in (*FORMATS, "raw")))
        for name, product in PRODUCTS.items():
            exchange = EXCHANGES[name]
            with HttpClient(exchange, base_url=simulator.urls[name]) as client:
                pieces = _newest(client, exchange, product)
            for keep, all_sizes in measured.items():
                sizes = {
                    told: _landed(Path(folder) / f"{name}-{told}-{keep}", exchange, product, pieces, how, keep)
                    for told, how in FORMATS.items()
                }
                sizes["raw"] = _raw(Path(folder) / f"{name}-raw-{keep}", exchange, product, pieces, keep)
                _show(name, keep, sizes)
                all_sizes.append(sizes)
    means = {
        keep: {told: mean(sizes[told] for sizes in found) for told in found[0]} for keep, found in measured.items()
    }
    for keep, sizes in means.items():
        _show("mean", keep, sizes)
    lean = means[False]["parquet"]
    print(
        f"  JSON lines / Parquet without payload: {means[False]['jsonl'] / lean:.1f}, "
        f"with payload in the lines {means[True]['jsonl'] / lean:.1f}"
    )


def _show(what: str, keep: bool, sizes: Mapping[str, float]) -> None:
    name = f"{what}, {'with' if keep else 'no'} payload"
    print(f"  {name:24}" + "".join(f"{size:9.1f}" for size in sizes.values()))


def _newest(client: HttpClient, exchange: Exchange, product: str) -> list[Piece]:
    """The last `ROWS` trades, as a backfill comes upon them."""
    high = client.ask(exchange.head(product))
    assert high is not None
    pieces: list[Piece] = []
    for piece in walk(exchange, ((exchange.first_position, high),), partial(fetch, client, exchange, product)):
        pieces.append(piece)
        if sum(piece.rows for piece in pieces) >= ROWS:
            break
    return pieces


def _landed(folder: Path, exchange: Exchange, product: str, pieces: list[Piece], how: Any, keep: bool) -> float:
    """As `backfill --out` writes it."""
    outcome = Outcome(product)
    landing = Landing(LocalStore.make(str(folder)), "bench", *how, keep_payload=keep)
    objects = Objects(landing, exchange, outcome, newest_first=True)
    for piece in pieces:
        objects.add([_flipped(page) for page in reversed(piece.pages)])
    objects.commit()
    return outcome.bytes / outcome.trades


def _raw(warehouse: Path, exchange: Exchange, product: str, pieces: list[Piece], keep: bool) -> float:
    """As `backfill --to raw` writes it: its data files."""
    lake = Lake(Settings.load(warehouse=str(warehouse), environment={}))
    lake.ensure(exchange.raw_table)
    outcome = Outcome(product)
    batch = _Batch(lake, exchange, new_run_id(), outcome, keep)
    for piece in pieces:
        batch.add(piece)
    batch.publish()
    return sum(path.stat().st_size for path in warehouse.rglob("data/**/*.parquet")) / outcome.trades
