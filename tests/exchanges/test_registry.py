"""The registry, the modules and the classes tell the same story; signatures are those that ccxt makes."""

from __future__ import annotations

import base64
import importlib
import inspect
from pathlib import Path
from urllib.parse import urlencode

import pytest

from schemahub_lib import exchanges
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges import EXCHANGES
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.http.messages import Credentials, Request
from schemahub_lib.mapping.registry import load_mappings
from schemahub_lib.schemas import RAW_COMMON, TRADES_UNIFIED, Column

KEY = Credentials("the-key", base64.b64encode(b"a secret of the test").decode(), "the-passphrase")
NOW = 1775571561.875
MAPPINGS = load_mappings(None, exchanges.raw_tables())[TRADES_UNIFIED.name]
# Modules beside the connectors.
SHARED = {"__init__", "base", "rows", "fields", "windows", "books", "seen"}


def test_every_connectors_module_is_registered_by_its_name():
    files = {path.stem for path in Path(exchanges.__file__).parent.glob("*.py")} - SHARED
    assert set(EXCHANGES) == files
    for name, exchange in EXCHANGES.items():
        module = importlib.import_module(f"schemahub_lib.exchanges.{name}")
        (connector,) = (
            c
            for _, c in inspect.getmembers(module, inspect.isclass)
            if c.__module__ == module.__name__ and issubclass(c, Exchange)
        )
        assert type(exchange) is connector
        assert (exchange.name, connector.__name__) == (name, name.capitalize())


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=lambda exchange: exchange.name)
def test_a_raw_table_is_named_keyed_sorted_and_partitioned_alike(exchange):
    table = exchange.raw_table
    assert table.name == f"raw_{exchange.name}_trades"
    assert table.key == (exchange.symbol_column, exchange.id_column)
    assert table.sort_by == (exchange.symbol_column, exchange.time_column)
    assert table.partition_by_day == exchange.time_column
    assert table.column(exchange.time_column).type == "TIMESTAMP"
    assert table.column(exchange.time_column).time_encoding != "datetime"
    assert set(RAW_COMMON) <= set(table.columns)
    mapping = next(spec for spec in MAPPINGS if spec.source == table.name)
    for target, mapped in mapping.by_target.items():  # a side is not told everywhere
        if isinstance(mapped.origin, Column) and TRADES_UNIFIED.column(target).required:
            assert table.column(mapped.origin.name).required


def test_the_tables_columns_stand_in_the_agreed_order():
    common = ("_source", "_source_ingest_ts", "_raw_payload")
    assert {name: exchange.raw_table.column_names for name, exchange in EXCHANGES.items()} == {
        "coinbase": ("trade_id", "product_id", "price", "size", "time", "side", *common),
        "binance": ("id", "symbol", "price", "qty", "time", *common, "quote_qty", "is_buyer_maker", "is_best_match"),
        "kraken": ("trade_id", "pair", "price", "volume", "time", "side", "order_type", "misc", *common),
        "okx": ("trade_id", "inst_id", "px", "sz", "ts", "side", "source", *common),
    }


def test_coinbase_requests_are_signed_as_ccxt_signs_them():
    import ccxt

    theirs = ccxt.coinbaseexchange({"apiKey": KEY.key, "secret": KEY.secret, "password": KEY.passphrase})
    theirs.nonce = lambda: int(NOW)
    params = {"limit": 1000, "before": 7, "after": 1008}
    signed = theirs.sign("products/{id}/trades", ["private"], "GET", {"id": "BTC-USD", **params})
    ours = EXCHANGES["coinbase"].sign(Request("/products/BTC-USD/trades", params), KEY, NOW)
    assert signed["url"].endswith(f"{ours.path}?{ours.query}")
    assert dict(ours.headers) == {name: value for name, value in signed["headers"].items() if name != "Content-Type"}


def test_kraken_private_requests_are_signed_as_ccxt_signs_them():
    import ccxt

    theirs = ccxt.kraken({"apiKey": KEY.key, "secret": KEY.secret})
    theirs.incrementing_nonce = lambda: int(NOW * 1000)
    signed = theirs.sign("TradesHistory", ["private"], "POST", {"ofs": 5, "type": "all"})
    request = Request("/0/private/TradesHistory", {"ofs": 5, "type": "all"}, method="POST")
    ours = EXCHANGES["kraken"].sign(request, KEY, NOW)
    assert ours.query == signed["body"]
    assert dict(ours.headers) == {name: signed["headers"][name] for name in ("API-Key", "API-Sign")}


@pytest.mark.parametrize(("name", "path"), [("kraken", "/0/public/Trades"), ("okx", "/api/v5/market/history-trades")])
def test_public_requests_carry_no_key_where_it_would_change_nothing(name, path):
    request = Request(path, {"pair": "XBTUSD"})
    assert EXCHANGES[name].sign(request, KEY, NOW) == request


def test_binance_market_data_needs_the_keys_header_alone():
    request = Request("/api/v3/historicalTrades", {"symbol": "BTCUSDT"})
    signed = EXCHANGES["binance"].sign(request, Credentials("the-key", ""), NOW)
    assert dict(signed.headers) == {"X-MBX-APIKEY": "the-key"}
    assert signed.query == urlencode({"symbol": "BTCUSDT"})


@pytest.mark.parametrize("name", ["coinbase", "kraken"])
@pytest.mark.parametrize("secret", ["", "not base64!"])
def test_a_secret_that_cannot_sign_is_refused_unseen(name, secret):
    with pytest.raises(UsageError, match=f"SCHEMAHUB_{name.upper()}_SECRET") as error:
        EXCHANGES[name].sign(Request("/"), Credentials("k", secret, "p"), NOW)
    assert "not base64!" not in str(error.value)


def test_a_coinbase_key_without_its_passphrase_is_refused():
    with pytest.raises(UsageError, match="SCHEMAHUB_COINBASE_PASSPHRASE"):
        EXCHANGES["coinbase"].sign(Request("/"), Credentials("k", KEY.secret), NOW)
