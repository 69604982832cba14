"""docs/mappings.md lists the language as it is declared, and its examples are valid.

After an intended change: `SCHEMAHUB_UPDATE_GOLDEN=1 pytest tests/mapping/test_reference_page.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from schemahub_lib.exchanges import raw_tables
from schemahub_lib.mapping.functions import FUNCTIONS
from schemahub_lib.mapping.meanings import MEANINGS
from schemahub_lib.mapping.parser import parse_mapping
from schemahub_lib.mapping.sections import REQUIRED, SECTIONS
from schemahub_lib.mapping.transforms import TRANSFORMS
from schemahub_lib.schemas import RAW_COMMON, TARGETS, TRADES_UNIFIED, Table
from tests.pages import DOCS, assert_declared, table


def sections() -> list[str]:
    rows = [f"| `{name}` | {'yes' if name in REQUIRED else ''} | {told} |" for name, told in SECTIONS.items()]
    return table("| key | needed | |", rows)


def transforms() -> list[str]:
    rows = [
        f"| `{one.name}` | {', '.join(one.inputs)} | {one.output} | {one.meaning} | {one.nulls} |"
        for one in TRANSFORMS.values()
    ]
    return table("| transform | reads | gives | | NULL |", rows)


def meanings() -> list[str]:
    rows = []
    for name, told in MEANINGS.items():
        ways = [one for one in TRANSFORMS.values() if one.reads == name]
        rows.append(f"| `{name}` | {told} | {', '.join(f'`{one.name}` to `{one.gives}`' for one in ways)} |")
    return table("| meaning | | transforms |", rows)


def functions() -> list[str]:
    rows = []
    for name, one in FUNCTIONS.items():
        kept = ", ".join(f"`{before}` to `{after}`" for before, after in one.becomes.items() if before) or "kept"
        rows.append(f"| `{one.usage(name)}` | {one.gives or 'as given'} | {kept if one.kept(one.takes) else 'none'} |")
    return table("| function | gives | meaning |", rows)


def raw_columns() -> list[str]:
    return [
        f"| `{name}` | `{column.name}` | {column.type} | {column.comment} |"
        for name, raw in raw_tables().items()
        for column in raw.columns
        if column not in RAW_COMMON
    ]


def target_columns() -> list[str]:
    told = {
        column.name: f"{column.comment} (filled {column.filled})" for column in TRADES_UNIFIED.columns if column.filled
    }
    return [f"| `{c.name}` | {c.type} | {told.get(c.name, c.comment)} |" for c in TRADES_UNIFIED.columns]


def test_the_tables_of_the_page_are_the_declarations() -> None:
    made = {
        **{"sections": sections(), "transforms": transforms(), "meanings": meanings(), "functions": functions()},
        "raw columns": table("| table | column | type | |", raw_columns()),
        "target columns": table("| column | type | |", target_columns()),
    }
    assert_declared("mappings.md", made)


def test_the_examples_of_the_page_are_valid(raw_tables: Mapping[str, Table]) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (DOCS / "mappings.md").read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        parse_mapping(example, "docs/mappings.md", raw_tables)


def test_every_meaning_that_a_table_declares_is_told(raw_tables: Mapping[str, Table]) -> None:
    declared = {column.meaning for table in (*raw_tables.values(), *TARGETS.values()) for column in table.columns}
    assert declared - {""} <= MEANINGS.keys()
