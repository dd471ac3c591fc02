"""Leaving 退出: lists and units that the rules or the registry no longer have (ADR 0062).

A rule pack of the day may rank other kinds and windows, a unit may have ended. What is computed no longer has
them, so nothing would contradict what was said of them last. Here is what has to be taken back.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import NamedTuple

from services.scoring.application.fold import FrozenFold
from services.scoring.application.ports import Revision
from services.scoring.application.published import NO_VALUE, PublishedList
from services.scoring.application.read_rows import statuses
from services.scoring.application.told import ToldList
from services.scoring.domain.announcements import Announced
from services.scoring.domain.lists import SORTED_BY, SUPPRESSED, WITHDRAWN_HASH, ListKey, Row
from services.scoring.domain.spans import Period, Rolling
from shared.kernel.grades import Level


class Gone(NamedTuple):
    """A list that there is no more.

    Attributes:
        key: its key.
        heads: the head to write, which is empty.
        pages: the pages, likewise.
        revisions: what to tell; nothing if it has been told.
    """

    key: str
    heads: Mapping[str, bytes]
    pages: Mapping[str, bytes]
    revisions: Sequence[Revision]


def withdrawn_lists(
    frozen: FrozenFold,
    computed: Collection[str],
    stored: Mapping[str, PublishedList],
    told: Mapping[str, ToldList],
) -> Iterator[Gone]:
    """The lists that somebody was shown or told, and that there are no more, in the order of their keys.

    A period's list that has closed stands for good. One that is over and waits to be closed does so unless
    the rules no longer rank its kind: then it never closes.

    Args:
        frozen: the fold.
        computed: keys of all lists that it gives of windows and open periods; none: they were not computed.
        stored: what stands in the bucket.
        told: what was told and does not stand there.
    """
    known = {*stored, *(key for key, last in told.items() if not last.withdrawn)} if computed else set()
    for key in sorted(known - set(computed)):
        standing, unknown = stored.get(key), told.get(key)
        which = ListKey.parse(key)
        over = isinstance(which.span, Period) and which.span not in frozen.spans
        closes = over and (which.kind is None or which.kind in frozen.rules.kinds)
        if closes or (standing is not None and standing.is_closed):
            continue
        pages = standing.head["pages"] if standing is not None else 0
        last = unknown or standing
        said = unknown is not None and unknown.withdrawn
        yield Gone(
            key,
            {key: NO_VALUE},
            {f"{key}.{number}": NO_VALUE for number in range(pages)},
            [] if said or last is None else [_withdrawal(which, frozen.ranker.roster.as_of, last.hash)],
        )


def _withdrawal(key: ListKey, as_of: date, previous_hash: str) -> Revision:
    """The revision that says that on the day ``as_of`` there is no such list."""
    head = {
        "list": str(key),
        "level": str(key.level),
        "kind": key.kind,
        "window_days": key.window_days,
        "period": key.period,
        "as_of": as_of.isoformat(),
        "sorted_by": SORTED_BY,
        "list_hash": WITHDRAWN_HASH,
        "units": 0,
    }
    return Revision(PublishedList(head, (), ()), previous_hash, (), (), withdrawn=True)


def gone_units(after: PublishedList, before: PublishedList | None, told: ToldList | None) -> list[str]:
    """Ids of the units that were shown in a list and are not in it any more.

    Args:
        after: the list as it is about to be published.
        before: as it stands in the bucket.
        told: what was told of it and does not stand there.
    """
    known: set[str] = set()
    # Who is in a list is a matter of the day's registry: the rows are not looked at while that is the same.
    if before is not None and before.head.get("registry") != after.head.get("registry"):
        known.update(each for each, status in statuses(before.items).items() if status != SUPPRESSED)
    if told is not None:
        known |= told.named
    return sorted(known - statuses(after.items).keys()) if known else []


def units_that_left(
    frozen: FrozenFold, announced: Mapping[str, Announced]
) -> list[tuple[ListKey, list[Row]]]:
    """Units that were announced with a score and are compared with nobody now, as hidden rows of their list.

    Args:
        frozen: the fold.
        announced: the last announcement of each unit, by its id.
    """
    compared, registry = frozen.ranker.roster.compared, frozen.registry
    left = [
        registry.get(unit_id)
        for unit_id, last in announced.items()
        if last.score is not None and unit_id not in compared and unit_id in registry
    ]
    span = Rolling(frozen.rules.windows.primary_days)

    def key(place: int) -> ListKey:
        unit = left[place]
        return ListKey(unit.level, unit.kind if unit.level is Level.WINDOW else None, span)

    order = sorted(range(len(left)), key=lambda place: (str(key(place)), left[place].unit_id))
    return [
        (found, [Row(left[place].unit_id, left[place].name, SUPPRESSED) for place in places])
        for found, places in groupby(order, key)
    ]
