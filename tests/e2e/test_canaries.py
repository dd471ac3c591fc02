"""Fifty people's numbers and names go in everywhere that anything can go in; none of them is found outside.

What may be found, by design: sealed under keys of the vault; in the answer to the two people of an unmasking
(not asked for here); and in the reject file of an import, which holds the user's own rows (docs/privacy.md).
That the search reaches each place is shown by a mark that is no person's and has to be found there.
"""

import asyncio
import base64
import binascii
import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from deploy.local.broker import connection_as
from deploy.local.layout import SERVICES
from services.archive.adapters.schema import CHECKPOINTS, COSIGNATURES, DATABASE, ENTRIES, TILES
from shared.kernel.grades import Channel, Level
from shared.kernel.identity_numbers import check_digit
from shared.messaging.streams import STREAMS, VAULT
from tests.support.load import registry
from tests.support.platform import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ARCHIVED_S = 30.0
MARK = "mark-of-nobody-7f3a"
"""A correlation id: it travels into logs, streams, the archive and answers, as the canaries must not."""


def _bank_card(number: int) -> str:
    body = f"62220212345{number:07d}"
    for digit in "0123456789":
        card = body + digit
        total = sum(
            (2 * int(each) - 9 * (int(each) > 4)) if place % 2 else int(each)
            for place, each in enumerate(reversed(card))
        )
        if total % 10 == 0:
            return card
    raise AssertionError(body)


def _identity(number: int) -> str:
    seventeen = f"36010219{70 + number:02d}0{1 + number % 9}1{number % 10}{number:03d}"[:17]
    return seventeen + check_digit(seventeen)


PHONES = [f"1391704{number:04d}" for number in range(2001, 2013)]
IDENTITIES = [_identity(number) for number in range(10)]
CARDS = [_bank_card(number) for number in range(4_711_001, 4_711_011)]
PLATES = [f"赣K8{number}7Z" for number in range(30, 38)]
NAMES = [
    f"{family}{given}" for family, given in zip("欧皇诸令尉澹濮淳单于", "桢翀昶赟璟珺祯旻昱玥", strict=True)
]
CANARIES = [*PHONES, *IDENTITIES, *CARDS, *PLATES, *NAMES]


def test_there_are_fifty_different_ones() -> None:
    assert len(set(CANARIES)) == len(CANARIES) == 50


def spellings(canary: str) -> set[bytes]:
    """How a canary could be written: as it is, escaped in JSON, or in an address."""
    return {
        canary.encode(),
        canary.encode("unicode_escape"),
        quote(canary).encode(),
        quote(canary).lower().encode(),
    }


FILES = "broker's files"
SOURCE_OF = {"assessor": "social", "undercover": "spot_check"}
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}")
NEEDLES = {canary: spellings(canary) for canary in CANARIES}


def _decoded(piece: bytes) -> Iterator[bytes]:
    """What stands in base64 in `piece`: an exported log keeps each event so."""
    for match in _BASE64.finditer(piece):
        with suppress(binascii.Error):
            yield base64.b64decode(match[0] + b"=" * (-len(match[0]) % 4))


@dataclass
class Haystack:
    """Everything that came out of the platform, by place."""

    places: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, place: str, *found: bytes | str) -> None:
        kept = self.places.setdefault(place, [])
        for each in found:
            piece = each.encode() if isinstance(each, str) else each
            kept += [piece, *(() if place == FILES else _decoded(piece))]

    def leaks(self) -> list[tuple[str, str]]:
        """Place and canary of everything that should not be there."""
        return [
            (place, canary)
            for place, joined in ((place, b"\0".join(pieces)) for place, pieces in self.places.items())
            for canary in CANARIES
            if any(needle in joined for needle in NEEDLES[canary])
        ]

    def holds(self, place: str, mark: str) -> bool:
        return any(mark.encode() in piece for piece in self.places[place])


