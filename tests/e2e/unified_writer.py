"""A process that unifies, restates and maintains as it is told, on a JVM of its own.

An order is a line of JSON on stdin; on stdout it tells, a line of JSON each, that it is ready, the steps of the
operation it is at, and how that ended. Other lines are the JVM's.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pyspark.sql import SparkSession

from schemahub_lib.config import Settings
from schemahub_lib.errors import PublishRefused
from schemahub_lib.mapping.restatement import Region
from schemahub_lib.pipeline.maintain import maintain
from schemahub_lib.pipeline.pipeline import run_restate, run_unify
from schemahub_lib.pipeline.progress import Progress
from schemahub_lib.pipeline.reports import new_run_id
from schemahub_lib.pipeline.unify import mappings_for
from schemahub_lib.schemas import LEDGERS, TRADES_UNIFIED
from schemahub_lib.tables import lock, publish
from schemahub_lib.tables.lake import Lake
from tests.e2e.crashing import watch_commits
from tests.e2e.spark_server import start_for_every_profile

TARGET = TRADES_UNIFIED.name
CALLING = "calling "  # begins a step: a procedure of Iceberg's


def main() -> None:
    logging.getLogger("schemahub_lib").setLevel(logging.ERROR)
    watch_commits(lambda commit: tell(step=commit))
    watch_procedures()
    with tempfile.TemporaryDirectory() as folder:
        start_for_every_profile(folder)
        tell(ready=True)
        for line in sys.stdin:
            obey(json.loads(line))


def tell(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def watch_procedures() -> None:
    """Have it told when a procedure of Iceberg's begins: what it commits, the JVM does."""
    sql = SparkSession.sql

    def call(self: SparkSession, text: str, *args: Any, **kwargs: Any) -> Any:
        if called := re.match(r"CALL \S+\.system\.(\w+)", text):
            tell(step=CALLING + called[1])
        return sql(self, text, *args, **kwargs)

    SparkSession.sql = call  # type: ignore[method-assign, assignment]


def obey(order: dict[str, Any]) -> None:
    lock.PATIENCE, lock.EXPIRY = order["patience"], order["expiry"]
    publish.BRANCH_LIFETIME = timedelta(seconds=order["branch_lifetime"])
    lake = Lake(Settings.load(environment=order["environment"]))
    try:
        tell(ended=OPERATIONS[order["operation"]](lake, order))
    except PublishRefused as error:
        tell(ended="refused", error=str(error))
    except Exception:
        tell(ended="failed", error=traceback.format_exc())


def unify(lake: Lake, order: dict[str, Any]) -> str:
    return run_unify(lake, TARGET, mappings_for(lake, TARGET), new_run_id(), Progress(live=False)).status


def restate(lake: Lake, order: dict[str, Any]) -> str:
    """A day, or without one everything."""
    day = datetime.fromisoformat(order["day"]) if order["day"] else None
    region = Region(day, day + timedelta(days=1) if day else None, ())
    specs, progress = mappings_for(lake, TARGET), Progress(live=False)
    return run_restate(lake, TARGET, specs, region, new_run_id(), progress).status


def clean_up(lake: Lake, order: dict[str, Any]) -> str:
    ledgers = [ledger.name for ledger in LEDGERS]
    names = [name for name in lake.table_names() if name not in ledgers]
    done = maintain(lake, names, timedelta(0), new_run_id(), Progress(live=False))
    if errors := [error for one in done for error in one.errors]:
        raise AssertionError("\n".join(errors))
    return "ok" if any(one.done for one in done) else "nothing_new"


OPERATIONS: dict[str, Callable[[Lake, dict[str, Any]], str]] = {
    "unify": unify,
    "restate": restate,
    "maintain": clean_up,
}

if __name__ == "__main__":
    main()
