"""Tables by name: those people name, refused with the nearest name there is, and those a run is at work on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from schemahub_lib.errors import SchemaHubError, UsageError
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


def loaded(lake: Lake, name: str) -> IcebergTable:
    """A table that a run is at work on, read afresh. Raises SchemaHubError when somebody dropped it meanwhile."""
    table = lake.find(name)
    if table is None:
        raise SchemaHubError(f"the table {name} was dropped while a run was at work on it")
    return table


def what_there_is(name: str, known: Iterable[str]) -> str:
    """The end of an error about a name that is not known: `did you mean a? there are a, b`."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"there are {', '.join(names)}"
