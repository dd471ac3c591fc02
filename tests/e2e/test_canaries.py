"""Fifty people's numbers and names go in everywhere that anything can go in; none of them is found outside.

What may be found, by design: sealed under keys of the vault or of a case; in the answer to the two people of
an unmasking and to whoever handles a case (names only); and in the reject file of an import, which holds the
user's own rows (docs/privacy.md). That the search reaches each place is shown by a mark that is no person's
and has to be found there.

A new route is asked with canaries in every place by itself (`canary_sweep`); if it writes, the test fails
until it has a story in which it takes them, or a reason why there is none (`canary_stories`).
"""

import asyncio
import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from nats.aio.client import Client
from pymongo import MongoClient

from deploy.local.broker import connection_as
from deploy.local.layout import SERVICES
from services.archive.adapters.schema import CHECKPOINTS, COSIGNATURES, DATABASE, ENTRIES, TILES
from shared.auth.principals import Tier
from shared.messaging.streams import STREAMS, VAULT
from tests.support.canaries import CANARIES, FILES, MARK, NAMES, PHONES, Haystack, Sender, people
from tests.support.canary_stories import CITY, COUNTY, NOTHING_PERSONAL, STORIES, UNIT, Stage
from tests.support.canary_sweep import Sweep
from tests.support.platform import Platform, running_platform, until
from tests.unit.deploy.importing.files import write_workbook
from tests.unit.shared.auth.test_every_endpoint import LETTERS, OPEN_TO_ALL, TABLE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ARCHIVED_S = 90.0
WRITING = {route for route in TABLE if route.split(" ")[1] != "GET"}
REGION = {Tier.PROVINCE: "360000", Tier.CITY: CITY, Tier.COUNTY: COUNTY, Tier.UNIT: UNIT}
OFFICERS_PHONE, OFFICERS_MAIL = PHONES[-1], f"{PHONES[-2]}@example.org"


def test_there_are_fifty_different_ones() -> None:
    assert len(set(CANARIES)) == len(CANARIES) == 50


def proof_of(platform: Platform, route: str) -> dict[str, str]:
    """Headers by which a route lets somebody in."""
    row, wallet = TABLE.get(route, OPEN_TO_ALL), platform.proofs
    if row is OPEN_TO_ALL:
        return {}
    for tier, letters in zip(Tier, row.may.split(" "), strict=True):
        if letters != "-":
            token = wallet.token("somebody", f"{tier}.{LETTERS[letters[0]]}", REGION[tier])
            return {"Authorization": f"Bearer {token}"}
    return {"Authorization": f"Bearer {wallet.key('qr')}"}


def example_of(route: str) -> Mapping[str, Any]:
    """A well-formed request of a route."""
    return TABLE[route].request if route in TABLE else {}


def import_files(platform: Platform, haystack: Haystack, folder: Path) -> None:
    """Files with good rows and wrong ones; what the command prints is searched, the reject files are not."""
    header = ["单位编号", "评价等级", "评价日期", "意见建议", "姓名", "联系电话", "身份证号"]
    rows = []
    for number, who in zip(range(50), people(), strict=False):
        grade, day = ("5", "2026-11-20") if number % 3 else (who.name, who.phone)
        rows.append([UNIT, grade, day, who.words, who.name, who.phone, who.identity])
    table, workbook, lines = (folder / f"评价.{form}" for form in ("csv", "xlsx", "ndjson"))
    text = "\n".join(",".join(row).replace("，", "；") for row in [header, *rows])
    table.write_text(text, encoding="utf-8-sig")
    write_workbook(workbook, [header, *rows])
    lines.write_text(
        "\n".join(json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in rows),
        encoding="utf-8",
    )
    for path in (table, workbook, lines):
        for command in (("import", str(path), "--channel", "paper"), ("import", str(path), "--json")):
            done = platform.pingyi(*command)
            haystack.add("command line", done.stdout, done.stderr)
            assert "Traceback" not in done.stderr
    wrong: tuple[tuple[str, ...], ...] = (
        ("submit", UNIT, "9", "--phone", PHONES[0], "--text", NAMES[0]),
        ("submit", NAMES[0], "1", "--phone", PHONES[0]),
        ("erase", NAMES[1]),
        ("unmask", "state", PHONES[1], "--as", "officer", "--scope", "province"),
    )
    for arguments in wrong:
        done = platform.pingyi(*arguments)
        assert done.returncode != 0
        haystack.add("command line", done.stderr.replace(repr(arguments[1]), ""))
    for left in folder.rglob("*"):
        theirs = left in {table, workbook, lines} or left.name == "notify.toml"
        if left.is_file() and not theirs and "rejects." not in left.name and "var" not in left.parts:
            haystack.add("import's state", left.read_bytes())


