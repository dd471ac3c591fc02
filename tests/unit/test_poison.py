"""Whoever reads messages says of each that it can't be read, and never ends of it."""

from collections.abc import Callable

import pytest

from services.archive.application.envelopes import read_attributes
from services.intake.adapters.jetstream_log import read_accepted, read_private
from services.intake.adapters.screened import read_seen
from services.intake.adapters.spooled_messages import classifier
from services.intake.adapters.stored_revisions import read_in_force, read_revision
from services.intake.application.hold_messages import read_target
from services.intake.application.people import Private
from services.intake.domain.pseudonyms import Pseudonyms
from services.notify.adapters.watch_fold import WatchFold
from services.notify.application.judging import Glance
from services.notify.domain.watch import Watch
from services.notify.entrypoints.case_messages import needs_a_look
from services.rectify.entrypoints.events import matters
from services.scoring.adapters.told_events import read_told
from shared.events import InvalidEventError, parse_event
from shared.messaging.direct import Read
from shared.messaging.stored import StoredMessage
from tests.support.poison import POISON
from tests.unit.notify.people import UNITS
from tests.unit.notify.support import PACK

PSEUDONYMS = Pseudonyms("k1", bytes(32))

poisons = pytest.mark.parametrize("body", POISON.values(), ids=POISON)
READERS: dict[str, Callable[[bytes], object]] = {
    "accepted": lambda body: read_accepted(body, 1, PSEUDONYMS),
    "revision": lambda body: read_revision(body, 1, PSEUDONYMS),
    "in force": read_in_force,
    "target of a hold": read_target,
    "seen by screening": lambda body: read_seen(body, 1),
    "spooled": classifier(PSEUDONYMS),
    "attributes": read_attributes,
}
"""Each gives None for what it can't read."""


def feedback(body: bytes, fact: str = "submitted") -> StoredMessage:
    return StoredMessage(f"feedback.v1.{fact}.3601.360102", body, "FEEDBACK", 1, 1, 1, 0, 0, "")


@poisons
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_readers_pass_over_it(read: Callable[[bytes], object], body: bytes) -> None:
    assert read(body) is None


@poisons
def test_the_keeper_of_the_vault_finds_no_record_in_it(body: bytes) -> None:
    assert read_private(body) in (None, Private())


@poisons
def test_it_is_no_event(body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        parse_event(body)


@poisons
def test_rectify_and_notify_look_at_it_so_that_it_becomes_a_dead_letter(body: bytes) -> None:
    fold = WatchFold(Watch(PACK.alerts.surge), UNITS)
    assert fold.fold(feedback(body)) is Glance.CONCERN
    assert fold.glance(feedback(body)) is Glance.CONCERN
    assert fold.fold(feedback(body, "corrected")) is Glance.OTHER
    assert matters(feedback(body))


@pytest.mark.parametrize("kind", POISON)
def test_where_its_type_can_be_read_notify_passes_it_by_among_cases(kind: str) -> None:
    """And else looks at it, so that it becomes a dead letter."""
    assert needs_a_look(POISON[kind]) is (kind not in {"infinite", "long number", "no data"})


@poisons
def test_rankings_go_on_from_what_else_was_told(body: bytes) -> None:
    told = read_told([Read("ranking.v1.revised.all.all", 7, body)])
    assert (told.last, told.lists) == (7, {})