class Sender:
    """Sends canaries to services and keeps what they answer."""

    def __init__(self, platform: Platform, haystack: Haystack) -> None:
        self._platform, self._haystack = platform, haystack
        self._http = httpx.Client(trust_env=False, timeout=30, auth=platform.proofs)

    def close(self) -> None:
        self._http.close()

    def __call__(
        self,
        method: str,
        service: str,
        path: str,
        headers: dict[str, str] | None = None,
        **more: Any,  # noqa: ANN401 - as httpx takes it
    ) -> httpx.Response:
        given = {"X-Correlation-Id": MARK, **(headers or {})}
        encoded = [(name.encode(), value.encode()) for name, value in given.items()]
        answer = self._http.request(method, self._platform.url(service, path), headers=encoded, **more)
        self._haystack.add(
            f"answers of {service}", answer.content, *(f"{n}: {v}" for n, v in answer.headers.items())
        )
        return answer


def persons() -> Iterator[tuple[str, str, str, str, str]]:
    """Phone, identity number, card, plate and name, round and round."""
    return zip(cycle(PHONES), cycle(IDENTITIES), cycle(CARDS), cycle(PLATES), cycle(NAMES), strict=False)


def rating(unit: str, channel: str, ref: str, person: tuple[str, str, str, str, str]) -> dict[str, Any]:
    phone, identity, card, plate, name = person
    return {
        "unit_id": unit,
        "grade": 1,
        "channel": channel,
        "source": SOURCE_OF.get(channel, "public"),
        "client_ref": f"{ref}-{phone}",
        "transaction_id": f"{identity}-{ref}",
        "device_id": f"{name}的手机 {phone}",
        "text": f"我是{name}，电话{phone}，身份证{identity}，卡{card}，车{plate}，窗口没人",
        "contact": {"name": name, "phone": phone, "id_number": identity, "account": plate},
    }


def send_good_ones(send: Sender, unit: str) -> list[dict[str, Any]]:
    """Every channel, one by one and in batches; the answers."""
    people, answers = persons(), []
    for channel in (each for each in Channel if each is not Channel.IMPORT):
        answer = send("POST", "intake", "/v1/feedback", json=rating(unit, channel.value, "one", next(people)))
        if channel is Channel.ASSESSOR:
            assert answer.status_code == 422, "nobody is enrolled"
            continue
        assert answer.status_code == 202, answer.text
        answers.append(answer.json())
    lines = [
        rating(unit, "paper", f"line-{number}", person)
        for number, person in zip(range(50), people, strict=False)
    ]
    batch = "\n".join(json.dumps(line, ensure_ascii=number % 2 == 0) for number, line in enumerate(lines))
    kind = {"Content-Type": "application/x-ndjson"}
    answer = send("POST", "intake", "/v1/feedback/batch", kind, content=batch.encode())
    assert answer.json()["accepted"] == 50
    return answers


def send_bad_ones(send: Sender, unit: str) -> None:
    """Malformed, misplaced, too long, of wrong types; in headers, queries and paths of every service."""
    for number, (canary, person) in enumerate(zip(CANARIES, persons(), strict=False)):
        good = rating(unit, "web", "bad", person)
        wrong: list[object] = [
            {**good, canary: 1},
            {**good, "contact": {**good["contact"], canary: canary}},
            {**good, "unit_id": canary},
            {**good, "channel": canary},
            {**good, "source": canary},
            {**good, "occurred_at": canary},
            {**good, "grade": canary},
            {**good, "dimensions": {canary: canary}},
            {**good, "text": [canary]},
            {**good, "text": canary * 1500},
            {**good, "contact": {"name": canary * 300}},
            [canary],
            canary,
        ]
        for body in wrong[number % 3 :: 3]:
            assert send("POST", "intake", "/v1/feedback", json=body).status_code in {400, 422}
        broken_off = json.dumps(good, ensure_ascii=False)[:-9].encode()
        send("POST", "intake", "/v1/feedback", {"Content-Type": "application/json"}, content=broken_off)
        send("POST", "intake", "/v1/feedback", {"Content-Type": canary}, content=b"{}")
    for canary in CANARIES[::7]:
        send_elsewhere(send, unit, canary)


