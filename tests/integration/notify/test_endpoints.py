"""Endpoints of a channel side by side, on the real broker: none holds up another, and 410 ends one."""

import asyncio
import base64
import ssl
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, Session
from aiosmtpd.smtp import Envelope as SmtpEnvelope
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nats.aio.client import Client

from deploy.local.embedded import free_ports
from services.notify.adapters.mail import MailChannel, MailFailedError, MailServer
from services.notify.adapters.outbound import Resolver, tls_context
from services.notify.adapters.webhook import public_key, sign
from services.notify.application.translation import raised_event
from services.notify.domain.alert import alert_id
from services.notify.domain.reach import Reach
from services.notify.entrypoints import deliveries
from shared.events import AlertDelivered, AlertDeliveryFailed, AlertRaised, MessageDeadLettered, Provenance
from shared.events.endpoints import EndpointDisabled, EndpointEnabled
from tests.integration.notify.support import (
    Setup,
    bad_review,
    eventually,
    publish,
    publish_many,
    running,
    stored,
)
from tests.integration.notify.vendors import Vendor, certificate, receiving, server_context, wecom
from tests.support.access import as_staff
from tests.unit.notify.support import alert

pytestmark = pytest.mark.integration
HANGS_S = 20.0
SEED = bytes(range(32, 64))
NEW_KEY = bytes(range(64, 96))


def configured(setup: Setup, tmp_path: Path, text: str) -> Path:
    """Write the file of channels, and the secrets that it may name."""
    (setup.secrets_dir / "partner.key").write_text(f"{bytes(range(32)).hex()}\n{NEW_KEY.hex()}\n")
    (setup.secrets_dir / "partner.seed").write_text(SEED.hex())
    path = tmp_path / "notify.toml"
    path.write_text(text, encoding="utf-8")
    return path


def webhook(name: str, vendor: Vendor, *more: str) -> str:
    lines = ("[[endpoint]]", 'kind = "webhook"', f'name = "{name}"', f'url = "{vendor.url("/a")}"')
    return "\n".join((*lines, 'key_file = "partner.key"', *more, ""))


