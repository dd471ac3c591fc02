"""Rankings and score changes on the bus: hundreds of events at once share the broker's fsyncs."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from msgspec.structs import replace
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from services.scoring.adapters.told_events import read_told
from services.scoring.application.closing import Closing, Restatement
from services.scoring.application.ports import Announcements, Revision, StoreConflictError
from services.scoring.application.published import positions_of
from services.scoring.application.told import Told
from services.scoring.domain.announcements import Announcement
from services.scoring.domain.lists import canonical_json
from shared.events import (
    Envelope,
    EventData,
    EventSpec,
    PeriodClosed,
    PeriodRestated,
    Provenance,
    RankingRevised,
    UnitScoreChanged,
    spec_for_data,
)
from shared.events.ranking import CAUSES_IN_A_MESSAGE
from shared.kernel.errors import describe
from shared.kernel.ids import derived_id
from shared.kernel.units import BUREAU, Unit, UnitRegistry
from shared.messaging.direct import read_after
from shared.messaging.group_commit import MAX_BATCH, GroupCommit, Outgoing, PublishConflictError
from shared.messaging.publisher import BrokerUnavailableError
from shared.messaging.streams import MAX_MESSAGE_BYTES, RANKING

SERVICE: Final = "scoring"
TIMEOUT_S: Final = 5.0
MAX_ROWS: Final = 1000
"""Changed rows in one event; the contract says so."""
MAX_ROWS_BYTES: Final = MAX_MESSAGE_BYTES - 8 * 1024
"""Room for them: what the envelope and the broker's headers leave. A test fits 1,000 full rows into it."""
GONE_BYTES: Final = 16
"""More than one unit's id takes in an event."""
_REVISED = spec_for_data(RankingRevised)
_CHANGED = spec_for_data(UnitScoreChanged)
_CLOSED = spec_for_data(PeriodClosed)
_RESTATED = spec_for_data(PeriodRestated)
_EMPTY_ROWS: Final = re.compile(rb'"(changed|items)":\[\]')


class BusRankingEvents:
    """See `RankingEvents`.

    All `RankingRevised` have one subject, so its last sequence fences them: the first one of a publication
    states it. A replica that was frozen between looking at its lease and sending is refused by that.
    """

    def __init__(self, commit: GroupCommit, client: Client, registry: UnitRegistry) -> None:
        """Publish through ``commit``, which must be of the stream RANKING; look it up through ``client``."""
        self._commit = commit
        self._client = client
        self._jetstream = client.jetstream(timeout=TIMEOUT_S)
        self._registry = registry
        self._last = 0

    async def catch_up(self) -> None:
        """See :meth:`RankingEvents.catch_up`.

        Raises:
            BrokerUnavailableError: no answer.
        """
        try:
            found = await self._jetstream.get_last_msg(RANKING, _REVISED.subject_for(), direct=True)
        except NotFoundError:
            self._last = 0
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise BrokerUnavailableError(
                describe("the last revision", f"an answer from {RANKING}", f"it is tried again: {error!r}")
            ) from error
        else:
            self._last = int(found.seq or 0)

    async def told_since(self, sequence: int) -> Told:
        """See :meth:`RankingEvents.told_since`.

        Raises:
            BrokerUnavailableError: no answer.
        """
        try:
            found = await read_after(self._client, RANKING, ">", sequence)
        except (NatsError, JetStreamError, TimeoutError, OSError, KeyError) as error:
            raise BrokerUnavailableError(
                describe("what was told last", f"an answer from {RANKING}", f"it is tried again: {error!r}")
            ) from error
        return read_told(found)

    async def publish(self, announcements: Announcements) -> int:
        """See :meth:`RankingEvents.publish`.

        Raises:
            BrokerUnavailableError: not known to be stored.
            StoreConflictError: another replica has published revisions.
        """
        outgoing = await asyncio.to_thread(list, encode(announcements, self._registry))
        revisions, last = len(announcements.revisions), 0
        if revisions:
            outgoing[0] = replace(outgoing[0], replaces=self._last)
        for start in range(0, len(outgoing), MAX_BATCH):
            try:
                stored = await self._commit.publish(outgoing[start : start + MAX_BATCH])
            except PublishConflictError as error:
                raise StoreConflictError(str(error)) from error
            ours = stored[: max(0, revisions - start)]
            self._last = max([self._last, *(each.sequence for each in ours)])
            last = max([last, *(each.sequence for each in stored)])
        return last


def encode(announcements: Announcements, registry: UnitRegistry) -> Iterator[Outgoing]:
    """Yield the events as they go on the bus: first the lists, then the units, then what became final."""
    for revision in announcements.revisions:
        yield _revised(revision, announcements)
    for announcement in announcements.units:
        yield _changed(announcement, announcements, registry.get(announcement.row.unit_id))
    for each in announcements.periods:
        if isinstance(each, Closing):
            yield from _closed(each, announcements)
        else:
            yield _restated(each, announcements)


