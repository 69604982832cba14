"""One backfill into a folder from a server of `pages`, or a bare loop over the same pages, in a process of its own.

`python -m tests.bench.landing_side URL ROWS FOLDER FORMAT COMPRESS`, or `… URL ROWS bare`: prints seconds
and seconds of CPU, imports excluded, and the most memory it ever had, in MiB.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from schemahub_lib.config import Settings
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.pipeline.backfill import BackfillOptions
from schemahub_lib.pipeline.land_history import land_history
from schemahub_lib.pipeline.landing import Landing
from schemahub_lib.pipeline.progress import Journey
from schemahub_lib.pipeline.resume import Resumption
from tests.bench.throughput import Unlimited


def main(url: str, rows: int, *how: Any) -> None:
    started, used = time.perf_counter(), time.process_time()
    bare(url, rows) if how == ("bare",) else land(url, rows, *how)
    print(time.perf_counter() - started, time.process_time() - used, peak())


def bare(url: str, rows: int) -> None:
    """Get and parse every page, newest first as a backfill does, and keep nothing."""
    import requests

    with requests.Session() as session:
        for after in range(rows + 1, 1, -1000):
            window = {"limit": 1000, "before": max(after - 1001, 0), "after": after}
            assert len(session.get(f"{url}/products/BTC-USD/trades", params=window).json()) == 1000


def land(url: str, rows: int, folder: str, format: Any, compress: Any) -> None:
    settings = Settings.load(environment={"SCHEMAHUB_COINBASE_URL": url})
    landing = Landing(LocalStore.make(folder), "bench", format, compress)
    resumption = Resumption(Unlimited(), landing, beside=True)
    options = BackfillOptions(products=("BTC-USD",))
    with Journey(live=False) as journey:
        (outcome,) = land_history(
            settings, Unlimited(), options, landing, resumption, journey, threading.Event(), resume=False
        )
    assert (outcome.status, outcome.trades) == ("complete", rows), outcome


def peak() -> float:
    """MiB. Not ru_maxrss, in which a process begins with what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    import orjson  # noqa: F401 - imports are excluded from the seconds
    import requests  # noqa: F401

    if "parquet" in sys.argv:
        import pyarrow.parquet  # noqa: F401

    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
