"""What is to be fetched, how often, and how long that takes at the exchanges' rate limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from schemahub_lib.cost.data import Figure
from schemahub_lib.cost.jobs import Job
from schemahub_lib.cost.terms import Term, at_least, number, rounded_up
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges.base import Exchange

DAY_HOURS = 24


@dataclass(frozen=True)
class Source:
    """One exchange's part."""

    exchange: Exchange
    products: int
    trades_a_day: float = 0


def spread(
    sources: Sequence[Source], *, products: int | None = None, trades_a_day: float | None = None
) -> tuple[Source, ...]:
    """The sources with so many products, as evenly as may be, and so many trades, in proportion to products.

    What is None stays as it is. Raises UsageError for fewer products than sources.
    """
    if products is not None:
        each, more = divmod(products, len(sources))
        if not each:
            raise UsageError(f"{products} products are fewer than {len(sources)} exchanges: name those with --sources")
        sources = [replace(source, products=each + (place < more)) for place, source in enumerate(sources)]
    if trades_a_day is not None:
        share = trades_a_day / sum(source.products for source in sources)
        sources = [replace(source, trades_a_day=share * source.products) for source in sources]
    return tuple(sources)


@dataclass(frozen=True)
class Workload:
    """`run_seconds` is how long a pipeline run works, without its start; None where that is to be reckoned.

    `history` trades are fetched once, and lie there from the start; the trades of `month` months lie there too. A
    query scans `query_mb`. `secrets` are the API keys kept in a vault.
    """

    sources: tuple[Source, ...]
    runs_a_day: float
    run_seconds: float | None = None
    history: int = 0
    month: int = 12
    queries: int = 1000
    query_mb: float = 10
    secrets: int = 0

    @property
    def products(self) -> int:
        return sum(source.products for source in self.sources)

    @property
    def trades_a_day(self) -> float:
        return sum(source.trades_a_day for source in self.sources)


@dataclass(frozen=True)
class Pace:
    """How long the parts of a run take, in seconds: each exchange's requests, one publish to raw, and the unify."""

    fetches: Mapping[str, Term]
    publish: Term
    unify: Term

    @property
    def slowest(self) -> Term:
        return max(self.fetches.values(), key=lambda fetch: fetch.value)


def pace(workload: Workload, jobs: Mapping[str, Job], figures: Mapping[str, Figure]) -> Pace:
    """A run's parts at the rate limits, exchanges side by side; what the workload tells goes before."""
    at_a_time = jobs["pipeline"].products_at_a_time
    fetches = {source.exchange.name: _fetch(source, workload.runs_a_day, at_a_time) for source in workload.sources}
    publish = figures["publish"].term
    trades = number(workload.trades_a_day, "trades a day") / number(workload.runs_a_day, "runs a day")
    unify = figures["unify"].term + figures["merge"].term * trades / number(1e6)
    reckoned = Pace(fetches, publish, unify)
    if workload.run_seconds is None:
        return reckoned
    rest = workload.run_seconds - reckoned.slowest.value - publish.value
    return replace(reckoned, unify=number(max(rest, 0), "s"))


def history_seconds(source: Source, trades: float, job: Job) -> Term:
    """How long a backfill of `trades` asks the exchange, at its rate limit."""
    pages = rounded_up(number(trades, "trades") / number(source.exchange.page_size, "a page"))
    return _asking(source, pages, min(job.products_at_a_time, source.products))


def _fetch(source: Source, runs_a_day: float, at_a_time: int) -> Term:
    """A run asks each product at least once. The trades are spread evenly over its products."""
    trades = number(source.trades_a_day, "trades a day") / number(runs_a_day, "runs a day")
    each = trades / number(source.products, "products") / number(source.exchange.page_size, "a page")
    pages = at_least(number(1), rounded_up(each)) * number(source.products, "products")
    return _asking(source, pages, min(at_a_time, source.products))


def _asking(source: Source, pages: Term, at_a_time: int) -> Term:
    limit = source.exchange.rate_limit
    seconds = pages * number(source.exchange.page_weight, "weight") * number(limit.seconds, "s")
    seconds /= number(limit.units, "weight")
    return seconds / number(at_a_time, "at a time") if limit.per_scope else seconds
