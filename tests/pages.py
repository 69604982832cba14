"""Tables in `docs/` that are made from declarations: between `<!-- name -->` and `<!-- end of name -->`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def table(head: str, rows: Sequence[str]) -> list[str]:
    """A table's lines, from its first one and those of its rows."""
    return [head, "|" + "---|" * (head.count("|") - 1), *rows]


def assert_declared(page: str, made: Mapping[str, Sequence[str]]) -> None:
    """A page of `docs/` holds these lines, by name; SCHEMAHUB_UPDATE_GOLDEN=1 makes it so."""
    path = DOCS / page
    there = path.read_text(encoding="utf-8")
    wanted = there
    for name, lines in made.items():
        block = "\n".join((f"<!-- {name} -->", *lines, f"<!-- end of {name} -->"))
        wanted, places = re.subn(f"<!-- {name} -->.*?<!-- end of {name} -->", lambda _, b=block: b, wanted, flags=re.S)
        assert places == 1, name
    if os.environ.get("SCHEMAHUB_UPDATE_GOLDEN"):
        path.write_text(wanted, encoding="utf-8")
        there = wanted
    assert there == wanted
