"""Which layout a table's volume and symbols ask for, and that the statements bring it about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from schemahub_lib.errors import SchemaHubError, UsageError
from schemahub_lib.pipeline.partitions import (
    MIN_BUCKETS,
    Layout,
    PartitionPlan,
    Symbols,
    Volume,
    estimate,
    plan_partitions,
    recommend,
)
from schemahub_lib.schemas import RUNS, TRADES_UNIFIED
from schemahub_lib.tables.due import small_below
from schemahub_lib.tables.lake import Lake
from schemahub_lib.tables.raw import History, append_history
from tests.e2e.pipelines import rows as stored
from tests.pipeline.trades import RAW, rows

MIB = 2**20
# Ten days of 1280 MiB, each ten files of 128 MiB.
VOLUME = Volume(
    *(10**9, 12_800 * MIB, 100, date(2024, 2, 1), date(2024, 2, 10), 10, 240),
    *(1280.0 * MIB, 1280.0 * MIB, 128 * MIB, 16 * MIB),
)
EVEN = Symbols({f"S{number}": 1 / 32 for number in range(32)}, 10**6, 100, True)
DAYS = Layout("days")


def days_of(files: float) -> Volume:
    """Days that fill so many files of the target size."""
    return replace(VOLUME, day_bytes=files * VOLUME.target_file_bytes)


@pytest.mark.parametrize(
    ("volume", "shares", "layout"),
    [
        (days_of(MIN_BUCKETS - 0.1), EVEN.shares, DAYS),
        (days_of(MIN_BUCKETS), EVEN.shares, Layout("days", 4)),
        (days_of(7.9), EVEN.shares, Layout("days", 4)),
        (days_of(8), EVEN.shares, Layout("days", 8)),
        (days_of(1000), EVEN.shares, Layout("days", 16)),  # 32 symbols: no more than one bucket for two of them
        (days_of(1000), {f"S{number}": 1 / 500 for number in range(500)}, Layout("days", 64)),
        (days_of(23), {"BTC": 0.5, "ETH": 0.5}, DAYS),
        (days_of(24), {"BTC": 0.5, "ETH": 0.5}, Layout("hours")),
        (days_of(24), {"BTC": 0.8} | {f"S{number}": 0.2 / 31 for number in range(31)}, Layout("hours")),
        (days_of(1000), {"BTC": 1.0}, Layout("hours")),
    ],
)
def test_the_layout_follows_from_a_days_files_and_the_symbols(
    volume: Volume, shares: dict[str, float], layout: Layout
) -> None:
    assert recommend(volume, replace(EVEN, shares=shares))[0] == layout


def test_what_days_cost() -> None:
    found = estimate(DAYS, VOLUME, EVEN, "symbol", "trade_ts")
    assert (found.layout, found.partitions, found.files) == ("days(trade_ts)", 10, 100)
    assert found.average_file_bytes == 128 * MIB
    assert (found.batch_files, found.batch_file_bytes) == (1, 1280 * MIB / 48)
    # A symbol has 4 MiB of each of a day's files, in one row group of 16 MiB or on the border of two.
    assert found.reads == pytest.approx(
        {
            "one symbol, one day": 10 * (4 + 16) / 12_800,
            "one symbol, one hour": 10 * (4 + 16) / 12_800,
            "all symbols, one day": 0.1,
            "one symbol, all time": 100 * (4 + 16) / 12_800,
        }
    )
    # Or 40 MiB in one piece: two row groups are shared with its neighbours, and what is between is sorted by time.
    assert found.reads_sorted == pytest.approx(
        {
            "one symbol, one day": (40 + 16) / 12_800,
            "one symbol, one hour": (2 * 16 + 24 / 24) / 12_800,
            "all symbols, one day": 0.1,
            "one symbol, all time": 10 * (40 + 16) / 12_800,
        }
    )


def test_what_hours_cost() -> None:
    found = estimate(Layout("hours"), VOLUME, EVEN, "symbol", "trade_ts")
    assert (found.layout, found.partitions, found.files) == ("hours(trade_ts)", 240, 240)
    assert found.average_file_bytes == pytest.approx(1280 / 24 * MIB)
    assert (found.batch_files, found.batch_file_bytes) == (2, 1280 * MIB / 96)
    hour = 40 / 24 + 16
    assert found.reads == pytest.approx(
        {
            "one symbol, one day": 24 * hour / 12_800,
            "one symbol, one hour": hour / 12_800,
            "all symbols, one day": 0.1,
            "one symbol, all time": 240 * hour / 12_800,
        }
    )
    assert found.reads_sorted == found.reads  # an hour is one file


def test_what_buckets_cost() -> None:
    """Two symbols of which each has a bucket of its own: a query for one reads that one and nothing else."""
    pair = replace(EVEN, shares={"BTC-USD": 0.75, "ETH-USD": 0.25})
    found = estimate(Layout("days", 8), VOLUME, pair, "symbol", "trade_ts")
    assert found.layout == "days(trade_ts), bucket(8, symbol)"
    assert (found.partitions, found.files) == (20, (8 + 3) * 10)  # 960 MiB and 320 MiB a day
    assert found.batch_files == 2
    assert found.reads["one symbol, one day"] == pytest.approx(0.05)  # the average of 75% and 25% of one day in ten
    assert found.reads["one symbol, all time"] == pytest.approx(0.5)


def test_a_file_that_is_one_row_group_is_read_whole() -> None:
    small = replace(VOLUME, day_bytes=10.0 * MIB)
    found = estimate(DAYS, small, EVEN, "symbol", "trade_ts")
    assert found.reads["one symbol, one hour"] == pytest.approx(1 / 10)


def fill(lake: Lake, symbols: Iterable[str], days: int = 3, every: timedelta = timedelta(minutes=10)) -> None:
    """Days with a trade of each symbol `every` so often."""
    numbers = (1, timedelta(days=days) // every - 1)
    parts = {symbol: History(rows(*numbers, symbol, every), (numbers,)) for symbol in symbols}
    lake.ensure(RAW)
    append_history(lake, RAW, "fill", parts)


def files_a_day(lake: Lake, files: float) -> PartitionPlan:
    """The plan, once a target file size is set of which a typical day fills so many."""
    table = lake.find(RAW.name)
    assert table is not None
    size = int(plan_partitions(lake, RAW.name).volume.day_bytes / files)
    with table.transaction() as change:
        change.set_properties({"write.target-file-size-bytes": str(size)})
    return plan_partitions(lake, RAW.name)


ALTER = "ALTER TABLE schemahub.schemahub.raw_coinbase_trades"
MANY = [f"S{number}-USD" for number in range(32)]


def test_volumes_and_symbols_are_measured(lake: Lake) -> None:
    fill(lake, ["BTC-USD", "ETH-USD"])
    fill(lake, ["SOL-USD"], days=1)
    table = lake.find(RAW.name)
    assert table is not None
    files = [task.file for task in table.scan().plan_files()]
    plan = plan_partitions(lake, RAW.name)
    assert (plan.volume.rows, plan.volume.files) == (2 * 431 + 143, 4)
    assert plan.volume.bytes == sum(file.file_size_in_bytes for file in files)
    assert (plan.volume.first_day, plan.volume.last_day) == (date(2024, 2, 8), date(2024, 2, 10))
    assert (plan.volume.days, plan.volume.hours, plan.volume.target_file_bytes) == (3, 72, 128 * MIB)
    by_day = sorted(sum(f.file_size_in_bytes for f in files if f.partition[0] == day) for day in (19761, 19762, 19763))
    assert (plan.volume.day_bytes, plan.volume.largest_day_bytes) == pytest.approx((by_day[1], by_day[2]))
    assert plan.symbols.shares == pytest.approx({"BTC-USD": 431 / 1005, "ETH-USD": 431 / 1005, "SOL-USD": 143 / 1005})
    assert (plan.symbols.rows, plan.symbols.files, plan.symbols.all_files) == (1005, 4, True)


def test_a_table_that_names_no_target_file_size_is_planned_and_maintained_for_that_of_new_tables(lake: Lake) -> None:
    fill(lake, ["BTC-USD"], days=1)
    table = lake.ensure(RAW)
    with table.transaction() as change:
        change.remove_properties("write.target-file-size-bytes")
    assert plan_partitions(lake, RAW.name).volume.target_file_bytes == 128 * MIB
    assert small_below(table) == 96 * MIB


def test_the_symbols_of_a_large_table_come_from_a_part_of_its_files(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schemahub_lib.pipeline import partitions

    fill(lake, ["BTC-USD"], days=6)
    monkeypatch.setattr(partitions, "SAMPLE_FILES", 3)
    symbols = plan_partitions(lake, RAW.name).symbols
    assert (symbols.files, symbols.all_files) == (3, False)
    monkeypatch.setattr(partitions, "SAMPLE_BYTES", 1)
    assert plan_partitions(lake, RAW.name).symbols.files == 1


def test_a_row_group_is_as_large_as_those_of_files_that_have_several(lake: Lake) -> None:
    with lake.ensure(RAW).transaction() as change:
        change.set_properties({"write.parquet.row-group-limit": "100"})
    fill(lake, ["BTC-USD"], days=1)
    several = plan_partitions(lake, RAW.name).volume
    assert several.row_group_bytes == several.bytes // 2  # 143 trades
    with lake.ensure(RAW).transaction() as change:
        change.set_properties({"write.parquet.row-group-limit": "1000"})
    fill(lake, ["ETH-USD"], days=1)
    assert plan_partitions(lake, RAW.name).volume.row_group_bytes == several.row_group_bytes


def test_a_small_table_stays_by_days(lake: Lake) -> None:
    fill(lake, MANY)
    plan = plan_partitions(lake, RAW.name)
    assert (plan.present, plan.recommended, plan.statements) == ("days(time)", "days(time)", ())
    assert [candidate.layout for candidate in plan.candidates] == [
        *("days(time)", "hours(time)", "days(time), bucket(4, product_id)")
    ]


def test_few_days_are_said_to_be_few(lake: Lake) -> None:
    fill(lake, MANY, days=2)
    assert "days measured: 2; ask again when there are at least 3" in plan_partitions(lake, RAW.name).notes


def apply(lake: Lake, plan: PartitionPlan) -> None:
    for statement in plan.statements:
        lake.spark.sql(statement)


def test_the_statements_lead_to_buckets_and_back_and_every_publish_goes_on(spark_jvm: None, lake: Lake) -> None:
    """By pyiceberg into raw, as an ingest does."""
    fill(lake, MANY)
    wanted = files_a_day(lake, 8)
    assert wanted.statements == (f"{ALTER} ADD PARTITION FIELD bucket(8, product_id)",)
    apply(lake, wanted)
    expected = 32 * 431
    for number, (files, layout, statements) in enumerate(
        (
            (
                5.0,
                "days(time), bucket(4, product_id)",
                ("REPLACE PARTITION FIELD product_id_bucket_8 WITH bucket(4, ",),
            ),
            (2.0, "days(time)", ("DROP PARTITION FIELD",)),
        )
    ):
        fresh = f"NEW{number}-USD"
        fill(lake, [fresh])
        expected += 431
        assert len(stored(lake, RAW.name)) == expected
        plan = files_a_day(lake, files)
        assert plan.recommended == layout
        for told, part in zip(plan.statements, statements, strict=True):
            assert part in told
        apply(lake, plan)
        assert plan_partitions(lake, RAW.name).statements == ()
        assert plan_partitions(lake, RAW.name).present == layout


def test_a_table_of_one_symbol_goes_by_hours_and_back(spark_jvm: None, lake: Lake) -> None:
    fill(lake, ["BTC-USD"])
    plan = files_a_day(lake, 30)
    assert plan.statements == (f"{ALTER} REPLACE PARTITION FIELD time_day WITH hours(time)",)
    apply(lake, plan)
    assert plan_partitions(lake, RAW.name).present == "hours(time)"
    fill(lake, ["ETH-USD"])
    assert len(stored(lake, RAW.name)) == 2 * 431
    back = files_a_day(lake, 2)
    assert back.recommended == "days(time)"
    apply(lake, back)
    fill(lake, ["SOL-USD"])
    assert len(stored(lake, RAW.name)) == 3 * 431
    assert plan_partitions(lake, RAW.name).statements == ()


def read_of(lake: Lake, symbol: str, since: str, until: str) -> int:
    """The bytes of the files that a scan does not skip."""
    from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, LessThan

    table = lake.find(RAW.name)
    assert table is not None
    wanted = And(
        EqualTo(RAW.sort_by[0], symbol),  # type: ignore[call-arg,arg-type]
        GreaterThanOrEqual(RAW.sort_by[1], since),  # type: ignore[call-arg,arg-type]
        LessThan(RAW.sort_by[1], until),  # type: ignore[call-arg,arg-type]
    )
    return sum(task.file.file_size_in_bytes for task in table.scan(wanted).plan_files())


@pytest.mark.parametrize(
    ("layout", "alter"),
    [
        ("days(time), bucket(8, product_id)", "ADD PARTITION FIELD bucket(8, product_id)"),
        ("hours(time)", "REPLACE PARTITION FIELD time_day WITH hours(time)"),
    ],
)
def test_estimates_are_near_what_is_read_of_real_files(spark_jvm: None, lake: Lake, layout: str, alter: str) -> None:
    """As they are written, and once each partition is sorted as a whole."""
    lake.ensure(RAW)
    lake.spark.sql(f"{ALTER} {alter}")
    fill(lake, MANY, every=timedelta(minutes=1))
    assert_near(lake, layout, plan_partitions(lake, RAW.name), whole=False)
    files_a_day(lake, 40 if "days" in layout else 100)
    lake.spark.sql(
        f"CALL schemahub.system.rewrite_data_files(table => 'schemahub.schemahub.{RAW.name}', strategy => 'sort', "
        "sort_order => 'product_id, time', options => map('rewrite-all', 'true'))"
    ).collect()
    volume = plan_partitions(lake, RAW.name).volume
    came_to = files_a_day(lake, volume.files / volume.days)  # files of so few rows do not reach the target size
    assert_near(lake, layout, came_to, whole=True)


def assert_near(lake: Lake, layout: str, plan: PartitionPlan, *, whole: bool) -> None:
    table = lake.find(RAW.name)
    assert table is not None
    (candidate,) = [candidate for candidate in plan.candidates if candidate.layout == layout]
    assert candidate.partitions == len({str(task.file.partition) for task in table.scan().plan_files()})
    reads = candidate.reads_sorted if whole else candidate.reads
    for query, since, until in (
        ("one symbol, all time", "2024-02-08T00:00:00+00:00", "2024-02-11T00:00:00+00:00"),
        ("one symbol, one day", "2024-02-09T00:00:00+00:00", "2024-02-10T00:00:00+00:00"),
        ("one symbol, one hour", "2024-02-09T05:00:00+00:00", "2024-02-09T06:00:00+00:00"),
    ):
        read = sum(read_of(lake, symbol, since, until) for symbol in MANY) / len(MANY) / plan.volume.bytes
        assert read / 1.6 < reads[query] < read * 1.6, query  # type: ignore[index]


def test_a_unified_table_is_merged_into_after_the_statements(spark_jvm: None, lake: Lake) -> None:
    from tests.e2e.pipelines import unified, unify

    fill(lake, MANY)
    unify(lake)
    table = lake.find(TRADES_UNIFIED.name)
    assert table is not None
    size = int(plan_partitions(lake, table.name()[-1]).volume.day_bytes / 8)
    with table.transaction() as change:
        change.set_properties({"write.target-file-size-bytes": str(size)})
    plan = plan_partitions(lake, TRADES_UNIFIED.name)
    assert plan.statements == ("ALTER TABLE schemahub.schemahub.trades_unified ADD PARTITION FIELD bucket(8, symbol)",)
    apply(lake, plan)
    fill(lake, ["NEW-USD"])
    report = unify(lake)
    assert (report.rows, report.duplicates) == (431, 0)
    assert len(unified(lake)) == 33 * 431
    assert plan_partitions(lake, TRADES_UNIFIED.name).present == "days(trade_ts), bucket(8, symbol)"


def test_what_cannot_be_planned_is_refused(lake: Lake) -> None:
    lake.ensure(RUNS)
    with pytest.raises(UsageError, match="schemahub_runs holds no trades: choose one of raw_coinbase_trades"):
        plan_partitions(lake, RUNS.name)
    lake.ensure(RAW)
    with pytest.raises(UsageError, match="raw_coinbase_trades holds no rows yet"):
        plan_partitions(lake, RAW.name)
    table = lake.find(RAW.name)
    assert table is not None
    with table.transaction() as change:
        change.set_properties({"write.metadata.metrics.default": "none"})
    fill(lake, ["BTC-USD"])
    with pytest.raises(SchemaHubError, match=r"has no bounds of time, by which its day is told"):
        plan_partitions(lake, RAW.name)
