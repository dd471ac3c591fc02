"""From an event on the bus to a receiver outside: real broker, real HTTP, real SMTP."""

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from nats.aio.client import Client

from deploy.local.embedded import free_ports
from deploy.local.secrets import broker_public_keys, ensure_secrets
from services.notify.domain.alert import alert_id
from shared.auth.nats_permissions import authorization_config
from shared.events import (
    AlertDelivered,
    AlertDeliveryFailed,
    AlertRaised,
    MessageDeadLettered,
)
from shared.messaging.connection import BrokerSettings, connect
from shared.messaging.provisioner import provision
from tests.integration.notify.support import (
    HMAC,
    UNIT,
    ZHANG,
    Mailbox,
    Setup,
    WebhookReceiver,
    bad_review,
    eventually,
    publish,
    running,
    score_changed,
    serving,
    settled_at,
    stored,
)
from tests.support.redelivery import redeliver_sooner
from tests.support.servers import StartNats

pytestmark = pytest.mark.integration


async def alert(http: httpx.AsyncClient, number: int) -> dict[str, object]:
    """What the API says about the alert of rating ``number``."""
    answer = await http.get(f"/v1/alerts/{alert_id('bad_review', bad_review(number).id)}")
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def got(receiver: WebhookReceiver, count: int) -> Callable[[], bool]:
    return lambda: len(receiver.received) >= count


async def test_a_bad_review_reaches_webhook_and_mailbox_with_the_same_id(
    client: Client, setup: Setup, receiver: WebhookReceiver, mailbox: Mailbox
) -> None:
    app = setup.app(webhook_url=receiver.url, smtp_url=mailbox.url, mail_to="duty@example.org")
    review = bad_review(1)
    expected = alert_id("bad_review", review.id)
    async with running(app) as http:
        await publish(client, bad_review(2, grade=4), review)
        await eventually(lambda: bool(receiver.received and mailbox.mails), "both receivers have the alert")

        (request,) = receiver.received
        assert request.valid
        assert request.id == expected
        payload = json.loads(request.body)
        assert payload["type"] == "cn.pingyi.alerts.raised.v1"
        assert payload["data"]["unit_id"] == UNIT
        assert payload["data"]["evidence"] == [review.id]
        assert payload["data"]["figures"] == {"grade": "1", "threshold": "1,2"}

        (mail,) = mailbox.mails
        assert mail["Message-ID"] == f"<{expected}@localhost>"
        assert "收到差评" in mail["Subject"]
        assert mail.get_content().startswith(payload["data"]["body"])

        async def both_recorded() -> bool:
            return len(await stored(client, AlertDelivered)) == 2

        await eventually(both_recorded, "both deliveries are recorded")
        shown = await alert(http, 1)
        assert shown["channels"] == ["webhook", "email"]
        assert {d["channel"]: d["outcome"] for d in shown["deliveries"]} == {  # type: ignore[attr-defined]  # JSON
            "webhook": "delivered",
            "email": "delivered",
        }
    (raised,) = await stored(client, AlertRaised)
    assert (raised.id, raised.causationid, raised.correlationid) == (expected, review.id, "request-1")


