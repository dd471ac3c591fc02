"""Cases on a real broker: settled ones move the composite that is published, kills and all, to the byte."""

from datetime import timedelta

import pytest
from nats.aio.client import Client

from shared.kernel.grades import Level
from shared.messaging.group_commit import Outgoing
from shared.messaging.streams import CASES, FEEDBACK
from tests.integration.scoring.conftest import ScoringProcess, publish
from tests.integration.scoring.support import UNITS, assert_live_equals_recomputed, now
from tests.unit.scoring.case_events import case_event
from tests.unit.scoring.feedback import feedback

pytestmark = pytest.mark.integration
WINDOW = UNITS.by_level(Level.WINDOW)[0]


async def tell(client: Client, events: list[Outgoing]) -> int:
    """Publish case events like rectify does; the last sequence."""
    jetstream = client.jetstream()
    return max([(await jetstream.publish(event.subject, event.payload)).seq for event in events])


async def row_at(scoring: ScoringProcess, cases: int) -> dict[str, object]:
    """The window's row once the rankings take in so much of CASES."""
    ranking = await scoring.answer(
        "/v1/rankings",
        lambda answer: answer["positions"].get(CASES, 0) >= cases,
        level="window",
        kind=WINDOW.kind,
    )
    return next(row for row in ranking["items"] if row["unit_id"] == WINDOW.unit_id)


async def test_settled_cases_move_the_composite_and_live_equals_recomputed_after_kills_too(
    client: Client, scoring: ScoringProcess
) -> None:
    scoring.start()
    at = now() - timedelta(minutes=5)
    last = await publish(client, [feedback(WINDOW, number=n, occurred_at=at) for n in range(40)])
    assert (await scoring.reached(last))["positions"] == {FEEDBACK: last}
    before = await row_at(scoring, 0)
    assert before["composite"] == before["score"]
    closed = [case_event(WINDOW, number, at=at) for number in range(6)]
    row = await row_at(scoring, await tell(client, closed))
    assert (row["score"], row["rank"], row["cases"]) == (before["score"], before["rank"], 6)
    assert row["rectification"] == 88.6364
    score = float(str(row["score"]))
    assert row["composite"] == pytest.approx(0.7 * score + 0.3 * 88.6364, abs=1e-4)
    await assert_live_equals_recomputed(client)
    scoring.kill()
    # While it was away: one annulled, one reopened, and a rating.
    told = [
        case_event(WINDOW, 0, 3, "annulled", at=at),
        case_event(WINDOW, 1, 3, "in_progress", reopened=1, at=at),
    ]
    cases = await tell(client, told)
    last = await publish(client, [feedback(WINDOW, number=99, grade=1, occurred_at=at)])
    scoring.start()
    await scoring.reached(last)
    row = await row_at(scoring, cases)
    assert row.get("cases") is None, "four are too few to be shown"
    assert row["rectification"] == 82.1429
    await assert_live_equals_recomputed(client)
    assert scoring.terminate() == 0, "keeps a snapshot"
    cases = await tell(client, [case_event(WINDOW, 1, 4, reopened=1, at=at)])
    scoring.start()
    row = await row_at(scoring, cases)
    assert row["cases"] == 5
    await assert_live_equals_recomputed(client)
