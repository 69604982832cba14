"""`ingest` and `backfill` as objects: every flag of theirs, on the simulated exchanges."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.landing.formats import suffix
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import default_prefix
from schemahub_lib.pipeline import land_history as history_module
from schemahub_lib.pipeline.backfill import BackfillOptions
from schemahub_lib.pipeline.land_history import land_history
from schemahub_lib.pipeline.land_new import MicrobatchOptions, land_new
from schemahub_lib.pipeline.landed import batches, layout_of, objects
from schemahub_lib.pipeline.landing import Landing
from schemahub_lib.pipeline.plan import plan
from schemahub_lib.pipeline.progress import Journey, Progress
from schemahub_lib.pipeline.resume import Resumption
from schemahub_lib.pipeline.workers import Outcome, exit_code
from schemahub_lib.simulator import Simulator

PRODUCT = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "XBTUSD", "okx": "BTC-USDT"}
# Kraken answers once a second, and OKX's pages are of a hundred.
SOURCES = ["coinbase", "binance", *(pytest.param(name, marks=pytest.mark.slow) for name in ("kraken", "okx"))]
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(seed=5, now=NOW, speed=0, trade_rate=0.1, rate_limits=False) as running:
        yield running


@pytest.fixture
def settings(simulator: Simulator, tmp_path: Path) -> Settings:
    urls = {f"SCHEMAHUB_{name.upper()}_URL": url for name, url in simulator.urls.items()}
    return Settings.load(warehouse=str(tmp_path / "w"), environment=urls)


class Place:
    """A folder of landed objects of one source."""

    beside = True  # where the checkpoints of backfills are

    def __init__(self, settings: Settings, folder: Path, source: str, **how: Any) -> None:
        self.settings, self.source, self.exchange = settings, source, EXCHANGES[source]
        self.landing = Landing(LocalStore.make(str(folder)), default_prefix(source), **how)

    def ingest(self, **options: Any) -> Outcome:
        chosen = MicrobatchOptions(**{"products": [PRODUCT[self.source]]} | options)
        with Progress(live=False) as progress:
            (outcome,) = land_new(self.settings, self.exchange, chosen, self.landing, progress, threading.Event())
        return outcome

    def backfill(self, resume: bool = True, **options: Any) -> Outcome:
        since = NOW - timedelta(hours=2)
        chosen = BackfillOptions(**{"products": [PRODUCT[self.source]], "since": since} | options)
        resumption = Resumption(self.exchange, self.landing, beside=self.beside)
        with Journey(live=False) as journey:
            (outcome,) = land_history(
                self.settings,
                self.exchange,
                chosen,
                self.landing,
                resumption,
                journey,
                threading.Event(),
                resume=resume,
            )
        return outcome

    def names(self) -> list[str]:
        return [name.key for _, name in objects(self.landing.store, self.landing.prefix, self.source)]

    def ids(self) -> list[int]:
        """Of every landed trade, object after object."""
        return [
            int(str(number))
            for entry, name in objects(self.landing.store, self.landing.prefix, self.source)
            for batch in batches(self.landing.store, entry, name, layout_of(self.exchange))
            for number in batch.columns[self.exchange.id_column]
        ]

    def assert_whole(self) -> None:
        ids = self.ids()
        assert sorted(ids) == list(range(min(ids), max(ids) + 1))

    def watermark(self) -> dict[str, Any]:
        stored = self.landing.store.read(f"{self.landing.prefix}/ingest_checkpoints/{PRODUCT[self.source]}.json")
        assert stored is not None
        document: dict[str, Any] = json.loads(stored.body)
        return document


@pytest.mark.parametrize("source", SOURCES)
def test_microbatches_go_on_after_the_watermark(
    settings: Settings, simulator: Simulator, tmp_path: Path, source: str
) -> None:
    place = Place(settings, tmp_path, source)
    first = place.ingest()
    assert first.status == "ok"
    assert place.watermark()["last_trade_id"] == max(place.ids())
    assert place.ingest().status == "nothing new"
    simulator.advance(600)
    second = place.ingest()
    assert (second.status, second.objects) == ("ok", 1)
    assert first.trades + second.trades == len(place.ids())
    place.assert_whole()
    assert place.watermark()["last_trade_id"] == max(place.ids())


@pytest.mark.parametrize("source", SOURCES)
def test_a_watermark_rebuilt_from_several_objects_is_where_it_was(
    settings: Settings, simulator: Simulator, tmp_path: Path, source: str
) -> None:
    place = Place(settings, tmp_path, source)
    for _ in range(3):
        place.ingest()
        simulator.advance(300)
    place.ingest()
    before, ids = place.watermark(), place.ids()
    (file,) = tmp_path.rglob("ingest_checkpoints/*.json")
    file.write_text("{")
    assert place.ingest().status == "nothing new"
    assert place.watermark()["last_trade_id"] == before["last_trade_id"]
    simulator.advance(300)
    assert place.ingest().status == "ok"
    assert len(place.ids()) > len(ids)
    place.assert_whole()


@pytest.mark.parametrize(
    ("source", "names"), [("coinbase", ["trade_id", "product_id"]), ("okx", ["tradeId", "instId"])]
)
def test_a_record_begins_with_id_and_product_by_the_exchanges_own_names(source: str, names: list[str]) -> None:
    assert list(layout_of(EXCHANGES[source]).names.values())[:2] == names


def test_an_object_is_called_after_its_oldest_trade(settings: Settings, tmp_path: Path) -> None:
    place = Place(settings, tmp_path, "coinbase")
    place.ingest()
    (key,) = place.names()
    first = json.loads((tmp_path / key).read_text().splitlines()[0])
    when = datetime.fromisoformat(first["time"])
    assert key == (
        f"schemahub/raw_coinbase_trades/raw_coinbase_trades_BTC-USD_{when:%Y%m%dT%H%M%S%f}Z_{min(place.ids())}.jsonl"
    )
    assert list(first) == [
        *("trade_id", "product_id", "price", "size", "time", "side", "_source", "_source_ingest_ts", "_raw_payload")
    ]
    assert first["side"] in ("BUY", "SELL")
    assert json.loads(first["_raw_payload"])["trade_id"] == int(first["trade_id"])


def test_a_cold_start_takes_the_last_45_minutes_and_a_warm_one_everything_since(
    settings: Settings, simulator: Simulator, tmp_path: Path
) -> None:
    place = Place(settings, tmp_path, "coinbase")
    place.ingest()
    (key,) = place.names()
    oldest = json.loads((tmp_path / key).read_text().splitlines()[0])["time"]
    age = datetime.now(UTC) - datetime.fromisoformat(oldest)
    assert timedelta(minutes=42) < age < timedelta(minutes=46)
    simulator.advance(3 * 3600)  # an outage longer than the window loses nothing
    place.ingest()
    place.assert_whole()


def test_ids_bound_what_is_landed_and_the_watermark_never_goes_back_or_over_a_hole(
    settings: Settings, tmp_path: Path
) -> None:
    place = Place(settings, tmp_path, "coinbase")
    place.ingest()
    ids = sorted(place.ids())
    again = Place(settings, tmp_path / "again", "coinbase")
    assert again.ingest(after=ids[30]).trades == 30
    assert sorted(again.ids()) == ids[:30]
    assert again.watermark()["last_trade_id"] == ids[29]
    again.ingest(before=ids[49])  # from 50 on: not where the watermark is
    assert again.watermark()["last_trade_id"] == ids[29]
    again.ingest(before=ids[4], after=ids[20])
    assert again.watermark()["last_trade_id"] == ids[29]
    again.ingest(before=ids[19])
    assert again.watermark()["last_trade_id"] == ids[-1]


def test_skipping_the_checkpoint_lands_the_last_minutes_anew(settings: Settings, tmp_path: Path) -> None:
    place = Place(settings, tmp_path, "binance")
    place.ingest()
    ids = set(place.ids())
    assert place.ingest(skip_checkpoint=True).trades > 0.9 * len(ids)
    assert set(place.ids()) == ids
    assert place.watermark()["last_trade_id"] == max(ids)


def test_a_limit_asks_for_smaller_pages(settings: Settings, tmp_path: Path, simulator: Simulator) -> None:
    place = Place(settings, tmp_path, "coinbase")
    before = simulator.stats["coinbase"]["requests"]
    outcome = place.ingest(limit=40)
    assert simulator.stats["coinbase"]["requests"] - before > outcome.trades / 40
    place.assert_whole()


def test_kraken_pages_go_by_time_and_not_by_id(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kraken pages by time"):
        Place(settings, tmp_path, "kraken").ingest(before=5)


@pytest.mark.parametrize("source", SOURCES)
def test_history_is_landed_whole_from_new_to_old_in_batches(
    settings: Settings, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MOST_ROWS", 300 if source == "coinbase" else 500)
    place = Place(settings, tmp_path, source)
    outcome = place.backfill(chunk_size=1000 if source == "binance" else 100)
    assert outcome.status == "complete"
    assert outcome.trades == len(place.ids())
    place.assert_whole()
    assert place.backfill().status == "nothing new"
    stored = place.landing.store.read(f"{place.landing.prefix}/checkpoints/{PRODUCT[source]}.json")
    assert stored is not None
    checkpoint = json.loads(stored.body)
    assert checkpoint["trades_processed"] == outcome.trades
    if source != "kraken":
        assert outcome.objects > 1
        assert checkpoint["last_trade_id"] == min(place.ids())


def test_a_history_object_is_called_after_its_newest_trade_which_comes_first(
    settings: Settings, tmp_path: Path
) -> None:
    place = Place(settings, tmp_path, "coinbase")
    place.backfill()
    (key,) = place.names()
    ids = place.ids()
    assert ids == sorted(ids, reverse=True)
    assert key.endswith(f"Z_{ids[0]}.jsonl")


def test_a_microbatch_and_a_backfill_that_meet_at_one_trade_do_not_take_each_others_place(
    settings: Settings, simulator: Simulator, tmp_path: Path
) -> None:
    """Both would be called after that trade: the microbatch begins with it, the backfill's first batch ends with it."""
    place = Place(settings, tmp_path / "backfill first", "coinbase")
    place.backfill(since=NOW - timedelta(minutes=30))
    head = max(place.ids())
    simulator.advance(600)
    place.ingest(before=head - 1)
    place.assert_whole()
    other = Place(settings, tmp_path / "microbatch first", "coinbase")
    other.ingest(before=head - 1)
    other.backfill(until=NOW, since=NOW - timedelta(minutes=30))
    other.assert_whole()
    assert sorted(other.ids()) == sorted(place.ids())


