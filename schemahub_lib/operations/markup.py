"""HTML of panels, from the templates in `static/`, which escape whatever is put into them. Needs the [ui] extra."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from schemahub_lib.operations.cells import columns
from schemahub_lib.operations.charts import Rows
from schemahub_lib.operations.panels import Panel


def filled(template: str, **values: Any) -> Markup:
    """A template with these values."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return Markup(environment.from_string(static(template)).render(**values))


def table(panel: Panel, rows: Rows) -> Markup:
    """A panel's rows as a table."""
    return filled("table.html", panel=panel, columns=columns(rows), count=len(rows))


@cache
def static(name: str) -> str:
    """The text of a file in `static/`."""
    return (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")
