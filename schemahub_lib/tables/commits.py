"""Commits to a table that others commit to as well."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from schemahub_lib.aws import refusal
from schemahub_lib.errors import SchemaHubError

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable

log = logging.getLogger(__name__)

ATTEMPTS = 10
UNEXPLAINED = 2  # how often a commit is tried again that failed for another reason than another one

R = TypeVar("R")


def retrying(load: Callable[[], IcebergTable], action: Callable[[IcebergTable], R]) -> R:
    """What `action` makes of the table as it is by then; again, when its commit came second.

    An error of the catalog's client (botocore, requests, SQLAlchemy) leaves open whether the commit went through, so
    `action` must look first whether its work is done. Raises SchemaHubError.
    """
    from pyiceberg.exceptions import CommitFailedException, ValidationException

    # pyiceberg reports a snapshot that came second on another branch as a ValueError (its sequence number is taken).
    conflicts = (CommitFailedException, ValidationException, ValueError)
    for attempt in range(ATTEMPTS):
        table = load()
        try:
            return action(table)
        except SchemaHubError:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            log.debug("a commit to %s failed: %s", ".".join(table.name()), error)
            last = error
            if attempt >= UNEXPLAINED and not isinstance(error, conflicts):
                break
        time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise SchemaHubError(
        f"{table.name()[-1]} could not be committed to: {refusal(last) or f'{last}; run again'}"
    ) from last