def test_what_was_landed_is_not_replaced_by_less_of_it(settings: Settings, tmp_path: Path) -> None:
    """Batches that begin with one trade have one name, however many trades they have."""
    place = Place(settings, tmp_path / "new", "coinbase")
    place.ingest()
    ids = place.ids()
    place.ingest(before=ids[0] - 1, after=ids[0] + 6)
    assert place.ids() == ids
    history = Place(settings, tmp_path / "old", "coinbase")
    history.backfill(until=NOW)
    ids = history.ids()
    history.backfill(until=NOW, since=NOW - timedelta(minutes=20), resume=False)
    assert history.ids() == ids


def test_a_resumed_backfill_leaves_nothing_out_between_its_checkpoint_and_until(
    settings: Settings, tmp_path: Path
) -> None:
    place = Place(settings, tmp_path, "coinbase")
    place.backfill(since=NOW - timedelta(minutes=20))
    outcome = place.backfill(until=NOW - timedelta(minutes=40))
    assert outcome.status == "failed"
    assert "would be left out for ever" in str(outcome.error)
    place.backfill()
    place.assert_whole()


def test_going_further_back_later_lands_only_what_is_older(settings: Settings, tmp_path: Path) -> None:
    place = Place(settings, tmp_path, "coinbase")
    first = place.backfill(since=NOW - timedelta(hours=1))
    second = place.backfill(since=NOW - timedelta(hours=2))
    assert first.trades + second.trades == len(place.ids())
    place.assert_whole()


