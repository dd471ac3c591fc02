"""Stream and archive compared again and again on real servers, and an operator's decision about a stream."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
from nats.aio.client import Client

from deploy.local.commands.accepting import decision, describe_fork
from shared.events import Envelope, Provenance, StreamDiverged, StreamHistoryAccepted, spec_for_data
from shared.kernel.clock import SystemClock
from shared.kernel.ids import derived_id
from shared.messaging.provisioner import provision
from shared.messaging.publisher import JetStreamPublisher
from shared.messaging.streams import ALERTS, AUDIT, FEEDBACK, RANKING
from shared.testing.builders import alert_raised, envelope_of, unit_score_changed
from tests.integration.archive.support import (
    SUBJECTS,
    Setup,
    all_pages,
    outgoing,
    publish,
    ratings,
    until_archived,
    verified,
)

LIMIT_S = 60.0
FAST = {"reconcile_interval_s": 0.2}


async def publish_changes(client: Client, first: int, count: int) -> None:
    changes = [
        envelope_of(unit_score_changed(), event_id=derived_id("test-change", str(number)))
        for number in range(first, first + count)
    ]
    await publish(client, [outgoing(each, SUBJECTS[RANKING]) for each in changes], RANKING)


async def reports(client: Client) -> list[StreamDiverged]:
    """Every report in AUDIT, oldest first."""
    jetstream = client.jetstream()
    last = (await jetstream.stream_info(AUDIT)).state.last_seq
    found = [await jetstream.get_msg(AUDIT, sequence) for sequence in range(1, last + 1)]
    return [
        Envelope[StreamDiverged].model_validate_json(each.data or b"").data
        for each in found
        if (each.subject or "").startswith("audit.v1.stream-diverged.")
    ]


async def until_reported(client: Client, met: Callable[[list[StreamDiverged]], bool]) -> list[StreamDiverged]:
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = await reports(client)
            if met(found):
                return found
            await asyncio.sleep(0.1)


async def refused(api: httpx.AsyncClient, stream: str) -> dict[str, Any]:
    """The archive's description of the fork, as soon as it refuses ``stream``."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            answer = await api.get(f"/v1/streams/{stream}/fork")
            if answer.status_code == httpx.codes.OK:
                found: dict[str, Any] = answer.json()
                return found
            await asyncio.sleep(0.1)


async def until_went_back(client: Client, *, raised: bool) -> None:
    await until_reported(
        client,
        lambda found: (
            (RANKING, "went_back", raised) in [(each.stream, each.kind, each.raised) for each in found]
        ),
    )


def told(found: list[StreamDiverged]) -> list[tuple[str, str, bool, int, int]]:
    return [(each.stream, each.kind, each.raised, each.first, each.last) for each in found]


async def readiness(api: httpx.AsyncClient) -> dict[str, Any]:
    checks: dict[str, Any] = (await api.get("/readyz")).json()["checks"]
    return checks


async def test_what_a_stream_loses_is_reported_as_an_event_and_in_metrics(
    client: Client, setup: Setup
) -> None:
    setup.options |= FAST
    now = (
        SystemClock().now()
    )  # younger than the stream's limit, so that expiry does not explain their absence
    alerts = [envelope_of(alert_raised(), received_at=now) for _ in range(20)]
    async with setup.running() as api:
        await publish(client, ratings(0, 20))
        await publish_changes(client, 0, 20)
        await publish(client, [outgoing(each, SUBJECTS[ALERTS]) for each in alerts], ALERTS)
        await until_archived(api, {FEEDBACK: 20, RANKING: 20, ALERTS: 20})
        # The broker itself refuses to delete from FEEDBACK, which is a truth; derived streams allow it.
        await client.jetstream().delete_msg(RANKING, 7)
        await client.jetstream().purge_stream(ALERTS, seq=6)
        found = await until_reported(client, lambda found: len(found) >= 2)
        metrics = (await api.get("/metrics")).text
        checks = await readiness(api)
    assert sorted(told(found)) == [
        (ALERTS, "front_lost", True, 1, 5),
        (RANKING, "lost_in_stream", True, 7, 7),
    ]
    assert 'pingyi_archive_diverged_messages{kind="lost_in_stream",stream="RANKING"} 1.0' in metrics
    assert 'pingyi_archive_diverged_messages{kind="lost_in_stream",stream="FEEDBACK"} 0.0' in metrics
    assert "RANKING lost_in_stream 7 to 7" in checks["reconciliation"]["detail"]


