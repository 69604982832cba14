"""Lineage: what each run that brings rows read and wrote, column by column, as OpenLineage events.

They go where OpenLineage's own settings say (OPENLINEAGE_URL, OPENLINEAGE_CONFIG, OPENLINEAGE__…); without any there
are none. Tables are named by their place, as https://openlineage.io/docs/spec/naming has it, and by a symlink as the
catalog of the warehouse names them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from schemahub_lib.exchanges import EXCHANGES, raw_tables
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.mapping.spec import ColumnMapping, Expression, MappingSpec
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.schemas import TARGETS, Column, Table
from schemahub_lib.tables.lake import Lake

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset, RunEvent
    from openlineage.client.facet_v2 import column_lineage_dataset as lineage

log = logging.getLogger(__name__)

PRODUCER = "https://pypi.org/project/schemahub"
FROM_EXCHANGES = ("ingest", "backfill")  # these jobs' rows come from an exchange, or its own bulk files


def emit(lake: Lake, reports: Sequence[Report], specs: Sequence[MappingSpec] = ()) -> None:
    """Tell of the runs, of which unifying ones went by `specs`. What fails is a warning: lineage stops no run."""
    if not any(name.startswith("OPENLINEAGE_") for name in lake.settings.environment):
        return
    try:
        from openlineage.client import OpenLineageClient

        client = OpenLineageClient()
        for report in reports:
            if specs or report.source in EXCHANGES or report.job in FROM_EXCHANGES:
                for event in _events(lake, report, specs):
                    client.emit(event)
        client.close()
    except ImportError:
        log.warning("OPENLINEAGE_… is set, but its client is not here: pip install 'schemahub[lineage]'")
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("lineage was not told: %s: %s", type(error).__name__, error)


def _events(lake: Lake, report: Report, specs: Sequence[MappingSpec]) -> Iterator[RunEvent]:
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import error_message_run
    from openlineage.client.uuid import generate_static_uuid

    inputs, output = _datasets(lake, report, specs)
    job = Job(f"schemahub.{lake.settings.database}", f"{report.job}.{report.source}")
    run_id = str(generate_static_uuid(report.started_at, f"{report.run_id} {job.name}".encode()))
    error = report.as_row()["error"]
    facets: dict[str, Any] = {"errorMessage": error_message_run.ErrorMessageRunFacet(error, "PYTHON")} if error else {}
    end = {"failed": RunState.FAIL, "interrupted": RunState.ABORT}.get(report.status, RunState.COMPLETE)
    ended_at = report.started_at + timedelta(seconds=report.seconds)
    for state, moment, run in (
        (RunState.START, report.started_at, Run(run_id)),
        (end, ended_at, Run(run_id, facets)),
    ):
        yield RunEvent(
            eventType=state,
            eventTime=moment.isoformat(),
            run=run,
            job=job,
            producer=PRODUCER,
            inputs=inputs,
            outputs=[output],
        )


def _datasets(lake: Lake, report: Report, specs: Sequence[MappingSpec]) -> tuple[list[InputDataset], OutputDataset]:
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import column_lineage_dataset, output_statistics_output_dataset

    if specs:
        inputs = [_table(lake, raw_tables()[spec.source], InputDataset) for spec in specs]
        output = _table(lake, TARGETS[report.source], OutputDataset)
    else:
        exchange, what, table = _fetched(report.source)
        url = urlsplit(lake.settings.exchange_url(exchange.name) or exchange.base_url)
        host = url.netloc.rpartition("@")[2]  # a proxy's may come with a password
        inputs = [InputDataset(f"{url.scheme}://{host}", what)] if report.job in FROM_EXCHANGES else []
        output = _table(lake, table, OutputDataset)
    output.outputFacets = {
        "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=report.rows)
    }
    if specs:
        fields: dict[str, lineage.Fields] = {}
        kept: list[lineage.InputField] = []
        for dataset, spec in zip(inputs, specs, strict=True):
            for column in spec.columns:
                into = fields.setdefault(column.target, column_lineage_dataset.Fields([]))
                into.inputFields += [_field(dataset, name, "DIRECT", *_by(column)) for name in _read(column.origin)]
            for one in spec.filters:
                kept += [_field(dataset, name, "INDIRECT", "FILTER", one.text) for name in _read(one)]
        output.facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(fields, kept)
    return inputs, output


def _fetched(source: str) -> tuple[Exchange, str, Table]:
    """The exchange of a run, what it tells there, and the table it wrote: runs that fetch books go by their table."""
    for exchange in EXCHANGES.values():
        if exchange.books is not None and exchange.books.table.name == source:
            return exchange, "books", exchange.books.table
    return EXCHANGES[source], "trades", EXCHANGES[source].raw_table


def _table(lake: Lake, table: Table, kind: type[Any]) -> Any:
    from openlineage.client.facet_v2 import schema_dataset, symlinks_dataset

    settings = lake.settings
    found = lake.find(table.name)
    place = found.location() if found else f"{settings.warehouse}/{settings.database}/{table.name}"
    parts = urlsplit(place)
    remote = parts.scheme not in ("", "file")
    names = symlinks_dataset.Identifier(settings.warehouse, f"{settings.database}.{table.name}", "TABLE")
    columns = [schema_dataset.SchemaDatasetFacetFields(column.name, column.type) for column in table.columns]
    return kind(
        f"{parts.scheme}://{parts.netloc}" if remote else "file",
        parts.path.lstrip("/") if remote else parts.path,
        facets={
            "schema": schema_dataset.SchemaDatasetFacet(columns),
            "symlinks": symlinks_dataset.SymlinksDatasetFacet([names]),
        },
    )


def _field(dataset: Dataset, name: str, kind: str, subtype: str, words: str | None) -> lineage.InputField:
    from openlineage.client.facet_v2 import column_lineage_dataset as lineage

    return lineage.InputField(dataset.namespace, dataset.name, name, [lineage.Transformation(kind, subtype, words)])


def _by(column: ColumnMapping) -> tuple[str, str | None]:
    """What kind of transformation makes a column, and which."""
    if isinstance(column.origin, Expression):
        return "TRANSFORMATION", column.origin.text
    return ("TRANSFORMATION", column.transform.name) if column.transform else ("IDENTITY", None)


def _read(origin: object) -> list[str]:
    """The raw columns that a value is made of."""
    from sqlglot import exp

    if isinstance(origin, Expression):
        return sorted({column.name for column in origin.tree.find_all(exp.Column)})
    return [origin.name] if isinstance(origin, Column) else []
