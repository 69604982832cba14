"""Rows that are no trades, or contradict one that is there: kept with their reason, never dropped in silence."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from schemahub_lib.http.messages import Rejected
from schemahub_lib.logs import event
from schemahub_lib.schemas import QUARANTINE
from schemahub_lib.tables.lake import Lake

log = logging.getLogger(__name__)


def quarantine(lake: Lake, source: str, stream: str, run_id: str, rejected: Sequence[Rejected]) -> None:
    """Append rejected rows to the quarantine, and say so.

    Written before the publish that moves past them, so a crash between the two may write a finding twice and never
    loses it; `quarantine_id` is the same both times.
    """
    log.warning(
        "%s %s: %d rows set aside in schemahub_quarantine, first: %s",
        *(source, stream, len(rejected), rejected[0].reason),
        extra=event("rows_set_aside", source=source, stream=stream, rows=len(rejected), run_id=run_id),
    )
    now = datetime.now(UTC)
    lake.append(
        QUARANTINE,
        [
            {
                "quarantine_id": hashlib.sha256("\0".join((source, stream, row.payload)).encode()).hexdigest(),
                "source": source,
                "stream": stream,
                "reason": row.reason,
                "payload": row.payload,
                "run_id": run_id,
                "quarantined_at": now,
            }
            for row in rejected
        ],
    )
