"""The HTTP side: recent alerts, and taking one over."""

import re
import unicodedata
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.notify.application.handlers import AcknowledgeAlert, ReadAlerts
from services.notify.domain.alert import AlertState, AlertStatus
from services.notify.domain.book import AlertFilter
from services.notify.domain.catalogue import FOLLOW_UPS, RULES
from services.notify.entrypoints.places import AlertPlaces
from shared.auth.access import acting, requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal
from shared.events import Provenance
from shared.events.base import Instant
from shared.kernel.errors import InvalidValueError
from shared.observability.tracing import current_context
from shared.rules import Severity

MAX_PAGE: Final = 200
HEX: Final = 16
NAMES: Final = (*RULES, *FOLLOW_UPS)
"""What an alert's rule can be."""

_CURSOR: Final = re.compile(r"[1-9a-f][0-9a-f]{0,15}")


class DeliveryOut(BaseModel):
    """How a channel ended with the alert."""

    channel: str = Field(description="Address of the endpoint, such as webhook or wecom.duty.")
    outcome: Literal["delivered", "failed"]
    attempts: int = Field(description="Attempts made.")
    at: Instant
    detail: str = Field(description="What the receiver said, or why the last attempt failed.")


class AcknowledgementOut(BaseModel):
    """Who took the alert over."""

    by: str
    note: str
    at: Instant


class AlertOut(BaseModel):
    """An alert with its state."""

    alert_id: str = Field(description="Stable id; also webhook-id and part of the mail's Message-ID.")
    rule: str = Field(description="Name of the rule; escalation and digest are about other alerts.")
    severity: Severity
    state: AlertState
    unit_id: str | None
    unit_name: str | None
    city: str = Field(description="First four digits of the city's code, or 'all'.")
    county: str = Field(description="Six-digit code, or 'all'.")
    title: str
    body: str
    evidence: tuple[str, ...] = Field(description="Ids of the events that it rests on.")
    figures: dict[str, str] = Field(description="The numbers and the threshold behind it.")
    known_at: Instant = Field(description="When the platform received the cause.")
    raised_at: Instant = Field(description="When the rule fired.")
    channels: tuple[str, ...] = Field(description="Channels that it is addressed to.")
    deliveries: tuple[DeliveryOut, ...]
    acknowledgement: AcknowledgementOut | None
    recipients: tuple[str, ...] = Field(description="Ids of those who are told; see explain.")
    about: tuple[str, ...] = Field(description="Alerts that an escalation or a digest is about.")
    condition: str | None = Field(description="When the rule fires, in Chinese.")
    snoozed_until: Instant | None = Field(description="Not escalated before; may be past.")

    @classmethod
    def of(cls, status: AlertStatus) -> "AlertOut":
        """Render `status`."""
        alert = status.alert
        taken = status.acknowledgement
        return cls(
            alert_id=alert.alert_id,
            rule=alert.rule,
            severity=alert.severity,
            state=status.state,
            unit_id=alert.unit_id,
            unit_name=alert.unit_name,
            city=alert.city,
            county=alert.county,
            title=alert.title,
            body=alert.body,
            evidence=alert.evidence,
            figures=dict(alert.figures),
            known_at=alert.known_at,
            raised_at=status.raised_at,
            channels=status.channels,
            deliveries=tuple(
                DeliveryOut(
                    channel=each.channel,
                    outcome=each.outcome.value,
                    attempts=each.attempts,
                    at=each.at,
                    detail=each.detail,
                )
                for each in status.deliveries
            ),
            acknowledgement=AcknowledgementOut(by=taken.by, note=taken.note, at=taken.at) if taken else None,
            recipients=tuple(each.recipient for each in status.background.tellings),
            about=status.background.about,
            condition=status.background.condition,
            snoozed_until=status.snooze.until if status.snooze else None,
        )


class AlertPage(BaseModel):
    """Alerts, newest first."""

    items: tuple[AlertOut, ...]
    next: str | None = Field(description="Pass it as `cursor` for the next page; null at the end.")


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that nobody sees; between digits they would hide a number from the scrubber."""


def _visible(text: str) -> str:
    for place, character in enumerate(text, start=1):
        if unicodedata.category(character) in _UNSEEN:
            raise InvalidValueError(
                f"U+{ord(character):04X} at character {place}",
                f"one line without control characters (found U+{ord(character):04X} at character {place})",
                "remove line breaks, tabs and invisible characters",
            )
    return text


Line = Annotated[str, AfterValidator(_visible)]


class AcknowledgeIn(BaseModel):
    """Who takes the alert over; telephone and identity numbers are taken out."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    by: Line | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Whoever asks, and nobody else; may be left out.",
    )
    note: Line = Field(default="", max_length=500, description="What will be done.")


