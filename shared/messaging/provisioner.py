"""Makes the broker's streams, buckets and durable consumers what :mod:`shared.messaging.streams` says.

Idempotent; runs before the services (``python -m deploy.provision``). The only code that declares.
"""

from dataclasses import dataclass

import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError

from shared.kernel.errors import PermanentError, describe
from shared.messaging.positions import read_position
from shared.messaging.streams import (
    CONSUMERS,
    MAX_MESSAGE_BYTES,
    RETIRED,
    STREAMS,
    ConsumerSpec,
    RetiredConsumer,
    StreamSpec,
)

log = structlog.get_logger(__name__)
UNLIMITED_REDELIVERY = -1
LOCAL_STORAGE_BYTES = 32 * 1024**3
"""Upper bound of all streams together on one machine; a limit, nothing is reserved on disk."""


class ProvisioningFailedError(PermanentError):
    """The broker refused a stream or consumer as declared."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What :func:`provision` did, by name."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...] = ()


def stream_config(spec: StreamSpec, replicas: int, storage_bytes: int) -> StreamConfig:
    """The broker's configuration for ``spec``; ``replicas`` is 1 on one machine, 3 in production."""
    return StreamConfig(
        name=spec.name,
        description=spec.description,
        subjects=list(spec.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        discard=DiscardPolicy.NEW if spec.truth or spec.deletable else DiscardPolicy.OLD,
        max_age=float(spec.max_age_s),
        max_bytes=storage_bytes * spec.share // 100,
        max_msg_size=MAX_MESSAGE_BYTES,
        max_msgs_per_subject=1 if spec.last_per_subject else -1,
        duplicate_window=float(spec.duplicate_window_s),
        deny_delete=spec.truth,
        deny_purge=spec.truth,
        allow_rollup_hdrs=spec.deletable or spec.schedules,
        allow_direct=True,
        allow_atomic=True,
        allow_msg_ttl=spec.message_ttl,
        allow_msg_schedules=spec.schedules,
    )


def consumer_config(spec: ConsumerSpec, replicas: int) -> ConsumerConfig:
    """The broker's configuration for a durable pull consumer.

    ``max_deliver`` is unlimited: giving up is the failure policy's decision, which writes a dead letter;
    the broker's own limit would drop the message without a trace.
    """
    return ConsumerConfig(
        durable_name=spec.durable,
        description=spec.description,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ALL if spec.ack_all else AckPolicy.EXPLICIT,
        ack_wait=float(spec.ack_wait_s),
        max_deliver=UNLIMITED_REDELIVERY,
        max_ack_pending=spec.max_ack_pending,
        filter_subject=spec.filters[0] if len(spec.filters) == 1 else None,
        filter_subjects=list(spec.filters) if len(spec.filters) > 1 else None,
        num_replicas=replicas,
    )


async def provision(
    client: Client,
    *,
    replicas: int = 1,
    storage_bytes: int = LOCAL_STORAGE_BYTES,
    streams: tuple[StreamSpec, ...] = STREAMS,
    consumers: tuple[ConsumerSpec, ...] = CONSUMERS,
    retired: tuple[RetiredConsumer, ...] = RETIRED,
) -> Provisioned:
    """Create what is missing, update what differs, remove what a position has replaced, leave the rest.

    ``storage_bytes`` is split among the streams by their shares. A durable of an earlier version stays until
    its service has written the position that it goes on at: the next provisioning after that removes it.

    Raises:
        ProvisioningFailedError: the broker refuses; the message names the stream or consumer and its answer.
    """
    jetstream = client.jetstream(timeout=10)
    outcome: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": [], "removed": []}
    for stream in streams:
        outcome[await _ensure_stream(jetstream, stream, replicas, storage_bytes)].append(stream.name)
    for consumer in consumers:
        outcome[await _ensure_consumer(jetstream, consumer, replicas)].append(consumer.durable)
    for each in retired:
        if await _remove_replaced(client, jetstream, each):
            outcome["removed"].append(each.durable)
    log.info("provisioned", **{key: len(names) for key, names in outcome.items()})
    return Provisioned(**{key: tuple(names) for key, names in outcome.items()})


async def _remove_replaced(client: Client, jetstream: JetStreamContext, retired: RetiredConsumer) -> bool:
    try:
        await jetstream.consumer_info(retired.stream, retired.durable)
        position, _ = await read_position(client, retired.position)
        return position is not None and await jetstream.delete_consumer(retired.stream, retired.durable)
    except NotFoundError:
        return False
    except (BadRequestError, APIError) as error:
        raise ProvisioningFailedError(
            describe(f"consumer {retired.durable}", "to be removed", f"remove it by hand: {error}")
        ) from error


async def _ensure_stream(
    jetstream: JetStreamContext, spec: StreamSpec, replicas: int, storage_bytes: int
) -> str:
    wanted = stream_config(spec, replicas, storage_bytes)
    try:
        try:
            before = (await jetstream.stream_info(spec.name)).config
        except NotFoundError:
            await jetstream.add_stream(wanted)
            return "created"
        after = (await jetstream.update_stream(wanted)).config
    except (BadRequestError, APIError) as error:
        raise ProvisioningFailedError(
            describe(
                f"stream {spec.name}", "to be accepted as declared", f"compare `nats stream info`: {error}"
            )
        ) from error
    return "unchanged" if before == after else "updated"


async def _ensure_consumer(jetstream: JetStreamContext, spec: ConsumerSpec, replicas: int) -> str:
    wanted = consumer_config(spec, replicas)
    try:
        try:
            before = (await jetstream.consumer_info(spec.stream, spec.durable)).config
        except NotFoundError:
            await jetstream.add_consumer(spec.stream, wanted)
            return "created"
        after = (await jetstream.add_consumer(spec.stream, wanted)).config
    except (BadRequestError, APIError) as error:
        raise ProvisioningFailedError(
            describe(
                f"consumer {spec.durable}",
                "to be accepted as declared",
                f"compare `nats consumer info`: {error}",
            )
        ) from error
    return "unchanged" if before == after else "updated"
