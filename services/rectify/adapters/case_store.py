"""The events of cases in the stream CASES: one subject for each case, and its last sequence as the lock."""

from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.rectify.application.desk import CaseChangedError
from services.rectify.application.ports import StoredCase
from services.rectify.application.translation import case_of
from services.rectify.domain.case import Case
from shared.events import Envelope, parse_event, spec_for_data
from shared.events.cases import CaseOpened
from shared.kernel.errors import describe
from shared.messaging.group_commit import GroupCommit, Outgoing, PublishConflictError
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import CASES

_SPEC: Final = spec_for_data(CaseOpened)  # all facts share one subject
MOST_EVENTS: Final = 2_000


class JetStreamCases:
    """Plays `application.ports.CaseStore`; commands that come together share one commit."""

    def __init__(self) -> None:
        """Refuse everything until `bind`."""
        self._commit: GroupCommit | None = None
        self._jetstream: JetStreamContext | None = None

    async def bind(self, client: Client) -> None:
        """Use `client` from now on; binding again does nothing."""
        if self._commit is None:
            commit = GroupCommit(client, stream=CASES)
            await commit.start()
            self._commit, self._jetstream = commit, client.jetstream(timeout=5)

    async def close(self) -> None:
        """Finish what is queued."""
        if self._commit is not None:
            await self._commit.stop()

    async def load(self, case_id: str) -> StoredCase | None:
        """See `CaseStore.load`; asks the stream's leader, so that it reads what was just written."""
        try:
            found = await self._js().get_last_msg(CASES, _SPEC.subject_for("*", "*", case_id))
        except NotFoundError:
            return None
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _away(case_id) from error
        event = parse_event(found.data or b"")
        return StoredCase(case_of(event.data), found.seq or 0, event.correlationid)

    async def store(self, event: Envelope[Any], case: Case, *, replaces: int) -> tuple[int, bool]:
        """See `CaseStore.store`."""
        if self._commit is None:
            raise _away(case.case_id)
        subject = _SPEC.subject_for(case.city, case.county, case.case_id)
        message = Outgoing(subject, event.id, event.to_json(), replaces=replaces)
        try:
            (stored,) = await self._commit.publish([message])
        except PublishConflictError as error:
            raise CaseChangedError(str(error)) from error
        return stored.sequence, stored.duplicate

    async def history(self, case_id: str) -> tuple[tuple[int, Envelope[Any]], ...]:
        """See `CaseStore.history`."""
        subject = _SPEC.subject_for("*", "*", case_id)
        events: list[tuple[int, Envelope[Any]]] = []
        sequence = 1
        try:
            while len(events) < MOST_EVENTS:
                found = await self._js().get_msg(CASES, seq=sequence, subject=subject, next=True)
                events.append((found.seq or 0, parse_event(found.data or b"")))
                sequence = (found.seq or 0) + 1
        except NotFoundError:
            return tuple(events)
        except (NatsError, JetStreamError, TimeoutError) as error:
            raise _away(case_id) from error
        return tuple(events)

    def _js(self) -> JetStreamContext:
        if self._jetstream is None:
            raise _away("no connection")
        return self._jetstream


def _away(what: str) -> BrokerUnavailableError:
    return BrokerUnavailableError(describe(f"no answer about {what}", "its events from CASES", "retry"))