async def test_an_endpoint_that_hangs_holds_up_no_other_one_of_its_channel(
    client: Client, setup: Setup, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        hanging = await stack.enter_async_context(receiving(Vendor(fault="hang")))
        failing = await stack.enter_async_context(receiving(Vendor(status=500)))
        good = await stack.enter_async_context(receiving(Vendor()))
        path = configured(
            setup,
            tmp_path,
            webhook("hanging", hanging, "concurrency = 4")
            + webhook("failing", failing)
            + webhook("good", good),
        )
        async with running(setup.app(channels_file=path, delivery_timeout_s=HANGS_S)) as http:
            await publish(client, *(bad_review(number) for number in range(120)))
            # Sooner than one attempt at the one that hangs ends.
            await eventually(lambda: len(good.posted) >= 120, "the good one has all", limit_s=HANGS_S - 2)
            shown = {each["address"]: each for each in (await http.get("/v1/channels")).json()["items"]}
            assert shown["webhook.hanging"]["waiting"] == 120
            assert shown["webhook.good"]["waiting"] <= 120
            assert len(hanging.posted) == 4, "no more than its own turns are held"
            assert shown["webhook.failing"]["down"]
    assert set(Counter(posted.headers["webhook-id"] for posted in good.posted).values()) == {1}


async def test_a_receiver_that_answers_410_is_disabled_until_a_person_enables_it(
    client: Client, setup: Setup, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        gone = await stack.enter_async_context(receiving(Vendor(status=410)))
        good = await stack.enter_async_context(receiving(Vendor()))
        path = configured(setup, tmp_path, webhook("gone", gone) + webhook("good", good))
        app = setup.app(channels_file=path)
        async with running(app) as http:
            await publish(client, bad_review(1))

            async def told() -> bool:
                return any(b"channel_disabled" in posted.body for posted in good.posted)

            await eventually(told, "an alert tells the other endpoint")
            await publish(client, bad_review(2))
            await eventually(lambda: len(good.posted) >= 3, "the other one goes on")

            async def buried() -> bool:
                return bool(await stored(client, MessageDeadLettered))

            await eventually(buried, "what it refused is a dead letter")
        (failed,) = await stored(client, AlertDeliveryFailed)
        assert failed.data.channel == "webhook.gone"
        assert len(await stored(client, EndpointDisabled)) == 1
        second = [each for each in await stored(client, AlertRaised) if each.data.rule == "bad_review"][1]
        assert second.data.channels == ("webhook.good",)

        async with running(setup.app(channels_file=path)) as http:  # a restart forgets nothing
            (shown, _) = (await http.get("/v1/channels")).json()["items"]
            assert "410" in shown["disabled"]["reason"]
            assert (await http.post("/v1/channels/webhook.nobody/enable", json={})).status_code == 404
            gone.status = 200
            answer = await http.post("/v1/channels/webhook.gone/enable", json={})
            assert answer.json()["disabled"] is None
            answer = await http.post("/v1/channels/webhook.gone/enable", json={})
            assert answer.status_code == 200, "again changes nothing"
            viewer = as_staff("city.admin", "360100")
            assert (await http.get("/v1/channels", headers=viewer)).status_code == 403
            await publish(client, bad_review(3))
            await eventually(lambda: len(gone.posted) == 2, "it gets alerts again")
    (enabled,) = await stored(client, EndpointEnabled)
    assert enabled.data.endpoint == "webhook.gone"


async def test_another_address_makes_a_disabled_endpoint_live_again(
    client: Client, setup: Setup, tmp_path: Path
) -> None:
    async with receiving(Vendor(status=410)) as gone:
        async with running(setup.app(channels_file=configured(setup, tmp_path, webhook("p", gone)))):
            await publish(client, bad_review(1))

            async def disabled() -> bool:
                return bool(await stored(client, EndpointDisabled))

            await eventually(disabled, "it is disabled")
        gone.status = 200
        text = webhook("p", gone).replace("/a", "/b")
        async with running(setup.app(channels_file=configured(setup, tmp_path, text))):
            await publish(client, bad_review(2))
            await eventually(lambda: gone.posted[-1].path == "/b", "the new address gets it")


async def test_while_keys_change_each_of_them_signs(client: Client, setup: Setup, tmp_path: Path) -> None:
    async with receiving(Vendor()) as vendor:
        path = configured(setup, tmp_path, webhook("p", vendor, 'ed25519_file = "partner.seed"'))
        async with running(setup.app(channels_file=path)):
            await publish(client, bad_review(1))
            await eventually(lambda: bool(vendor.posted), "it arrives")
    (posted,) = vendor.posted
    identity, stamp = posted.headers["webhook-id"], int(posted.headers["webhook-timestamp"])
    new, old, asymmetric = posted.headers["webhook-signature"].split(" ")
    assert new == sign(NEW_KEY, identity, stamp, posted.body)
    assert old == sign(bytes(range(32)), identity, stamp, posted.body)
    scheme, _, signature = asymmetric.partition(",")
    assert scheme == "v1a"
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key(SEED).removeprefix("whpk_")))
    verifier.verify(base64.b64decode(signature), f"{identity}.{stamp}.".encode() + posted.body)


async def test_a_burst_at_a_robot_keeps_to_its_rate_and_loses_nothing(
    client: Client, setup: Setup, tmp_path: Path
) -> None:
    async with receiving(Vendor(reply=wecom)) as vendor:
        (setup.secrets_dir / "wecom.url").write_text(vendor.url("/send?key=right"))
        path = configured(
            setup,
            tmp_path,
            '[[endpoint]]\nkind = "wecom"\nname = "duty"\nurl_file = "wecom.url"\nper_minute = 600\n',
        )
        async with running(setup.app(channels_file=path)):
            await publish(client, *(bad_review(number) for number in range(40)))

            async def recorded() -> bool:
                return len(await stored(client, AlertDelivered)) == 40

            await eventually(recorded, "all arrive, one after the other", limit_s=60)
    times = sorted(posted.at for posted in vendor.posted)
    assert len(times) == 40
    assert times[-1] - times[0] > 3.0, "35 of them at ten in a second"
    assert all(sum(start <= at < start + 1 for at in times) <= 5 + 10 + 2 for start in times)


