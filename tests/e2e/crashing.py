"""The command line with a kill switch: `python crashing.py N run pipeline …` dies by SIGKILL right after commit N.

A commit is everything that changes the lake for other processes: creating a table or a branch, appending or merging
rows, marking, fast-forwarding, tagging, writing a ledger. Without N (0) it runs through and prints how many there were.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


def main() -> int:
    limit, arguments = int(sys.argv[1]), sys.argv[2:]
    from pyspark.sql import DataFrameWriterV2, SparkSession

    from schemahub_lib import cli
    from schemahub_lib.pipeline import unify
    from schemahub_lib.tables.lake import Lake
    from schemahub_lib.tables.publish import Branch

    commits: list[str] = []
    lock = threading.Lock()

    def counted(owner: Any, name: str, only: Callable[..., bool] = lambda *_: True) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if only(*args):
                with lock:
                    commits.append(name)
                    if len(commits) == limit:
                        os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, call)

    counted(Lake, "_create")
    counted(Lake, "retrying")
    counted(Branch, "_retrying")
    counted(Branch, "fast_forward")
    counted(DataFrameWriterV2, "append")
    counted(SparkSession, "sql", lambda _, text: text.startswith("MERGE"))
    counted(unify, "tag")
    code = cli.main(arguments)
    print("commits:", len(commits), *commits, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