def wait_in_the_spool(platform: Platform, haystack: Haystack, stage: Stage) -> None:
    """The broker stands still: ratings wait in the spool's files, then in the stream."""
    broker = psutil.Process(platform.pid("nats"))
    broker.send_signal(signal.SIGSTOP)
    try:
        for number in range(10):
            stage.rated(f"spooled-{number}", "terminal")
        haystack.add("spool", *files_in(platform.layout.service_data("intake")))
        done = platform.pingyi("spool", "show")
        haystack.add("command line", done.stdout, done.stderr)
    finally:
        broker.send_signal(signal.SIGCONT)
    until(lambda: platform.is_ready("intake"), timeout_s=ARCHIVED_S, what="the spool is drained")


def kill_while_sending(platform: Platform, stage: Stage) -> None:
    """SIGKILL intake while canaries are on their way."""
    stop = threading.Event()

    def go_on() -> None:
        for number in count():
            if stop.is_set():
                return
            with suppress(httpx.TransportError):
                stage.send("POST", "intake", "/v1/feedback", json=stage.rating("app", f"kill-{number}"))

    thread = threading.Thread(target=go_on)
    thread.start()
    pid = platform.kill("intake")
    stop.set()
    thread.join()
    platform.await_restart("intake", pid)


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


@pytest.fixture
def with_officers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """A platform whose officers get SMS and mail: their addresses are in the file of channels alone."""
    channels = tmp_path / "notify.toml"
    channels.write_text(
        f"""
[outbound]
allow_networks = ["127.0.0.1/32"]

[sms.main]
url = "http://127.0.0.1:9/sms"

[smtp.main]
host = "127.0.0.1"
port = 9
tls = "none"
sender = "pingyi@example.org"

[[endpoint]]
kind = "sms"
name = "duty"
to = ["{OFFICERS_PHONE}"]
retry_delays_s = [0.2]

[[endpoint]]
kind = "email"
name = "duty"
to = ["{OFFICERS_MAIL}"]
retry_delays_s = [0.2]
""",
        encoding="utf-8",
    )
    monkeypatch.setenv("CHANNELS_FILE", str(channels))
    with running_platform(tmp_path / "var") as platform:
        yield platform


def test_no_canary_is_found_anywhere(
    with_officers: Platform, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    platform, haystack = with_officers, Haystack()
    send = Sender(platform, haystack, TABLE)
    request.addfinalizer(send.close)
    stage = Stage(send)
    for story in STORIES:
        story(stage)
    Sweep(send, example_of, lambda route: proof_of(platform, route), stage.ids).run()
    import_files(platform, haystack, tmp_path)
    wait_in_the_spool(platform, haystack, stage)
    kill_while_sending(platform, stage)
    last = stage.rated("last", "qr")
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
        "spool",
    ):
        assert haystack.holds(place, MARK), f"the search does not reach {place}"
    assert haystack.holds(f"stream {VAULT}", "kek-")
    assert haystack.places["alerts"]
    assert haystack.holds("metrics", "pingyi_intake_accepted_ratings_total")
    assert platform.pingyi("audit", "verify").returncode == 0, "the proofs hold without the erased text"
    assert [route for route in sorted(WRITING) if not send.refused(route)] == [], "these refused nothing"
    untold = {route for route in WRITING if not send.took(route)}
    assert untold == NOTHING_PERSONAL.keys() & untold, "tell them something in canary_stories"

    haystack.add("logs", f"a planted leak of {NAMES[0]}")
    ((place, found),) = haystack.leaks()
    assert (place, found.split(" ")[0]) == ("logs", NAMES[0]), "the search finds what is there"


def test_every_route_without_a_story_has_its_reason_and_exists() -> None:
    assert NOTHING_PERSONAL.keys() <= WRITING
