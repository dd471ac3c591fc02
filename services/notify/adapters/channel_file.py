"""``notify.toml``: endpoints of channels, with secrets by reference to files (docs/channels.md)."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.notify.adapters.outbound import networks
from services.notify.domain.channels import Language
from services.notify.settings import check_mail_address
from shared.kernel.errors import InvalidValueError, PermanentError, describe

NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,21}[a-z0-9])?")
"""With the channel's name before it, an address has at most 32 characters, as events allow."""
_NUMBER: Final = re.compile(r"\+?[0-9]{5,15}")


class ChannelFileError(PermanentError):
    """The file of channels can't be used."""


def _name(text: str) -> str:
    if NAME.fullmatch(text) is None:
        raise InvalidValueError(text, "up to 23 of a-z, 0-9 and '-'", "rename it", field="name")
    return text


def _reference(text: str) -> str:
    path = Path(text)
    if path.is_absolute() or ".." in path.parts or not text:
        raise InvalidValueError(text, "a file below SECRETS_DIR", "name it relative to that folder")
    return text


def _address(text: str) -> str:
    return check_mail_address(text)


def _number(text: str) -> str:
    if _NUMBER.fullmatch(text) is None:
        raise InvalidValueError(
            "a number", "5 to 15 digits, '+' before them or not", "correct it", field="to"
        )
    return text


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    networks(texts)
    return texts


Name = Annotated[str, AfterValidator(_name)]
SecretFile = Annotated[str, AfterValidator(_reference), Field(description="File below SECRETS_DIR.")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class OutboundTable(_Table):
    """What requests may reach beside public addresses."""

    allow_networks: Annotated[tuple[str, ...], AfterValidator(_networks)] = ()
    ca_file: Path | None = None


class SmtpTable(_Table):
    """A mail server."""

    host: str = Field(min_length=1, max_length=253)
    port: int | None = Field(default=None, ge=1, le=65_535)
    tls: Literal["implicit", "starttls", "none"] = "starttls"
    user: str | None = None
    password_file: SecretFile | None = None
    sender: Annotated[str, AfterValidator(_address)]
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _password_over_tls(self) -> "SmtpTable":
        if (self.user is None) != (self.password_file is None):
            raise InvalidValueError(
                "one of user and password_file", "both or none", "add the other", field="user"
            )
        if self.user is not None and self.tls == "none":
            raise InvalidValueError(
                "a password without TLS", 'tls = "starttls" or "implicit"', "correct tls", field="tls"
            )
        return self


class SmsTable(_Table):
    """An SMS gateway."""

    url: str
    token_file: SecretFile | None = None
    code_field: str | None = None
    success: tuple[str, ...] = ("0",)
    refused: tuple[str, ...] = ()
    max_characters: int = Field(default=300, ge=40, le=2000)


class _Endpoint(_Table):
    name: Name
    language: Language = Language.ZH
    all_alerts: bool = True
    concurrency: int | None = Field(default=None, ge=1, le=200)
    per_minute: int | None = Field(default=None, ge=1, le=60_000)
    retry_delays_s: tuple[Annotated[float, Field(gt=0, le=172_800)], ...] | None = Field(
        default=None, min_length=1, max_length=20
    )


class _HttpEndpoint(_Endpoint):
    url: str | None = None
    url_file: SecretFile | None = None

    @model_validator(mode="after")
    def _one_url(self) -> "_HttpEndpoint":
        if (self.url is None) == (self.url_file is None):
            raise InvalidValueError(
                "neither or both of url and url_file", "one of them", "keep one", field="url"
            )
        return self


class WebhookEndpoint(_HttpEndpoint):
    """A receiver of Standard Webhooks."""

    kind: Literal["webhook"]
    key_file: SecretFile | None = None
    ed25519_file: SecretFile | None = None

    @model_validator(mode="after")
    def _signed(self) -> "WebhookEndpoint":
        if self.key_file is None and self.ed25519_file is None:
            raise InvalidValueError(
                "a webhook without a key", "key_file or ed25519_file", "name one", field="key_file"
            )
        return self


class WecomEndpoint(_HttpEndpoint):
    """A robot of a WeCom group; its key is in the URL."""

    kind: Literal["wecom"]
    format: Literal["text", "markdown"] = "text"


class DingtalkEndpoint(_HttpEndpoint):
    """A robot of a DingTalk group."""

    kind: Literal["dingtalk"]
    format: Literal["text", "markdown"] = "text"
    secret_file: SecretFile | None = None


class FeishuEndpoint(_HttpEndpoint):
    """A robot of a Feishu group."""

    kind: Literal["feishu"]
    secret_file: SecretFile | None = None


class EmailEndpoint(_Endpoint):
    """Mail to one or several people."""

    kind: Literal["email"]
    server: str = "main"
    to: tuple[Annotated[str, AfterValidator(_address)], ...] = Field(min_length=1, max_length=50)


class SmsEndpoint(_Endpoint):
    """SMS to one or several people."""

    kind: Literal["sms"]
    gateway: str = "main"
    to: tuple[Annotated[str, AfterValidator(_number)], ...] = Field(min_length=1, max_length=50)


EndpointTable = Annotated[
    WebhookEndpoint | WecomEndpoint | DingtalkEndpoint | FeishuEndpoint | EmailEndpoint | SmsEndpoint,
    Field(discriminator="kind"),
]


class ChannelFile(_Table):
    """The whole file."""

    outbound: OutboundTable = OutboundTable()
    smtp: dict[str, SmtpTable] = Field(default_factory=dict)
    sms: dict[str, SmsTable] = Field(default_factory=dict)
    endpoint: tuple[EndpointTable, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> "ChannelFile":
        seen: set[str] = set()
        for each in self.endpoint:
            address = f"{each.kind}.{each.name}"
            if address in seen:
                raise InvalidValueError(address, "a name for each endpoint", "rename one", field="name")
            seen.add(address)
            if isinstance(each, EmailEndpoint) and each.server not in self.smtp:
                raise InvalidValueError(
                    each.server, "a server with a table [smtp.…]", "add it", field=f"{address}.server"
                )
            if isinstance(each, SmsEndpoint) and each.gateway not in self.sms:
                raise InvalidValueError(
                    each.gateway, "a gateway with a table [sms.…]", "add it", field=f"{address}.gateway"
                )
        return self


def load_channel_file(path: Path) -> ChannelFile:
    """Read and check the file; values are not repeated in errors, since people's numbers stand there.

    Raises:
        ChannelFileError: missing, no TOML, or not as docs/channels.md says; names every place that is wrong.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ChannelFileError(
            describe(str(path), "a file in TOML", f"see docs/channels.md ({reason})")
        ) from error
    try:
        return ChannelFile.model_validate(content)
    except ValidationError as error:
        issues = "; ".join(_issue(issue, content) for issue in error.errors(include_input=False)[:10])
        raise ChannelFileError(
            describe(str(path), "what docs/channels.md says", f"correct it: {issues}")
        ) from error


def _issue(issue: Any, content: dict[str, Any]) -> str:  # noqa: ANN401 - pydantic's dict of one error
    place = ".".join(str(part) for part in issue["loc"])
    names = [
        str(content["endpoint"][part].get("name"))
        for part in issue["loc"]
        if isinstance(part, int) and issue["loc"][:1] == ("endpoint",) and part < len(content["endpoint"])
    ][:1]
    return f"{place or 'file'}{f' ({names[0]})' if names else ''}: {issue['msg']}"
