"""What Spark is set to for a microbatch: distribution mode, shuffle partitions, memory, and what its start costs.

Files are exact; CPU is the JVM's and the clock's seconds are told as ratios within a run, medians of three in turns.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import new_run_id
from schemahub_lib.pipeline.unify import mappings_for, unify
from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.maintenance import set_property
from tests.bench.measure import alternate, middle, ratios, run
from tests.bench.reading import cpu
from tests.bench.unified_tables import A_DAY, append_raw, fill, new_lake, row_groups
from tests.e2e.support import environment

NAME = TRADES_UNIFIED.name
HALF_HOUR = 20_000
TIMES = 3
UNIFIES = [sys.executable, "-m", "schemahub_lib", "run", "unify", "--dry-run"]
# In processes of their own, as `run` waits for all that this one ever started.
PREPARES = """
import sys
from tests.bench.unified_tables import A_DAY, append_raw, fill, new_lake
lake = new_lake(sys.argv[1])
fill(lake, A_DAY)
append_raw(lake, A_DAY, int(sys.argv[2]))
"""
STARTS = """
from schemahub_lib.config import Settings
from schemahub_lib.tables.lake import Lake
Lake(Settings.load()).spark.sql("SELECT 1").collect()
"""
BATCHES = {"half an hour": HALF_HOUR, "a day": A_DAY}


@dataclass
class Merged:
    """Of several runs of unify: seconds of the MERGE, CPU of the whole, and the files that each added."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)


def storage_distribution() -> None:
    """the MERGE into 4M trades by write.distribution-mode: files a publish, seconds and CPU in those of hash"""

    def use(lake: Lake, mode: str) -> None:
        set_property(lake, NAME, "write.distribution-mode", mode)

    _compare(("hash", "none", "range"), use)


def storage_shuffle() -> None:
    """the MERGE into 4M trades by spark.sql.shuffle.partitions: files a publish, seconds and CPU in those of 4"""

    def use(lake: Lake, partitions: str) -> None:
        lake.spark.conf.set("spark.sql.shuffle.partitions", partitions)

    _compare(("4", "1", "16", "200"), use)


def _compare(settings: tuple[str, ...], use: Callable[[Lake, str], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = new_lake(folder)
        fill(lake, 4 * A_DAY)
        first = 4 * A_DAY
        for batch, rows in BATCHES.items():
            merged = {setting: Merged() for setting in settings}
            for turn in range(TIMES + 1):  # the first one warms up
                for setting, found in merged.items():
                    use(lake, setting)
                    one = _merge(lake, first, rows)
                    first += rows
                    if turn:
                        found.seconds.append(one[0])
                        found.cpu.append(one[1])
                        found.files.append(one[2])
            _show(batch, merged)
        lake.close()


def _merge(lake: Lake, first: int, rows: int) -> tuple[float, float, int]:
    append_raw(lake, first, rows)
    before, files = cpu(lake), row_groups(lake, NAME)[0]
    report = unify(lake, NAME, mappings_for(lake, NAME, ["coinbase"]), new_run_id(), Progress(live=False))
    assert report.rows == rows, report
    return report.steps["merge"], cpu(lake) - before, row_groups(lake, NAME)[0] - files


def _show(batch: str, merged: Mapping[str, Merged]) -> None:
    base = next(iter(merged.values()))
    for setting, found in merged.items():
        seconds, spent = (
            median(a / b for a, b in zip(ours, theirs, strict=True))
            for ours, theirs in ((found.seconds, base.seconds), (found.cpu, base.cpu))
        )
        print(f"  {batch:13} {setting:6} {median(found.files):4} files, MERGE {seconds:.2f} x, CPU {spent:.2f} x")


def storage_memory() -> None:
    """run unify --dry-run by SCHEMAHUB_DRIVER_MEMORY, against a process that only starts Spark, in those of 2g"""
    for batch, rows in BATCHES.items():
        with tempfile.TemporaryDirectory() as folder:
            run([sys.executable, "-c", PREPARES, folder, str(rows)], environment({}, folder))
            starts = partial(run, [sys.executable, "-c", STARTS], environment({}, folder))
            unifies = {
                memory: partial(run, UNIFIES, environment({}, folder, SCHEMAHUB_DRIVER_MEMORY=memory))
                for memory in ("2g", "1g", "512m")
            }
            spent = alternate(TIMES, {"Spark's start": starts, **unifies})
        for name, runs in spent.items():
            times = ratios(runs, spent["2g"])
            print(f"  {batch:13} {name:14} {middle(runs)}: {times.wall:.2f} x, {times.cpu:.2f} x CPU")
