"""Reading one stream of the log by its sequences, byte for byte, as a fold does that begins anew."""

import base64
import hashlib
import json

import httpx
import pytest
from msgspec.structs import replace
from nats.aio.client import Client

from shared.messaging.group_commit import Outgoing
from shared.messaging.streams import ALERTS, FEEDBACK, RANKING
from tests.integration.archive.support import (
    FEEDBACK_SUBJECT,
    Document,
    Setup,
    publish,
    publish_others,
    ratings,
    until_archived,
)

pytestmark = pytest.mark.integration
URL = f"/v1/streams/{FEEDBACK}/messages"
NO_EVENT = Outgoing(FEEDBACK_SUBJECT, "no-event", b"{broken")


async def lines(api: httpx.AsyncClient, **parameters: int) -> list[Document]:
    answer = await api.get(URL, params=parameters)
    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


async def test_a_stream_comes_back_byte_for_byte_in_the_order_of_its_sequences(
    client: Client, setup: Setup
) -> None:
    again = replace(ratings(0, 1)[0], message_id="again")
    sent = [*ratings(0, 40), NO_EVENT, again, *ratings(40, 8)]
    async with setup.running() as api:
        await publish(client, sent)
        await publish_others(client, 5)
        await until_archived(api, {FEEDBACK: 50, ALERTS: 5, RANKING: 5})
        found: list[Document] = []
        while part := await lines(api, after=found[-1]["sequence"] if found else 0, limit=7):
            assert len(part) <= 7
            found += part
        assert [each["sequence"] for each in found] == list(range(1, 51))
        for each, message in zip(found, sent, strict=True):
            assert each["subject"] == message.subject
            assert each["data_hash"] == hashlib.sha256(message.payload).hexdigest()
            if message is NO_EVENT:
                assert (each["kind"], each["data"]) == ("unparseable", None), "it may hold an identity"
            else:
                assert base64.b64decode(each["data"]) == message.payload
        assert found[41]["kind"] == "duplicate_of"
        assert found[42]["kind"] == "event"
        assert len(await lines(api)) == 50
        assert await lines(api, after=50) == []
        assert await lines(api, after=1 << 62) == []


@pytest.mark.parametrize(
    ("path", "status", "names"),
    [
        ("/v1/streams/VAULT/messages", 404, "FEEDBACK"),
        (f"{URL}?after=-1", 422, "after"),
        (f"{URL}?limit=1001", 422, "limit"),
        (f"{URL}?after={1 << 63}", 422, "after"),
    ],
)
async def test_a_wrong_question_is_told_what_there_is(
    setup: Setup, path: str, status: int, names: str
) -> None:
    async with setup.running() as api:
        answer = await api.get(path)
    assert answer.status_code == status
    assert names in answer.text