def send_elsewhere(send: Sender, unit: str, canary: str) -> None:
    kind = {"Content-Type": "application/x-ndjson"}
    lines = (
        f'{{"text":"{canary}"}}\n{canary}\n{{"unit_id":"{unit}","grade":"{canary}","client_ref":"{canary}"}}'
    )
    send("POST", "intake", "/v1/feedback/batch", kind, content=lines.encode())
    good = {"unit_id": unit, "grade": 3, "channel": "qr", "client_ref": f"header-{canary}"}
    other = good | {"client_ref": f"header of a batch-{canary}"}
    for name in (
        "User-Agent",
        "X-Forwarded-For",
        "Referer",
        "Cookie",
        "X-Synthetic",
        "X-Import-Id",
        "Idempotency-Key",
    ):
        send("POST", "intake", "/v1/feedback", {name: canary}, json=good)
        send(
            "POST", "intake", "/v1/feedback/batch", kind | {name: canary}, content=json.dumps(other).encode()
        )
    for name in ("X-Correlation-Id", "traceparent", "Accept", "Host"):
        send("GET", "intake", "/v1/units", {name: canary})
    send("POST", "intake", f"/v1/feedback?phone={quote(canary)}&{quote(canary)}=1", json=good)
    for service, paths in {
        "intake": (
            "/v1/units/{}",
            "/v1/receipts/{}",
            "/v1/feedback/{}/state",
            "/v1/units?cursor={}",
            "/v1/units?{}=1",
        ),
        "scoring": ("/v1/units/{}/score", "/v1/rankings/{}", "/v1/rankings?level={}"),
        "notify": ("/v1/alerts/{}", "/v1/alerts?unit_id={}"),
        "archive": (
            "/v1/events/{}",
            "/v1/trace/{}",
            "/v1/events?actor={}",
            "/v1/events?unit_id={}",
            "/v1/events?{}=1",
        ),
    }.items():
        for path in paths:
            send("GET", service, path.format(quote(canary)))
    for path in ("/v1/receipts/{}/withdrawal", "/v1/receipts/{}/erasure", "/v1/feedback/{}/unmaskings"):
        send("POST", "intake", path.format(quote(canary)), json={"reason": canary, "decided_by": canary})
    send("POST", "notify", "/v1/alerts/none/ack", json={"by": canary, "note": canary})
    send("GET", "intake", "/v1/vault", {"X-Pingyi-Actor": canary, "X-Pingyi-Scope": canary})


def import_files(platform: Platform, haystack: Haystack, folder: Path, unit: str) -> None:
    """A file with good rows and wrong ones; what the command prints is searched, the reject file is not."""
    rows = ["单位编号,评价等级,评价日期,意见建议,姓名,联系电话,身份证号"]
    for number, (phone, identity, card, plate, name) in zip(range(50), persons(), strict=False):
        grade, day = ("5", "2026-11-20") if number % 3 else (name, phone)
        rows.append(f"{unit},{grade},{day},{name}{phone}{card}{plate},{name},{phone},{identity}")
    path = folder / "评价.csv"
    path.write_text("\n".join(rows), encoding="utf-8-sig")
    for command in (("import", str(path), "--channel", "paper"), ("import", str(path), "--json")):
        done = platform.pingyi(*command)
        haystack.add("command line", done.stdout, done.stderr)
    wrong: tuple[tuple[str, ...], ...] = (
        ("submit", unit, "9", "--phone", PHONES[0], "--text", NAMES[0]),
        ("submit", NAMES[0], "1", "--phone", PHONES[0]),
        ("erase", NAMES[1]),
        ("unmask", "state", PHONES[1], "--as", "officer", "--scope", "province"),
    )
    for arguments in wrong:
        done = platform.pingyi(*arguments)
        assert done.returncode != 0
        haystack.add("command line", done.stderr.replace(repr(arguments[1]), ""))
    for left in folder.rglob("*"):
        if left.is_file() and left != path and ".rejects" not in left.name and "rejects." not in left.name:
            haystack.add("import's state", left.read_bytes())


def kill_while_sending(platform: Platform, send: Sender, unit: str) -> None:
    """SIGKILL intake while canaries are on their way."""
    stop = threading.Event()

    def go_on() -> None:
        for number, person in enumerate(persons()):
            if stop.is_set():
                return
            with suppress(httpx.TransportError):
                send("POST", "intake", "/v1/feedback", json=rating(unit, "app", f"kill-{number}", person))

    thread = threading.Thread(target=go_on)
    thread.start()
    victims = {name: platform.kill(name) for name in ("intake",)}
    stop.set()
    thread.join()
    for name, pid in victims.items():
        platform.await_restart(name, pid)