def problems(*statuses: tuple[int, str]) -> dict[int | str, dict[str, Any]]:
    """Describe answers with an error; `describe_problems` adds what they look like, once for all routes."""
    return {status: {"description": text} for status, text in statuses}


_INVALID = (422, "A parameter is not acceptable.")
_AWAY = (503, "The broker is away, or history is still being read; see Retry-After.")


def parse_cursor(cursor: str | None) -> int | None:
    """Read a cursor of ours back.

    Raises:
        InvalidValueError: it is not one.
    """
    if cursor is None:
        return None
    if _CURSOR.fullmatch(cursor) is None:
        raise InvalidValueError(
            cursor, "the `next` of an earlier page", "start without a cursor", field="cursor"
        )
    return int(cursor, HEX)


def _known_rule(rule: str | None) -> str | None:
    if rule is not None and rule not in NAMES:
        raise InvalidValueError(rule, f"one of {', '.join(NAMES)}", "name a rule", field="rule")
    return rule


_Reader = Annotated[Principal, requires(Permission.ALERTS_READ)]
_Officer = Annotated[Principal, requires(Permission.ALERTS_ACK)]


def make_router(read: ReadAlerts, acknowledge: AcknowledgeAlert, places: AlertPlaces) -> APIRouter:
    """Return the routes under ``/v1/alerts``; `places` tell where an alert belongs."""
    router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

    @router.get("", summary="Recent alerts, newest first", responses=problems(_INVALID, _AWAY))
    async def list_alerts(  # noqa: PLR0913, PLR0917 - its query
        actor: _Reader,
        unit_id: Annotated[str | None, Query(max_length=64, description="Only this unit.")] = None,
        rule: Annotated[str | None, Query(max_length=64, description="Only this rule.")] = None,
        severity: Annotated[Severity | None, Query(description="Only this severity.")] = None,
        state: Annotated[AlertState | None, Query(description="Only open or acknowledged ones.")] = None,
        recipient: Annotated[str | None, Query(max_length=64, description="Only theirs.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most alerts to return.")] = 50,
        cursor: Annotated[str | None, Query(max_length=32, description="From the previous page.")] = None,
    ) -> AlertPage:
        within = places.eyes_of(actor)
        wanted = AlertFilter(unit_id, _known_rule(rule), severity, state, within, recipient)
        if unit_id is not None:
            places.require_known(unit_id)
        page, before = read.page(wanted, limit=limit, before=parse_cursor(cursor))
        return AlertPage(
            items=tuple(AlertOut.of(status) for status in page),
            next=None if before is None else f"{before:x}",
        )

    @router.get("/{alert_id}", summary="One alert", responses=problems((404, "No such recent alert."), _AWAY))
    async def get_alert(
        request: Request, alert_id: Annotated[str, Path(max_length=64)], actor: _Reader
    ) -> AlertOut:
        return AlertOut.of(places.require(actor, Permission.ALERTS_READ, alert_id, request.url.path))

    @router.post(
        "/{alert_id}/ack",
        summary="Take an alert over",
        description="In the name of whoever asks. Idempotent for them; answers once it is durable.",
        responses=problems(
            (404, "No such recent alert."), (409, "Another person has taken it over."), _INVALID, _AWAY
        ),
    )
    async def acknowledge_alert(
        alert_id: Annotated[str, Path(max_length=64)],
        body: AcknowledgeIn,
        request: Request,
        actor: _Officer,
    ) -> AlertOut:
        places.require(actor, Permission.ALERTS_ACK, alert_id, request.url.path)
        by = acting(actor, body.by, "by", request.url.path)
        context = current_context()
        provenance = Provenance(
            correlation_id=context.correlation_id or alert_id, traceparent=context.traceparent
        )
        status = await acknowledge(alert_id, by=by, note=body.note, provenance=provenance)
        return AlertOut.of(status)

    return router
