"""Where a backfill into objects goes on: how far an earlier one came, as its checkpoint tells, or the objects."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from schemahub_lib.errors import CheckpointCorrupt, UsageError
from schemahub_lib.exchanges.base import Exchange
from schemahub_lib.landing.checkpoints import Checkpoint, Checkpoints
from schemahub_lib.landing.local import LocalStore
from schemahub_lib.landing.names import checkpoint_key, local_checkpoint_key
from schemahub_lib.pipeline.landed import survey
from schemahub_lib.pipeline.landing import Landing
from schemahub_lib.tables.state import Intervals, Stream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Earlier:
    """How far down the backfills before came: to `position` (None: nowhere yet), with `processed` trades, the oldest of
    them `last_id`. Below it lie `landed` positions nevertheless, and `empty` ones at which the exchange has no trades.
    `rebuilt`: read from the objects, because the checkpoint was none."""

    position: int | None = None
    processed: int = 0
    last_id: str = "0"
    empty: Intervals = ()
    landed: Intervals = ()
    rebuilt: bool = False

    def missing(self, low: int, high: int) -> Intervals:
        """The parts of a closed range of positions that have not landed."""
        return Stream(None, self.landed).missing(low, high)


class Resumption:
    """How far backfills came that land an exchange's trades in one place, by their checkpoints: in ./state, or `beside`
    the objects."""

    def __init__(self, exchange: Exchange, landing: Landing, *, beside: bool) -> None:
        self.exchange, self.landing = exchange, landing
        self.checkpoints = (
            Checkpoints(landing.store, exchange.name, partial(checkpoint_key, landing.prefix))
            if beside
            else Checkpoints(LocalStore.make("."), exchange.name, partial(local_checkpoint_key, exchange.name))
        )
        # Checkpoints beside their objects may move with them.
        self.place = None if beside else f"{landing.store.uri}/{landing.prefix}"

    def earlier(self, product: str, *, look: bool = False) -> Earlier:
        """Where `--resume` goes on. With `look` a damaged checkpoint is left where it is.

        Raises UsageError for a checkpoint of objects elsewhere, StoreError, SchemaHubError for a damaged object.
        """
        try:
            known = self.checkpoints.load(product, set_aside=not look)
        except CheckpointCorrupt as error:
            log.warning("%s; reading what has landed instead", error)
            return self._from_objects(product)
        if known is None:
            return Earlier()
        if (place := self._elsewhere(known)) is not None:
            raise UsageError(
                f"{self.exchange.name} {product}: the checkpoint is of objects in {place}, and says nothing of "
                f"{self.place}: run it in another folder, or keep checkpoints beside the objects with --checkpoint-s3"
            )
        details = known.details
        if "position" not in details and self.exchange.raw_table.position == "time":
            raise UsageError(
                f"{self.exchange.name} {product}: the checkpoint does not say at which time to go on; "
                "remove it to begin again"
            )
        empty, landed = (tuple((low, high) for low, high in details.get(name, ())) for name in ("empty", "landed"))
        position = int(details.get("position", known.last_trade_id))
        return Earlier(position, known.trades_processed or 0, known.last_trade_id, empty, landed)

    def left(
        self, product: str, earlier: Earlier, wanted: tuple[int, int] | None, until: datetime | None
    ) -> tuple[int, int] | None:
        """What of a closed range of positions lies below where an earlier backfill came to. Raises UsageError where
        `until` has it begin lower, since what lies between would never be fetched."""
        if wanted is None or earlier.position is None:
            return wanted
        low, high = wanted
        if low >= earlier.position:
            return None
        if until is not None and high < earlier.position - 1:
            raise UsageError(
                f"{self.exchange.name} {product}: the checkpoint is at {earlier.position}, and with this --until what "
                f"lies from there down to {high + 1} would be left out for ever: leave --until out, or --resume"
            )
        return low, min(high, earlier.position - 1)

    def start_anew(self, product: str) -> None:
        """See to it that a backfill without `--resume` may take the checkpoint's place.

        Raises UsageError where that is all that is known of an unfinished one elsewhere, StoreError.
        """
        try:
            known = self.checkpoints.load(product)
        except CheckpointCorrupt as error:
            log.warning("%s", error)
            return
        if known is None:
            return
        place = self._elsewhere(known)
        if place is not None and not known.details.get("complete"):
            raise UsageError(
                f"{self.exchange.name} {product}: an unfinished backfill into {place} has its checkpoint here, which "
                f"this one into {self.place} would overwrite: finish that one with --resume, run this one in another "
                "folder, or keep its checkpoints beside the objects with --checkpoint-s3"
            )
        if place is None:
            log.warning(
                "%s %s: a checkpoint says that an earlier backfill came down to trade %s; without --resume this one "
                "begins at the newest trade again, and its checkpoint takes the place of that one",
                *(self.exchange.name, product, known.last_trade_id),
            )

    def _elsewhere(self, known: Checkpoint) -> str | None:
        """The place that a checkpoint tells of, where that is another one than ours."""
        place: str | None = known.details.get("place")
        return place if self.place is not None and place != self.place else None

    def _from_objects(self, product: str) -> Earlier:
        parts = survey(self.landing.store, self.landing.prefix, self.exchange, product)
        if not parts:
            return Earlier()
        return Earlier(
            parts[-1].low,
            sum(part.trades for part in parts),
            parts[-1].oldest,
            landed=tuple((part.low, part.high) for part in parts[:-1]),
            rebuilt=True,
        )