def test_a_checkpoint_of_objects_elsewhere_is_not_gone_on_from(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "beside", False)
    monkeypatch.chdir(tmp_path)
    Place(settings, tmp_path / "one", "coinbase").backfill()
    other = Place(settings, tmp_path / "two", "coinbase").backfill()
    assert other.status == "failed"
    assert f"the checkpoint is of objects in {tmp_path}/one/schemahub/raw_coinbase_trades" in str(other.error)
    assert Place(settings, tmp_path / "two", "coinbase").names() == []


def test_without_resume_it_begins_at_the_newest_trade_again_and_says_so(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(settings, tmp_path, "coinbase")
    first = place.backfill()
    assert place.backfill(resume=False).trades == first.trades
    assert "without --resume this one begins at the newest trade again" in caplog.text


@pytest.mark.parametrize("how", ["jsonl none", "jsonl gzip", "jsonl zstd", "parquet none"])
def test_formats_hold_the_same(settings: Settings, tmp_path: Path, how: str) -> None:
    form, compress = how.split()
    place = Place(settings, tmp_path, "binance", format=form, compress=compress, keep_payload=False)
    place.backfill(since=NOW - timedelta(minutes=30))
    place.assert_whole()
    assert all(key.endswith(suffix(form, compress)) for key in place.names())  # type: ignore[arg-type]


def test_one_products_failure_is_named_and_the_others_land(settings: Settings, tmp_path: Path) -> None:
    place = Place(settings, tmp_path, "coinbase")
    options = MicrobatchOptions(products=["NO-SUCH", "ETH-USD"])
    with Progress(live=False) as progress:
        outcomes = land_new(settings, place.exchange, options, place.landing, progress, threading.Event())
    assert [outcome.status for outcome in outcomes] == ["failed", "ok"]
    assert "NO-SUCH" in str(outcomes[0].error)
    assert exit_code([outcome.status for outcome in outcomes]) == 3


@pytest.mark.slow
def test_a_plan_tells_what_a_backfill_would_fetch_and_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    for source, product in PRODUCT.items():
        options = BackfillOptions(products=[product, "NO-SUCH"], since=NOW - timedelta(hours=1), chunk_size=100)
        found, missing = plan(settings, EXCHANGES[source], options, 100.0)
        place = Place(settings, tmp_path / source, source)
        landed = place.backfill(since=NOW - timedelta(hours=1)).trades
        assert found.trades is not None
        assert found.requests is not None
        assert found.trades == landed
        assert found.requests == -(-found.trades // 100)
        assert found.bytes == found.trades * 100
        assert missing.error is not None
    assert not Path(settings.warehouse).exists()
