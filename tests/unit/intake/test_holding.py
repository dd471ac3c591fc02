"""Carrying out what screening decides: the very bytes of a revision, each once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters.jetstream_log import read_accepted
from services.intake.adapters.screened import StoredRatings, read_held, read_seen
from services.intake.adapters.sqlite_quarantine import SqliteQuarantine
from services.intake.adapters.stored_revisions import read_in_force
from services.intake.application.hold_messages import (
    REQUEST_KEY,
    decision_of,
    hold_message,
    read_target,
)
from services.intake.application.holding import Holder
from services.intake.application.prepared import RequestFacts
from services.intake.application.revising import Reviser
from services.intake.application.revision_messages import revision_message
from services.intake.domain.decisions import Decision
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.quarantine import HeldFilter
from services.intake.domain.revisions import Move, State
from services.intake.domain.screening import Hold, Release, Trait
from services.intake.domain.submission import unix_ms
from shared.events import Provenance
from shared.kernel.clock import rfc3339
from shared.kernel.reasons import QuarantineReason
from shared.kernel.units import load_units
from shared.messaging.group_commit import Outgoing
from shared.rules.loading import load_pack
from shared.testing.builders import envelope_of, feedback_submitted, hmac_of
from shared.testing.clock import NOON
from tests.unit.intake.fakes import CountingTally, MemoryFeedbackLog, MemoryIndex

PSEUDONYMS = Pseudonyms("k1", b"1" * 32)
RULES = load_pack(None, NOON.date())
FULL = {
    "dimensions": {"service": 5, "image": 1},
    "citizen_hmac": hmac_of("c"),
    "device_hmac": hmac_of("d"),
    "address_hmac": hmac_of("a"),
    "transaction_hmac": hmac_of("t"),
    "text_hmac": hmac_of("x"),
    "similarity": "k1." + "ab" * 48,
    "has_contact": True,
    "aliases": [{"device_hmac": "k0." + "12" * 16}],
    "contact_record": "r",
}


def facts(key: str = REQUEST_KEY) -> RequestFacts:
    return RequestFacts(NOON, rfc3339(NOON), RULES.intake, RULES.hash, Provenance("screening"), key)


def hold(event_id: str, sequence: int) -> Hold:
    cluster = "device-0123456789abcdef"
    return Hold(event_id, sequence, unix_ms(NOON), QuarantineReason.SHARED_DEVICE, Trait.DEVICE, cluster)


@pytest.mark.parametrize("fields", [{}, FULL], ids=["least", "most"])
def test_the_bytes_are_those_of_any_revision(fields: dict[str, Any]) -> None:
    envelope = envelope_of(feedback_submitted(**fields))
    before = read_in_force(envelope.to_json())
    target = read_target(envelope.to_json())
    assert before is not None
    assert target is not None
    decided = hold(envelope.id, 1)
    expected = revision_message(
        decision_of(decided), before, target_id=envelope.id, number=1, corrected=before.fields,
        request=hmac_of("request"), digest=hmac_of("digest"), facts=facts(),
    )  # fmt: skip
    assert hold_message(decided, target, hmac_of("request"), hmac_of("digest"), facts()) == expected


class Desk:
    def __init__(self) -> None:
        self.log, self.index, self.tally = MemoryFeedbackLog(PSEUDONYMS), MemoryIndex(), CountingTally()
        units = load_units(None)
        self.reviser = Reviser(
            log=self.log, index=self.index, pseudonyms=PSEUDONYMS, units=units, tally=self.tally
        )
        self.holder = Holder(
            log=self.log, index=self.index, pseudonyms=PSEUDONYMS, reviser=self.reviser, tally=self.tally,
            facts=facts,
        )  # fmt: skip

    async def rated(self) -> Hold:
        envelope = envelope_of(feedback_submitted())
        out = Outgoing("feedback.v1.submitted.3607.360702", envelope.id, envelope.to_json())
        (stored,) = await self.log.append((out,))
        accepted = read_accepted(out.payload, stored.sequence, PSEUDONYMS)
        assert accepted is not None
        self.index.add((accepted,))
        return hold(envelope.id, stored.sequence)

    def data(self, *decided: Hold) -> dict[int, bytes]:
        return {each.sequence: self.log.messages[each.sequence - 1].payload for each in decided}

    def state(self, decided: Hold) -> State:
        return self.reviser.history(decided.event_id).state


@pytest.mark.parametrize("at_hand", [True, False])
async def test_a_rating_is_held_once_however_often_that_is_decided(*, at_hand: bool) -> None:
    desk = Desk()
    decided = await desk.rated()
    data = desk.data(decided) if at_hand else {}
    assert await desk.holder.carry_out([decided], data) == [decided]
    assert await desk.holder.carry_out([decided], data) == []
    assert desk.state(decided) is State.QUARANTINED
    assert len(desk.log.messages) == 2


async def test_what_a_reviewer_released_is_not_held_again() -> None:
    desk = Desk()
    decided = await desk.rated()
    await desk.holder.carry_out([decided], desk.data(decided))
    release = Decision(Move.RELEASE, "found_genuine", "reviewer")
    await desk.reviser.revise(desk.reviser.history(decided.event_id), release, facts("by hand"))
    assert await desk.holder.carry_out([decided], desk.data(decided)) == []
    assert desk.state(decided) is State.COUNTED


async def test_what_was_withdrawn_meanwhile_stays_withdrawn() -> None:
    desk = Desk()
    decided = await desk.rated()
    withdraw = Decision(Move.WITHDRAW, "unstated")
    await desk.reviser.revise(desk.reviser.history(decided.event_id), withdraw, facts("by hand"))
    assert await desk.holder.carry_out([decided], desk.data(decided)) == []
    assert desk.state(decided) is State.WITHDRAWN


async def test_a_hold_that_was_thought_better_of_is_released_once() -> None:
    desk = Desk()
    decided = await desk.rated()
    release = Release(decided.event_id, decided.sequence, decided.received_ms)
    await desk.holder.carry_out([decided], desk.data(decided))
    assert await desk.holder.carry_out([release], {}) == [release]
    assert await desk.holder.carry_out([release], {}) == []
    assert desk.state(decided) is State.COUNTED


async def test_what_was_received_long_ago_is_not_held_any_more() -> None:
    desk = Desk()
    decided = await desk.rated()
    old = decided._replace(received_ms=decided.received_ms - 4 * 86_400_000)
    assert await desk.holder.carry_out([old], desk.data(decided)) == []
    assert desk.state(decided) is State.COUNTED


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.dictionaries(st.sampled_from(["data", "type", "id", "target_id"]), inner),
    ).map(lambda each: json.dumps(each).encode())
)
def test_any_message_is_read_or_passed_over(data: bytes) -> None:
    assert read_seen(data, 1) is None
    assert read_target(data) is None
    assert read_held(data) is None
    assert StoredRatings().seen(b"[" * 10_000, 1) is None
    assert StoredRatings().held(b'{"data":' * 10_000) is None


def test_the_table_of_held_ratings_survives_and_belongs_to_its_stream(tmp_path: Path) -> None:
    table = SqliteQuarantine(tmp_path)
    table.open("stream one")
    envelope = envelope_of(feedback_submitted())
    target = read_target(envelope.to_json())
    assert target is not None
    message = hold_message(hold(envelope.id, 1), target, hmac_of("r"), hmac_of("d"), facts())
    table.fold([(2, message.payload), (3, b"{}"), (4, b"noise")], 4)
    table.close()
    table.open("stream one")
    table.ready = True
    assert (table.position, table.count(HeldFilter())) == (4, 1)
    (held,) = table.page(HeldFilter(county="360702"), 0, 10)
    assert (held.event_id, held.sequence, held.cluster) == (envelope.id, 2, "device-0123456789abcdef")
    table.close()
    table.open("stream two")
    table.ready = True
    assert (table.position, table.count(HeldFilter())) == (0, 0)
    table.close()
