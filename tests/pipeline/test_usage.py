"""What a lake's own ledgers tell of its use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.pipeline.reports import Report
from schemahub_lib.pipeline.runs import record
from schemahub_lib.pipeline.usage import usage
from schemahub_lib.schemas import WATERMARKS
from schemahub_lib.tables.lake import Lake

START = datetime(2026, 11, 1, tzinfo=UTC)
ALL = list(EXCHANGES.values())


def at(lake: Lake, source: str, *streams: str) -> None:
    """Give these streams of an exchange a watermark."""
    lake.append(WATERMARKS, [{"source": source, "stream": stream, "last_ts": START} for stream in streams])


def ran(lake: Lake, run_id: str, job: str, source: str, since: timedelta, seconds: float, rows: int = 0) -> None:
    record(lake, [Report(run_id, job, source, "ok", started_at=START + since, seconds=seconds, rows=rows)])


@pytest.fixture
def used(lake: Lake) -> Lake:
    """Three runs of the pipeline, a half hour apart, on two of Kraken's products."""
    at(lake, "kraken", "XBTUSD", "ETHUSD")
    for number, (rows, seconds) in enumerate(((70_000, 500), (1000, 40), (3000, 44))):
        since = timedelta(minutes=30 * number)
        ran(lake, f"run{number}", "ingest", "kraken", since, 5, rows)
        ran(lake, f"run{number}", "unify", "trades_unified", since + timedelta(seconds=6), seconds - 6, rows)
    ran(lake, "other", "ingest", "kraken", timedelta(minutes=30), 2)  # without a unify it is no whole run
    return lake


def test_a_warehouse_tells_what_it_is_used_for(used: Lake) -> None:
    (source,), seconds = usage(used, ALL)
    assert (source.exchange.name, source.products) == ("kraken", 2)
    assert source.trades_a_day == 4000 * 24  # what the second run and the third brought in an hour
    assert seconds == 44  # the middle one of three whole runs


def test_only_the_exchanges_asked_about_are_told_of(used: Lake) -> None:
    with pytest.raises(UsageError, match="nothing was ingested"):
        usage(used, [EXCHANGES["okx"]])


def test_a_lake_without_runs_stays_empty(lake: Lake) -> None:
    with pytest.raises(UsageError, match="nothing was ingested"):
        usage(lake, ALL)
    assert not Path(lake.settings.warehouse).exists()


def test_one_ingest_does_not_tell_how_much_comes_in_a_day(lake: Lake) -> None:
    at(lake, "okx", "BTC-USDT")
    ran(lake, "1", "ingest", "okx", timedelta(), 5, 10)
    with pytest.raises(UsageError, match="okx was ingested once"):
        usage(lake, ALL)
