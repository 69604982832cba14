"""The Operations page: how the lake is doing, a panel each, with the SQL behind it."""

from __future__ import annotations

import json
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime

from markupsafe import escape
from nicegui import app, ui

from schemahub_lib.operations.look import Look, look
from schemahub_lib.operations.markup import table
from schemahub_lib.operations.panels import PANELS, Panel
from schemahub_lib.tables.lake import Lake
from schemahub_lib.ui.layout import filled, page

AT_A_TIME = 2  # panels that are asked, however many pages are open: each may take what its limits allow


def add_page(lake: Lake) -> None:
    """Add the page."""
    readers = ThreadPoolExecutor(AT_A_TIME, "panels")
    app.on_shutdown(lambda: readers.shutdown(wait=False, cancel_futures=True))  # nobody waits for what is not read yet

    @ui.page("/operations")
    def show() -> None:
        ui.add_head_html('<link rel="stylesheet" href="/schemahub/operations.css">')
        with page("Operations", lake), ui.element("div").classes("panels"):
            for panel in PANELS:
                _add_panel(lake, panel, readers)


def _add_panel(lake: Lake, panel: Panel, readers: Executor) -> None:
    def read() -> None:
        place.clear()
        filled(place, lambda: look(lake, panel), _show, readers)

    with ui.element("section").props(f"id={panel.id} aria-labelledby={panel.id}-title").classes("panel"):
        with ui.element("div").classes("panel-head"):
            ui.html(panel.title, sanitize=False, tag="h2").props(f"id={panel.id}-title")
            again = ui.button(icon="refresh", on_click=read, color=None)
            again.props(f'flat round dense aria-label="read {panel.title} again"')
        ui.label(panel.tells)
        place = ui.element("div")
        read()


def _show(found: Look) -> None:
    panel = found.panel
    if found.error:
        ui.label(found.error).classes("problem").props("role=alert")
    elif not found.rows:
        ui.label(panel.empty).classes("empty")
    elif found.chart is None:
        ui.html(table(panel, found.rows), sanitize=False)
    else:
        chart = ui.echart(found.chart.option, renderer="svg").style(f"height: {found.chart.height}px")
        chart.classes("panel-chart").props(f'role=img aria-label="{panel.title}: its numbers are in the table below"')
        _numbers(found)
    with ui.element("details"):
        ui.html("SQL, for Athena", sanitize=False, tag="summary")
        copy = ui.button("Copy", on_click=lambda: _copy(found.sql), color=None)
        copy.props(f'no-caps aria-label="copy SQL of {panel.title}"')
        ui.html(escape(found.sql), sanitize=False, tag="pre").props(f'tabindex=0 aria-label="SQL of {panel.title}"')
    ui.label(f"as of {datetime.now(UTC):%H:%M:%S}").classes("as-of")


def _numbers(found: Look) -> None:
    """The rows of a chart, which travel to the browser once somebody wants to see them."""

    def fill() -> None:
        if not place.default_slot.children:
            with place:
                ui.html(table(found.panel, found.rows), sanitize=False)

    with ui.element("details").on("toggle", fill, []):
        ui.html("Numbers", sanitize=False, tag="summary")
        place = ui.element("div")


async def _copy(sql: str) -> None:
    # Over plain HTTP from another machine a browser gives pages no clipboard.
    done = await ui.run_javascript(f"navigator.clipboard?.writeText({json.dumps(sql)}).then(() => true)")
    ui.notify("copied" if done else "this browser lets no page copy here: select the text")
