"""From settings and ``notify.toml`` to endpoints that can be delivered to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from services.notify.adapters.channel_file import (
    ChannelFile,
    EmailEndpoint,
    EndpointTable,
    SmsEndpoint,
    SmtpTable,
    WebhookEndpoint,
    load_channel_file,
)
from services.notify.adapters.console import ConsoleChannel
from services.notify.adapters.mail import MailChannel, MailServer, read_password
from services.notify.adapters.outbound import Outbound, Resolver, check_url, networks, tls_context
from services.notify.adapters.robots import VENDORS, RobotChannel
from services.notify.adapters.sms import Gateway, SmsChannel
from services.notify.adapters.webhook import WebhookChannel, load_keys_of
from services.notify.application.ports import Channel
from services.notify.domain.channels import RETRY_FOR_DAYS_S, Endpoint
from services.notify.domain.reach import Reach
from services.notify.settings import Settings, smtp_address
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, describe

_PORTS: Final = {"smtp": 25, "smtps": 465}
_TLS_PORTS: Final = {"implicit": 465, "starttls": 587, "none": 25}
_PER_MINUTE: Final = {"wecom": 20, "dingtalk": 20, "feishu": 100}
"""What vendors allow a robot in a minute."""
_INSTANT: Final = 1000
"""The console answers at once: as many turns as there can be alerts in memory."""


class ChannelSecretError(PermanentError):
    """A secret of an endpoint can't be read."""


@dataclass(frozen=True, slots=True)
class Line:
    """An endpoint and the adapter that delivers to it."""

    endpoint: Endpoint
    channel: Channel


class Lines:
    """All endpoints that are switched on, and what they share."""

    def __init__(self, lines: Sequence[Line], resolver: Resolver | None = None) -> None:
        """Hold `lines`; `resolver` is closed with them."""
        self.lines = tuple(lines)
        self._resolver = resolver

    def close(self) -> None:
        """Let go of what they share."""
        if self._resolver is not None:
            self._resolver.close()

    @classmethod
    def of_channels(cls, channels: Sequence[Channel], retry_delays_s: tuple[float, ...]) -> "Lines":
        """Return lines for `channels` that somebody else made, such as a test."""
        return cls(
            [Line(Endpoint(each.name, each.name, each.name, retry_delays_s), each) for each in channels]
        )


