"""Checkpoints, tiles and proofs over HTTP, checked as an outsider would: with the pure functions alone."""

from typing import Any

import httpx
from nats.aio.client import Client

from services.archive.domain.merkle import leaf_hash, root, verify_consistency, verify_inclusion
from services.archive.domain.notes import VerifierKey, open_note
from services.archive.domain.tiles import split
from shared.messaging.streams import FEEDBACK
from tests.integration.archive.support import (
    SIGNING,
    Setup,
    publish,
    rating,
    ratings,
    until_archived,
    until_signed,
)

Json = dict[str, Any]


async def read(api: httpx.AsyncClient, path: str, **parameters: object) -> Json:
    """An answer that must be 200."""
    answer = await api.get(f"/v1/log/{path}", params={name: str(value) for name, value in parameters.items()})
    assert answer.status_code == httpx.codes.OK, answer.text
    found: Json = answer.json()
    return found


def hashes(found: Json, name: str = "path") -> list[bytes]:
    return [bytes.fromhex(each) for each in found[name]]


async def test_whoever_has_the_key_can_check_every_answer(client: Client, setup: Setup) -> None:
    setup.options |= SIGNING
    async with setup.running() as api:
        await publish(client, ratings(0, 330))
        await until_archived(api, {FEEDBACK: 330})
        first = await until_signed(api, 330)
        await publish(client, ratings(330, 260))
        await until_archived(api, {FEEDBACK: 590})
        last = await until_signed(api, first["size"] + 260)
        keys = (await api.get("/v1/log/keys")).text.splitlines()
        newest = open_note((await api.get("/v1/log/checkpoint")).text, map(VerifierKey.parse, keys))
        assert newest.checkpoint.size >= last["size"]
        size, signed = newest.checkpoint.size, newest.checkpoint.root

        leaves: list[bytes] = []
        for index in range(size // 256):
            tile = await api.get(f"/v1/log/tile/0/{index}")
            assert "immutable" in tile.headers["cache-control"]
            assert len(tile.content) == 8192
            leaves += split(tile.content)
        rest = await api.get(f"/v1/log/tile/0/{size // 256}.p/{size % 256}")
        leaves += split(rest.content)
        assert root(leaves) == signed
        upper = split((await api.get(f"/v1/log/tile/1/0.p/{size // 256}")).content)
        assert upper == [root(leaves[at : at + 256]) for at in range(0, size // 256 * 256, 256)]
        assert (await api.get("/v1/log/tile/0/0.p/9")).content == b"".join(leaves[:9])

        for index in (0, 255, 256, size - 1):
            proof = await read(api, f"entries/{index}/inclusion")
            hashed = leaf_hash(proof["leaf"].encode())
            assert hashed == leaves[index]
            assert verify_inclusion(hashed, index, size, hashes(proof), signed)
            assert proof["checkpoint"] == str(newest.note)
        older = await read(api, "inclusion", event_id=rating(7).id, size=first["size"])
        hashed = leaf_hash(older["leaf"].encode())
        assert verify_inclusion(
            hashed, older["index"], older["size"], hashes(older), bytes.fromhex(first["root"])
        )
        assert older["checkpoint"] == first["note"]

        grown = await read(api, "consistency", first=first["size"])
        assert (grown["second"], grown["second_root"]) == (size, signed.hex())
        assert verify_consistency(first["size"], size, bytes.fromhex(first["root"]), signed, hashes(grown))


UNSIGNED = (
    ("checkpoint", 404, "a log that was signed"),
    ("checkpoint?size=7", 404, "/v1/log/checkpoints"),
    ("tile/0/0", 404, "a log that was signed"),
    ("tile/9/0", 422, "level"),
    ("tile/0/0.p/256", 422, "width"),
    ("inclusion", 422, "event_id"),
    ("inclusion?index=1&event_id=x", 422, "index"),
    ("entries/-1/inclusion", 422, "index"),
    ("entries/0/inclusion", 404, "a log that was signed"),
    ("inclusion?event_id=nobody", 404, "the id of an archived event"),
    ("consistency", 422, "first"),
)


async def test_what_is_asked_wrongly_or_too_early_is_said_with_the_remedy(setup: Setup) -> None:
    async with setup.running() as api:
        for path, status, words in UNSIGNED:
            answer = await api.get(f"/v1/log/{path}")
            assert answer.status_code == status, path
            assert words in answer.text, path
            assert answer.headers["content-type"] == "application/problem+json"


async def test_what_does_not_exist_yet_is_said_with_what_does(client: Client, setup: Setup) -> None:
    setup.options |= SIGNING
    async with setup.running() as api:
        await publish(client, ratings(0, 100))
        await until_archived(api, {FEEDBACK: 100})
        size = (await until_signed(api, 100))["size"]
        wrong = {
            f"tile/0/0.p/{size % 256 + 1}": f"{size} hashes of tile 0/0",
            "tile/0/0": "no full tile of level 0",
            "tile/1/0": "no full tile of level 1",
            f"checkpoint?size={size + 1}": f"{size}, the next smaller",
            f"entries/{size}/inclusion": f"covers {size}",
            f"entries/1/inclusion?size={size + 1}": f"at most {size}",
            f"consistency?first=1&second={size + 1}": f"at most {size}",
        }
        for path, words in wrong.items():
            answer = await api.get(f"/v1/log/{path}")
            assert answer.status_code == httpx.codes.NOT_FOUND, path
            assert words in answer.text, path
        for path in (f"entries/{size - 1}/inclusion?size=1", "consistency?first=9&second=8"):
            assert (await api.get(f"/v1/log/{path}")).status_code == httpx.codes.UNPROCESSABLE_ENTITY
