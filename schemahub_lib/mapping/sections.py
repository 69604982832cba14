"""The keys of a mapping file, each declared once: the parser reads them, editors complete them, docs list them."""

from __future__ import annotations

# In the order of a file.
SECTIONS = {
    "source": "The raw table the rows come from.",
    "target_table": "The unified table they go into.",
    "description": "What this mapping is about, for people.",
    "owner": "Who answers for it: a person or a team.",
    "key": "The columns of the target that tell its rows apart. They are given by the target; this repeats them.",
    "mappings": "Lines `raw column: target column`.",
    "expressions": "Lines `target column: Spark SQL expression` over the raw columns, where a transform is not enough.",
    "constants": "Lines `target column: value`: every row of the source gets it.",
    "defaults": "Lines `target column: value`: what a row gets where there would be NULL.",
    "transforms": "Lines `column: transform`. The column is a raw or a target one of `mappings`.",
    "filters": "Conditions in Spark SQL over the raw columns. Rows that do not meet them all are left out.",
    "on_conflict": "What becomes of a row whose key is there with other values.",
    "audits": "Lines `audit: severity`, or `audit: {severity: ..., limit: ...}`: what is checked before a publish.",
}
REQUIRED = ("source", "target_table", "mappings")
