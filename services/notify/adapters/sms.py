"""SMS through any gateway that takes a JSON POST: which fields and codes it uses is the operator's to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from services.notify.adapters.answer_parser import Answer
from services.notify.adapters.answers import json_object, pause_asked
from services.notify.adapters.outbound import Outbound
from services.notify.adapters.robots import encoded
from services.notify.domain.alert import Alert
from services.notify.domain.channels import Language
from services.notify.domain.texts import ELLIPSIS, one_line, plain, render
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, TransientError, describe

_BAD_REQUEST: Final = 400
_LATER: Final = frozenset({408, 425, 429})


class SmsRefusedError(PermanentError):
    """The gateway will never take this message."""


class SmsFailedError(TransientError):
    """The gateway did not take the message this time."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """How a gateway is spoken to.

    Attributes:
        url: see `check_url`.
        token: bearer token; None: none.
        code_field: field of the answer that holds its code; None: the HTTP status alone counts.
        success: values of that field that mean success, as text.
        refused: values that repeating can't help; any other is tried again.
        max_characters: most characters of a message.
    """

    url: str
    token: str | None
    code_field: str | None
    success: frozenset[str]
    refused: frozenset[str]
    max_characters: int


def text_of(alert: Alert, language: Language, limit: int) -> str:
    """Return one line: title, body and the alert's number, which stays whole whatever is cut."""
    text = render(alert, language)
    number = f" #{alert.alert_id[:8]}"
    said = one_line(plain(f"{text.title} {text.lines[0]}"))
    room = max(0, limit - len(number))
    return (said if len(said) <= room else said[: max(0, room - 1)] + ELLIPSIS) + number


class SmsChannel:
    """Plays `application.ports.Channel` through a gateway: one request for all numbers of the endpoint."""

    def __init__(
        self,
        name: str,
        gateway: Gateway,
        numbers: Sequence[str],
        *,
        language: Language,
        outbound: Outbound,
        clock: Clock,
    ) -> None:
        """Send to `numbers`."""
        self.name = name
        self._gateway = gateway
        self._numbers = tuple(numbers)
        self._language = language
        self._outbound = outbound
        self._clock = clock

    async def deliver(self, alert: Alert) -> str:
        """See `Channel.deliver`. The request's id lets a gateway recognise a repeat."""
        request_id = f"{alert.alert_id}.{self.name}"
        body: dict[str, Any] = {
            "id": request_id,
            "to": self._numbers,
            "text": text_of(alert, self._language, self._gateway.max_characters),
        }
        headers = {"content-type": "application/json; charset=utf-8", "idempotency-key": request_id}
        if self._gateway.token is not None:
            headers["authorization"] = f"Bearer {self._gateway.token}"
        return self._read(await self._outbound.post(self._gateway.url, encoded(body), headers))

    def _read(self, answer: Answer) -> str:
        said = f"HTTP {answer.status}"
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return self._read_code(answer, said)
        final = (
            _BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in _LATER
        )
        if final:
            raise SmsRefusedError(describe(said, "2xx from the gateway", "correct the gateway or its token"))
        raise SmsFailedError(
            describe(said, "2xx from the gateway", "it is tried again"),
            pause_asked(answer.retry_after, self._clock.now()),
        )

    def _read_code(self, answer: Answer, said: str) -> str:
        gateway = self._gateway
        if gateway.code_field is None:
            return said
        found = json_object(answer.body)
        if found is None or gateway.code_field not in found:
            raise SmsFailedError(
                describe(f"{said} without {gateway.code_field}", "a JSON object with it", "it is tried again")
            )
        code = one_line(str(found[gateway.code_field]))[:40]
        if code in gateway.success:
            return f"{said}, {gateway.code_field} {code}"
        if code in gateway.refused:
            raise SmsRefusedError(
                describe(
                    f"{gateway.code_field} {code}", "success", "correct the endpoint, replay the dead letter"
                )
            )
        raise SmsFailedError(describe(f"{gateway.code_field} {code}", "success", "it is tried again"))
