"""Group robots: WeCom, DingTalk and Feishu. They answer HTTP 200 with an error code in the body.

What a vendor documents of sizes, signatures, rates and codes is quoted with its source in docs/channels.md.
A code that nobody documents is tried again, and ends as a dead letter if it stays.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote_plus

from services.notify.adapters.answer_parser import Answer
from services.notify.adapters.answers import json_object, pause_asked
from services.notify.adapters.outbound import Outbound
from services.notify.domain.alert import Alert
from services.notify.domain.channels import Language
from services.notify.domain.fitting import TITLE_BYTES, fitted
from services.notify.domain.texts import cut, markdown, one_line, plain, render
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, TransientError, describe

MESSAGE_LENGTH: Final = 120


class RobotRefusedError(PermanentError):
    """The robot will never take this message."""


class RobotFailedError(TransientError):
    """The robot did not take the message this time."""


@dataclass(frozen=True, slots=True)
class Codes:
    """What a vendor's codes mean; 0 is success with all of them.

    Attributes:
        field: where the code stands in the answer.
        message: where its words stand.
        pauses: codes that mean "too fast" or "busy", with the pause in seconds that they call for.
        refused: codes that repeating can't help.
    """

    field: str
    message: str
    pauses: Mapping[int, float]
    refused: frozenset[int]


WECOM_CODES: Final = Codes(
    "errcode",
    "errmsg",
    {-1: 5.0, 45009: 60.0, 45033: 10.0},
    frozenset({40008, 40058, 44004, 45002, 93000, 93004, 93008}),
)
DINGTALK_CODES: Final = Codes(
    "errcode",
    "errmsg",
    {-1: 5.0, 90030: 600.0, 130101: 600.0, 410100: 600.0},
    frozenset(
        {40035, 43004, 300001, 310000, 400013, 400101, 400102, 400105, 400106, 430101, 430102, 430103, 430104}
    ),
)
FEISHU_CODES: Final = Codes(
    "code",
    "msg",
    {11232: 60.0, 11233: 60.0, 230020: 60.0, 99991400: 60.0},
    frozenset({9499, 19001, 19002, 19021, 19022, 19024}),
)


def dingtalk_signature(secret: str, timestamp_ms: int) -> str:
    r"""Return the ``sign`` parameter: HMAC-SHA256 of ``timestamp\nsecret`` under the secret, base64."""
    signed = f"{timestamp_ms}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def feishu_signature(secret: str, timestamp_s: int) -> str:
    r"""Return the ``sign`` field: HMAC-SHA256 of nothing under the key ``timestamp\nsecret``, base64."""
    key = f"{timestamp_s}\n{secret}".encode()
    return base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()


Request = tuple[str, dict[str, Any]]
"""URL and body of one message."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor's robots are spoken to.

    Attributes:
        codes: what its answers mean.
        text_bytes: most bytes of the text.
        body_bytes: most bytes of the whole request.
        build: makes a request of URL, title, text, secret (None: not signed) and the time in seconds.
        escape: makes a line of text harmless.
    """

    codes: Codes
    text_bytes: int
    body_bytes: int
    build: Callable[[str, str, str, str | None, float], Request]
    escape: Callable[[str], str]


def _wecom_text(url: str, _title: str, text: str, _secret: str | None, _now: float) -> Request:
    return url, {"msgtype": "text", "text": {"content": text}}


def _wecom_markdown(url: str, _title: str, text: str, _secret: str | None, _now: float) -> Request:
    return url, {"msgtype": "markdown", "markdown": {"content": text}}


def _dingtalk_url(url: str, secret: str | None, now: float) -> str:
    if secret is None:
        return url
    timestamp = int(now * 1000)
    sign = quote_plus(dingtalk_signature(secret, timestamp))
    return f"{url}{'&' if '?' in url else '?'}timestamp={timestamp}&sign={sign}"


_NOBODY: Final = {"atMobiles": [], "atUserIds": [], "isAtAll": False}


def _dingtalk_text(url: str, _title: str, text: str, secret: str | None, now: float) -> Request:
    body = {"msgtype": "text", "text": {"content": text}, "at": _NOBODY}
    return _dingtalk_url(url, secret, now), body


def _dingtalk_markdown(url: str, title: str, text: str, secret: str | None, now: float) -> Request:
    body = {"msgtype": "markdown", "markdown": {"title": title, "text": text}, "at": _NOBODY}
    return _dingtalk_url(url, secret, now), body


def _feishu_text(url: str, _title: str, text: str, secret: str | None, now: float) -> Request:
    body: dict[str, Any] = {"msg_type": "text", "content": {"text": text}}
    if secret is not None:
        timestamp = int(now)
        body = {"timestamp": str(timestamp), "sign": feishu_signature(secret, timestamp)} | body
    return url, body


VENDORS: Final[Mapping[tuple[str, str], Vendor]] = {
    ("wecom", "text"): Vendor(WECOM_CODES, 2048, 20_000, _wecom_text, plain),
    ("wecom", "markdown"): Vendor(WECOM_CODES, 4096, 20_000, _wecom_markdown, markdown),
    ("dingtalk", "text"): Vendor(DINGTALK_CODES, 18_000, 20_000, _dingtalk_text, plain),
    ("dingtalk", "markdown"): Vendor(DINGTALK_CODES, 18_000, 20_000, _dingtalk_markdown, markdown),
    ("feishu", "text"): Vendor(FEISHU_CODES, 18_000, 20_000, _feishu_text, plain),
}
"""By channel and format."""


def message(
    alert: Alert, language: Language, vendor: Vendor, *, marked: bool, limit: int | None = None
) -> tuple[str, str]:
    """Return title and text of `alert`, harmless and within the bytes.

    Args:
        alert: what to tell.
        language: of the text.
        vendor: whose robot it is.
        marked: with our own markup.
        limit: most bytes of the text; the vendor's if None.
    """
    text = render(alert, language).escaped(vendor.escape)
    text = replace(text, title=cut(text.title, TITLE_BYTES))
    shown = text
    if marked:  # two blanks break a markdown line
        shown = replace(text.escaped("{}  ".format), title=f"**{text.title}**")
    return cut(text.title, 200), fitted(shown, vendor.text_bytes if limit is None else limit)


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a request's body."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


class RobotChannel:
    """Plays `application.ports.Channel` with one group robot."""

    def __init__(  # noqa: PLR0913 - settings of an endpoint, by name
        self,
        name: str,
        url: str,
        vendor: Vendor,
        *,
        secret: str | None,
        language: Language,
        marked: bool,
        outbound: Outbound,
        clock: Clock,
    ) -> None:
        """Send to the robot at `url` (see `check_url`), signed with `secret` if there is one."""
        self.name = name
        self._url = url
        self._vendor = vendor
        self._secret = secret
        self._language = language
        self._marked = marked
        self._outbound = outbound
        self._clock = clock

    async def deliver(self, alert: Alert) -> str:
        """See `Channel.deliver`. The vendors know no ids of messages: the text carries the alert's."""
        url, content = self._request(alert)
        answer = await self._outbound.post(url, content, {"content-type": "application/json; charset=utf-8"})
        return self._read(answer)

    def _request(self, alert: Alert) -> tuple[str, bytes]:
        now = self._clock.now().timestamp()
        limit = self._vendor.text_bytes
        while True:
            title, text = message(alert, self._language, self._vendor, marked=self._marked, limit=limit)
            url, body = self._vendor.build(self._url, title, text, self._secret, now)
            content = encoded(body)
            excess = len(content) - self._vendor.body_bytes
            if excess <= 0:
                return url, content
            limit = len(text.encode()) - excess  # escapes of JSON take more than the text itself

    def _read(self, answer: Answer) -> str:
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            pause = pause_asked(answer.retry_after, self._clock.now())
            if pause is None and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                pause = 60.0
            raise RobotFailedError(
                describe(f"HTTP {answer.status}", "200 from the robot", "it is tried again"), pause
            )
        said = json_object(answer.body)
        codes = self._vendor.codes
        code = None if said is None else said.get(codes.field)
        if said is None or not isinstance(code, int) or isinstance(code, bool):
            if answer.status != HTTPStatus.OK:
                raise RobotRefusedError(
                    describe(f"HTTP {answer.status}", "200 from the robot", "correct its address")
                )
            raise RobotFailedError(
                describe(
                    f"HTTP 200 with {len(answer.body)} bytes that hold no {codes.field}",
                    "a JSON object with a code",
                    "it is tried again",
                )
            )
        if code == 0:
            return f"{codes.field} 0"
        words = one_line(str(said.get(codes.message, "")))[:MESSAGE_LENGTH]
        if code in codes.refused:
            raise RobotRefusedError(
                describe(
                    f"{codes.field} {code}: {words}", "0", "correct the endpoint, replay the dead letter"
                )
            )
        raise RobotFailedError(
            describe(f"{codes.field} {code}: {words}", "0", "it is tried again"), codes.pauses.get(code)
        )