async def test_nothing_about_the_citizen_reaches_an_alert(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    async with running(setup.app(webhook_url=receiver.url)):
        review = bad_review(1)
        await publish(client, review)
        await eventually(got(receiver, 1), "the alert arrives")
    (raised,) = await stored(client, AlertRaised)
    assert review.data.citizen_hmac not in raised.to_json().decode()
    assert review.data.channel not in raised.data.model_dump_json(exclude={"channels"})


async def test_a_lost_rank_and_another_band_are_two_alerts_of_one_event(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    async with running(setup.app(webhook_url=receiver.url)):
        await publish(
            client,
            score_changed(band="below", previous_band="undecided"),
            score_changed(rank=5, previous_rank=1),
        )
        await eventually(got(receiver, 2), "both alerts arrive")
    alerts = [json.loads(request.body)["data"] for request in receiver.received]
    assert {(a["rule"], a["severity"], a["county"]) for a in alerts} == {
        ("rank_drop", "warning", "360102"),
        ("band_change", "warning", "360102"),
    }
    assert len(set(receiver.ids)) == 2


async def test_a_receiver_that_comes_back_gets_the_alert_under_the_same_id(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    receiver.first_statuses = (500, 500)
    await redeliver_sooner(client)
    # On a machine that is busy, an attempt that is given up too early would be one more.
    async with running(setup.app(webhook_url=receiver.url, delivery_timeout_s=20.0)) as http:
        await publish(client, bad_review(1))
        await eventually(got(receiver, 3), "two attempts fail, the third arrives", limit_s=60)

        async def recorded() -> bool:
            return bool((await alert(http, 1))["deliveries"])

        await eventually(recorded, "the delivery is recorded", limit_s=60)
        assert (await alert(http, 1))["deliveries"][0]["attempts"] == 3  # type: ignore[index]  # JSON
    assert len(set(receiver.ids)) == 1
    assert all(request.valid for request in receiver.received)
    assert len({request.body for request in receiver.received}) == 1


async def test_an_alert_waits_for_a_receiver_that_is_not_even_listening(client: Client, setup: Setup) -> None:
    away = WebhookReceiver()
    async with serving(away):
        port = int(away.url.rpartition(":")[2].partition("/")[0])
    async with running(setup.app(webhook_url=away.url)):
        await publish(client, bad_review(1))

        async def raised() -> bool:
            return bool(await stored(client, AlertRaised))

        await eventually(raised, "the alert is raised")
        async with serving(away, port):
            await eventually(got(away, 1), "the alert arrives")
            assert away.received[0].valid


async def test_a_busy_receiver_is_given_the_pause_that_it_asks_for(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    receiver.status, receiver.headers = 429, {"retry-after": "2"}
    async with running(setup.app(webhook_url=receiver.url)):
        await publish(client, bad_review(1))
        await eventually(got(receiver, 1), "the first attempt is made")
        receiver.status, receiver.headers = 204, {}
        await eventually(got(receiver, 2), "the second attempt is made")
    first, second = receiver.received
    assert second.at - first.at >= 1.9


async def test_a_receiver_that_is_gone_for_good_is_asked_once_and_reported(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    receiver.status = 410
    async with running(setup.app(webhook_url=receiver.url)):
        await publish(client, bad_review(1))

        async def reported() -> bool:
            return bool(await stored(client, MessageDeadLettered))

        await eventually(reported, "there is a dead letter")
    (failed,) = await stored(client, AlertDeliveryFailed)
    assert (failed.data.channel, failed.data.attempts) == ("webhook", 1)
    assert "410" in failed.data.reason
    (letter,) = await stored(client, MessageDeadLettered)
    assert (letter.data.consumer, letter.data.error) == ("notify-deliver-webhook", "WebhookGoneError")
    assert len(receiver.received) == 1


async def test_after_the_last_attempt_the_failure_is_recorded_and_dead_lettered(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    receiver.status = 302
    receiver.headers = {"location": receiver.url}
    async with running(setup.app(webhook_url=receiver.url, retry_delays_s=(0.05, 0.05))) as http:
        await publish(client, bad_review(1))

        async def reported() -> bool:
            return bool(await stored(client, MessageDeadLettered))

        await eventually(reported, "there is a dead letter")

        async def shown() -> bool:
            return bool((await alert(http, 1))["deliveries"])

        await eventually(shown, "the failure is shown")
        assert (await alert(http, 1))["deliveries"][0]["outcome"] == "failed"  # type: ignore[index]  # JSON
    (failed,) = await stored(client, AlertDeliveryFailed)
    assert failed.data.attempts == 3
    assert len(receiver.received) == 3, "a redirect is not followed"


async def test_a_mail_server_that_is_busy_gets_the_mail_later_and_a_refusal_is_final(
    client: Client, setup: Setup, mailbox: Mailbox
) -> None:
    mailbox.answer = "451 try later"
    async with running(setup.app(smtp_url=mailbox.url, mail_to="duty@example.org, head@example.org")):
        await publish(client, bad_review(1))

        async def raised() -> bool:
            return bool(await stored(client, AlertRaised))

        await eventually(raised, "the alert is raised")
        mailbox.answer = "250 OK"
        await eventually(lambda: len(mailbox.mails) == 1, "the mail arrives")
        mailbox.answer = "554 refused"
        await publish(client, bad_review(2))

        async def refused() -> bool:
            return bool(await stored(client, MessageDeadLettered))

        await eventually(refused, "the refusal is dead-lettered")
    (failed,) = await stored(client, AlertDeliveryFailed)
    assert (failed.data.channel, failed.data.attempts) == ("email", 1)
    assert "554" in failed.data.reason


@pytest.mark.parametrize("fault", ["hang", "500"])
async def test_a_dead_channel_does_not_delay_the_other(
    client: Client, setup: Setup, receiver: WebhookReceiver, mailbox: Mailbox, fault: str
) -> None:
    receiver.hang = fault == "hang"
    receiver.status = 500
    app = setup.app(webhook_url=receiver.url, smtp_url=mailbox.url, mail_to="duty@example.org")
    async with running(app):
        await publish(client, *(bad_review(number) for number in range(40)))
        await eventually(lambda: len(mailbox.mails) == 40, "all mails arrive", limit_s=30)
    ids = {mail["X-Pingyi-Alert-Id"] for mail in mailbox.mails}
    assert ids == {alert_id("bad_review", bad_review(number).id) for number in range(40)}


async def test_a_repeated_event_raises_no_second_alert(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    async with running(setup.app(webhook_url=receiver.url)):
        await publish(client, bad_review(1))
        await eventually(got(receiver, 1), "the alert arrives")
        await publish(client, bad_review(1), repeat=True)
        await publish(client, bad_review(2))
        await eventually(got(receiver, 2), "the next alert arrives")
    assert receiver.ids == [alert_id("bad_review", bad_review(number).id) for number in (1, 2)]
    assert len(await stored(client, AlertRaised)) == 2


async def test_an_alert_that_was_delivered_in_an_earlier_life_is_not_delivered_again(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    async with running(setup.app(webhook_url=receiver.url)):
        await publish(client, bad_review(1))
        await eventually(got(receiver, 1), "the alert arrives")

        async def recorded() -> bool:
            return bool(await stored(client, AlertDelivered))

        await eventually(recorded, "the delivery is recorded")
    (raised,) = await stored(client, AlertRaised)
    await publish(client, raised, repeat=True)
    async with running(setup.app(webhook_url=receiver.url)):
        await publish(client, bad_review(2))
        await eventually(got(receiver, 2), "the next alert arrives")
    assert receiver.ids == [alert_id("bad_review", bad_review(number).id) for number in (1, 2)]


async def test_a_poison_message_becomes_a_dead_letter_and_the_rest_goes_on(
    client: Client, setup: Setup, receiver: WebhookReceiver
) -> None:
    subject = "feedback.v1.submitted.3601.360102"
    async with running(setup.app(webhook_url=receiver.url)):
        await client.jetstream().publish(subject, b'{"id": "half')
        await client.jetstream().publish(subject, b'{"phone": "13800000000"}')
        satisfied = bad_review(3, grade=5).to_json().replace(HMAC.encode(), b"13800000000")
        await client.jetstream().publish(subject, satisfied)
        await publish(client, bad_review(1))
        await eventually(got(receiver, 1), "the good one is delivered")

        async def buried() -> bool:
            return len(await stored(client, MessageDeadLettered)) == 2

        await eventually(buried, "what can't be judged is a dead letter; a good grade is passed by")

        await eventually(settled_at(client, 4), "nothing is left unsettled")
    letters = await stored(client, MessageDeadLettered)
    assert {(letter.data.consumer, letter.data.attempts) for letter in letters} == {("notify-feedback", 1)}
    assert not any("13800000000" in letter.to_json().decode() for letter in letters)


async def test_only_channels_that_are_switched_on_are_addressed(client: Client, setup: Setup) -> None:
    async with running(setup.app(console_alerts=True)):
        await publish(client, bad_review(1))

        async def delivered() -> bool:
            return bool(await stored(client, AlertDelivered))

        await eventually(delivered, "the console has it")
    (raised,) = await stored(client, AlertRaised)
    assert raised.data.channels == ("console",)


async def test_a_mail_server_that_is_away_is_given_up_after_the_last_attempt(
    client: Client, setup: Setup
) -> None:
    nobody = f"smtp://127.0.0.1:{free_ports(1)[0]}"
    async with running(setup.app(smtp_url=nobody, mail_to="duty@example.org", retry_delays_s=(0.05, 0.05))):
        await publish(client, bad_review(1))

        async def buried() -> bool:
            return bool(await stored(client, MessageDeadLettered))

        await eventually(buried, "there is a dead letter")
    (failed,) = await stored(client, AlertDeliveryFailed)
    assert (failed.data.channel, failed.data.attempts) == ("email", 3)
    (letter,) = await stored(client, MessageDeadLettered)
    assert letter.data.error == "MailFailedError"


async def test_the_rights_of_its_broker_user_are_enough(
    start_nats: StartNats, setup: Setup, receiver: WebhookReceiver
) -> None:
    ensure_secrets(setup.secrets_dir)
    server = start_nats(authorization=authorization_config(broker_public_keys(setup.secrets_dir)))

    def seed(user: str) -> Path:
        return setup.secrets_dir / "nats" / f"{user}.seed"

    async with AsyncExitStack() as connections:
        users = {}
        for user in ("provisioner", "intake"):
            settings = BrokerSettings(nats_url=server.url, nats_nkey_seed_file=seed(user))
            users[user] = await connect(settings, user)
            connections.push_async_callback(users[user].close)
        await provision(users["provisioner"])
        app = Setup(server.url, setup.secrets_dir).app(
            webhook_url=receiver.url, nats_nkey_seed_file=seed("notify")
        )
        async with running(app) as http:
            await publish(users["intake"], bad_review(1))
            await eventually(got(receiver, 1), "the alert arrives")
            answer = await http.post(
                f"/v1/alerts/{receiver.ids[0]}/ack", json={"by": "zhang"}, extensions=ZHANG
            )
            assert answer.status_code == 200, answer.text

            async def recorded() -> bool:
                return bool((await alert(http, 1))["deliveries"])

            await eventually(recorded, "the delivery is recorded")
            await users["intake"].jetstream(timeout=5).publish("feedback.v1.submitted.3601.360102", b"poison")

            async def buried() -> bool:
                state = await users["provisioner"].jetstream(timeout=5).stream_info("DEADLETTER")
                return state.state.messages == 1

            await eventually(buried, "the poison is dead-lettered")
