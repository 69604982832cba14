"""The command line with batches small enough to see many of them: `python small_batches.py ROWS backfill …`.

No rate limit, and claims in S3 that are taken over within a second. Where KILL_AFTER tells a number, the process dies
by SIGKILL right after so many writes into a store (objects, checkpoints, claims).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any


def main() -> None:
    from schemahub_lib import cli
    from schemahub_lib.exchanges.coinbase import Coinbase
    from schemahub_lib.http.messages import RateLimit
    from schemahub_lib.landing.claim import claim
    from schemahub_lib.pipeline import backfill, land_history, land_new, landing, load

    rows = int(sys.argv.pop(1))
    Coinbase.rate_limit = RateLimit(units=1e6, seconds=1, burst=1e6)
    for module in (land_history, land_new):
        module.MOST_ROWS = rows  # type: ignore[attr-defined]
    backfill.BATCH_ROWS = load.BATCH_ROWS = rows
    landing.claim = partial(claim, renew=0.2)  # type: ignore[attr-defined]
    if deadly := int(os.environ.get("KILL_AFTER", "0")):
        _die_after(deadly)
    cli.run_and_exit()


def _die_after(deadly: int) -> None:
    from schemahub_lib.landing.local import LocalStore
    from schemahub_lib.landing.s3 import S3Store
    from schemahub_lib.landing.store import Sink

    lock, writes = threading.Lock(), 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal writes
            result = call(*arguments, **named)
            with lock:
                writes += 1
                if writes == deadly:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    Sink.commit = counted(Sink.commit)  # type: ignore[method-assign]
    S3Store.write = counted(S3Store.write)  # type: ignore[method-assign]
    for store in (LocalStore, S3Store):
        store.set_aside = counted(store.set_aside)  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
