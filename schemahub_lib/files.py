"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from errno import EINVAL
from pathlib import Path
from uuid import uuid4


def write_whole(place: Path, text: str) -> None:
    """Write a file anew so that nobody ever reads half of it. Raises OSError, also for what is there and no file."""
    place = place.resolve()
    if place.exists() and not place.is_file():
        raise OSError(EINVAL, "it is there, and is no file")
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{uuid4().hex}.tmp")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
