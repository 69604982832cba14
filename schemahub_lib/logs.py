"""Logs: always on stderr, as text for people or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

# What machines can tell lines by; the rest of the log is for people.
Event = Literal[
    "run_finished",
    "stream_failed",
    "rows_set_aside",
    "audit_warned",
    "exchange_down",
    "exchange_back",
    "slowed_down",
    "publish_raced",
]
EVENTS: Mapping[Event, str] = {
    "run_finished": "one source or table is done: its row of `schemahub_runs`, and metrics for CloudWatch",
    "stream_failed": "a product was not fetched, or not to its end: `source`, `stream`",
    "rows_set_aside": "rows that are no trades went to the quarantine: `source`, `stream`, `rows`",
    "audit_warned": "an audit warned; one that blocks a publish is the run's error: `table`, `source`, `audit`, `rows`",
    "exchange_down": "an exchange does not answer, and is asked now and then only: `source`",
    "exchange_back": "it answers again: `source`, `seconds`",
    "slowed_down": "it refused a request, and is asked at a slower pace: `source`, `pace`",
    "publish_raced": "another run published first, so this one writes again on its result: `table`",
}


def event(name: Event, **fields: Any) -> dict[str, Any]:
    """The `extra` of a log call, by which the line of a JSON log has `event` and these fields besides."""
    return {"event": {"event": name, **fields}}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "event", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def set_up_logging(style: Literal["text", "json"] | str, *, verbose: bool = False, quiet: bool = False) -> None:
    """Send SchemaHub's logs to stderr. Other libraries are heard from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
        # People are shown the same as a table, on stdout.
        handler.addFilter(lambda record: getattr(record, "event", {}).get("event") != "run_finished")
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)  # it warns of every commit it has to try twice
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it logs a Ctrl-C as an error, with a traceback
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.getLogger("schemahub_lib").setLevel(level)
