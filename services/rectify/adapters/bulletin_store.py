"""Published bulletins in the stream REGISTRY: written one by one, read into the shelf."""

import asyncio
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.rectify.application.bulletins import BulletinRaceError, away, published_of
from services.rectify.domain.bulletins import Published, Shelf, tokens_of
from shared.events import Envelope, InvalidEventError, parse_envelope, spec_for_data
from shared.events.bulletins import BulletinPublished
from shared.messaging.following import follow
from shared.messaging.group_commit import GroupCommit, Outgoing, PublishConflictError
from shared.messaging.stored import StoredMessage
from shared.messaging.streams import REGISTRY
from shared.observability.lifecycle import TaskSupervisor

log = structlog.get_logger(__name__)
_SPEC: Final = spec_for_data(BulletinPublished)
FILTER: Final = ("bulletins.v1.>",)


class JetStreamBulletins:
    """Plays `application.bulletins.BulletinStore`, and keeps its shelf up to date in one task."""

    def __init__(self) -> None:
        """Refuse everything until `bind`."""
        self.shelf = Shelf()
        self._commit: GroupCommit | None = None
        self._jetstream: JetStreamContext | None = None
        self._caught_up = asyncio.Event()

    async def bind(self, client: Client) -> None:
        """Use `client` from now on; binding again does nothing."""
        if self._commit is None:
            commit = GroupCommit(client, stream=REGISTRY, inflight=1)
            await commit.start()
            self._commit, self._jetstream = commit, client.jetstream(timeout=5)

    async def start(self, client: Client, tasks: TaskSupervisor) -> None:
        """Use `client`, and follow the stream as one of `tasks`; starting again does nothing."""
        await self.bind(client)
        if "bulletin-fold" not in tasks.running:
            tasks.start("bulletin-fold", self.run(client))

    async def close(self) -> None:
        """Finish what is queued."""
        if self._commit is not None:
            await self._commit.stop()

    async def run(self, client: Client) -> None:
        """Follow the stream until cancelled; raises like `follow`."""
        await follow(client, REGISTRY, FILTER, self.fold, self._caught_up)

    def fold(self, message: StoredMessage) -> None:
        """Take one message in; one that is no event is left out."""
        try:
            event = parse_envelope(_SPEC.envelope, message.data)
        except InvalidEventError as error:
            log.warning("bulletin_fold_skips", sequence=message.sequence, reason=str(error))
            return
        self.shelf.put(published_of(event, message.sequence))

    def require_caught_up(self) -> Shelf:
        """See `BulletinStore.require_caught_up`."""
        if not self._caught_up.is_set():
            raise away("published bulletins")
        return self.shelf

    async def last(self, region: str, period: str) -> Published | None:
        """See `BulletinStore.last`; asks the stream's leader, so that it reads what was just written."""
        if self._jetstream is None:
            raise away("published bulletins")
        try:
            found = await self._jetstream.get_last_msg(
                REGISTRY, _SPEC.subject_for(*tokens_of(region), period)
            )
        except NotFoundError:
            return None
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise away(f"{region} {period}") from error
        return published_of(parse_envelope(_SPEC.envelope, found.data or b""), found.seq or 0)

    async def store(self, event: Envelope[Any], *, replaces: int) -> int:
        """See `BulletinStore.store`."""
        if self._commit is None:
            raise away(event.subject)
        data: BulletinPublished = event.data
        subject = _SPEC.subject_for(data.city, data.county, data.period)
        message = Outgoing(subject, event.id, event.to_json(), replaces=replaces)
        try:
            (stored,) = await self._commit.publish([message])
        except PublishConflictError as error:
            raise BulletinRaceError(str(error)) from error
        return stored.sequence
