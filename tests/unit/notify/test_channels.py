import base64
import json
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from services.notify.adapters import mail, webhook
from services.notify.adapters.console import ConsoleChannel
from services.notify.adapters.outbound import ascii_host, check_url
from services.notify.settings import Settings
from shared.kernel.errors import InvalidValueError
from tests.unit.notify.support import NOW, alert

TEXT = st.text(max_size=60)


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = webhook.sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_payload_is_the_same_at_every_attempt_and_names_the_alert() -> None:
    assert webhook.render(alert()) == webhook.render(alert())
    payload = json.loads(webhook.render(alert()))
    assert set(payload) == {"type", "timestamp", "data"}
    assert payload["data"]["alert_id"] == alert().alert_id


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("30", 30.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("-5", None),
        ("99999", 3600.0),
        ("9" * 5000, 3600.0),
        ("soon", None),
        ("", None),
        ("Fri, 20 Nov 2026 02:32:00 GMT", 120.0),
        ("Thu, 19 Nov 2026 02:32:00 GMT", 0.0),
        ("Fri, 20 Nov 2036 02:32:00 GMT", 3600.0),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(header: str | None, seconds: float | None) -> None:
    assert webhook.pause_asked(header, NOW) == seconds


@given(st.text())
def test_no_retry_after_header_can_break_the_delivery(header: str) -> None:
    pause = webhook.pause_asked(header, NOW)
    assert pause is None or 0 <= pause <= 3600


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31, "ab" * 33])
def test_a_key_of_another_form_is_refused_without_repeating_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "webhook.key").write_text(content)
    with pytest.raises(webhook.WebhookKeyError, match="openssl rand -hex 32") as caught:
        webhook.load_keys_of(tmp_path / "webhook.key")
    assert not content or content not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a",
        "https://example.org:8443/a?b=c",
        "http://127.0.0.1:9/a",
        "http://[::1]:9/",
        "http://localhost/",
        "https://BÜCHER.example/a",
        f"https://{'a' * 63}.example/",
    ],
)
def test_alerts_may_go_over_https_or_stay_on_this_machine(url: str) -> None:
    assert check_url(url, loopback=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a",
        "http://10.0.0.1/",
        "http://127.0.0.1.example.org/",
        "ftp://example.org/",
        "https:///a",
        "example.org",
        "",
        "https://user:pw@example.org/",
        "https://[::1",
        "file:///etc/passwd",
    ],
)
def test_any_other_address_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(InvalidValueError, match="WEBHOOK_URL"):
        check_url(url, loopback=True, field="WEBHOOK_URL")


@pytest.mark.parametrize("host", ["a" * 64 + ".cn", "ü" * 64 + ".cn", "a..cn", "例" * 60 + ".cn"])
def test_a_name_that_dns_cannot_hold_is_refused_when_it_is_set_and_not_when_an_alert_is_sent(
    host: str,
) -> None:
    with pytest.raises(InvalidValueError):
        check_url(f"https://{host}/a")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://BÜCHER.example/Bücher?Key=A", "https://xn--bcher-kva.example/Bücher?Key=A"),
        ("https://Bücher.Example:8443/bücher", "https://xn--bcher-kva.example:8443/bücher"),
        ("https://民政.CN?", "https://xn--5bvs5m.cn?"),
        ("https://Example.org/a", "https://Example.org/a"),
    ],
)
def test_a_name_in_another_script_is_sent_as_dns_knows_it_whatever_its_capitals(url: str, sent: str) -> None:
    assert ascii_host(check_url(url)) == sent


def test_http_to_this_machine_needs_a_setting() -> None:
    with pytest.raises(InvalidValueError, match="ALLOW_LOOPBACK"):
        check_url("http://127.0.0.1:9/a")


def parsed(**changes: Any) -> Any:  # noqa: ANN401 - fields of Alert, and the parsed mail
    message = mail.message_of(alert(**changes), sender="pingyi@example.org", recipients=("a@b.c", "d@e.f"))
    return message_from_bytes(message.as_bytes(), policy=default)


def test_a_mail_has_a_stable_id_and_says_what_to_do() -> None:
    message = parsed()
    assert message["Message-ID"] == f"<{alert().alert_id}@example.org>"
    assert message["Subject"] == "[警告] 东湖区婚姻登记处收到差评"
    assert message["To"] == "a@b.c, d@e.f"
    text = message.get_content()
    assert "请责任人尽快核实。" in text
    assert "阈值:1,2" in text
    assert "2026-11-20 10:30" in text, "the time is that of Shanghai"


@given(title=TEXT, body=TEXT, rule=TEXT)
def test_no_text_of_an_alert_can_add_a_header_or_a_recipient(title: str, body: str, rule: str) -> None:
    message = parsed(title=title + "\r\nBcc: x@y.z", body=body + "\r\n.\r\nBcc: x@y.z", rule=rule)
    assert message["Bcc"] is None
    assert set(message.keys()) <= {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Pingyi-Alert-Id",
        "X-Pingyi-Rule", "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    assert len(message.get_all("To")) == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"smtp_url": "smtp://mail.example.org"}, "MAIL_TO"),
        ({"smtp_url": "http://mail.example.org", "mail_to": "a@b.c"}, "SMTP_URL"),
        ({"smtp_url": "smtp://u:secret@mail.example.org", "mail_to": "a@b.c"}, "smtp.password"),
        ({"smtp_url": "smtp://h", "mail_to": "a@b.c\r\nBcc: x@y.z"}, "one address"),
        ({"smtp_url": "smtp://h", "mail_to": "nobody"}, "one address"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_names_the_remedy(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as caught:
        Settings(**options)
    assert "Got" in str(caught.value)


async def test_the_console_says_which_alert_it_is() -> None:
    with capture_logs() as lines:
        assert await ConsoleChannel().deliver(alert()) == "logged"
    (line,) = lines
    assert (line["event"], line["alert_id"], line["title"]) == ("alert", alert().alert_id, alert().title)


def test_a_delivery_must_end_before_the_consumer_hands_the_alert_out_again() -> None:
    with pytest.raises(ValueError, match="less than or equal to 20"):
        Settings(delivery_timeout_s=timedelta(seconds=29).total_seconds())
