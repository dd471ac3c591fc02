"""Keeping the fold going: invalid messages, catching up, midnight, other rules."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from services.scoring.application.handlers import FoldFeedback
from services.scoring.application.snapshots import anchor_of
from shared.kernel.errors import TransientError
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.rules import RulePack, load_pack
from tests.unit.scoring.fakes import Measured, RecordedLetters, SettableClock
from tests.unit.scoring.feedback import NOW, Message, feedback, messages

UNITS = load_units()
WINDOW = UNITS.by_level(Level.WINDOW)[0]
SUBJECT = "feedback.v1.submitted.3601.360102"


class World:
    def __init__(self) -> None:
        self.clock = SettableClock(NOW)
        self.letters = RecordedLetters()
        self.measured = Measured()
        self.received: list[int] = []
        self.other_rules_from: date | None = None
        self.feedback = FoldFeedback(
            UNITS, self.rules_on, self.clock, self.letters, self.measured, self.received.append
        )

    def rules_on(self, day: date) -> RulePack:
        pack = load_pack(None, day)
        if self.other_rules_from is not None and day >= self.other_rules_from:
            return replace(pack, version="other", hash="sha256:other")
        return pack


RATINGS = messages([feedback(WINDOW, number=number) for number in range(10)])


async def test_an_invalid_message_is_filed_once_and_the_rest_is_folded() -> None:
    world = World()
    found = [
        *RATINGS[:3],
        Message(SUBJECT, b"{broken", 4),
        *(replace(m, sequence=m.sequence + 1) for m in RATINGS[3:]),
    ]
    world.feedback.fold_messages(found, 0, 0)
    await world.feedback.file_dead_letters()
    await world.feedback.file_dead_letters()
    assert world.letters.sequences == [4]
    assert world.measured.letters == 1
    assert world.feedback.publishable
    assert world.feedback.fold.books().accepted == 10
    assert world.feedback.fold.position == 11


async def test_an_invalid_message_that_was_filed_in_an_earlier_life_is_not_filed_again() -> None:
    world = World()
    found = [Message(SUBJECT, b"{broken", 1), Message(SUBJECT, b"{broken too", 2)]
    world.feedback.fold_messages(found, 0, 1)
    await world.feedback.file_dead_letters()
    assert world.letters.sequences == [2]


async def test_a_dead_letter_that_cannot_be_filed_is_kept_and_holds_publication() -> None:
    world = World()
    world.letters.away = True
    world.feedback.fold_messages([Message(SUBJECT, b"{broken", 1)], 0, 0)
    with pytest.raises(TransientError):
        await world.feedback.file_dead_letters()
    assert not world.feedback.publishable
    world.letters.away = False
    await world.feedback.file_dead_letters()
    assert world.letters.sequences == [1]
    assert world.feedback.publishable


def test_other_facts_on_the_stream_only_move_the_position() -> None:
    world = World()
    world.feedback.fold_messages([Message("feedback.v1.conflicted.3601.360102", b"{}", 1)], 0, 0)
    assert world.feedback.fold.position == 1
    assert world.feedback.fold.books().accepted == 0
    assert world.feedback.publishable


def test_the_fold_has_caught_up_once_what_was_there_at_first_is_folded() -> None:
    world = World()
    assert world.feedback.progress == "reading has not begun"
    world.feedback.fold_messages(RATINGS[:4], 4, 0)
    assert world.feedback.progress == "4 of 8 messages folded"
    world.feedback.fold_messages(RATINGS[4:7], 6, 0)
    assert not world.feedback.caught_up
    world.feedback.fold_messages(RATINGS[7:8], 50, 0)
    assert world.feedback.caught_up


def test_an_empty_stream_is_caught_up_at_once() -> None:
    world = World()
    world.feedback.fold_messages([], 0, 0)
    assert world.feedback.caught_up


def test_latency_is_measured_for_what_comes_after_catching_up_only() -> None:
    world = World()
    world.feedback.fold_messages(RATINGS[:5], 0, 0)
    world.feedback.fold_messages(RATINGS[5:], 0, 0)
    assert len(world.received) == 5


def test_midnight_in_shanghai_moves_the_day_and_an_earlier_moment_does_not() -> None:
    world = World()
    world.clock.time = NOW.replace(hour=23, minute=59)
    assert not world.feedback.renew()
    assert world.feedback.fold.as_of == NOW.date()
    world.clock.pass_time(60)
    assert not world.feedback.renew()
    assert world.feedback.fold.as_of == NOW.date() + timedelta(days=1)
    world.clock.pass_time(-3600)
    assert not world.feedback.renew()
    assert world.feedback.fold.as_of == NOW.date() + timedelta(days=1)


def test_other_rules_from_today_on_begin_the_fold_anew() -> None:
    world = World()
    world.feedback.fold_messages(RATINGS, 0, 0)
    world.other_rules_from = NOW.date() + timedelta(days=2)
    world.clock.pass_time(86_400)
    assert not world.feedback.renew()
    assert world.feedback.fold.position == 10
    world.clock.pass_time(86_400)
    assert world.feedback.renew()
    assert world.feedback.fold.rules.hash == "sha256:other"
    assert world.feedback.fold.position == 0
    assert not world.feedback.publishable


async def test_a_replica_that_does_not_lead_forgets_the_dead_letters_that_the_leader_has_filed() -> None:
    world = World()
    found = [Message(SUBJECT, b"{broken", number) for number in (1, 2, 3)]
    world.feedback.fold_messages(found, 0, 0)
    world.feedback.forget_dead_letters(2)
    assert not world.feedback.publishable
    await world.feedback.file_dead_letters()
    assert world.letters.sequences == [3]


def test_a_restored_fold_goes_on_after_its_position() -> None:
    world, before = World(), World()
    before.feedback.fold_messages(RATINGS[:6], 4, 0)
    assert before.feedback.anchor == anchor_of(RATINGS[5])
    world.feedback.resume(before.feedback.fold, before.feedback.anchor)
    assert world.feedback.anchor == anchor_of(RATINGS[5])
    world.feedback.fold_messages(RATINGS[6:], 0, 0)
    assert world.feedback.fold.books().accepted == 10
    assert world.feedback.anchor == anchor_of(RATINGS[9])
    assert world.feedback.publishable


def test_a_fold_begun_anew_under_other_rules_has_no_anchor() -> None:
    world = World()
    world.feedback.fold_messages(RATINGS, 0, 0)
    world.other_rules_from = NOW.date() + timedelta(days=1)
    world.clock.pass_time(86_400)
    assert world.feedback.renew()
    assert world.feedback.anchor == ""
