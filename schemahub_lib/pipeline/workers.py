"""Several products at a time: what each came to, one failure not stopping the others, Ctrl-C stopping all."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeVar

from schemahub_lib.errors import Interrupted, sentence
from schemahub_lib.logs import event

log = logging.getLogger(__name__)

PATIENCE = 1.5  # seconds for work under way to come to a safe end after Ctrl-C
LOOKING = 0.1  # seconds between looks whether to stop

T = TypeVar("T")


@dataclass
class Outcome:
    """What a command did for one product. `last_trade_id` is how far it came; `set_aside` counts malformed rows."""

    product: str
    status: Literal["ok", "complete", "nothing new", "nothing covered", "stopped", "partial", "failed"] = "ok"
    trades: int = 0
    duplicates: int = 0
    objects: int = 0
    bytes: int = 0
    set_aside: int = 0
    last_trade_id: str | None = None
    error: str | None = None


def for_each(
    source: str,
    outcomes: Sequence[Outcome],
    workers: int,
    stop: threading.Event,
    work: Callable[[str, Outcome], None],
) -> None:
    """Call `work` for every outcome's product of an exchange, `workers` at a time; it fills the outcome in.

    What `work` raises is in the outcome: Interrupted as 'stopped', anything else as 'failed'. On Ctrl-C `stop` is set,
    and Interrupted is raised once everything has ended or `PATIENCE` is over.
    """

    def guarded(outcome: Outcome) -> None:
        try:
            if stop.is_set():
                raise Interrupted("stopped")
            work(outcome.product, outcome)
        except Interrupted:
            outcome.status = "stopped"
        except Exception as error:
            outcome.status, outcome.error = "failed", sentence(error)
            log.debug("%s", outcome.product, exc_info=True)
        if outcome.error:
            where = "" if outcome.product in outcome.error else f"{outcome.product}: "
            log.error("%s%s", where, outcome.error, extra=event("stream_failed", source=source, stream=outcome.product))

    pool = ThreadPoolExecutor(workers, "product")
    futures = [pool.submit(guarded, outcome) for outcome in outcomes]
    try:
        wait(futures)
    except KeyboardInterrupt:
        stop.set()
        wait(futures, PATIENCE)
        raise Interrupted("stopped") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def until_stopped(items: Generator[T, None, object], stop: threading.Event) -> Iterator[T]:
    """Hand on items, which are made in a thread of their own, one ahead. Raises what that raises, and Interrupted soon
    after `stop` is set: the next item may hang on an exchange's answer, and what came before it must be written."""
    made: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(1)
    left = threading.Event()

    def hand_over(item: tuple[T] | BaseException | None) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                return made.put(item, timeout=LOOKING)

    def make() -> None:
        try:
            for item in items:
                hand_over((item,))
                if left.is_set():
                    break
            hand_over(None)
        except BaseException as error:  # noqa: BLE001 - raised where the items are used
            hand_over(error)
        finally:
            items.close()

    threading.Thread(target=make, name="ahead", daemon=True).start()
    try:
        while True:
            if stop.is_set():
                raise Interrupted("stopped")
            try:
                item = made.get(timeout=LOOKING)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        left.set()


def overall(statuses: Sequence[str]) -> Literal["ok", "partial", "failed"]:
    """What several products, or runs, came to together."""
    if not {"failed", "partial"} & set(statuses):
        return "ok"
    return "failed" if set(statuses) == {"failed"} else "partial"


def exit_code(statuses: Sequence[str]) -> int:
    """0 when all went well, 1 when every product failed, 3 when some did or one in part."""
    return {"ok": 0, "failed": 1, "partial": 3}[overall(statuses)]
