"""update-seed: the products an exchange offers today, against those of the seed file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from schemahub_lib.config import Settings
from schemahub_lib.errors import UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.landing.seeds import Seed, is_product_id, ordered, read_seed, seed_file, seed_target, write_seed
from schemahub_lib.pipeline.clients import open_client


@dataclass(frozen=True)
class SeedChange:
    """What `update-seed` would do to a file, or has done. `compared_with` is the seed file in force until then.
    `left_out` has the reason for each product; `kept` those that stay although the exchange does not offer them."""

    path: str
    compared_with: str
    product_ids: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    left_out: dict[str, str]
    kept: dict[str, str]
    written: bool


def update_seed(
    settings: Settings, exchange: Exchange, *, path: str | None, filter_regex: str | None, merge: bool, write: bool
) -> SeedChange:
    """Ask the exchange for its products and compare them with the seed file in force; with `write`, write it anew.

    `filter_regex` must match a product's whole id. With `merge`, ids that are in the file stay there. Raises
    UsageError before anything is asked, ExchangeError.
    """
    wanted = _compiled(filter_regex)
    place = seed_target(exchange.name, path)
    in_force = seed_file(exchange.name, path)
    present = read_seed(in_force) if in_force.is_file() or in_force.is_dir() else []
    with open_client(settings, exchange) as client:
        listed = client.ask(exchange.products())
    unfit: dict[str, str] = {}
    offered = []
    for product in listed:
        if not product.spot:
            unfit[product.symbol] = "not a spot market"
        elif not product.tradable:
            unfit[product.symbol] = product.status
        elif not is_product_id(product.symbol):
            unfit[product.symbol] = "a name that no file can hold"
        else:
            offered.append(product.symbol)
    chosen = [name for name in offered if wanted is None or wanted.fullmatch(name)]
    ids = ordered([*present, *chosen] if merge else chosen)
    if write and not ids:
        raise UsageError(
            f"nothing is left to write to {place}: of {len(listed)} products of {exchange.name} none "
            f"{'matches --filter-regex' if filter_regex else 'is open for trading'}"
        )
    added = tuple(name for name in ids if name not in present)
    removed = tuple(name for name in present if name not in ids)
    if write:
        write_seed(place, Seed(ids, exchange.name, datetime.now(UTC)))
    return SeedChange(
        str(place),
        str(in_force),
        ids,
        added,
        removed,
        {name: why for name, why in unfit.items() if name not in ids and (wanted is None or wanted.fullmatch(name))},
        {name: unfit.get(name, "not listed") for name in ids if name not in offered},
        write,
    )


def _compiled(filter_regex: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(filter_regex) if filter_regex else None
    except re.error as error:
        raise UsageError(f"--filter-regex {filter_regex!r} is not a regular expression: {error}") from None
