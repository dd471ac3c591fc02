"""Holds by hand: once for each rating, and not for longer than the rules allow one person."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from services.intake.adapters.sqlite_quarantine import SqliteQuarantine
from services.intake.application.errors import HeldBeforeError
from services.intake.application.hold_messages import LAPSE_KEY, OWN_KEYS, REQUEST_KEY
from services.intake.application.lapsing import Lapsing
from services.intake.application.ports import Rules
from services.intake.application.prepared import RequestFacts
from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import Move, State
from services.intake.domain.screening import Hold
from services.intake.entrypoints.writing import staff_key_of
from shared.kernel.errors import InvalidValueError
from tests.unit.intake.test_holding import RULES, Desk
from tests.unit.intake.test_holding import facts as facts_of

HOLD = Decision(Move.QUARANTINE, "under_review", "county-supervisor")
DAYS = timedelta(days=RULES.approvals.hold_days)


class Office(Desk):
    """A desk with the table of what is held."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.after = timedelta(0)
        self.table = SqliteQuarantine(folder)
        self.table.open("stream one")
        self.table.ready = True
        self.lapsing = Lapsing(
            held=self.table,
            reviser=self.reviser,
            rules=cast("Rules", SimpleNamespace(at=lambda _: RULES)),
            facts=self.facts,
            leads=lambda: True,
        )

    def facts(self, key: str) -> RequestFacts:
        now = facts_of(key)
        return now._replace(received_at=now.received_at + self.after)

    async def hold(self, rating: Hold, key: str = "by hand") -> None:
        await self.reviser.revise(self.reviser.history(rating.event_id), HOLD, self.facts(key))

    async def lapse(self) -> int:
        last = len(self.log.messages)
        self.table.fold([(at, each.payload) for at, each in enumerate(self.log.messages, 1)], last)
        return await self.lapsing.run_once()


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


async def test_what_one_person_holds_counts_again_once_the_time_is_over(office: Office) -> None:
    rating = await office.rated()
    await office.hold(rating)
    office.after = DAYS
    assert await office.lapse() == 0
    assert office.state(rating) is State.QUARANTINED
    office.after = DAYS + timedelta(seconds=1)
    assert await office.lapse() == 1
    assert office.state(rating) is State.COUNTED
    assert await office.lapse() == 0


async def test_what_screening_holds_waits_for_a_person(office: Office) -> None:
    rating = await office.rated()
    await office.holder.carry_out([rating], office.data(rating))
    office.after = 10 * DAYS
    assert await office.lapse() == 0
    assert office.state(rating) is State.QUARANTINED


async def test_a_rating_is_held_by_hand_once(office: Office) -> None:
    rating = await office.rated()
    await office.hold(rating)
    release = Decision(Move.RELEASE, "found_genuine", "county-supervisor")
    await office.reviser.revise(office.reviser.history(rating.event_id), release, office.facts("release"))
    with pytest.raises(HeldBeforeError, match="exclusion"):
        await office.hold(rating, "by hand, again")
    assert office.state(rating) is State.COUNTED
    await office.hold(rating)  # the same request again is no other one


async def test_what_screening_let_go_can_be_held_by_hand(office: Office) -> None:
    rating = await office.rated()
    await office.holder.carry_out([rating], office.data(rating))
    release = Decision(Move.RELEASE, "found_genuine", "county-supervisor")
    await office.reviser.revise(office.reviser.history(rating.event_id), release, office.facts("release"))
    await office.hold(rating)
    assert office.state(rating) is State.QUARANTINED


@pytest.mark.parametrize("key", sorted(OWN_KEYS))
def test_nobody_passes_for_screening_by_its_keys(key: str) -> None:
    assert {REQUEST_KEY, LAPSE_KEY} <= OWN_KEYS
    with pytest.raises(InvalidValueError):
        staff_key_of({b"idempotency-key": key.encode()})
    assert staff_key_of({b"idempotency-key": b"mine"}) == "mine"
    assert staff_key_of({}) is None
