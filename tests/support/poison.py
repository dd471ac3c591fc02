"""Messages that no reader can read, each in another way, and how they come into a stream."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from shared.messaging.connection import BrokerSettings, connect
from tests.support.platform import Platform

_DEEP: Final = 5_000
POISON: Final[dict[str, bytes]] = {
    "empty": b"",
    "cut off": b'{"specversion": "1.0", "data": ',
    "no object": b"[1]",
    "null": b"null",
    "nested arrays": b'{"type":"a","x":%b}' % (b"[" * _DEEP + b"]" * _DEEP),
    "nested objects": b'{"data":%b,"type":"a"}' % (b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
    "no UTF-8": b'{"type":"\xff","id":"\xff","data":{"grade":1,"unit_id":"\xff"}}',
    "half a surrogate": b'{"type":"\\ud800","data":{"grade":1,"unit_id":"\\ud800"}}',
    "infinite": b'{"type":"a","data":{"grade":1e400}}',
    "long number": b'{"type":"a","data":{"grade":%b}}' % (b"9" * 5_000),
    "no data": b'{"type":"cn.pingyi.feedback.submitted.v1","data":null}',
    "other types": b'{"type":7,"id":[],"time":{},"data":{"grade":"1","target":3},"synthetic":"no"}',
}

Publish = Callable[[str, bytes], Coroutine[Any, Any, int]]


@asynccontextmanager
async def publishing_as(platform: Platform, service: str) -> AsyncIterator[Publish]:
    """What publishes a body on a subject with the credential of ``service``, and gives its sequence."""
    layout = platform.layout
    settings = BrokerSettings(nats_url=layout.nats_url, nats_nkey_seed_file=layout.nkey_seed(service))
    client = await connect(settings, service)
    jetstream = client.jetstream(timeout=10)

    async def publish(subject: str, body: bytes) -> int:
        return (await jetstream.publish(subject, body)).seq

    try:
        yield publish
    finally:
        await client.close()
