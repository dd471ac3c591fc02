"""Flags on a real broker: stuffing is told, a restart tells nothing again, and an exclusion takes it down."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client

from services.scoring.adapters.nats_flag_store import STREAM, SUBJECT, NatsFlagStore
from services.scoring.application.ports import FlagStore
from services.scoring.domain.flags import Flags
from shared.events import Envelope, FeedbackSubmitted, UnitFlagged, parse_envelope, spec_for_data
from shared.kernel.clock import SystemClock
from shared.kernel.grades import Level
from shared.kernel.units import load_units
from shared.messaging.group_commit import Outgoing
from shared.messaging.streams import INTEGRITY
from shared.testing.builders import envelope_of, feedback_excluded
from tests.integration.scoring.conftest import ROOT, ScoringProcess, publish
from tests.integration.scoring.support import eventually, read_stream
from tests.unit.scoring.feedback import event_id, feedback
from tests.unit.scoring.flag_store_suite import FlagStoreSuite, MakeFlagStore

pytestmark = pytest.mark.integration
UNIT = load_units().by_level(Level.WINDOW)[0]


class TestNatsFlagStore(FlagStoreSuite):
    @pytest.fixture
    def make_store(self, client: Client) -> MakeFlagStore:
        def make() -> FlagStore:
            return NatsFlagStore(client)

        return make


async def test_content_that_nobody_can_read_is_written_anew(client: Client) -> None:
    await client.jetstream().publish(SUBJECT, b"not ours")
    store = NatsFlagStore(client)
    assert await store.load() == Flags({})
    await store.commit(Flags({}, serial=3))
    assert (await NatsFlagStore(client).load()).serial == 3
    assert (await client.jetstream().stream_info(STREAM)).state.messages == 1


@pytest.fixture(autouse=True)
def quick_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The committed rule pack, but the watch looks all the time and lets no flag stand for its own sake."""
    text = (ROOT / "shared/rules/packs/2026-01.toml").read_text(encoding="utf-8")
    for line in ("evaluate_every_s = 60.0", "hold_s = 600.0"):
        assert line in text
        text = text.replace(line, f"{line.split(' ')[0]} = 0.3")
    (tmp_path / "quick.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("RULES_PATH", str(tmp_path / "quick.toml"))


def stuffing(count: int) -> list[Outgoing]:
    """``count`` ratings of one window within a few minutes."""
    now = SystemClock().now()
    return [
        feedback(UNIT, number=number, occurred_at=now - timedelta(seconds=2 * number))
        for number in range(count)
    ]


def exclusions(events: Sequence[Outgoing]) -> list[Outgoing]:
    """Take all of them out again."""
    made = []
    for number, event in enumerate(events):
        sent = parse_envelope(Envelope[FeedbackSubmitted], event.payload)
        data = feedback_excluded(
            target_id=event_id(number),
            target_revision=1,
            target={
                "unit_id": UNIT.unit_id,
                "occurred_at": sent.time,
                "received_at": sent.receivedat,
                "grade": 5,
                "source": "public",
                "channel": "terminal",
                "verification": "transaction",
            },
            city=UNIT.city,
            county=UNIT.county,
        )
        envelope = envelope_of(data)
        subject = spec_for_data(type(data)).subject_for(UNIT.city, UNIT.county)
        made.append(Outgoing(subject, envelope.id, envelope.to_json()))
    return made


async def told(client: Client) -> list[Envelope[UnitFlagged]]:
    return [parse_envelope(Envelope[UnitFlagged], each.data) for each in await read_stream(client, INTEGRITY)]


async def flags(scoring: ScoringProcess, signal: str, count: int) -> None:
    """Wait until so many units are flagged by a signal."""
    await scoring.answer("/v1/integrity", lambda found: found["flags"] == count, signal=signal)


async def test_stuffing_is_told_once_over_restarts_and_taken_down_when_it_is_excluded(
    client: Client, scoring: ScoringProcess
) -> None:
    scoring.start()
    events = stuffing(200)
    await publish(client, events)
    await flags(scoring, "seconds_between", 1)
    before = {each.id: each for each in await told(client)}
    (raised,) = [each for each in before.values() if each.data.signal == "seconds_between"]
    assert (raised.data.unit_id, raised.data.raised) == (UNIT.unit_id, True)
    assert raised.data.statistic >= raised.data.threshold
    for _ in range(2):
        scoring.kill()
        scoring.start()
        await flags(scoring, "seconds_between", 1)
        await asyncio.sleep(1)
    assert {each.id for each in await told(client)} == set(before)
    await publish(client, exclusions(events))
    await flags(scoring, "seconds_between", 0)
    down = [each for each in await told(client) if each.data.signal == "seconds_between"][1:]
    assert [(each.data.unit_id, each.data.raised) for each in down] == [(UNIT.unit_id, False)]
    assert down[0].id != raised.id
    metrics = (await scoring.get("/metrics")).text
    assert 'pingyi_scoring_flagged_units{signal="seconds_between"} 0.0' in metrics


async def test_a_service_killed_at_any_moment_tells_each_flag_once(
    client: Client, scoring: ScoringProcess
) -> None:
    await publish(client, stuffing(200))
    for pause_s in (0.0, 0.1, 0.3, 0.5, 0.8):
        scoring.start()
        await scoring.answer("/v1/books")
        await asyncio.sleep(pause_s)
        scoring.kill()
    scoring.start()
    await flags(scoring, "seconds_between", 1)

    async def ids() -> list[str]:
        return [each.id for each in await told(client) if each.data.signal == "seconds_between"]

    async def said() -> bool:
        return bool(await ids())

    # What was flagged by a life that was killed over it is shown before whoever leads next tells it.
    await eventually(said)
    assert len(await ids()) == 1
