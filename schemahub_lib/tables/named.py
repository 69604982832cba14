"""Tables people name: found, or refused with the nearest name there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from schemahub_lib.errors import UsageError
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    from pyiceberg.table import Table as IcebergTable


def existing(lake: Lake, name: str) -> IcebergTable:
    """The table called `name`, read afresh. Raises UsageError, which names what there is."""
    table = lake.find(name)
    if table is not None:
        return table
    present = lake.table_names()
    if not present:
        raise UsageError(
            f"there is no table {name}: the warehouse {lake.settings.warehouse} holds none yet; run the pipeline first"
        )
    raise UsageError(f"there is no table {name}: {what_there_is(name, present)}")


def what_there_is(name: str, known: Iterable[str]) -> str:
    """The end of an error about a name that is not known: `did you mean a? there are a, b`."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"there are {', '.join(names)}"
