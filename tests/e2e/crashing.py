"""The command line with a kill switch: `python crashing.py N run pipeline …` dies by SIGKILL right after commit N.

A commit is whatever changes the lake for other processes: a table created, a ledger written, a branch made, written to,
marked, published or dropped, a tag moved. With 0 nothing is killed, and the commits are printed, one a line on stderr.

The process gets a group of its own, so that it dies together with its JVM, as when a machine goes down. Where
PYSPARK_GATEWAY_PORT tells of a running Spark it uses that one, which then survives it: a kill costs no JVM start.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

PREFIX = "commit: "


def main() -> int:
    from schemahub_lib import cli
    from schemahub_lib.tables import lock

    os.setpgrp()
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        attach()
    deadly, arguments = int(sys.argv[1]), sys.argv[2:]
    lock.PATIENCE = 1.0  # a lock object in S3 outlives whoever is killed
    commits: list[str] = []
    one_at_a_time = threading.Lock()

    def count(commit: str) -> None:
        with one_at_a_time:
            commits.append(commit)
            if len(commits) == deadly:
                os.killpg(0, signal.SIGKILL)

    watch_commits(count)
    code = cli.main(arguments)
    print("\n".join(PREFIX + commit for commit in commits), file=sys.stderr)
    return code


def watch_commits(tell: Callable[[str], None]) -> None:
    """Have every commit of this process told right after it was made."""
    from pyiceberg.catalog.glue import GlueCatalog
    from pyiceberg.catalog.sql import SqlCatalog
    from pyspark.sql import SparkSession

    def watched(owner: Any, method: str, what: Callable[..., str | None]) -> None:
        original = getattr(owner, method)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if (commit := what(*args)) is not None:
                tell(commit)
            return result

        setattr(owner, method, call)

    for catalog in (SqlCatalog, GlueCatalog):
        watched(catalog, "create_namespace", lambda _, name, *args: f"database {name} created")
        watched(catalog, "create_table", lambda _, name, *args: f"{name[-1]} created")
        watched(catalog, "commit_table", lambda _, table, __, updates: f"{table.name()[-1]}: {told(updates)}")
    watched(SparkSession, "sql", lambda _, text, *args: "rows merged into the branch" if "MERGE" in text else None)


def told(updates: Sequence[Any]) -> str:
    """What a commit does, such as `add-snapshot, set-snapshot-ref run_…`."""
    return ", ".join(f"{update.action} {getattr(update, 'ref_name', '')}".strip() for update in updates)


def attach() -> None:
    """Use the Spark that runs behind PYSPARK_GATEWAY_PORT, as a job under spark-submit uses the JVM it is given."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway

    gateway = launch_gateway()
    running = gateway.jvm.org.apache.spark.SparkContext.getOrCreate()
    context = gateway.jvm.org.apache.spark.api.java.JavaSparkContext.fromSparkContext(running)
    SparkContext(gateway=gateway, jsc=context, conf=SparkConf(_jconf=context.getConf()))


if __name__ == "__main__":
    sys.exit(main())
