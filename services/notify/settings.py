"""Settings of notify, from the environment; a channel is on when its address is set or its file names one."""

from email.utils import parseaddr
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, model_validator

from shared.auth.settings import AccessSettings
from shared.kernel.errors import InvalidValueError
from shared.messaging.connection import BrokerSettings
from shared.messaging.failure import RETRY_DELAYS_S

DAY_S: Final = 86_400.0


class Settings(BrokerSettings, AccessSettings):
    """Environment of the service; every variable has the field's name in upper case."""

    http_host: str = Field(default="127.0.0.1", description="Address to bind.")
    http_port: int = Field(default=8003, ge=0, le=65535, description="TCP port to bind.")
    log_level: str = Field(default="INFO", description="Lowest level logged.")
    secrets_dir: Path = Field(
        default=Path("var/secrets"), description="Folder of webhook.key, smtp.password."
    )
    rules_path: Path | None = Field(default=None, description="Rule packs other than the committed ones.")
    units_path: Path | None = Field(default=None, description="Table of units; the committed one if not set.")

    console_alerts: bool = Field(default=True, description="Write each alert as a line of the log.")
    channels_file: Path | None = Field(
        default=None, description="notify.toml with further endpoints; see docs/channels.md."
    )
    allow_loopback: bool = Field(
        default=False, description="Let alerts go to this machine, also by http: for development."
    )
    webhook_url: str | None = Field(default=None, description="Receiver of signed webhooks; unset: off.")
    smtp_url: str | None = Field(
        default=None, description="smtp[s]://[user@]host[:port]; unset: mail is off."
    )
    smtp_starttls: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto: where the server offers it."
    )
    mail_from: str = Field(default="pingyi@localhost", description="Sender's address.")
    mail_to: str = Field(default="", description="Receivers' addresses, comma-separated.")
    delivery_timeout_s: float = Field(default=10.0, gt=0, le=20, description="Limit of one attempt.")
    retry_delays_s: tuple[float, ...] = Field(
        default=RETRY_DELAYS_S, min_length=1, description="Delay after each failed attempt, as a JSON list."
    )

    alert_max_age_s: float = Field(
        default=30 * DAY_S,
        gt=0,
        description="Events received longer ago raise no alert; of cases, sanctions and nominations they do.",
    )
    review_alert_max_age_s: float | None = Field(
        default=None, gt=0, description="The same for single ratings; as the others if not set."
    )
    alerts_kept: int = Field(default=50_000, ge=1, description="Alerts that the API knows, newest.")

    recipients_path: Path | None = Field(
        default=None,
        description="File of recipients (TOML, or a table .csv); unset: every channel gets every alert.",
    )
    holidays_path: Path | None = Field(
        default=None,
        description="TOML file of holidays announced since; read again when it changes.",
    )
    follow_up_every_s: float = Field(
        default=5.0, gt=0, le=60, description="How often digests and escalations are looked for."
    )

    @model_validator(mode="after")
    def _check_addresses(self) -> Self:
        if self.smtp_url is not None:
            smtp_address(self.smtp_url)
            if not self.recipients:
                raise InvalidValueError(
                    self.mail_to, "receivers for SMTP_URL", "set MAIL_TO or unset SMTP_URL", field="MAIL_TO"
                )
            for address in (self.mail_from, *self.recipients):
                check_mail_address(address)
        return self

    @property
    def recipients(self) -> tuple[str, ...]:
        """Receivers of mail, in order."""
        return tuple(address.strip() for address in self.mail_to.split(",") if address.strip())


def smtp_address(url: str) -> SplitResult:
    """Split an SMTP URL.

    Raises:
        InvalidValueError: scheme other than smtp or smtps, no host, or a password in it.
    """
    parts = _split(url, "SMTP_URL")
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.password is not None:
        raise InvalidValueError(
            parts._replace(netloc=parts.hostname or "").geturl(),  # never repeat a password
            "smtp://[user@]host[:port] or smtps://… without a password",
            "correct SMTP_URL; the password belongs into SECRETS_DIR/smtp.password",
            field="SMTP_URL",
        )
    return parts


def check_mail_address(address: str) -> str:
    """Return `address` if it is one bare mail address.

    Raises:
        InvalidValueError: it is not, for example because it smuggles in a line break.
    """
    bare = parseaddr(address)[1]
    if bare != address or "@" not in address or any(char.isspace() for char in address):
        raise InvalidValueError(
            address, "one address such as duty@example.org", "correct MAIL_FROM or MAIL_TO", field="MAIL_TO"
        )
    return address


def _split(url: str, name: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidValueError(url, "a URL", f"correct {name} ({error})", field=name) from error
    return parts
