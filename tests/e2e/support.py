"""Running the program as its users do, in processes of its own, and looking at what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemahub_lib.schemas import TRADES_UNIFIED
from schemahub_lib.tables.lake import Lake

ROOT = Path(__file__).resolve().parents[2]
# A JVM that lives for a few operations does a third less work when it compiles less.
BRIEF_JVM = {"SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1"}
NOT_INHERITED = ("SCHEMAHUB_", "AWS_", "OPENLINEAGE_")  # settings of who runs the tests


def environment(urls: Mapping[str, str], warehouse: str | Path, **more: str) -> dict[str, str]:
    """The environment of a brief process that uses a simulator and a warehouse, and no settings of the caller."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(NOT_INHERITED)}
    exchanges = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in urls.items()}
    return inherited | exchanges | BRIEF_JVM | {"SCHEMAHUB_WAREHOUSE": str(warehouse)} | more


def schemahub(env: Mapping[str, str], *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "schemahub_lib", *arguments],
        env=dict(env),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def start(env: Mapping[str, str], script: Sequence[str]) -> subprocess.Popen[str]:
    """Start a Python process and go on."""
    return subprocess.Popen(
        [sys.executable, *script], env=dict(env), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def keys(lake: Lake, table: str, columns: Sequence[str] = TRADES_UNIFIED.key) -> Counter[tuple[str, ...]]:
    """How often each key stands in a table."""
    found = lake.find(table)
    if found is None:
        return Counter()
    rows = found.scan(selected_fields=tuple(columns)).to_arrow()
    return Counter(zip(*(rows[column].to_pylist() for column in columns), strict=True))


def assert_exactly_once(lake: Lake, expected: set[tuple[str, ...]]) -> None:
    """`trades_unified` holds the expected keys, each once, and nothing else."""
    found = keys(lake, TRADES_UNIFIED.name)
    assert {key for key, count in found.items() if count > 1} == set()
    assert set(found) == expected
