"""The HTTP side of people: why an alert was raised, putting it off, and who can be told."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.notify.application.explaining import ExplainAlert, Explanation
from services.notify.application.routing import Router
from services.notify.application.snoozing import SnoozeAlert
from services.notify.domain.alert import AlertStatus
from services.notify.domain.directory import STEP_LABELS
from services.notify.entrypoints.http import AlertOut, Line, problems
from services.notify.entrypoints.places import AlertPlaces
from shared.auth.access import acting, requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal
from shared.events import Provenance
from shared.events.base import Instant
from shared.observability.tracing import current_context

_Reader = Annotated[Principal, requires(Permission.ALERTS_READ)]
_Officer = Annotated[Principal, requires(Permission.ALERTS_ACK)]


class ToldOut(BaseModel):
    """One recipient, and when they are told."""

    recipient: str = Field(description="Id of the recipient; names and addresses are nowhere here.")
    label: str | None = Field(description="Their post; null if they are in the file no more.")
    role: str
    role_label: str = Field(description="Why they are told, in Chinese.")
    step: int | None = Field(description="Step of the chain, from 0.")
    channels: tuple[str, ...]
    held: str | None = Field(description="quiet, quota or grouped: told in a digest; null: at once.")
    due_at: Instant


class ExplanationOut(BaseModel):
    """Which events, which numbers, which threshold, which people."""

    alert: AlertOut
    label: str = Field(description="The rule's name in Chinese.")
    watches: tuple[str, ...] = Field(description="Events that the rule looks at.")
    condition: str | None = Field(description="When it fires, in Chinese, by the rule pack of that day.")
    rules: str | None = Field(description="Hash of that rule pack.")
    events: tuple[str, ...] = Field(description="Ids of the events that it rests on.")
    numbers: dict[str, str] = Field(description="What was found.")
    threshold: str | None = Field(description="The line that it was held against.")
    told: tuple[ToldOut, ...] = Field(description="Recipients so far, those of escalations included.")
    escalations: tuple[str, ...] = Field(description="Ids of the escalations, in order.")


class SnoozeIn(BaseModel):
    """Until when nobody else is to be told."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    by: Line | None = Field(
        default=None, min_length=1, max_length=64, description="Whoever asks, and nobody else."
    )
    until: AwareDatetime = Field(description="RFC 3339, within the rule pack's limit.")
    note: Line = Field(default="", max_length=500, description="Why.")


class RecipientOut(BaseModel):
    """Somebody who can be told."""

    recipient: str
    label: str
    channels: tuple[str, ...]
    reachable: bool = Field(description="Whether one of their channels is switched on.")
    held: int = Field(description="Alerts held back for their next digest.")


class RecipientPage(BaseModel):
    """Everybody who can be told, by id."""

    items: tuple[RecipientOut, ...]


def _told(statuses: tuple[AlertStatus, ...], router: Router) -> tuple[ToldOut, ...]:
    people = router.directory.book.recipients
    return tuple(
        ToldOut(
            recipient=each.recipient,
            label=people[each.recipient].label if each.recipient in people else None,
            role=each.role,
            role_label=STEP_LABELS.get(each.role, each.role),
            step=each.step,
            channels=each.channels,
            held=each.held,
            due_at=each.due_at,
        )
        for status in statuses
        for each in status.background.tellings
    )


def _explained(found: Explanation, router: Router) -> ExplanationOut:
    status = found.status
    return ExplanationOut(
        alert=AlertOut.of(status),
        label=found.label,
        watches=found.watches,
        condition=status.background.condition,
        rules=status.background.rules,
        events=status.alert.evidence,
        numbers=dict(found.numbers),
        threshold=found.threshold,
        told=_told((status, *found.escalations), router),
        escalations=tuple(each.alert.alert_id for each in found.escalations),
    )


def make_duty_router(
    explain: ExplainAlert, snooze: SnoozeAlert, router: Router, places: AlertPlaces
) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["alerts"])
    missing, away = (404, "No such recent alert."), (503, "The broker is away; see Retry-After.")

    @routes.get(
        "/v1/alerts/{alert_id}/explain",
        summary="Why it was raised, and who is told",
        responses=problems(missing, away),
    )
    async def explain_alert(
        request: Request, alert_id: Annotated[str, Path(max_length=64)], actor: _Reader
    ) -> ExplanationOut:
        places.require(actor, Permission.ALERTS_READ, alert_id, request.url.path)
        return _explained(explain(alert_id), router)

    @routes.post(
        "/v1/alerts/{alert_id}/snooze",
        summary="Put an alert off",
        description="It is not escalated before then. Answers once that is durable.",
        responses=problems(
            missing, (409, "Somebody has taken it over."), (422, "A field is not acceptable."), away
        ),
    )
    async def snooze_alert(
        alert_id: Annotated[str, Path(max_length=64)], body: SnoozeIn, request: Request, actor: _Officer
    ) -> AlertOut:
        places.require(actor, Permission.ALERTS_ACK, alert_id, request.url.path)
        by = acting(actor, body.by, "by", request.url.path)
        context = current_context()
        provenance = Provenance(
            correlation_id=context.correlation_id or alert_id, traceparent=context.traceparent
        )
        status = await snooze(alert_id, by=by, until=body.until, note=body.note, provenance=provenance)
        return AlertOut.of(status)

    @routes.get("/v1/recipients", summary="Who can be told")
    async def list_recipients(actor: _Reader) -> RecipientPage:
        del actor  # posts and names of channels are for everybody who may see alerts
        book = router.directory.book
        return RecipientPage(
            items=tuple(
                RecipientOut(
                    recipient=name,
                    label=person.label,
                    channels=person.channels,
                    reachable=router.reachable(person.channels),
                    held=router.ledger.held_for(name),
                )
                for name, person in sorted(book.recipients.items())
            )
        )

    return routes
