"""The HTTP interface to people's data: erasing it, and reading it by two people's consent.

Whoever may not see a rating gets the same 404 as for one that does not exist. Answers with content forbid
caching; nothing of it goes into a log or a metric.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, FastAPI, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.intake.application.errors import RejectedError
from services.intake.application.people import Custodian, Erasure
from services.intake.domain.unmasking import Actor, Part, Unmasking
from services.intake.entrypoints.actors import acting_with
from services.intake.entrypoints.bodies import describe_errors, refuse_repeats
from services.intake.entrypoints.keeping import KeeperState
from services.intake.entrypoints.reading import headers_of, read_body, require_readable
from services.intake.entrypoints.writing import JSON_TYPES, problems, provenance, rejection, unavailable
from services.intake.settings import Settings
from shared.auth.access import PUBLIC, requires
from shared.auth.grants import Permission
from shared.kernel.clock import rfc3339
from shared.kernel.errors import TransientError
from shared.kernel.people_reasons import ErasureReason, UnmaskReason
from shared.observability.problem import ProblemError, validation_problem

B = TypeVar("B", bound=BaseModel)

_ALL: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_MAX_BODY: Final = 4096

_By = Annotated[Actor, acting_with(Permission.IDENTITY_UNMASK)]
_Eraser = Annotated[Actor, acting_with(Permission.IDENTITY_ERASE)]
_EventId = Annotated[str, Path(description="Event id of the rating.", max_length=64)]
_RequestId = Annotated[str, Path(description="Id of the unmasking, from the answer.", max_length=64)]
_Code = Annotated[str, Path(description="Receipt code, in any case, with or without hyphens.", max_length=64)]
_Record = Annotated[str, Path(description="Name of the vault's record, from the event.", max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ErasureBody(_Body):
    """Why text and contact shall be destroyed."""

    reason: Annotated[ErasureReason, Field(description="Why.")] = ErasureReason.CONSENT_WITHDRAWN


class UnmaskingBody(_Body):
    """Why a text or a contact has to be read, and which of them."""

    reason: Annotated[UnmaskReason, Field(description="Why.")]
    parts: Annotated[
        tuple[Part, ...], Field(description="text, contact, or both.", min_length=1, max_length=2)
    ]


class ErasureAnswer(BaseModel):
    """Nobody can read text and contact of the rating any more."""

    erased: Annotated[bool, Field(description="False: the rating kept neither text nor contact.")]
    record: Annotated[str | None, Field(description="Name of the record that was destroyed.")]
    again: Annotated[bool, Field(description="True: it had been destroyed before.")]


class UnmaskingAnswer(BaseModel):
    """One unmasking."""

    request_id: str
    event_id: Annotated[str, Field(description="The rating.")]
    reason: UnmaskReason
    parts: list[Part]
    requested_by: str
    decided_by: str | None
    state: Annotated[str, Field(description="waiting, approved, refused or expired.")]
    expires_at: Annotated[str, Field(description="End of the time to decide, or to read once approved.")]
    shown: Annotated[int, Field(description="How often it was read.")]


class ContactAnswer(BaseModel):
    """How to call the citizen back."""

    name: str | None = None
    phone: str | None = None
    id_number: str | None = None
    email: str | None = None
    account: str | None = None


class DisclosureAnswer(BaseModel):
    """What was asked for. Not to be stored or passed on."""

    text: str | None
    contact: ContactAnswer | None


class VaultAnswer(BaseModel):
    """How the vault's keys stand."""

    keys: Annotated[list[str], Field(description="Live key-encryption keys, the newest last.")]
    newest: str
    passed_at: Annotated[
        str | None, Field(description="Begin of the last complete pass since the keys have changed.")
    ]
    records: Annotated[dict[str, int] | None, Field(description="Records by key after that pass.")]
    unopened: Annotated[int | None, Field(description="Records that no live key opens.")]
    removable: Annotated[list[str], Field(description="Earlier keys that no record needs any more.")]


