"""One typed `Settings` object, made once from flags and environment; everything else is handed it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast, get_args

from schemahub_lib.errors import UsageError

Profile = Literal["local", "glue", "rest"]
_NAME = re.compile(r"[a-z0-9_]+")  # what Iceberg's Glue catalog takes


@dataclass(frozen=True)
class Settings:
    """Where the lake is and how to reach it.

    `warehouse` is an absolute local path for profile 'local' and an s3:// URI otherwise. `environment` is the
    environment the settings were made from: exchange URLs and keys, AWS endpoints and the REST catalog are read there.
    `athena_workgroup` is where Athena runs queries; without one DuckDB does, here.
    """

    profile: Profile
    warehouse: str
    catalog: str = "schemahub"
    database: str = "schemahub"
    mappings: str | None = None
    athena_workgroup: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(
        cls,
        *,
        profile: str | None = None,
        warehouse: str | None = None,
        mappings: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        """Flags first, then `SCHEMAHUB_*` variables, then defaults. Raises UsageError for what cannot work."""
        env = dict(os.environ if environment is None else environment)
        chosen = profile or env.get("SCHEMAHUB_PROFILE") or "local"
        if chosen not in get_args(Profile):
            raise UsageError(f"profile {chosen!r} is unknown: choose one of {', '.join(get_args(Profile))}")
        place = warehouse or env.get("SCHEMAHUB_WAREHOUSE")
        if chosen == "local":
            place = place or "./warehouse"
            if "://" in place:
                raise UsageError(
                    f"warehouse {place} is not a local folder: profile 'local' keeps its tables on this machine; "
                    "use --profile glue (or rest) for object stores"
                )
            place = str(Path(place).expanduser().resolve())
        elif not place or not place.startswith("s3://"):
            raise UsageError(
                f"profile {chosen!r} needs an S3 warehouse: set --warehouse or SCHEMAHUB_WAREHOUSE "
                "to s3://bucket/prefix"
            )
        settings = cls(
            profile=cast(Profile, chosen),
            warehouse=place.rstrip("/"),
            catalog=env.get("SCHEMAHUB_CATALOG") or "schemahub",
            database=env.get("SCHEMAHUB_DATABASE") or "schemahub",
            mappings=mappings or env.get("SCHEMAHUB_MAPPINGS") or None,
            athena_workgroup=env.get("SCHEMAHUB_ATHENA_WORKGROUP") or None,
            environment=env,
        )
        for what, name in (("SCHEMAHUB_CATALOG", settings.catalog), ("SCHEMAHUB_DATABASE", settings.database)):
            if not _NAME.fullmatch(name):
                raise UsageError(f"{what}={name!r}: use lower-case letters, digits and '_'")
        if settings.profile == "rest" and not env.get("SCHEMAHUB_REST_URI"):
            raise UsageError("profile 'rest' needs SCHEMAHUB_REST_URI, the address of the Iceberg REST catalog")
        if settings.athena_workgroup and settings.profile != "glue":
            raise UsageError(
                f"SCHEMAHUB_ATHENA_WORKGROUP={settings.athena_workgroup} is for profile 'glue', whose catalog Athena "
                f"reads: unset it for profile {settings.profile!r}, which DuckDB reads"
            )
        return settings

    def exchange_url(self, exchange: str) -> str | None:
        """The base URL that replaces `exchange`'s own (`SCHEMAHUB_<NAME>_URL`), for simulators and proxies."""
        return self.environment.get(f"SCHEMAHUB_{exchange.upper()}_URL") or None

    def feed_url(self, exchange: str) -> str | None:
        """The address that replaces that of `exchange`'s WebSocket feed (`SCHEMAHUB_<NAME>_FEED_URL`).

        Without one it is where the REST API was moved to, so that a simulator's trades never mix with an exchange's.
        """
        moved = self.exchange_url(exchange)
        return self.environment.get(f"SCHEMAHUB_{exchange.upper()}_FEED_URL") or (
            re.sub("^http", "ws", moved) if moved else None
        )

    @property
    def catalog_file(self) -> Path:
        """The SQLite file of the local profile's catalog."""
        return Path(self.warehouse) / "catalog.db"


_DURATION = re.compile(r"(\d+)\s*(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta:
    """`45m`, `36h`, `90s` or `7d`. Raises UsageError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration: write a number and s, m, h or d, such as 45m")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise UsageError(f"{text!r} is longer than there is time") from None


def parse_time(text: str) -> datetime:
    """An ISO 8601 date or time of the years 1970 to 9998; without an offset it is UTC. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    # There must be room for what is reckoned from it, and Iceberg counts from 1970.
    if moment is None or not 1970 <= moment.year < 9999:
        raise UsageError(f"{text!r} is not a time: write 2024-02-08 or 2024-02-08T15:12:04Z")
    return moment
