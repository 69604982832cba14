"""Optional exchange API keys, from the environment or AWS Secrets Manager. Public market data needs none."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from schemahub_lib.errors import UsageError, sentence
from schemahub_lib.http.messages import Credentials

FIELDS = ("key", "secret", "passphrase")


def load_credentials(exchange: str, environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """An exchange's key, or None when none is configured.

    Read from `SCHEMAHUB_<EXCHANGE>_KEY`, `_SECRET` and `_PASSPHRASE`; else from the AWS secret that
    `SCHEMAHUB_<EXCHANGE>_SECRET_ID` names, a JSON object with key, secret and passphrase. Raises UsageError.
    """
    prefix = f"SCHEMAHUB_{exchange.upper()}_"
    told: Mapping[str, object] = {name: environment.get(prefix + name.upper(), "") for name in FIELDS}
    source = f"{prefix}KEY"
    if not any(told.values()):
        secret_id = environment.get(f"{prefix}SECRET_ID")
        if not secret_id:
            return None
        source = f"the AWS secret {secret_id} ({prefix}SECRET_ID)"
        told = _aws_secret(secret_id, source)
    texts = [str(told.get(name) or "").strip() for name in FIELDS]
    if not texts[0]:
        raise UsageError(f"{exchange}: {source} is missing or empty; without a key leave the secret out too")
    if not all(text.isascii() and text.isprintable() for text in texts):
        raise UsageError(f"{exchange}: {source} or what belongs to it has characters that no key has; copy it again")
    return Credentials(*texts)


def _aws_secret(secret_id: str, source: str) -> Mapping[str, object]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise UsageError(f"{source} needs boto3: pip install boto3") from None
    try:
        text = boto3.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"{source} cannot be read: {sentence(error)}") from error
    except KeyError:
        raise UsageError(f"{source} is binary; it should be a JSON object with key, secret and passphrase") from None
    try:
        told = json.loads(text)
    except ValueError:
        told = None  # what it holds is a secret, so no error shows it
    if not isinstance(told, dict):
        raise UsageError(f"{source} is not a JSON object with key, secret and passphrase")
    return told
