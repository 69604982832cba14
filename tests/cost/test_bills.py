"""What a workload costs, and what changes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemahub_lib.cost.data import load_figures, load_prices
from schemahub_lib.cost.estimate import Estimate
from schemahub_lib.cost.setups import SETUPS
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from tests.cost.conftest import JOBS, Reckon
from tests.cost.formulas import worth

REGIONS = ("us-east-1", "eu-west-1")


def quantity(estimate: Estimate, what: str, service: str = "") -> float:
    return sum(row.quantity for row in estimate.bill if row.what == what and service in row.service)


def total(estimate: Estimate, setup: str) -> float:
    return next(other.dollars for other in estimate.setups if other.setup == setup)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("setup", SETUPS)
def test_every_formula_comes_to_the_dollars_beside_it(reckon: Reckon, setup: str, region: str) -> None:
    found = reckon(setup=setup, region=region, history=123_456_789, secrets=2, queries=77, query_mb=12.5)
    for row in (*found.bill, *found.once):
        assert worth(row.formula) == pytest.approx(row.dollars, rel=1e-8), row
        assert row.quantity * row.price == pytest.approx(row.dollars), row
    for step in found.steps:
        assert worth(step.formula) == pytest.approx(step.value, rel=1e-8), step


@pytest.mark.parametrize("setup", SETUPS)
def test_a_setup_costs_what_its_lines_do_together(reckon: Reckon, setup: str) -> None:
    found = reckon(setup=setup)
    assert sum(row.dollars for row in found.bill) == pytest.approx(found.dollars) == pytest.approx(total(found, setup))


def test_half_the_interval_is_twice_the_dpu_hours(reckon: Reckon) -> None:
    often, seldom = (reckon(runs_a_day=runs, run_seconds=90) for runs in (96, 48))
    assert quantity(often, "pipeline") == pytest.approx(2 * quantity(seldom, "pipeline"))
    assert quantity(often, "maintain") == quantity(seldom, "maintain")


def test_a_start_is_billed_a_minute_at_least(reckon: Reckon) -> None:
    start = load_figures()["start"].term.value
    minute, less, more = (reckon(run_seconds=60 - start + seconds) for seconds in (0, -25, 30))
    assert quantity(less, "pipeline") == pytest.approx(quantity(minute, "pipeline"))
    assert quantity(more, "pipeline") == pytest.approx(1.5 * quantity(minute, "pipeline"))
    assert quantity(minute, "pipeline") == pytest.approx(2 * 1460 / 60)


@pytest.mark.parametrize("seconds", [1, 20, 90])
def test_how_long_a_run_takes_may_be_told(reckon: Reckon, seconds: float) -> None:
    found = reckon(run_seconds=seconds)
    start = load_figures()["start"].term.value
    assert next(step.value for step in found.steps if "pipeline" in step.what) == start + seconds


def test_twice_the_workers_or_workers_twice_as_large_are_twice_the_dpu_hours(reckon: Reckon) -> None:
    more = JOBS | {"pipeline": replace(JOBS["pipeline"], workers=4)}
    larger = JOBS | {"pipeline": replace(JOBS["pipeline"], worker_type="G.2X")}
    for jobs in (more, larger):
        assert quantity(reckon(jobs=jobs), "pipeline") == pytest.approx(2 * quantity(reckon(), "pipeline"))


def test_a_workflow_pays_a_start_for_each_of_its_jobs(reckon: Reckon) -> None:
    found = reckon(setup="glue-workflow")
    started = [row for row in found.bill if row.service == "AWS Glue" and row.what != "maintain"]
    assert [row.what for row in started] == [*(f"ingest_{name}" for name in EXCHANGES), "unify"]
    assert all(row.quantity >= 2 * 1460 / 60 for row in started)
    assert total(found, "glue") < total(found, "glue-workflow")


def test_an_exchange_without_a_job_of_its_own_is_priced_as_the_pipeline_is(reckon: Reckon) -> None:
    alone = {name: job for name, job in JOBS.items() if name != "ingest_okx"}
    assert reckon(setup="glue-workflow", jobs=alone).bill == reckon(setup="glue-workflow").bill


def test_spare_capacity_is_cheaper_for_the_same_hours(reckon: Reckon) -> None:
    assert quantity(reckon(setup="glue-flex"), "pipeline") == quantity(reckon(), "pipeline")
    assert total(reckon(), "glue-flex") < total(reckon(), "glue")


def test_trades_lie_there_month_after_month_and_history_from_the_first(reckon: Reckon) -> None:
    first, second, with_history = reckon(month=1), reckon(month=2), reckon(month=1, history=10**9)
    for table, size in (("raw tables", 33), ("trades_unified", 8)):
        assert quantity(second, table) == pytest.approx(2 * quantity(first, table))
        assert quantity(with_history, table) - quantity(first, table) == pytest.approx(size)


@pytest.mark.parametrize(("scanned", "billed"), [(0, 10), (0.5, 10), (10, 10), (250, 250)])
def test_a_query_is_billed_ten_megabytes_at_least(reckon: Reckon, scanned: float, billed: float) -> None:
    assert quantity(reckon(queries=1000, query_mb=scanned), "queries") == pytest.approx(1000 * billed / 1e6)


@pytest.mark.parametrize(("source", "hours"), [("coinbase", 2.78), ("binance", 6.94), ("kraken", 9.26), ("okx", 30.9)])
def test_history_takes_as_long_as_the_exchanges_limit_says(reckon: Reckon, source: str, hours: float) -> None:
    # 10 pages of 1,000 a second; 4; 1 for each of three products; 9 of 100
    found = reckon(sources=(source,), history=100_000_000)
    asked = next(step for step in found.steps if "history" in step.what)
    assert asked.value / 3600 == pytest.approx(hours, rel=0.01)
    backfill = next(row for row in found.once if row.what == f"backfill {source}")
    start = load_figures()["start"].term.value
    assert backfill.quantity == pytest.approx(2 * (asked.value + start) / 3600)


def test_history_is_paid_once_and_no_history_costs_nothing(reckon: Reckon) -> None:
    assert (reckon().once, reckon().once_dollars) == ((), 0)
    assert reckon(history=10**6).once_dollars > 0


def test_more_products_take_longer_and_land_more_objects(reckon: Reckon) -> None:
    few, many = (reckon(products=products, setup="landing") for products in (400, 800))
    assert quantity(many, "objects: PUT, POST, LIST") == 2 * quantity(few, "objects: PUT, POST, LIST")
    assert quantity(many, "ingest: CPU") > quantity(few, "ingest: CPU")


def test_a_run_that_does_not_end_before_the_next_is_told(reckon: Reckon) -> None:
    assert not [note for note in reckon().notes if "longer" in note]
    assert [note for note in reckon(run_seconds=2000).notes if "longer than the 1,800 s" in note]


def test_a_backfill_longer_than_its_jobs_timeout_is_told(reckon: Reckon) -> None:
    found = reckon(sources=("okx",), history=10**9)
    assert any("okx takes 309 h and its job is stopped after 48 h" in note for note in found.notes)


def test_prices_that_were_not_looked_up_are_told(reckon: Reckon) -> None:
    assert not [note for note in reckon().notes if "looked up" in note]
    assert any("glue" in note for note in reckon(region="eu-west-1").notes)


@pytest.mark.parametrize("region", REGIONS)
def test_every_price_says_where_it_is_published_and_what_it_was_read_in(region: str) -> None:
    for price in load_prices(region).values():
        assert price.dollars > 0
        assert price.page.startswith("https://")
        assert price.checked == bool(price.as_of and price.source), price


def test_every_figure_says_where_it_comes_from() -> None:
    for figure in load_figures().values():
        assert figure.source.split(":")[0] in ("measured", "documented", "assumed"), figure


def test_every_price_is_used(reckon: Reckon) -> None:
    found = reckon(history=1, secrets=1)
    assert {price.name for price in found.prices} == set(load_prices("us-east-1"))


def test_what_is_not_known_is_refused_with_what_is(reckon: Reckon) -> None:
    with pytest.raises(UsageError, match="choose one of eu-west-1, us-east-1"):
        reckon(region="mars-1")
    with pytest.raises(UsageError, match="choose one of glue, glue-flex"):
        reckon(setup="mainframe")
    with pytest.raises(UsageError, match="2 products are fewer than 4 exchanges"):
        reckon(products=2)