async def test_an_alert_for_an_endpoint_that_was_removed_is_a_dead_letter_and_not_lost(
    client: Client, setup: Setup, tmp_path: Path
) -> None:
    async with receiving(Vendor()) as vendor:
        text = webhook("old", vendor) + webhook("new", vendor)
        vendor.fault = "hang"
        async with running(setup.app(channels_file=configured(setup, tmp_path, text))):
            await publish(client, bad_review(1))
            await eventually(lambda: len(vendor.posted) == 2, "both are tried")
        vendor.fault = "none"
        only = configured(setup, tmp_path, webhook("new", vendor))
        async with running(setup.app(channels_file=only)):

            async def buried() -> bool:
                return bool(await stored(client, MessageDeadLettered))

            await eventually(buried, "the other address is accounted for")
    (letter,) = await stored(client, MessageDeadLettered)
    assert "webhook.old" in letter.data.reason
    (delivered,) = await stored(client, AlertDelivered)
    assert delivered.data.alert_id == alert_id("bad_review", bad_review(1).id)


async def test_a_burst_to_many_recipients_loses_nothing_and_keeps_little_in_memory(
    client: Client, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of `tests/bench/notify.py`, which sends 50,000 alerts to 1,000 recipients."""
    monkeypatch.setattr(deliveries, "UNDER_WAY", 50)
    async with receiving(Vendor()) as vendor:
        text = "".join(webhook(f"r{number}", vendor, "all_alerts = false") for number in range(60))
        now = datetime.now(UTC)
        events = [
            raised_event(
                alert(number), (f"webhook.r{number % 60}",), now, rules="r", provenance=Provenance("burst")
            )
            for number in range(600)
        ]
        await publish_many(client, events)
        seen = 0
        async with running(setup.app(channels_file=configured(setup, tmp_path, text))):

            async def arrived() -> bool:
                nonlocal seen
                info = await client.jetstream(timeout=5).consumer_info("ALERTS", "notify-deliver-webhook")
                seen = max(seen, len([task for task in asyncio.all_tasks() if "_advance" in repr(task)]))
                return len(vendor.posted) >= 600 and info.num_ack_pending == 0

            await eventually(arrived, "all of them arrive", limit_s=90)
    assert Counter(posted.headers["webhook-id"] for posted in vendor.posted) == {
        event.id: 1 for event in events
    }
    assert 0 < seen <= 50


class Post:
    """A mail server with TLS and a log-in that puts off whom it is told to."""

    def __init__(self) -> None:
        self.later: set[str] = set()
        self.to: list[list[str]] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's hook
        self, _server: SMTP, _session: Session, envelope: SmtpEnvelope, address: str, _options: list[str]
    ) -> str:
        if address in self.later:
            return "451 later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: SmtpEnvelope) -> str:  # noqa: N802 - aiosmtpd's hook
        if session.ssl is None:
            return "530 TLS first"
        self.to.append(list(envelope.rcpt_tos))
        return "250 OK"


async def test_mail_goes_over_verified_tls_with_a_log_in_and_only_the_put_off_get_it_again(
    tmp_path: Path,
) -> None:
    certified, post, port = certificate(tmp_path, "localhost"), Post(), free_ports(1)[0]

    def log_in(
        _server: object, _session: object, _envelope: object, mechanism: str, data: object
    ) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"pingyi", b"secret")
        return AuthResult(success=right and mechanism in {"LOGIN", "PLAIN"}, handled=False)

    controller = Controller(
        post,
        hostname="127.0.0.1",
        port=port,
        tls_context=server_context(certified),
        require_starttls=True,
        auth_required=True,
        authenticator=log_in,
    )
    controller.start()
    try:

        def channel(tls: ssl.SSLContext, password: str) -> MailChannel:
            server = MailServer(
                "localhost",
                port,
                False,
                True,
                "p@example.org",
                tls,
                "pingyi",
                password,
            )
            return MailChannel(
                "email.x", server, ["a@b.c", "d@e.f"], resolver=Resolver(Reach()), timeout_s=30.0
            )

        trusted = channel(tls_context(certified), "secret")
        post.later = {"d@e.f"}
        with pytest.raises(MailFailedError, match="451 for 1 of 2"):
            await trusted.deliver(alert())
        post.later = set()
        assert (await trusted.deliver(alert())).startswith("2/2 recipients")
        assert post.to == [["a@b.c"], ["d@e.f"]]
        with pytest.raises(MailFailedError):
            await channel(tls_context(), "secret").deliver(alert())
        with pytest.raises(MailFailedError, match="535"):
            await channel(tls_context(certified), "wrong").deliver(alert())
        assert len(post.to) == 2, "nothing is said to a server that can't be verified"
    finally:
        await asyncio.to_thread(controller.stop, no_assert=True)
