"""Mail over SMTP, in Chinese or English, one message for each alert and endpoint."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final

import aiosmtplib

from services.notify.adapters.outbound import OutboundError, Resolver
from services.notify.domain.alert import Alert
from services.notify.domain.channels import Language
from services.notify.domain.texts import one_line, render
from shared.kernel.errors import PermanentError, TransientError, describe

_PERMANENT_FROM: Final = 500
_SUBJECT_LENGTH: Final = 120
_TAKEN_KEPT: Final = 10_000
_LATER: Final = 400


class MailRefusedError(PermanentError):
    """The mail server will never take this message."""


class MailFailedError(TransientError):
    """The mail server did not take the message this time."""


class MailPasswordError(PermanentError):
    """A user of the mail server is named, but there is no password."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server that we hand messages to.

    Attributes:
        host: its name, which its certificate must carry.
        port: TCP port.
        implicit_tls: TLS from the first byte.
        starttls: True: required; None: where the server offers it; False: never.
        user: None for none. A password goes over TLS only, except to this machine.
        password: of the user.
        sender: address in From.
        tls: verifies the certificate.
    """

    host: str
    port: int
    implicit_tls: bool
    starttls: bool | None
    sender: str
    tls: ssl.SSLContext
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def message_of(
    alert: Alert, *, sender: str, recipients: Sequence[str], language: Language = Language.ZH
) -> EmailMessage:
    """Return the message; its Message-ID derives from the alert's id, so repeats can be recognised."""
    text = render(alert, language).escaped(one_line)  # no name adds a line, or turns one around
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = text.title[:_SUBJECT_LENGTH]
    message["Date"] = format_datetime(alert.known_at)
    message["Message-ID"] = f"<{alert.alert_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Pingyi-Alert-Id"] = alert.alert_id
    message["X-Pingyi-Rule"] = one_line(alert.rule)
    message.set_content("\n".join(text.lines) + "\n", cte="base64")
    return message


def read_password(path: Path) -> str:
    """Read the password of a user of a mail server.

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

    Answers from 500 on are final, except refused log-ins: those are ours to correct while the alert waits. Of
    several recipients, those whom the server puts off are tried again, without the others.
    """

    def __init__(
        self,
        name: str,
        server: MailServer,
        recipients: Sequence[str],
        *,
        resolver: Resolver,
        timeout_s: float,
        language: Language = Language.ZH,
    ) -> None:
        """Send to `recipients` through `server`; one attempt takes at most `timeout_s`."""
        self.name = name
        self._server = server
        self._recipients = tuple(recipients)
        self._resolver = resolver
        self._timeout_s = timeout_s
        self._language = language
        self._done: dict[str, frozenset[str]] = {}
        self._greeting = socket.gethostname()  # the library would ask the name service, without a limit

    async def deliver(self, alert: Alert) -> str:
        """See `Channel.deliver`."""
        message = message_of(
            alert, sender=self._server.sender, recipients=self._recipients, language=self._language
        )
        done = self._done.get(alert.alert_id, frozenset())
        wanted = [recipient for recipient in self._recipients if recipient not in done]
        try:
            async with asyncio.timeout(self._timeout_s):  # the library's limit is per SMTP step
                refused, answer = await self._send(message, wanted)
        except (aiosmtplib.SMTPException, OutboundError, OSError, TimeoutError) as error:
            raise _failure(error) from error
        later = [recipient for recipient, reply in refused.items() if _is_temporary(reply.code)]
        if later:
            self._remember(alert.alert_id, done | {one for one in wanted if one not in later})
            codes = " ".join(sorted({str(refused[one].code) for one in later}))
            raise MailFailedError(
                describe(
                    f"SMTP {codes} for {len(later)} of {len(self._recipients)} recipients",
                    "250 from the mail server",
                    "these are tried again",
                )
            )
        self._done.pop(alert.alert_id, None)
        taken = len(self._recipients) - len(refused)
        return one_line(f"{taken}/{len(self._recipients)} recipients: {answer}")

    async def _send(
        self, message: EmailMessage, recipients: Sequence[str]
    ) -> tuple[dict[str, aiosmtplib.response.SMTPResponse], str]:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            sock=await self._connect(),  # from here on the client's to close
            local_hostname=self._greeting,
            username=server.user,
            password=server.password,
            use_tls=server.implicit_tls,
            start_tls=False if server.implicit_tls else server.starttls,
            tls_context=server.tls,
            timeout=self._timeout_s,
        )
        try:
            await client.connect()
            sent = await client.send_message(message, recipients=list(recipients))
            with contextlib.suppress(aiosmtplib.SMTPException):
                await client.quit()
        finally:
            client.close()  # without a farewell, which a server that hangs would not answer
        return sent

    async def _connect(self) -> socket.socket:
        """Connect by ourselves: the library would look names up in the pool that everything else shares."""
        server = self._server
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        for address in await self._resolver.resolve(server.host, server.port, private=True):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.setblocking(False)  # noqa: FBT003 - the standard library takes it by place
            try:
                await loop.sock_connect(connection, (address, server.port))
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure or OSError(server.host)

    def _remember(self, alert_id: str, done: frozenset[str]) -> None:
        if len(self._done) >= _TAKEN_KEPT:
            with contextlib.suppress(StopIteration):
                del self._done[next(iter(self._done))]
        self._done[alert_id] = done


def _is_temporary(code: int) -> bool:
    return _LATER <= code < _PERMANENT_FROM


def _failure(error: Exception) -> PermanentError | TransientError:
    codes = _codes(error)
    said = " ".join(str(code) for code in codes) or type(error).__name__
    if codes and min(codes) >= _PERMANENT_FROM and not isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return MailRefusedError(
            describe(
                f"SMTP {said}", "a server that takes the message", "correct sender, recipients or server"
            )
        )
    return MailFailedError(describe(f"SMTP {said}", "250 from the mail server", "it is tried again"))


def _codes(error: Exception) -> tuple[int, ...]:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return tuple(each.code for each in error.recipients)
    return (error.code,) if isinstance(error, aiosmtplib.SMTPResponseException) else ()
