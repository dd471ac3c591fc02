"""Mail over SMTP, in Chinese, one message for each alert."""

import asyncio
import unicodedata
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Literal

import aiosmtplib

from services.notify.domain.alert import SEVERITY_LABELS, Alert
from services.notify.settings import smtp_address
from shared.kernel.clock import SHANGHAI
from shared.kernel.errors import PermanentError, TransientError, describe

_PERMANENT_FROM: Final = 500
_SUBJECT_LENGTH: Final = 120
_PORTS: Final = {"smtp": 25, "smtps": 465}
_FIGURES: Final = {
    "grade": "评价等级",
    "threshold": "阈值",
    "rank": "现排名",
    "previous_rank": "原排名",
    "day_start_rank": "今日起始排名",
    "lost": "下降位数",
    "list": "榜单",
    "window_days": "统计天数",
    "score": "得分",
    "ratings": "评价数",
    "band": "现等次",
    "previous_band": "原等次",
    "probability": "把握度",
}


class MailRefusedError(PermanentError):
    """The mail server will never take this message."""


class MailFailedError(TransientError):
    """The mail server did not take the message this time."""


class MailPasswordError(PermanentError):
    """A user is named in SMTP_URL, but there is no password."""


def one_line(text: str) -> str:
    """Return `text` without any control or line-separating character: nothing in it can start a header."""
    kept = (" " if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else char for char in text)
    return " ".join("".join(kept).split())


def render(alert: Alert, *, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """Return the message; its Message-ID derives from the alert's id, so repeats can be recognised."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    subject = one_line(f"[{SEVERITY_LABELS[alert.severity]}] {alert.title}")
    message["Subject"] = subject[:_SUBJECT_LENGTH]
    message["Date"] = format_datetime(alert.known_at)
    message["Message-ID"] = f"<{alert.alert_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Pingyi-Alert-Id"] = alert.alert_id
    message["X-Pingyi-Rule"] = one_line(alert.rule)
    known = alert.known_at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")
    lines = [
        alert.body,
        "",
        f"单位:{alert.unit_name or '平台'}({alert.unit_id or '-'})",
        f"时间:{known}",
        *(f"{_FIGURES.get(key, key)}:{value}" for key, value in alert.figures.items()),
        f"依据事件:{'、'.join(alert.evidence)}",
        f"预警编号:{alert.alert_id}",
    ]
    message.set_content("\n".join(lines) + "\n", cte="base64")
    return message


def read_password(path: Path) -> str:
    """Read the password of the SMTP user.

    Raises:
        MailPasswordError: the file can't be read.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise MailPasswordError(
            describe(
                str(path), "a file with the SMTP password", f"create it or drop the user ({error.strerror})"
            )
        ) from error


class MailChannel:
    """Plays `application.ports.Channel`: one SMTP conversation for each alert.

    Answers from 500 on are final, except refused log-ins: those are ours to correct while the alert waits.
    """

    name: Final = "email"

    def __init__(
        self,
        url: str,
        *,
        password: str | None,
        starttls: Literal["auto", "always", "never"],
        sender: str,
        recipients: tuple[str, ...],
        timeout_s: float,
    ) -> None:
        """Send through the server at `url`; one attempt takes at most `timeout_s`.

        Raises:
            InvalidValueError: see `smtp_address`.
        """
        parts = smtp_address(url)
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._implicit_tls = parts.scheme == "smtps"
        self._starttls = {"auto": None, "always": True, "never": False}[starttls]
        self._user = parts.username
        self._password = password
        self._sender = sender
        self._recipients = recipients
        self._timeout_s = timeout_s

    async def deliver(self, alert: Alert) -> str:
        """See `Channel.deliver`."""
        message = render(alert, sender=self._sender, recipients=self._recipients)
        try:
            async with asyncio.timeout(self._timeout_s):  # the library's limit is per SMTP step
                refused, answer = await aiosmtplib.send(
                    message,
                    hostname=self._host,
                    port=self._port,
                    username=self._user,
                    password=self._password,
                    use_tls=self._implicit_tls,
                    start_tls=False if self._implicit_tls else self._starttls,
                    timeout=self._timeout_s,
                )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise _failure(error) from error
        taken = len(self._recipients) - len(refused)
        return one_line(f"{taken}/{len(self._recipients)} recipients: {answer}")


def _failure(error: Exception) -> PermanentError | TransientError:
    codes = _codes(error)
    said = " ".join(str(code) for code in codes) or type(error).__name__
    if codes and min(codes) >= _PERMANENT_FROM and not isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return MailRefusedError(
            describe(
                f"SMTP {said}", "a server that takes the message", "correct MAIL_FROM, MAIL_TO or SMTP_URL"
            )
        )
    return MailFailedError(describe(f"SMTP {said}", "250 from the mail server", "it is tried again"))


def _codes(error: Exception) -> tuple[int, ...]:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return tuple(each.code for each in error.recipients)
    return (error.code,) if isinstance(error, aiosmtplib.SMTPResponseException) else ()
