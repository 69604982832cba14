"""Timing of whole processes, side by side: medians of several alternating runs, wall clock and CPU.

CPU time includes every descendant (the JVM too), and says more than the clock on a machine that others use.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Spent:
    """Seconds."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:6.2f} s, {self.cpu:6.2f} s CPU"


def run(argv: Sequence[str], env: Mapping[str, str]) -> Spent:
    """Run a command to its end; its CPU counts until the last of its descendants has ended too."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans (Spark's JVM) become ours to wait for
    before, started = _children_cpu(), time.perf_counter()
    process = subprocess.run(argv, env=dict(env), cwd=ROOT, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{' '.join(argv)} failed:\n{process.stderr[-3000:]}")
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    return Spent(wall, _children_cpu() - before)


def alternate(times: int, actions: Mapping[str, Callable[[], Spent]]) -> dict[str, list[Spent]]:
    """Each action so many times, in turns, so that a busy moment of the machine hits all alike."""
    spent: dict[str, list[Spent]] = {name: [] for name in actions}
    for _ in range(times):
        for name, action in actions.items():
            spent[name].append(action())
    return spent


def middle(runs: Sequence[Spent]) -> Spent:
    return Spent(median(run.wall for run in runs), median(run.cpu for run in runs))


def ratios(runs: Sequence[Spent], base: Sequence[Spent]) -> Spent:
    """The medians of the ratios of runs made in turns."""
    pairs = list(zip(runs, base, strict=True))
    return Spent(median(a.wall / b.wall for a, b in pairs), median(a.cpu / b.cpu for a, b in pairs))


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
