"""Logs: always on stderr, as text for people or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def set_up_logging(style: Literal["text", "json"] | str, *, verbose: bool = False, quiet: bool = False) -> None:
    """Send SchemaHub's logs to stderr. Other libraries are heard from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("pyiceberg").setLevel(logging.ERROR)  # it warns of every commit it has to try twice
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it logs a Ctrl-C as an error, with a traceback
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    logging.getLogger("schemahub_lib").setLevel(level)
