"""Which rankings were in force at a moment, and where they had been computed: past `RankingRevised`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Final

import msgspec
from nats.aio.client import Client

from deploy.local.history.archive import read_entries
from deploy.local.history.moments import Moment
from shared.events import RankingRevised, spec_for_data
from shared.events.unreadable import UNREADABLE
from shared.kernel.clock import rfc3339
from shared.messaging.reading import FoldReader
from shared.messaging.streams import CASES, FEEDBACK, RANKING

_REVISED: Final = spec_for_data(RankingRevised)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NANO: Final = 1_000_000_000
DISORDER_S: Final = 600
"""By how much a decided time may be older than its neighbours' in the stream: an instance that was slow."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one published ranking says about itself.

    Attributes:
        list: the list's key.
        position: last sequence of FEEDBACK that it takes into account.
        as_of: last day of its windows.
        rules: hash of its rule pack.
        list_hash: hash of its canonical bytes.
        decided_at: when it was published.
        cases: last sequence of CASES that it takes into account.
        withdrawn: it says that there is no such list any more.
    """

    list: str
    position: int
    as_of: date
    rules: str
    list_hash: str
    decided_at: datetime
    cases: int = 0
    withdrawn: bool = False


class _Data(msgspec.Struct, gc=False):
    list: str
    list_hash: str
    positions: dict[str, int]
    as_of: date
    withdrawn: bool = False


class _Envelope(msgspec.Struct, gc=False):
    # Not the model of the event: a hundred thousand changed rows are in there, and none of them matters.
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    rules: str
    data: _Data


_decode = msgspec.json.Decoder(_Envelope).decode


def parse_record(body: bytes) -> Record | None:
    """Read one `RankingRevised`; None if it is none, whatever is wrong with it."""
    try:
        found = _decode(body)
    except UNREADABLE:
        return None
    data = found.data
    position, cases = data.positions.get(FEEDBACK, 0), data.positions.get(CASES, 0)
    return Record(
        data.list, position, data.as_of, found.rules, data.list_hash, found.time, cases, data.withdrawn
    )


def newest(bodies: Iterable[bytes], moment: Moment, known: dict[str, Record]) -> None:
    """Put the last of each list that `moment` covers into ``known``, over what is there."""
    for body in bodies:
        record = parse_record(body)
        if record is not None and moment.covers(record.decided_at, record.position):
            known[record.list] = record


async def read_streamed_records(client: Client, moment: Moment) -> tuple[dict[str, Record], bool]:
    """The newest record of each list at or before `moment`, from the stream RANKING.

    Returns:
        The records by list, and whether the stream still has everything since its beginning.
    """
    info = await client.jetstream(timeout=5).stream_info(RANKING)
    records: dict[str, Record] = {}
    reader = FoldReader(client, RANKING, filters=(_REVISED.pattern,))
    try:
        while not reader.caught_up:
            messages = await reader.take()
            newest((message.data for message in messages), moment, records)
            if messages and moment.until is not None:
                behind_s = messages[0].published_ns / _NANO - moment.until.timestamp()
                if behind_s > DISORDER_S:
                    break
    finally:
        await reader.close()
    return records, info.state.first_seq <= 1


def read_archived_records(
    archive_url: str, moment: Moment, complete: Callable[[Mapping[str, Record]], bool]
) -> dict[str, Record]:
    """The newest record of each list at or before `moment`, from the archive, read backwards.

    Args:
        archive_url: base address of the archive.
        moment: the moment.
        complete: whether enough was found; otherwise the log is read back to its beginning.
    """
    found: dict[str, Record] = {}
    until = None if moment.until is None else rfc3339(moment.until + _MILLISECOND)
    for page in read_entries(archive_url, type=_REVISED.event_type, to=until, order="desc"):
        backwards: dict[str, Record] = {}
        newest((bytes(entry.event) for entry in reversed(page)), moment, backwards)
        found = {**backwards, **found}
        if complete(found):
            break
    return found
