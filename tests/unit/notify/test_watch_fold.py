"""The fold that counts: from the bytes of events to what stands out."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.notify.adapters.watch_fold import WatchFold
from services.notify.application.judging import Glance
from services.notify.application.watching import watch_alerts
from services.notify.domain.watch import Watch
from shared.messaging.stored import StoredMessage
from shared.testing.builders import CITY, COUNTY, envelope_of, feedback_submitted
from tests.unit.notify.people import UNITS
from tests.unit.notify.support import NOW, PACK, SetClock

SUBJECT = f"feedback.v1.submitted.{CITY}.{COUNTY}"
CONDUCT = {"conduct": 1, "service": 4}


def feedback_body(grade: int, *, synthetic: bool = False, **fields: Any) -> bytes:  # noqa: ANN401 - of the event
    return envelope_of(feedback_submitted(grade=grade, **fields), time=NOW, synthetic=synthetic).to_json()


class Counting:
    """A fold with a month of quiet history."""

    def __init__(self) -> None:
        self.watch = Watch(PACK.alerts.surge)
        self.fold = WatchFold(self.watch, UNITS)
        self.sequence = 0
        for day in range(30, 1, -1):
            self.rated(NOW - timedelta(days=day))

    def rated(self, at: datetime, grade: int = 4, *, synthetic: bool = False, **fields: Any) -> None:  # noqa: ANN401 - of the event
        self.sequence += 1
        event = envelope_of(feedback_submitted(grade=grade, **fields), time=at, synthetic=synthetic)
        body = event.to_json()
        self.fold.fold(StoredMessage(SUBJECT, body, "FEEDBACK", self.sequence, self.sequence, 1, 0, 0, ""))

    def found(self) -> list[dict[str, str]]:
        alerts = watch_alerts(self.watch, PACK, UNITS, SetClock(NOW))
        return [dict(each.figures) for each in alerts if each.rule == "surge"]


def test_an_issue_of_people_who_are_content_on_the_whole_makes_a_surge() -> None:
    counting = Counting()
    for minute in range(8):
        counting.rated(NOW - timedelta(minutes=minute), dimensions=CONDUCT)
    (found,) = counting.found()
    assert (found["issue"], found["count"]) == ("conduct", "8")
    assert counting.found() == [], "nothing was touched since"


def test_good_ratings_drills_and_other_sources_make_none() -> None:
    counting = Counting()
    for minute in range(20):
        at = NOW - timedelta(minutes=minute)
        counting.rated(at, 5, dimensions={"conduct": 5})
        counting.rated(at, 1, synthetic=True, dimensions=CONDUCT)
        counting.rated(at, 1, source="self", dimensions=CONDUCT)
    assert counting.found() == []


def test_bad_reviews_count_for_their_kind_and_for_each_of_their_issues() -> None:
    counting = Counting()
    for minute in range(8):
        counting.rated(NOW - timedelta(minutes=minute), 1, dimensions={"conduct": 2, "efficiency": 1})
    found = counting.found()
    assert sorted(each.get("issue", each.get("kind", "")) for each in found) == sorted(
        ["conduct", "efficiency", "marriage"]
    )


def test_what_is_good_waits_for_a_ranking_like_all_others() -> None:
    counting = Counting()
    for _ in range(25):
        counting.rated(NOW - timedelta(minutes=11))
    stale = counting.watch.stale(PACK.alerts.ranking_stale, NOW, 29)
    assert stale is not None
    assert (stale.waiting, stale.last_sequence) == (25, 54)


@pytest.mark.parametrize(
    ("body", "glance"),
    [
        (feedback_body(5), Glance.QUIET),
        (feedback_body(5, source="self"), Glance.QUIET),
        (feedback_body(1), Glance.CONCERN),
        (feedback_body(1, source="self"), Glance.CONCERN),
        (feedback_body(5, synthetic=True), Glance.QUIET),
        (feedback_body(5)[:-40], Glance.CONCERN),
        (feedback_body(5).replace(b'"grade":5', b'"grade":9'), Glance.CONCERN),
        (feedback_body(5).replace(b'"grade":5', b'"grade":"5"'), Glance.CONCERN),
        (b'{"specversion": "1.0", "data": ', Glance.CONCERN),
        (b"{}", Glance.CONCERN),
        (b"\xff", Glance.CONCERN),
    ],
    ids=[
        "good", "own good", "bad", "own bad", "drill", "cut", "no grade of ours", "no number", "half",
        "empty", "no text",
    ],
)  # fmt: skip
def test_a_glance_passes_good_ratings_by_and_nothing_that_it_can_not_judge(
    body: bytes, glance: Glance
) -> None:
    fold = WatchFold(Watch(PACK.alerts.surge), UNITS, lambda grade, _: grade > 2)
    message = StoredMessage(SUBJECT, body, "FEEDBACK", 1, 1, 1, 0, 0, "")
    assert (fold.fold(message), fold.glance(message)) == (glance, glance)


@pytest.mark.parametrize("body", [b"{}", feedback_body(1)], ids=["empty", "as a rating"])
def test_what_is_no_rating_is_never_judged(body: bytes) -> None:
    fold = WatchFold(Watch(PACK.alerts.surge), UNITS, lambda grade, _: grade > 2)
    message = StoredMessage(f"feedback.v1.corrected.{CITY}.{COUNTY}", body, "FEEDBACK", 1, 1, 1, 0, 0, "")
    assert (fold.fold(message), fold.glance(message)) == (Glance.OTHER, Glance.OTHER)


def test_a_message_that_is_none_is_left_out() -> None:
    counting = Counting()
    counting.fold.fold(StoredMessage(SUBJECT, b"{}", "FEEDBACK", 99, 99, 1, 0, 0, ""))
    assert counting.found() == []