async def read_streams(platform: Platform, haystack: Haystack) -> None:
    """Every message of every stream, by a user that may read them all, the vault's included."""
    async with connection_as(platform.layout, "provisioner") as client:
        for stream in STREAMS:
            haystack.add(f"stream {stream.name}", *[piece async for piece in _messages(client, stream.name)])


async def _messages(client: Client, stream: str) -> Any:  # noqa: ANN401 - an async iterator of bytes
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        with suppress(Exception):  # what was deleted
            message = await jetstream.get_msg(stream, sequence)
            yield (message.subject or "").encode()
            yield message.data or b""
            yield repr(message.headers).encode()


def read_documents(platform: Platform, haystack: Haystack) -> None:
    with MongoClient[dict[str, Any]](platform.layout.mongodb_url_of("archive")) as client:
        database = client[DATABASE]
        for name in (ENTRIES, TILES, CHECKPOINTS, COSIGNATURES):
            haystack.add("archive", *(repr(document).encode() for document in database[name].find()))


def read_the_rest(platform: Platform, haystack: Haystack, folder: Path) -> None:
    """Metrics, exports, alerts, what the command line prints, and every file that is no database's."""
    for service in SERVICES:
        for path in ("/metrics", "/readyz", "/openapi.json"):
            haystack.add("metrics", httpx.get(platform.url(service, path), trust_env=False).content)
    for form in ("json", "csv", "ndjson"):
        answer = httpx.get(
            platform.url("archive", f"/v1/events?format={form}"),
            trust_env=False,
            timeout=60,
            auth=platform.proofs,
        )
        assert answer.is_success, answer.text
        haystack.add("exports", answer.content)
    done = platform.pingyi("audit", "export", str(folder / "log"))
    assert done.returncode == 0, done.stderr
    haystack.add("command line", done.stdout, done.stderr, platform.pingyi("audit", "export").stdout)
    haystack.add("alerts", *(json.dumps(each, ensure_ascii=False) for each in platform.webhooks.inbox.alerts))
    haystack.add("exports", *files_in(folder / "log"))
    haystack.add("logs", *files_in(platform.layout.data / "logs"))
    haystack.add("scratch", *(each for name in SERVICES for each in files_in(platform.layout.data / name)))
    haystack.add(FILES, *files_in(platform.layout.nats_data))


def files_in(folder: Path) -> Iterator[bytes]:
    """The bytes of every file below `folder`; the broker may remove one meanwhile."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                yield path.read_bytes()


def test_no_canary_is_found_anywhere(
    own_platform: Platform, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    platform, haystack = own_platform, Haystack()
    send = Sender(platform, haystack)
    request.addfinalizer(send.close)
    unit = registry().by_level(Level.WINDOW, "marriage")[0].unit_id
    answers = send_good_ones(send, unit)
    send_bad_ones(send, unit)
    import_files(platform, haystack, tmp_path, unit)
    kill_while_sending(platform, send, unit)
    erased = send("POST", "intake", f"/v1/receipts/{answers[0]['receipt_code']}/erasure").json()
    assert erased["erased"]
    last = send("POST", "intake", "/v1/feedback", json=rating(unit, "qr", "last", next(persons()))).json()
    until(
        lambda: (
            httpx.get(
                platform.url("archive", f"/v1/events/{last['event_id']}"),
                trust_env=False,
                auth=platform.proofs,
            ).is_success
        ),
        timeout_s=ARCHIVED_S,
        what="the last rating is archived",
    )
    trace = send("GET", "archive", f"/v1/trace/{last['receipt_code']}")
    haystack.add("traces", trace.content)
    asyncio.run(read_streams(platform, haystack))
    read_documents(platform, haystack)
    read_the_rest(platform, haystack, tmp_path)

    assert haystack.leaks() == []
    for place in (
        "answers of intake",
        "stream FEEDBACK",
        "archive",
        "logs",
        "exports",
        "broker's files",
        "traces",
    ):
        assert haystack.holds(place, MARK), f"the search does not reach {place}"
    assert haystack.holds(f"stream {VAULT}", "kek-")
    assert haystack.places["alerts"]
    assert haystack.holds("metrics", "pingyi_intake_accepted_ratings_total")
    assert platform.pingyi("audit", "verify").returncode == 0, "the proofs hold without the erased text"

    haystack.add("logs", f"a planted leak of {NAMES[0]}")
    assert haystack.leaks() == [("logs", NAMES[0])], "the search finds what is there"
