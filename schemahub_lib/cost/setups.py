"""Ways to run the same workload, each as the lines of its monthly bill."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from schemahub_lib.cost.data import Figure, Price
from schemahub_lib.cost.jobs import Job
from schemahub_lib.cost.terms import Term, at_least, number, rounded_up
from schemahub_lib.cost.workload import DAY_HOURS, Pace, Source, Workload, history_seconds, pace
from schemahub_lib.pipeline.backfill import BATCH_ROWS
from schemahub_lib.pipeline.plan import bytes_a_trade


@dataclass(frozen=True)
class Line:
    """One line of a bill: a quantity at a price."""

    what: str
    quantity: Term
    price: Price

    @property
    def dollars(self) -> float:
        return (self.quantity * self.price.term).value

    @property
    def formula(self) -> str:
        return (self.quantity * self.price.term).text


@dataclass(frozen=True)
class Model:
    """Everything a bill is made of, and the parts that setups share. Quantities are of a month."""

    workload: Workload
    jobs: Mapping[str, Job]
    prices: Mapping[str, Price]
    figures: Mapping[str, Figure]

    @cached_property
    def pace(self) -> Pace:
        return pace(self.workload, self.jobs, self.figures)

    @property
    def work_seconds(self) -> Term:
        """A run of the pipeline, without what comes before it."""
        told = self.workload.run_seconds
        return self.landing_seconds + self.pace.unify if told is None else number(told, "s")

    @property
    def pipeline_seconds(self) -> Term:
        """A run of the pipeline job, from its start on."""
        return self["start"] + self.work_seconds

    @property
    def landing_seconds(self) -> Term:
        """A landing ingest, without what comes before it."""
        return self.pace.slowest + self.pace.publish

    @property
    def days(self) -> Term:
        return self["month"] / number(DAY_HOURS, "h")

    @property
    def runs(self) -> Term:
        return number(self.workload.runs_a_day * (self["month"].value / DAY_HOURS), "runs")

    @property
    def daily(self) -> Term:
        return number(self.days.value, "runs")

    @property
    def exchanges(self) -> Term:
        count = len(self.workload.sources)
        return number(count, "exchange" if count == 1 else "exchanges")

    @property
    def trades(self) -> Term:
        """The trades that lie there at the end of the month that is reckoned."""
        added = number(self.workload.trades_a_day, "trades a day") * self.days * number(self.workload.month, "months")
        return number(self.workload.history, "trades") + added if self.workload.history else added

    def histories(self) -> Iterator[tuple[Source, Term]]:
        """How many seconds each exchange is asked for its part of the history, which is spread as the products are."""
        for source in self.workload.sources if self.workload.history else ():
            trades = self.workload.history * source.products / self.workload.products
            yield source, history_seconds(source, trades, self.jobs["backfill"])

    def __getitem__(self, figure: str) -> Term:
        return self.figures[figure].term

    def glue(self, what: str, job: str, seconds: Term, runs: Term, price: str = "glue") -> Line:
        """Runs of a Glue job, each billed by the second and for a minute at least."""
        used = self.jobs[job]
        dpus = number(used.workers, "workers") * number(used.dpus, "DPU")
        hours = at_least(self["minimum"], number(seconds.value, "s")) / number(3600)
        return Line(what, dpus * hours * runs, self.prices[price])

    def fargate(self, what: str, size: str, seconds: Term, runs: Term) -> Iterator[Line]:
        """Runs of a container of a size, with an address to reach the exchanges from."""
        hours = at_least(self["minimum"], number(seconds.value, "s")) / number(3600) * runs
        yield Line(f"{what}: CPU", self[f"{size}_vcpus"] * hours, self.prices["fargate_vcpu"])
        yield Line(f"{what}: memory", self[f"{size}_memory"] * hours, self.prices["fargate_memory"])
        yield Line(f"{what}: address", hours, self.prices["public_ipv4"])

    def requests(self, what: str, puts: Term, gets: Term) -> Iterator[Line]:
        yield Line(f"{what}: PUT, POST, LIST", puts, self.prices["s3_put"])
        yield Line(f"{what}: GET, HEAD", gets, self.prices["s3_get"])

    def storage(self, what: str, bytes_each: Term, price: str = "s3_storage") -> Line:
        return Line(what, self.trades * bytes_each / number(1e9), self.prices[price])

    @property
    def queries(self) -> Line:
        scanned = at_least(self["query_minimum"], number(self.workload.query_mb, "MB"))
        return Line("queries", number(self.workload.queries, "queries") * scanned / number(1e6), self.prices["athena"])

    def logs(self, runs: Term) -> Line:
        return Line("logs", self["logs"] * runs / number(1000), self.prices["logs"])

    @property
    def raw_bytes(self) -> Term:
        return number(bytes_a_trade("raw", "none", keep_payload=True), "bytes")

    def tables(self) -> Iterator[Line]:
        """What the tables cost however they are written: requests of runs, catalog, storage and queries."""
        each = self["ingest_puts"] + self["unify_puts_a_source"]
        puts = (each * self.exchanges + self["unify_puts"]) * self.runs
        gets = (self["ingest_gets"] * self.exchanges + self["unify_gets"]) * self.runs
        yield from self.requests("runs", puts, gets)
        catalog = (self["ingest_catalog"] * self.exchanges + self["unify_catalog"]) * self.runs
        yield Line("runs", catalog, self.prices["catalog"])
        yield self.storage("raw tables", self.raw_bytes)
        yield self.storage("trades_unified", self["unified_bytes"])
        yield self.queries
        yield from self.secrets()

    def landed(self) -> Iterator[Line]:
        products = number(self.workload.products, "products")
        yield from self.requests(
            "objects", self["landed_puts"] * products * self.runs, self["landed_gets"] * products * self.runs
        )
        yield from self.secrets()

    def secrets(self) -> Iterator[Line]:
        if self.workload.secrets:
            yield Line("API keys", number(self.workload.secrets, "secrets"), self.prices["secrets"])


@dataclass(frozen=True)
class Setup:
    title: str
    bill: Callable[[Model], Iterator[Line]]


def _glue(model: Model, price: str = "glue") -> Iterator[Line]:
    yield model.glue("pipeline", "pipeline", model.pipeline_seconds, model.runs, price)
    yield model.glue("maintain", "maintain", model["start"] + model["maintain"], model.daily, price)
    yield model.logs(model.runs)
    yield from model.tables()


def _flex(model: Model) -> Iterator[Line]:
    yield from _glue(model, "glue_flex")


def _workflow(model: Model) -> Iterator[Line]:
    for name, fetch in model.pace.fetches.items():
        own = f"ingest_{name}"
        job = own if own in model.jobs else "pipeline"  # an exchange whose job is not written yet
        yield model.glue(own, job, model["start"] + fetch + model.pace.publish, model.runs)
    yield model.glue("unify", "unify", model["start"] + model.pace.unify, model.runs)
    yield model.glue("maintain", "maintain", model["start"] + model["maintain"], model.daily)
    yield model.logs(number(len(model.workload.sources) + 1, "jobs") * model.runs)
    yield from model.tables()


def _container(model: Model) -> Iterator[Line]:
    start = model["container_start"]
    yield from model.fargate("pipeline", "container", start + model.work_seconds, model.runs)
    yield from model.fargate("maintain", "container", start + model["maintain"], model.daily)
    yield model.logs(model.runs)
    yield from model.tables()


def _landing(model: Model) -> Iterator[Line]:
    yield from model.fargate("ingest", "landing", model["container_start"] + model.landing_seconds, model.runs)
    yield from model.landed()
    yield _landed_storage(model, "jsonl", "zstd")


def _function(model: Model) -> Iterator[Line]:
    seconds = number((model["function_start"] + model.landing_seconds).value, "s")
    yield Line("ingest", model["landing_memory"] * seconds * model.runs, model.prices["lambda"])
    yield from model.landed()
    yield _landed_storage(model, "jsonl", "zstd")


def _parquet(model: Model) -> Iterator[Line]:
    """Landed Parquet, which Athena writes anew once a day, by day and sorted, as large as trades_unified."""
    yield from model.fargate("ingest", "landing", model["container_start"] + model.landing_seconds, model.runs)
    yield from model.landed()
    yield _landed_storage(model, "parquet", "none")
    yield model.storage("by day", model["unified_bytes"])
    landed = number(bytes_a_trade("parquet", "none", keep_payload=True), "bytes")
    megabytes = number(model.workload.trades_a_day, "trades") * landed / number(1e6)
    daily = at_least(model["query_minimum"], megabytes)
    yield Line("by day, INSERT", daily * model.days / number(1e6), model.prices["athena"])
    yield model.queries


def _snowflake(model: Model) -> Iterator[Line]:
    """The smallest warehouse wakes for each load, and for each query; raw and unified take the room they do here."""
    yield from model.fargate("ingest", "landing", model["container_start"] + model.landing_seconds, model.runs)
    yield from model.landed()
    woken = model["credits"] * model["wake"] / number(3600)
    yield Line("loads", woken * model.runs, model.prices["snowflake_credit"])
    yield Line("queries", woken * number(model.workload.queries, "queries"), model.prices["snowflake_credit"])
    yield model.storage("raw", model.raw_bytes, "snowflake_storage")
    yield model.storage("unified", model["unified_bytes"], "snowflake_storage")


def _landed_storage(model: Model, format: str, compress: str) -> Line:
    size = number(bytes_a_trade(format, compress, keep_payload=True), "bytes")
    return model.storage("landed objects", size)


SETUPS = {
    "glue": Setup("one Glue job ingests and unifies: as in glue_job_params.json", _glue),
    "glue-flex": Setup("the same on Glue's spare capacity, which may start late", _flex),
    "glue-workflow": Setup("a Glue job for each exchange, then one that unifies", _workflow),
    "container": Setup("`run pipeline` in a container on Fargate, Spark in it", _container),
    "landing": Setup("`ingest` on Fargate: objects (JSON lines, zstd), no tables, no queries", _landing),
    "landing-lambda": Setup("the same in a function on Lambda", _function),
    "parquet": Setup("plain Parquet: `ingest` on Fargate, Athena writes it by day", _parquet),
    "snowflake": Setup("Snowflake: `ingest` on Fargate, loaded and queried there", _snowflake),
}


def history_bill(model: Model) -> Iterator[Line]:
    """What fetching the history costs, once: a backfill of each exchange into raw, and a run that unifies it all."""
    once = number(1, "run")
    for source, seconds in model.histories():
        yield model.glue(f"backfill {source.exchange.name}", "backfill", model["start"] + seconds, once)
    history = number(model.workload.history, "trades")
    unify = model["start"] + model["unify"] + model["merge"] * history / number(1e6)
    yield model.glue("unify", "unify", unify, once)
    publishes = rounded_up(history / number(BATCH_ROWS, "a publish"))
    yield from model.requests("backfill", model["ingest_puts"] * publishes, model["ingest_gets"] * publishes)