def _revised(revision: Revision, said: Announcements) -> Outgoing:
    """The event of one list.

    Its rows are spliced in as the bytes that the list itself consists of: validating and encoding 10,000
    rows a second a second time would cost more than computing them. A test reads them with the contract.
    """
    head = revision.list.head
    event_id = derived_id(
        "ranking-revised",
        revision.list.key,
        revision.previous_hash or "",
        revision.list.hash,
        str(said.position),
        # Cases alone can bring a list to and fro; without any, ids are those of before there were cases.
        *([str(said.cases)] if said.cases else []),
    )
    data = RankingRevised(
        list=revision.list.key,
        level=head["level"],
        kind=head["kind"],
        window_days=head["window_days"],
        period=head["period"],
        as_of=revision.list.as_of,
        sorted_by=head["sorted_by"],
        list_hash=revision.list.hash,
        previous_hash=revision.previous_hash,
        positions=positions_of(said.position, said.cases),
        units=head["units"],
        changed_units=len(revision.changed),
        changed=(),
        gone=tuple(revision.gone[:MAX_ROWS]),
        withdrawn=revision.withdrawn,
    )
    room = MAX_ROWS_BYTES - GONE_BYTES * len(data.gone)
    return _message(_REVISED, data, revision.list.key, event_id, said, _that_fit(revision.items, room))


def _message(
    spec: EventSpec,
    data: EventData,
    key: str,
    event_id: str,
    said: Announcements,
    items: Sequence[bytes],
) -> Outgoing:
    """An event about the list ``key`` with the JSON of its rows in the place of none."""
    envelope = spec.wrap(
        data,
        event_id=event_id,
        source=SERVICE,
        subject=key,
        time=said.decided_at,
        received_at=said.decided_at,
        provenance=Provenance(correlation_id=event_id),
        rules=said.rules,
    )
    rows = b",".join(items)
    body, spliced = _EMPTY_ROWS.subn(lambda found: b'"%b":[%b]' % (found[1], rows), envelope.to_json())
    if spliced != 1:
        raise AssertionError(f"{spec.name} no longer writes its empty rows once: {spliced}")
    return Outgoing(spec.subject_for(), event_id, body)


def _closed(closing: Closing, said: Announcements) -> Iterator[Outgoing]:
    """The events of one final list: parts that hold its rows one after the other.

    Their ids belong to the list and the part alone: a period closes once, whoever says so.
    """
    key, head = closing.list.key, closing.list.head
    parts = list(_parts(closing.items))
    for number, items in enumerate(parts, 1):
        data = PeriodClosed(
            list=key,
            level=head["level"],
            kind=head["kind"],
            period=str(closing.period),
            first=closing.period.first,
            last=closing.period.last,
            closed_on=closing.closed_on,
            sorted_by=head["sorted_by"],
            list_hash=closing.list.hash,
            positions=positions_of(said.position, said.cases),
            units=head["units"],
            late_missed=closing.late_missed,
            part=number,
            parts=len(parts),
            items=(),
        )
        event_id = derived_id("period-closed", key, str(number))
        yield _message(_CLOSED, data, key, event_id, said, items)


def _parts(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The rows in portions that fit into a message; one empty portion if there are none."""
    start = 0
    while start < len(items) or start == 0:
        part = _that_fit(items[start:])
        yield part
        start += max(1, len(part))


def _restated(restatement: Restatement, said: Announcements) -> Outgoing:
    key = restatement.list.key
    data = PeriodRestated(
        list=key,
        period=str(restatement.period),
        list_hash=restatement.list.hash,
        closed_hash=restatement.closed_hash,
        restatement=restatement.number,
        positions=positions_of(said.position, said.cases),
        changed_units=len(restatement.items),
        changed=(),
        causes=tuple(restatement.causes[:CAUSES_IN_A_MESSAGE]),
    )
    event_id = derived_id("period-restated", key, str(restatement.number), restatement.list.hash)
    return _message(_RESTATED, data, key, event_id, said, _that_fit(restatement.items))


def _that_fit(items: Sequence[bytes], room: int = MAX_ROWS_BYTES) -> Sequence[bytes]:
    """The first rows, as many as the contract allows and ``room`` bytes of one message hold."""
    first = items[:MAX_ROWS]
    if sum(map(len, first)) + len(first) <= room:
        return first
    ends = accumulate(len(item) + 1 for item in first)
    return first[: sum(end <= room for end in ends)]


def _changed(announcement: Announcement, said: Announcements, unit: Unit) -> Outgoing:
    row, before = announcement.row, announcement.before
    # No position: of two instances that overlap, one has folded more, and the same move must be one event.
    # When it was last announced is part of what was before, so a move that is made again later is another.
    event_id = derived_id(
        "unit-score-changed",
        str(announcement.list),
        row.unit_id,
        said.as_of,
        said.rules,
        canonical_json(list(before or ())).decode(),
        canonical_json([row.rank, row.score, row.band]).decode(),
    )
    data = UnitScoreChanged.model_validate(
        {
            "unit_id": row.unit_id,
            "name": row.name,
            "level": unit.level,
            "kind": None if unit.kind == BUREAU else unit.kind,
            "list": str(announcement.list),
            "window_days": announcement.list.window_days,
            "as_of": said.as_of,
            "reasons": announcement.reasons,
            "rank": row.rank,
            "previous_rank": before.rank if before else None,
            "day_start_rank": announcement.after.day_start_rank if row.rank is not None else None,
            "score": row.score,
            "previous_score": before.score if before else None,
            "band": row.band,
            "previous_band": before.band if before else None,
            "ratings": row.ratings,
        }
    )
    envelope: Envelope[UnitScoreChanged] = _CHANGED.wrap(
        data,
        event_id=event_id,
        source=SERVICE,
        subject=row.unit_id,
        time=said.decided_at,
        received_at=said.decided_at,
        provenance=Provenance(correlation_id=event_id),
        rules=said.rules,
    )
    return Outgoing(_CHANGED.subject_for(unit.city, unit.county), event_id, envelope.to_json())
