"""Holds by hand: once for each rating, and not for longer than the rules allow one person."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from services.intake.adapters.sqlite_quarantine import SqliteQuarantine
from services.intake.application import lapsing
from services.intake.application.errors import HeldBeforeError
from services.intake.application.hold_messages import LAPSE_KEY, OWN_KEYS, REQUEST_KEY
from services.intake.application.lapsing import Lapsing
from services.intake.application.ports import Rules
from services.intake.application.prepared import RequestFacts
from services.intake.application.revising import Reviser
from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import History, Move, State
from services.intake.domain.screening import Hold
from services.intake.entrypoints.writing import staff_key_of
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.messaging.publisher import BrokerUnavailableError
from tests.unit.intake.test_holding import RULES, Desk
from tests.unit.intake.test_holding import facts as facts_of

HOLD = Decision(Move.QUARANTINE, "under_review", "county-supervisor")
DAYS = timedelta(days=RULES.approvals.hold_days)


class Office(Desk):
    """A desk with the table of what is held."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.after = timedelta(0)
        self.leads = True
        self.unknown: set[str] = set()
        self.unreadable: set[str] = set()
        self.table = SqliteQuarantine(folder)
        self.table.open("stream one")
        self.table.ready = True
        self.lapsing = Lapsing(
            held=self.table,
            reviser=cast("Reviser", SimpleNamespace(history=self.history, revise=self.reviser.revise)),
            rules=cast("Rules", SimpleNamespace(at=lambda _: RULES)),
            facts=self.facts,
            leads=lambda: self.leads,
        )

    def history(self, event_id: str) -> History:
        if event_id in self.unknown:
            raise NotFoundError(event_id, "a rating", "wait")
        if event_id in self.unreadable:
            raise BrokerUnavailableError("no answer")
        return self.reviser.history(event_id)

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


async def many_held(office: Office, monkeypatch: pytest.MonkeyPatch) -> list[Hold]:
    """Twice as many as are taken at once, and one more."""
    monkeypatch.setattr(lapsing, "AT_ONCE", 3)
    ratings = [await office.rated() for _ in range(7)]
    for rating in ratings:
        await office.hold(rating)
    office.after = 2 * DAYS
    return ratings


async def test_what_cannot_be_released_does_not_block_what_is_held_behind_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratings = await many_held(office, monkeypatch)
    office.unknown = {rating.event_id for rating in ratings[:4]}
    assert await office.lapse() == 3
    assert [office.state(each) for each in ratings[4:]] == [State.COUNTED] * 3
    office.unknown = set()
    assert await office.lapse() == 4
    assert [office.state(each) for each in ratings[:4]] == [State.COUNTED] * 4


async def test_one_that_cannot_be_read_now_is_passed_by_and_tried_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratings = await many_held(office, monkeypatch)
    office.unreadable = {ratings[1].event_id, ratings[2].event_id}
    for _ in office.unreadable:
        with pytest.raises(BrokerUnavailableError):
            await office.lapse()
    assert await office.lapse() == 4
    counted = [office.state(each) for each in (ratings[0], *ratings[3:])]
    assert counted == [State.COUNTED] * 5
    office.unreadable = set()
    assert await office.lapse() == 2


async def test_a_replica_that_no_longer_leads_goes_no_further(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many_held(office, monkeypatch)
    office.leads = False
    assert await office.lapse() == 3


@pytest.mark.parametrize("key", sorted(OWN_KEYS))
def test_nobody_passes_for_screening_by_its_keys(key: str) -> None:
    assert {REQUEST_KEY, LAPSE_KEY} <= OWN_KEYS
    with pytest.raises(InvalidValueError):
        staff_key_of({b"idempotency-key": key.encode()})
    assert staff_key_of({b"idempotency-key": b"mine"}) == "mine"
    assert staff_key_of({}) is None
