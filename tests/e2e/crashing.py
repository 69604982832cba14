"""The command line with a kill switch: `python crashing.py N run pipeline …` dies by SIGKILL right after commit N.

A commit is whatever changes the lake for other processes: a table created, a ledger written, a branch made, written to,
marked, published or dropped, a tag moved. With 0 nothing is killed, and the commits are printed, one a line on stderr.
The whole process group dies, and with it the JVM, as when a machine goes down.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

PREFIX = "commit: "


def main() -> int:
    from pyiceberg.catalog.glue import GlueCatalog
    from pyiceberg.catalog.sql import SqlCatalog
    from pyspark.sql import DataFrameWriterV2, SparkSession

    from schemahub_lib import cli
    from schemahub_lib.pipeline import unify
    from schemahub_lib.tables import lock
    from schemahub_lib.tables.publish import Branch

    deadly, arguments = int(sys.argv[1]), sys.argv[2:]
    lock.PATIENCE = 1.0  # a lock object in S3 outlives whoever is killed
    commits: list[str] = []
    one_at_a_time = threading.Lock()

    def counted(owner: Any, method: str, what: Callable[..., str | None]) -> None:
        original = getattr(owner, method)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if (told := what(*args)) is not None:
                with one_at_a_time:
                    commits.append(told)
                    if len(commits) == deadly:
                        os.killpg(0, signal.SIGKILL)
            return result

        setattr(owner, method, call)

    for catalog in (SqlCatalog, GlueCatalog):
        counted(catalog, "create_namespace", lambda _, name, *args: f"namespace {name}")
        counted(catalog, "create_table", lambda _, name, *args: f"{name[-1]} created")
        counted(catalog, "commit_table", lambda _, table, *args: f"{table.name()[-1]} written")
    counted(Branch, "_create", lambda branch: f"{branch._table} branched")
    counted(DataFrameWriterV2, "append", lambda _: "rows appended to the branch")
    counted(SparkSession, "sql", lambda _, text, *args: "rows merged into the branch" if "MERGE" in text else None)
    counted(Branch, "mark", lambda branch, *args: f"{branch._table} marked")
    counted(Branch, "fast_forward", lambda branch: f"{branch._table} published")
    counted(Branch, "drop", lambda branch: f"{branch._table} branch dropped")
    counted(unify, "tag", lambda _, table, *args: f"{table} tagged")
    code = cli.main(arguments)
    print("\n".join(PREFIX + commit for commit in commits), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
