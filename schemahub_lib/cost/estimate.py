"""The estimate: a setup's bill in full, what the history costs once, and what the other setups come to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemahub_lib.cost.data import Price, load_figures, load_prices, looked_up
from schemahub_lib.cost.jobs import Job
from schemahub_lib.cost.setups import SETUPS, Line, Model, history_bill
from schemahub_lib.cost.terms import Term, number
from schemahub_lib.cost.workload import Workload
from schemahub_lib.errors import UsageError


@dataclass(frozen=True)
class Row:
    """A line of a bill, as it is shown. `formula` evaluates to `dollars`, `quantity` is in `unit`."""

    service: str
    what: str
    quantity: float
    unit: str
    price: float
    formula: str
    dollars: float


@dataclass(frozen=True)
class Step:
    """A quantity on the way to a bill."""

    what: str
    value: float
    unit: str
    formula: str


@dataclass(frozen=True)
class Comparison:
    """A setup and what it comes to, in dollars a month."""

    setup: str
    title: str
    dollars: float


@dataclass(frozen=True)
class Estimate:
    """What a month costs (`bill`, in all `dollars`), and what the history costs once (`once`).

    `figures` are name, value and where it comes from.
    """

    setup: str
    title: str
    region: str
    looked_up: str
    sources: tuple[str, ...]
    products: int
    trades_a_day: float
    runs_a_day: float
    history: int
    month: int
    queries: int
    query_mb: float
    steps: tuple[Step, ...]
    bill: tuple[Row, ...]
    dollars: float
    once: tuple[Row, ...]
    once_dollars: float
    setups: tuple[Comparison, ...]
    figures: tuple[tuple[str, str, str], ...]
    prices: tuple[Price, ...]
    notes: tuple[str, ...]


def estimate(
    workload: Workload, jobs: Mapping[str, Job], *, setup: str = "glue", region: str = "us-east-1"
) -> Estimate:
    """What `workload` costs. Raises UsageError for a region without prices, and for a setup that is not known."""
    if setup not in SETUPS:
        raise UsageError(f"there is no setup {setup!r}: choose one of {', '.join(SETUPS)}")
    model = Model(workload, jobs, load_prices(region), load_figures())
    bills = {name: list(SETUPS[name].bill(model)) for name in SETUPS}
    history = list(history_bill(model)) if workload.history else []
    shown = [*bills[setup], *history]
    used = {line.price.name: line.price for lines in (*bills.values(), history) for line in lines}
    return Estimate(
        setup=setup,
        title=SETUPS[setup].title,
        region=region,
        looked_up=looked_up(),
        sources=tuple(source.exchange.name for source in workload.sources),
        products=workload.products,
        trades_a_day=workload.trades_a_day,
        runs_a_day=workload.runs_a_day,
        history=workload.history,
        month=workload.month,
        queries=workload.queries,
        query_mb=workload.query_mb,
        steps=tuple(_steps(model)),
        bill=tuple(map(_row, bills[setup])),
        dollars=sum(line.dollars for line in bills[setup]),
        once=tuple(map(_row, history)),
        once_dollars=sum(line.dollars for line in history),
        setups=tuple(
            Comparison(name, SETUPS[name].title, sum(line.dollars for line in lines)) for name, lines in bills.items()
        ),
        figures=tuple((figure.name, figure.term.text, figure.source) for figure in model.figures.values()),
        prices=tuple(used.values()),
        notes=tuple(_notes(model, shown)),
    )


def _row(line: Line) -> Row:
    price = line.price
    return Row(price.service, line.what, line.quantity.value, price.unit, price.term.value, line.formula, line.dollars)


def _steps(model: Model) -> Iterator[Step]:
    def step(what: str, term: Term, unit: str) -> Step:
        return Step(what, term.value, unit, term.text)

    for name, fetch in model.pace.fetches.items():
        yield step(f"{name}'s requests, a run", fetch, "s")
    yield step("unify, a run", model.pace.unify, "s")
    yield step("a run of the pipeline job", model.pipeline_seconds, "s")
    yield step("runs a month", model.days * number(model.workload.runs_a_day, "runs a day"), "")
    yield step("trades in the tables", model.trades, "")
    for source, seconds in model.histories():
        yield step(f"{source.exchange.name}'s requests, its history", seconds, "s")


def _notes(model: Model, lines: Sequence[Line]) -> Iterator[str]:
    between = 86_400 / model.workload.runs_a_day
    if model.pipeline_seconds.value > between:
        yield f"a run takes {model.pipeline_seconds.value:,.0f} s, longer than the {between:,.0f} s to the next one"
    limit = model.jobs["backfill"].timeout_seconds
    for source, seconds in model.histories():
        if seconds.value > limit:
            yield (
                f"the history of {source.exchange.name} takes {seconds.value / 3600:,.0f} h and its job is stopped "
                f"after {limit / 3600:,.0f} h: start it again, it goes on where it was"
            )
    if unchecked := sorted({line.price.name for line in lines if not line.price.checked}):
        yield f"these prices were not looked up for this region: {', '.join(unchecked)}"
