"""The HTTP side of channels: which endpoints there are, what waits for them, and enabling one again."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from services.notify.application.disabling import EnableEndpoint, EndpointDirectory
from services.notify.application.dispatching import Deliveries
from services.notify.application.ports import EndpointStates
from services.notify.domain.channels import Endpoint
from services.notify.entrypoints.http import Line
from shared.auth.access import acting, requires
from shared.auth.grants import Permission
from shared.auth.principals import Principal
from shared.events import Provenance
from shared.observability.tracing import current_context

_Reader = Annotated[Principal, requires(Permission.CHANNELS_READ)]
_Operator = Annotated[Principal, requires(Permission.CHANNELS_CHANGE)]


class DisabledOut(BaseModel):
    """Why an endpoint is not used."""

    since: str = Field(description="Time, RFC 3339.")
    reason: str = Field(description="What the receiver said.")
    alert_id: str = Field(description="The alert that was answered so.")


class ChannelOut(BaseModel):
    """One endpoint; never its URL, which may hold a key, and never a person's number."""

    address: str
    kind: str
    target: str = Field(description="Host that it is at.")
    all_alerts: bool = Field(description="Whether every alert goes there.")
    per_minute: int | None = Field(description="Most attempts in a minute.")
    retry_for_s: float = Field(description="Seconds after which an alert is given up.")
    waiting: int = Field(
        description="Alerts that wait for another attempt or for their turn, in this replica."
    )
    down: bool = Field(description="It has failed many times in a row and is tried by single alerts.")
    disabled: DisabledOut | None


class ChannelList(BaseModel):
    """All endpoints."""

    items: tuple[ChannelOut, ...]


class EnableIn(BaseModel):
    """Who enables the endpoint."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    by: Line | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Whoever asks, and nobody else; may be left out.",
    )


def add_channel_routes(
    app: FastAPI,
    directory: EndpointDirectory,
    states: EndpointStates,
    deliveries: Mapping[str, Deliveries],
    enable: EnableEndpoint,
) -> None:
    """Add the routes under ``/v1/channels`` to `app`; `deliveries` are by address."""
    router = APIRouter(prefix="/v1/channels", tags=["channels"])

    def shown(endpoint: Endpoint) -> ChannelOut:
        found, disabled = deliveries[endpoint.address], states.disabled(endpoint)
        return ChannelOut(
            address=endpoint.address,
            kind=endpoint.kind,
            target=endpoint.target,
            all_alerts=endpoint.all_alerts,
            per_minute=endpoint.per_minute,
            retry_for_s=sum(endpoint.retry_delays_s),
            waiting=found.waiting,
            down=found.lane.down,
            disabled=None
            if disabled is None
            else DisabledOut(since=disabled.at, reason=disabled.reason, alert_id=disabled.alert_id),
        )

    @router.get("", summary="Endpoints of all channels")
    async def list_channels(actor: _Reader) -> ChannelList:
        del actor  # endpoints are everybody's: the permission is the province's
        return ChannelList(items=tuple(shown(endpoint) for endpoint in directory.all()))

    @router.post(
        "/{address}/enable",
        summary="Use an endpoint again that answered 410",
        description="Idempotent. What it missed meanwhile is not sent after; replay dead letters for that.",
    )
    async def enable_channel(
        address: Annotated[str, Path(max_length=64)], body: EnableIn, request: Request, actor: _Operator
    ) -> ChannelOut:
        by = acting(actor, body.by, "by", request.url.path)
        context = current_context()
        provenance = Provenance(
            correlation_id=context.correlation_id or address, traceparent=context.traceparent
        )
        return shown(await enable(address, by=by, provenance=provenance))

    app.include_router(router)