@dataclass(frozen=True, slots=True)
class PeopleParts:
    """What the routes call."""

    custodian: Custodian
    keeper: KeeperState
    settings: Settings
    random: Random


def add_people_routes(app: FastAPI, parts: PeopleParts) -> None:
    """Add the routes about people's data to `app`."""
    router = APIRouter(tags=["people"], responses=_ALL)
    _add_erasures(router, parts)
    _add_requests(router, parts)
    _add_disclosure(router, parts)
    _add_vault(router, parts)
    app.include_router(router)


def _add_erasures(router: APIRouter, parts: PeopleParts) -> None:
    custodian = parts.custodian

    async def reason_of(request: Request) -> ErasureReason:
        return (await _read(request, ErasureBody, parts.settings)).reason

    @router.post(
        "/v1/receipts/{code}/erasure",
        summary="Destroy text and contact",
        dependencies=[PUBLIC],
        **_takes(ErasureBody),
    )
    async def by_receipt(code: _Code, request: Request) -> ErasureAnswer:
        """As the citizen who holds the receipt. The rating stays; nobody can read its text any more."""
        reason = await reason_of(request)
        with _later(request, parts.random):
            return _erased(await custodian.erase_by_receipt(code, reason, provenance()))

    @router.post("/v1/feedback/{event_id}/erasure", summary="Destroy text and contact", **_takes(ErasureBody))
    async def by_event(event_id: _EventId, actor: _Eraser, request: Request) -> ErasureAnswer:
        """As staff above the rated unit."""
        reason = await reason_of(request)
        with _later(request, parts.random):
            return _erased(await custodian.erase_by_event(actor, event_id, reason, provenance()))

    @router.post("/v1/vault/{record}/erasure", summary="Destroy a record by its name", **_takes(ErasureBody))
    async def by_record(record: _Record, actor: _Eraser, request: Request) -> ErasureAnswer:
        """For ratings older than the index; as the province's staff."""
        reason = await reason_of(request)
        with _later(request, parts.random):
            return _erased(await custodian.erase_record(actor, record, reason, provenance()))


def _add_requests(router: APIRouter, parts: PeopleParts) -> None:
    custodian = parts.custodian

    @router.post(
        "/v1/feedback/{event_id}/unmaskings",
        summary="Ask to read a text or a contact",
        status_code=202,
        **_takes(UnmaskingBody),
    )
    async def ask(event_id: _EventId, actor: _By, request: Request) -> UnmaskingAnswer:
        """A second person has to agree before anything is shown."""
        body = await _read(request, UnmaskingBody, parts.settings)
        wanted = tuple(dict.fromkeys(body.parts))
        with _later(request, parts.random):
            asked = await custodian.ask(actor, event_id, body.reason, wanted, provenance())
        return _unmasking(asked, "waiting")

    @router.get("/v1/unmaskings/{request_id}", summary="How an unmasking stands")
    async def look(request_id: _RequestId, actor: _By, request: Request) -> UnmaskingAnswer:
        """Reason, people and state; never what is kept."""
        with _later(request, parts.random):
            found, state = await custodian.look_at(actor, request_id)
        return _unmasking(found, state)

    @router.post("/v1/unmaskings/{request_id}/approval", summary="Agree to an unmasking", status_code=202)
    async def approve(request_id: _RequestId, actor: _By, request: Request) -> UnmaskingAnswer:
        """As another person than who asked."""
        with _later(request, parts.random):
            decided = await custodian.decide(actor, request_id, approved=True, provenance=provenance())
        return _unmasking(decided, "approved")

    @router.post("/v1/unmaskings/{request_id}/refusal", summary="Refuse an unmasking", status_code=202)
    async def refuse(request_id: _RequestId, actor: _By, request: Request) -> UnmaskingAnswer:
        """As another person than who asked; for good."""
        with _later(request, parts.random):
            decided = await custodian.decide(actor, request_id, approved=False, provenance=provenance())
        return _unmasking(decided, "refused")