def read_secret(directory: Path, name: str) -> str:
    """Read a secret of one line; what it says is never repeated.

    Raises:
        ChannelSecretError: missing, unreadable or empty.
    """
    try:
        text = (directory / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise ChannelSecretError(
            describe(str(directory / name), "a file with one secret", f"create it ({reason})")
        ) from error
    if not text or any(char.isspace() for char in text):
        raise ChannelSecretError(describe(str(directory / name), "one secret in one line", "write it anew"))
    return text


def make_lines(settings: Settings, clock: Clock) -> Lines:
    """Return the endpoints that the settings and their file switch on; nothing connects yet.

    Raises:
        PermanentError: a value, a secret or the file can't be used; the message names the remedy.
    """
    file = load_channel_file(settings.channels_file) if settings.channels_file is not None else ChannelFile()
    return _Maker(settings, clock, file).make()


class _Maker:
    def __init__(self, settings: Settings, clock: Clock, file: ChannelFile) -> None:
        self._settings = settings
        self._clock = clock
        self._file = file
        self._secrets = settings.secrets_dir
        self._resolver = Resolver(
            Reach(networks(file.outbound.allow_networks), loopback=settings.allow_loopback)
        )
        self._tls = tls_context(file.outbound.ca_file)
        self._outbound = Outbound(self._resolver, self._tls, timeout_s=settings.delivery_timeout_s)
        self._servers: dict[str, MailServer] = {}

    def make(self) -> Lines:
        lines = []
        if self._settings.console_alerts:
            delays = self._settings.retry_delays_s
            endpoint = Endpoint("console", "log", "console", delays, concurrency=_INSTANT)
            lines.append(Line(endpoint, ConsoleChannel()))
        lines += [line for line in (self._env_webhook(), self._env_mail()) if line is not None]
        lines += [self._line(table) for table in self._file.endpoint]
        return Lines(lines, self._resolver)

    def _env_webhook(self) -> Line | None:
        settings = self._settings
        if settings.webhook_url is None:
            return None
        url = self._checked(settings.webhook_url, "WEBHOOK_URL")
        chosen = "retry_delays_s" in settings.model_fields_set
        endpoint = Endpoint(
            "webhook", _host(url), _mark(url), settings.retry_delays_s if chosen else RETRY_FOR_DAYS_S
        )
        return Line(
            endpoint,
            WebhookChannel(
                endpoint.address,
                url,
                outbound=self._outbound,
                clock=self._clock,
                hmac_keys=load_keys_of(self._secrets / "webhook.key"),
            ),
        )

    def _env_mail(self) -> Line | None:
        settings = self._settings
        if settings.smtp_url is None:
            return None
        parts = smtp_address(settings.smtp_url)
        user = parts.username
        server = MailServer(
            host=parts.hostname or "",
            port=parts.port or _PORTS[parts.scheme],
            implicit_tls=parts.scheme == "smtps",
            starttls={"auto": None, "always": True, "never": False}[settings.smtp_starttls],
            sender=settings.mail_from,
            tls=self._tls,
            user=user,
            password=read_password(self._secrets / "smtp.password") if user is not None else None,
        )
        endpoint = Endpoint("email", server.host, "email", settings.retry_delays_s)
        return Line(endpoint, self._mail(endpoint, server, settings.recipients))

    def _mail(self, endpoint: Endpoint, server: MailServer, to: Sequence[str]) -> MailChannel:
        return MailChannel(
            endpoint.address,
            server,
            to,
            resolver=self._resolver,
            timeout_s=self._settings.delivery_timeout_s,
        )

    def _line(self, table: EndpointTable) -> Line:
        if isinstance(table, EmailEndpoint):
            return self._mail_line(table)
        if isinstance(table, SmsEndpoint):
            return self._sms_line(table)
        address = f"{table.kind}.{table.name}"
        url = table.url or read_secret(self._secrets, table.url_file or "")
        url = self._checked(url, f"the url of {address}")
        endpoint = self._endpoint(table, _host(url), _mark(url))
        if isinstance(table, WebhookEndpoint):
            keys = load_keys_of(self._secrets / table.key_file) if table.key_file else ()
            seeds = load_keys_of(self._secrets / table.ed25519_file) if table.ed25519_file else ()
            channel = WebhookChannel(
                address,
                url,
                outbound=self._outbound,
                clock=self._clock,
                hmac_keys=keys,
                ed25519_seeds=seeds,
            )
            return Line(endpoint, channel)
        form = getattr(table, "format", "text")
        secret_file: str | None = getattr(table, "secret_file", None)
        return Line(
            endpoint,
            RobotChannel(
                address,
                url,
                VENDORS[table.kind, form],
                secret=read_secret(self._secrets, secret_file) if secret_file else None,
                language=table.language,
                marked=form == "markdown",
                outbound=self._outbound,
                clock=self._clock,
            ),
        )

    def _mail_line(self, table: EmailEndpoint) -> Line:
        server = self._servers.get(table.server)
        if server is None:
            server = self._servers[table.server] = self._server(self._file.smtp[table.server])
        endpoint = self._endpoint(table, server.host, table.name)
        channel = MailChannel(
            endpoint.address,
            server,
            table.to,
            resolver=self._resolver,
            timeout_s=self._settings.delivery_timeout_s,
            language=table.language,
        )
        return Line(endpoint, channel)

    def _server(self, table: SmtpTable) -> MailServer:
        return MailServer(
            host=table.host,
            port=table.port or _TLS_PORTS[table.tls],
            implicit_tls=table.tls == "implicit",
            starttls=table.tls == "starttls",
            sender=table.sender,
            tls=tls_context(table.ca_file) if table.ca_file is not None else self._tls,
            user=table.user,
            password=read_password(self._secrets / table.password_file) if table.password_file else None,
        )

    def _sms_line(self, table: SmsEndpoint) -> Line:
        found = self._file.sms[table.gateway]
        url = self._checked(found.url, f"the url of sms.{table.gateway}")
        gateway = Gateway(
            url=url,
            token=read_secret(self._secrets, found.token_file) if found.token_file else None,
            code_field=found.code_field,
            success=frozenset(found.success),
            refused=frozenset(found.refused),
            max_characters=found.max_characters,
        )
        endpoint = self._endpoint(table, _host(url), table.name)
        return Line(
            endpoint,
            SmsChannel(
                endpoint.address,
                gateway,
                table.to,
                language=table.language,
                outbound=self._outbound,
                clock=self._clock,
            ),
        )

    def _endpoint(self, table: EndpointTable, target: str, mark: str) -> Endpoint:
        days = RETRY_FOR_DAYS_S if table.kind == "webhook" else self._settings.retry_delays_s
        return Endpoint(
            address=f"{table.kind}.{table.name}",
            target=target,
            mark=mark,
            retry_delays_s=table.retry_delays_s or days,
            all_alerts=table.all_alerts,
            concurrency=table.concurrency or 8,
            per_minute=table.per_minute or _PER_MINUTE.get(table.kind),
        )

    def _checked(self, url: str, field: str) -> str:
        return check_url(url, loopback=self._settings.allow_loopback, field=field)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _mark(url: str) -> str:
    """Return a name for a URL that tells URLs apart and gives none away: keys of robots stand in them.

    Only what can answer 410 needs one; people's numbers and addresses are never hashed.
    """
    return hashlib.sha256(url.encode()).hexdigest()[:16]
