"""The provisioner on a real nats-server."""

from dataclasses import replace

from nats.aio.client import Client
from nats.js.api import DiscardPolicy

from shared.messaging.provisioner import consumer_config, provision
from shared.messaging.streams import CONSUMERS, FEEDBACK, STREAMS


async def test_provisioning_twice_changes_nothing(client: Client) -> None:
    again = await provision(client)
    assert again.created == again.updated == ()
    assert len(again.unchanged) == len(STREAMS) + len(CONSUMERS)


async def test_provisioning_mends_a_stream_whose_limits_somebody_changed(client: Client) -> None:
    jetstream = client.jetstream()
    config = (await jetstream.stream_info(FEEDBACK)).config
    await jetstream.update_stream(config.evolve(max_bytes=1024, discard=DiscardPolicy.OLD))
    outcome = await provision(client)
    assert outcome.updated == (FEEDBACK,)
    mended = (await jetstream.stream_info(FEEDBACK)).config
    assert mended.discard == DiscardPolicy.NEW
    assert mended.max_bytes is not None
    assert mended.max_bytes > 1024


async def test_a_durable_whose_filters_are_gone_goes_on_behind_what_it_has_acknowledged(
    client: Client,
) -> None:
    jetstream = client.jetstream()
    spec = next(each for each in CONSUMERS if each.durable == "rectify-feedback")
    assert not spec.filters
    filtered = replace(spec, filters=("feedback.v1.submitted.>", "feedback.v1.corrected.>"))
    await jetstream.delete_consumer(FEEDBACK, spec.durable)
    await jetstream.add_consumer(FEEDBACK, consumer_config(filtered, 1))
    for fact in ("submitted", "quarantined", "submitted"):
        await jetstream.publish(f"feedback.v1.{fact}.3601.360102", b"{}")
    reader = await jetstream.pull_subscribe_bind(spec.durable, FEEDBACK)
    (first,) = await reader.fetch(1)
    await first.ack_sync()
    outcome = await provision(client)
    assert outcome.updated == (spec.durable,)
    left = [message.metadata.sequence.stream for message in await reader.fetch(2, timeout=5)]
    assert left == [2, 3]


def test_the_shares_of_the_storage_budget_add_up_to_one_hundred() -> None:
    assert sum(spec.share for spec in STREAMS) == 100