def _add_disclosure(router: APIRouter, parts: PeopleParts) -> None:
    @router.post("/v1/unmaskings/{request_id}/disclosure", summary="Read what was asked for")
    async def disclose(
        request_id: _RequestId, actor: _By, request: Request, response: Response
    ) -> DisclosureAnswer:
        """As who asked, once another person has agreed. Each reading is archived before it happens."""
        with _later(request, parts.random):
            shown = await parts.custodian.disclose(actor, request_id, provenance())
        response.headers["Cache-Control"] = "no-store"
        contact = None if shown.contact is None else ContactAnswer(**shown.contact.given())
        return DisclosureAnswer(text=shown.text, contact=contact)


def _add_vault(router: APIRouter, parts: PeopleParts) -> None:
    @router.get(
        "/v1/vault",
        summary="How the vault's keys stand",
        dependencies=[requires(Permission.VAULT_READ)],
    )
    async def vault() -> VaultAnswer:
        """Which keys are live and how many records are under each; nothing about any record."""
        keeper, last = parts.keeper, parts.keeper.last
        earlier = keeper.keys[:-1]
        free = [key for key in earlier if last is not None and not last.unopened and not last.by_key[key]]
        return VaultAnswer(
            keys=list(keeper.keys),
            newest=keeper.keys[-1],
            passed_at=None if last is None else rfc3339(last.began_at),
            records=None if last is None else dict(last.by_key),
            unopened=None if last is None else last.unopened,
            removable=free,
        )


def _takes(body: type[BaseModel]) -> dict[str, Any]:
    """The description of a body that the route reads by itself, with a bound on its size."""
    schema = body.model_json_schema()
    return {"openapi_extra": {"requestBody": {"content": {JSON_TYPES[0]: {"schema": _flat(schema)}}}}}


def _flat(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with its definitions in place: an operation has nowhere to keep them."""
    definitions = schema.pop("$defs", {})

    def resolved(part: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            rest = {key: resolved(value) for key, value in part.items() if key != "$ref"}
            return {**resolved(definitions[name]), **rest} if name in definitions else rest
        return [resolved(each) for each in part] if isinstance(part, list) else part

    found: dict[str, Any] = resolved(schema)
    return found


async def _read(request: Request, model: type[B], settings: Settings) -> B:
    """The body of a request; nothing at all stands for a body without members."""
    raw = await read_body(request.receive, _MAX_BODY, settings.body_timeout_s, "send the listed fields")
    instance = request.url.path
    if raw:
        require_readable(headers_of(request.scope), JSON_TYPES)
    try:
        body = model.model_validate_json(raw or b"{}")
        refuse_repeats(raw or b"{}")
    except ValidationError as error:
        raise ProblemError(validation_problem(describe_errors(error), instance)) from None
    except RejectedError as error:
        raise rejection(error, instance, "The request is not valid") from error
    return body


@contextmanager
def _later(request: Request, random: Random) -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        again = "Send the same request again after {seconds} s: what was done stays done."
        raise unavailable(error, again, request.url.path, random) from error


def _erased(erasure: Erasure) -> ErasureAnswer:
    return ErasureAnswer(erased=erasure.record is not None, record=erasure.record, again=erasure.again)


def _unmasking(unmasking: Unmasking, state: str) -> UnmaskingAnswer:
    approval = unmasking.approval
    return UnmaskingAnswer(
        request_id=unmasking.request_id,
        event_id=unmasking.target_id,
        reason=unmasking.reason,
        parts=list(unmasking.parts),
        requested_by=unmasking.requested_by,
        decided_by=approval.decided_by if approval is not None else None,
        state=state,
        expires_at=rfc3339(approval.expires_at if approval is not None else unmasking.expires_at),
        shown=unmasking.shown,
    )
