"""What a query reads: the bytes that processes really asked their files for, counted by Linux."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from schemahub_lib.tables.lake import Lake


@dataclass(frozen=True)
class Reads:
    """Bytes and calls of one execution, seconds of the median one."""

    bytes: int
    calls: int
    seconds: float


def reads(ask: Callable[[], object], process: int | str = "self", times: int = 3) -> Reads:
    """What `ask` makes a process read: Parquet, metadata and all.

    Asked once before it counts, so that code and classes are loaded. Everything is counted that the process reads
    meanwhile, so nothing else may go on in it; the least of the executions is told.
    """
    ask()
    found = []
    for _ in range(times):
        before, started = _counted(process), perf_counter()
        ask()
        seconds = perf_counter() - started
        after = _counted(process)
        found.append((after[0] - before[0], after[1] - before[1], seconds))
    sizes, calls, times_taken = zip(*found, strict=True)
    return Reads(min(sizes), min(calls), median(times_taken))


def _counted(process: int | str) -> tuple[int, int]:
    told = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
    return int(told["rchar"]), int(told["syscr"])


def jvm(lake: Lake) -> int:
    """The process of the lake's Spark."""
    java: Any = lake.spark._jvm
    return int(java.java.lang.ProcessHandle.current().pid())


def cpu(lake: Lake) -> float:
    """The seconds of CPU that the lake's Spark has spent so far."""
    java: Any = lake.spark._jvm
    return float(java.java.lang.ProcessHandle.current().info().totalCpuDuration().get().toMillis()) / 1000
