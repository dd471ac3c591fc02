"""The provisioner on a real nats-server."""

from nats.aio.client import Client
from nats.js.api import DiscardPolicy

from shared.messaging.provisioner import provision
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


def test_the_shares_of_the_storage_budget_add_up_to_one_hundred() -> None:
    assert sum(spec.share for spec in STREAMS) == 100
