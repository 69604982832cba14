from __future__ import annotations

import json

import pytest

from schemahub_lib.errors import UsageError
from schemahub_lib.http.credentials import load_credentials

SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0"


def test_without_settings_there_is_no_key():
    assert load_credentials("coinbase", {"SCHEMAHUB_BINANCE_KEY": "another's"}) is None


def test_a_key_comes_from_the_environment():
    environment = {
        "SCHEMAHUB_COINBASE_KEY": "k",
        "SCHEMAHUB_COINBASE_SECRET": f" {SECRET}\n",
        "SCHEMAHUB_COINBASE_PASSPHRASE": "p",
    }
    credentials = load_credentials("coinbase", environment)
    assert (credentials.key, credentials.secret, credentials.passphrase) == ("k", SECRET, "p")


def test_a_key_alone_is_enough_to_load():
    assert load_credentials("binance", {"SCHEMAHUB_BINANCE_KEY": "k"}).secret == ""


def test_secrets_are_not_shown():
    credentials = load_credentials("kraken", {"SCHEMAHUB_KRAKEN_KEY": "k", "SCHEMAHUB_KRAKEN_SECRET": SECRET})
    assert SECRET not in repr(credentials)


def test_a_secret_without_its_key_is_refused():
    with pytest.raises(UsageError, match="SCHEMAHUB_KRAKEN_KEY is missing"):
        load_credentials("kraken", {"SCHEMAHUB_KRAKEN_SECRET": SECRET})


@pytest.mark.parametrize("secret", [f"{SECRET}\n{SECRET}", f"{SECRET}\N{EM DASH}"])
def test_a_secret_that_no_header_can_carry_is_refused_unseen(secret):
    with pytest.raises(UsageError) as error:
        load_credentials("kraken", {"SCHEMAHUB_KRAKEN_KEY": "k", "SCHEMAHUB_KRAKEN_SECRET": secret})
    assert SECRET not in str(error.value)


@pytest.fixture(scope="module")
def secrets_manager():
    """A Secrets Manager on loopback, the client for it, and the environment that leads there."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_REGION", "eu-west-1")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield boto3.client("secretsmanager")
    server.stop()


def test_a_key_comes_from_the_secret_that_the_environment_names(secrets_manager):
    text = json.dumps({"key": "k", "secret": SECRET, "passphrase": "p"})
    secrets_manager.create_secret(Name="exchange/coinbase", SecretString=text)
    credentials = load_credentials("coinbase", {"SCHEMAHUB_COINBASE_SECRET_ID": "exchange/coinbase"})
    assert (credentials.key, credentials.secret, credentials.passphrase) == ("k", SECRET, "p")


def test_a_secret_that_is_missing_is_named(secrets_manager):
    with pytest.raises(UsageError, match=r"the AWS secret nowhere \(SCHEMAHUB_KRAKEN_SECRET_ID\) cannot be read"):
        load_credentials("kraken", {"SCHEMAHUB_KRAKEN_SECRET_ID": "nowhere"})


@pytest.mark.parametrize("text", [SECRET, f'["{SECRET}"]', f'{{"api_key":"{SECRET}"}}'])
def test_a_secret_of_another_shape_is_refused_without_showing_it(secrets_manager, text):
    name = f"shape/{abs(hash(text))}"
    secrets_manager.create_secret(Name=name, SecretString=text)
    with pytest.raises(UsageError, match=name) as error:
        load_credentials("kraken", {"SCHEMAHUB_KRAKEN_SECRET_ID": name})
    assert SECRET not in str(error.value)