async def test_a_stream_made_anew_is_refused_until_an_operator_accepts_it(
    client: Client, setup: Setup
) -> None:
    setup.options |= FAST
    jetstream = client.jetstream()
    async with setup.running() as api:
        await publish_changes(client, 0, 30)
        await until_archived(api, {RANKING: 30})
        assert (await api.get("/v1/streams/RANKING/fork")).status_code == httpx.codes.CONFLICT
        # As after a restored backup: the first ten are as before, then others come.
        await jetstream.delete_stream(RANKING)
        await provision(client)
        await publish_changes(client, 0, 10)
        await publish_changes(client, 100, 5)
        await until_reported(
            client,
            lambda found: (RANKING, "went_back", True) in [(e.stream, e.kind, e.raised) for e in found],
        )
        fork = await refused(api, RANKING)
        assert (await readiness(api))["history"]["status"] == "failed"
        assert (fork["fork"], fork["stream_last"], fork["archived_last"], fork["offset"]) == (10, 15, 30, 20)
        assert "Its messages 11 to 15 will be archived as 31 to 35, and so on." in describe_fork(fork)

        await accept(client, decision(fork, "platform-duty", "restored backup"))
        await until_archived(api, {RANKING: 35})
        await until_reported(
            client,
            lambda found: (RANKING, "went_back", False) in [(e.stream, e.kind, e.raised) for e in found],
        )
    async with setup.running() as api:  # the numbering outlives the process
        await publish_changes(client, 105, 5)
        await until_archived(api, {RANKING: 40})
        await until_reported(client, lambda found: found[-1].raised is False)
        outcome = await verified(api)
        items = await all_pages(api, stream=RANKING)
        decisions = await all_pages(api, type=spec_for_data(StreamHistoryAccepted).event_type)
    assert outcome["findings"] == []
    assert outcome["streams"]["RANKING"]["compared"] == 20
    assert [each["sequence"] for each in items] == list(range(1, 41))
    assert {each["kind"] for each in items} == {"event"}
    assert [each["event"]["data"]["decided_by"] for each in decisions] == ["platform-duty"]


async def test_a_decision_about_audit_itself_is_read_from_the_stream(client: Client, setup: Setup) -> None:
    setup.options |= FAST
    jetstream = client.jetstream()
    async with setup.running() as api:
        await accept(client, _decision_about(ALERTS, 0))  # any events, to have some in AUDIT
        await accept(client, _decision_about(ALERTS, 1))
        await until_archived(api, {AUDIT: 2})
        await jetstream.delete_stream(AUDIT)
        await provision(client)
        made = decision(await refused(api, AUDIT), "platform-duty", "the disk was replaced")
        await accept(client, made)
        await until_archived(api, {AUDIT: made.archived_last + 1})
        outcome = await verified(api)
    assert outcome["findings"] == []


def _decision_about(stream: str, last: int) -> StreamHistoryAccepted:
    """A decision that changes nothing: the stream is archived to its end."""
    return StreamHistoryAccepted(
        stream=stream,
        fork=last,
        archived_last=last,
        offset=0,
        stream_last=last,
        decided_by="test",
        reason="none",
    )


async def accept(client: Client, data: StreamHistoryAccepted) -> None:
    """Publish ``data`` as `pingyi audit accept` does."""
    now = SystemClock().now()
    event_id = derived_id("history-accepted", data.stream, str(data.archived_last), str(data.fork))
    envelope = spec_for_data(StreamHistoryAccepted).wrap(
        data,
        event_id=event_id,
        source="archive",
        subject=data.stream,
        time=now,
        received_at=now,
        provenance=Provenance(event_id),
    )
    await JetStreamPublisher(client).publish(envelope)
