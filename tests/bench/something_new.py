"""A whole cold `run pipeline` with half an hour of new trades, against the same writes done by hand."""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from schemahub_lib.config import Settings
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.schemas import INGEST_TS
from schemahub_lib.simulator import Simulator
from schemahub_lib.tables.lake import Lake
from tests.bench.measure import Spent, alternate, middle, ratios, run
from tests.e2e.support import environment

REPETITIONS = 3


def something_new() -> None:
    """run pipeline with something new, against Spark's start, three appends and a MERGE by hand (target: 1.6 x)"""
    with tempfile.TemporaryDirectory() as folder, Simulator(speed=0, trade_rate=0.1, rate_limits=False) as simulator:
        ours, theirs, rows = (Path(folder) / name for name in ("ours", "by-hand", "rows"))
        rows.mkdir()
        pipeline = [sys.executable, "-m", "schemahub_lib", "run", "pipeline"]
        for warehouse in (ours, theirs):
            run(pipeline, environment(simulator.urls, warehouse))

        def schemahub() -> Spent:
            simulator.advance(1800)
            since = datetime.now(UTC)
            spent = run(pipeline, environment(simulator.urls, ours))
            dump(ours, since, rows)
            return spent

        def by_hand() -> Spent:
            return run([sys.executable, "-m", "tests.bench.by_hand", str(theirs), str(rows)], environment({}, theirs))

        spent = alternate(REPETITIONS, {"run pipeline": schemahub, "by hand": by_hand})
    for name, runs in spent.items():
        print(f"  {name:34} {middle(runs)}")
    times = ratios(spent["run pipeline"], spent["by hand"])
    print(f"  {'run pipeline / by hand':34} {times.wall:6.2f} x, {times.cpu:6.2f} x CPU")


def dump(warehouse: Path, since: datetime, folder: Path) -> None:
    """The rows that were fetched since a moment, as one Arrow file for each raw table."""
    lake = Lake(Settings.load(warehouse=str(warehouse), environment={}))
    for exchange in EXCHANGES.values():
        name = exchange.raw_table.name
        found = lake.find(name)
        assert found is not None
        rows = found.scan(row_filter=f"{INGEST_TS.name} >= '{since.isoformat()}'").to_arrow()
        print(f"  {name}: {rows.num_rows:,} new rows")
        with pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
