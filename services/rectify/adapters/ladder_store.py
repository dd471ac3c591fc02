"""The events of ladders in the stream REGISTRY: one subject each, and its last sequence as the lock."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.rectify.application.ladder_ports import Outcome, StoredNomination, StoredSanction
from services.rectify.application.ladder_translation import nomination_of, sanction_of, spec_of_fact
from shared.events import Envelope, EventSpec, parse_event, spec_for_type
from shared.kernel.errors import describe
from shared.messaging.group_commit import GroupCommit, Outgoing, PublishConflictError
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import REGISTRY

_SANCTION: Final = spec_of_fact("proposed")  # all facts about a sanction share one subject
_NOMINATION: Final = spec_of_fact("unit-nominated")
_TOKEN: Final = frozenset("0123456789abcdef-")


class JetStreamLadders:
    """Plays `application.ladder_ports.LadderStore`."""

    def __init__(self) -> None:
        """Refuse everything until `bind`."""
        self._commit: GroupCommit | None = None
        self._jetstream: JetStreamContext | None = None

    async def bind(self, client: Client) -> None:
        """Use `client` from now on; binding again does nothing."""
        if self._commit is None:
            commit = GroupCommit(client, stream=REGISTRY)
            await commit.start()
            self._commit, self._jetstream = commit, client.jetstream(timeout=5)

    async def close(self) -> None:
        """Finish what is queued."""
        if self._commit is not None:
            await self._commit.stop()

    async def sanction(self, sanction_id: str) -> StoredSanction | None:
        """See `LadderStore.sanction`."""
        found = await self._last(_SANCTION, sanction_id)
        if found is None:
            return None
        event, sequence = found
        return StoredSanction(sanction_of(event.data), sequence, event.correlationid, event.id)

    async def nomination(self, nomination_id: str) -> StoredNomination | None:
        """See `LadderStore.nomination`."""
        found = await self._last(_NOMINATION, nomination_id)
        if found is None:
            return None
        event, sequence = found
        return StoredNomination(nomination_of(event.data), sequence, event.correlationid, event.id)

    async def store(self, events: Sequence[tuple[Envelope[Any], int]]) -> list[Outcome]:
        """See `LadderStore.store`."""
        return list(await asyncio.gather(*(self._store(event, replaces) for event, replaces in events)))

    async def _store(self, event: Envelope[Any], replaces: int) -> Outcome:
        if self._commit is None:
            raise _away(event.subject)
        data = event.data
        subject = spec_for_type(event.type).subject_for(data.city, data.county, event.subject)
        message = Outgoing(subject, event.id, event.to_json(), replaces=replaces)
        try:
            (stored,) = await self._commit.publish([message])
        except PublishConflictError:
            return Outcome(0, repeated=False)
        return Outcome(stored.sequence, stored.duplicate)

    async def _last(self, spec: EventSpec, key: str) -> tuple[Envelope[Any], int] | None:
        """The last event on the subject of `key`; asks the stream's leader."""
        if not key or not set(key) <= _TOKEN:
            return None  # no id of ours, and no token of a subject
        if self._jetstream is None:
            raise _away(key)
        try:
            found = await self._jetstream.get_last_msg(REGISTRY, spec.subject_for("*", "*", key))
        except NotFoundError:
            return None
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _away(key) from error
        return parse_event(found.data or b""), found.seq or 0


def _away(what: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(describe(f"no answer about {what}", "its events from REGISTRY", "retry"))
