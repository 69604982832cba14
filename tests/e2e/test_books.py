"""`run ingest … --books` on the command line, and as a job."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemahub_lib.simulator import Simulator
from tests.e2e.conftest import Outcome, assert_one_error
from tests.e2e.pipelines import NOW, settings_for

INGEST = ("run", "ingest", "coinbase", "--books")


@pytest.fixture(scope="module")
def market() -> Iterator[Simulator]:
    with Simulator(seed=2, now=NOW, speed=0, rate_limits=False) as simulator:
        yield simulator


@pytest.fixture
def books(cli: Callable[..., Outcome], market: Simulator, tmp_path: Path) -> Callable[..., Outcome]:
    """The command line on a lake of the test's own."""
    place = settings_for(market.urls) | {"SCHEMAHUB_WAREHOUSE": str(tmp_path / "warehouse")}
    return lambda *arguments, **more: cli(*arguments, **(place | more))


def test_several_exchanges_are_asked_at_once(books: Callable[..., Outcome]) -> None:
    run = books("run", "ingest", "coinbase", "binance", "kraken", "--books", "--json")
    assert run.code == 0
    assert [(report["job"], report["source"], report["rows"]) for report in json.loads(run.out)] == [
        ("ingest", f"raw_{exchange}_books", 3) for exchange in ("coinbase", "binance", "kraken")
    ]


def test_products_that_fail_are_named_and_make_the_run_partial(books: Callable[..., Outcome]) -> None:
    run = books(*INGEST, "--products", "BTC-USD,NO-PE")
    assert run.code == 3
    assert "failed: coinbase NO-PE /products/NO-PE/book: HTTP 404" in run.out
    assert books(*INGEST, "--products", "NO-PE").code == 1


@pytest.mark.parametrize(
    "flags", [("--since", "2024-02-08"), ("--max-catch-up", "5"), ("--cold-start-window", "45m"), ("--until", "2024")]
)
def test_what_is_about_trades_is_refused(books: Callable[..., Outcome], tmp_path: Path, flags: tuple[str, ...]) -> None:
    run = books(*INGEST, *flags)
    assert run.code == 2
    assert_one_error(run.err, f"{flags[0]} is about trades; a book is what the exchange shows now")
    assert not (tmp_path / "warehouse").exists()


def test_levels_are_queried_and_written_as_json_but_not_as_csv(books: Callable[..., Outcome]) -> None:
    books(*INGEST)
    best = "SELECT product_id, bids[1].price AS bid, asks[1].price AS ask FROM raw_coinbase_books ORDER BY 1"
    told = list(csv.DictReader(io.StringIO(books("query", best, "--format", "csv").out)))
    assert [row["product_id"] for row in told] == ["BTC-USD", "ETH-USD", "SOL-USD"]
    assert all(float(row["bid"]) < float(row["ask"]) for row in told)
    whole = "SELECT product_id, bids FROM raw_coinbase_books ORDER BY 1"
    as_json = json.loads(books("query", whole, "--json").out)
    assert as_json[0]["bids"][0]["price"] == float(told[0]["bid"])
    refused = books("query", whole, "--format", "csv")
    assert refused.code == 2
    assert "CSV has no place for lists and structs (bids)" in refused.err


def test_books_are_told_as_lineage_of_their_own(
    books: Callable[..., Outcome], market: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "lineage.ndjson"
    transport = {"TYPE": "file", "LOG_FILE_PATH": str(file), "APPEND": "true"}
    assert books(*INGEST, **{f"OPENLINEAGE__TRANSPORT__{name}": value for name, value in transport.items()}).code == 0
    _, ended = map(json.loads, file.read_text().splitlines())
    assert ended["job"]["name"] == "ingest.raw_coinbase_books"
    assert [(one["namespace"], one["name"]) for one in ended["inputs"]] == [(market.urls["coinbase"], "books")]
    (output,) = ended["outputs"]
    assert output["name"] == f"{tmp_path}/warehouse/schemahub/raw_coinbase_books"
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 3
