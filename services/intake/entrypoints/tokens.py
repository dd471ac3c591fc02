"""One-time tokens over HTTP: issuing them, one or many for printing, their state, and their QR codes."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, FastAPI, Header, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.intake.application.tokens import Issued, Order, TokenOffice, TokenState
from services.intake.domain.tokens import MAX_TEXT
from services.intake.entrypoints.bodies import Reference
from services.intake.entrypoints.channels import require_may_issue
from services.intake.entrypoints.http import HttpParts
from services.intake.entrypoints.writing import problems
from shared.auth.access import PUBLIC, require_within, requires
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal
from shared.kernel.clock import rfc3339
from shared.kernel.errors import NotFoundError

PATH: Final = "/v1/tokens"
AT_ONCE: Final = 250
"""Tokens made at a stretch, about 2 ms of work, so that nobody waits for a print run."""
SHARE: Final = "tokens"
A_RATINGS_WORK: Final = 50
"""So many tokens are as much work as a rating."""

QrCode = Callable[[str, Literal["svg", "png"]], bytes]
_MEDIA: Final = {"svg": "image/svg+xml", "png": "image/png"}
_NDJSON: Final = "application/x-ndjson"
_CSV: Final = "text/csv"
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_encode: Final = msgspec.json.Encoder().encode


class TokenBody(BaseModel):
    """Which tokens to issue."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"unit_id": "U000112", "valid_days": 7}]},
    )

    unit_id: Annotated[str, Field(description="The unit that may be rated.", min_length=1, max_length=64)]
    transaction_id: Annotated[
        Reference | None,
        Field(description="The service transaction 办件号 that it is for; kept as a pseudonym only."),
    ] = None
    valid_days: Annotated[
        int | None,
        Field(description="Days that it is valid; the rule pack's if left out.", strict=True, ge=1),
    ] = None
    count: Annotated[
        int | None, Field(description="How many; then the answer is NDJSON, or CSV.", strict=True, ge=1)
    ] = None


class TokenAnswer(BaseModel):
    """A fresh token. It is stored nowhere: whoever loses it needs another one."""

    token: Annotated[str, Field(description="Send it as `token` with the rating; in a QR code as `url`.")]
    url: Annotated[str, Field(description="What the QR code says: the page for citizens, with the token.")]
    unit_id: str
    expires_at: Annotated[str, Field(description="RFC 3339 UTC.")]


class TokenStateAnswer(BaseModel):
    """What a token is worth; what it was used for is not said."""

    state: TokenState
    unit_id: Annotated[
        str, Field(description="The unit to rate: who issued it, or its successor where that was merged.")
    ]
    issued_by: Annotated[str, Field(description="The unit that it was issued for.")]
    unit_name: Annotated[str | None, Field(description="Null if the registry no longer has the unit.")]
    expires_at: Annotated[str, Field(description="RFC 3339 UTC.")]


_Token = Annotated[str, Path(description="The token as it was issued.", max_length=MAX_TEXT)]
_PROBLEMS: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


def add_token_routes(app: FastAPI, office: TokenOffice, parts: HttpParts, qr_code: QrCode) -> None:
    """Add the routes to `app`; a QR code says the setting `rating_url` followed by the token."""
    router = APIRouter(tags=["tokens"])
    units, rating_url = parts.units, parts.settings.rating_url

    def described(issued: Issued) -> dict[str, str]:
        return {
            "token": issued.text,
            "url": rating_url + issued.text,
            "unit_id": issued.token.unit_id,
            "expires_at": rfc3339(issued.token.expires_at),
        }

    @router.post(
        PATH,
        summary="Issue one-time tokens: one as JSON, or many for printing as NDJSON or CSV",
        status_code=HTTPStatus.CREATED,
        response_model=TokenAnswer,
        responses={
            HTTPStatus.CREATED.value: {
                "content": {
                    _NDJSON: {"schema": {"type": "string", "description": "TokenAnswer per line"}},
                    _CSV: {"schema": {"type": "string", "description": "The fields of TokenAnswer"}},
                }
            },
            **problems(*_PROBLEMS, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
        },
    )
    async def issue(
        body: TokenBody,
        request: Request,
        actor: Annotated[Principal, requires(Permission.TOKENS_ISSUE)],
        accept: Annotated[str, Header(description="text/csv for CSV, where `count` is given.")] = "",
    ) -> Response:
        """Issue tokens. The same request again issues others: none is kept, none can be listed.

        Of channel systems those may whose channels are believed the transaction that a client names.
        """
        require_may_issue(actor, parts.rules.at(parts.clock.now()).intake, request.url.path)
        if body.unit_id in units:  # an unknown one is answered below
            place = Place.of_unit(units.get(body.unit_id))
            missing = partial(_not_theirs, body.unit_id)
            require_within(actor, Permission.TOKENS_ISSUE, place, missing, request.url.path)
        order = Order(body.unit_id, body.count or 1, body.transaction_id, body.valid_days)
        tokens = office.issue(order)
        with parts.doors.place(SHARE, request.url.path, 1 + order.count // A_RATINGS_WORK):
            if body.count is None:
                headers = _NOT_KEPT | {"Content-Type": "application/json"}
                return Response(_encode(described(next(tokens))), HTTPStatus.CREATED, headers)
            as_csv = _CSV in accept.lower()
            pieces = _pieces(map(described, tokens), _csv_piece if as_csv else _ndjson_piece)
            return Response(
                b"".join([piece async for piece in pieces]),
                HTTPStatus.CREATED,
                _NOT_KEPT,
                f"{_CSV}; charset=utf-8" if as_csv else _NDJSON,
            )

    @router.get(
        f"{PATH}/{{token}}",
        summary="Whether a token can be used",
        dependencies=[PUBLIC],
        responses=problems(*_PROBLEMS, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def state(token: _Token) -> TokenStateAnswer:
        """Tell whether a token is valid, used or expired; a forged one is not found, whatever is wrong."""
        genuine = office.genuine(token)
        unit_id = office.rated_with(genuine)
        try:
            name = units.get(unit_id).name
        except NotFoundError:
            name = None
        return TokenStateAnswer(
            state=office.state(genuine),
            unit_id=unit_id,
            issued_by=genuine.unit_id,
            unit_name=name,
            expires_at=rfc3339(genuine.expires_at),
        )

    @router.get(
        f"{PATH}/{{token}}/qr.{{form}}",
        summary="The token as a QR code",
        dependencies=[PUBLIC],
        response_class=Response,
        responses={
            HTTPStatus.OK.value: {"content": {media: {} for media in _MEDIA.values()}},
            **problems(*_PROBLEMS),
        },
    )
    async def qr(
        token: _Token, form: Annotated[Literal["svg", "png"], Path(description="Kind of picture.")]
    ) -> Response:
        """Draw a genuine token, expired or not."""
        office.genuine(token)
        return Response(qr_code(rating_url + token, form), headers=_NOT_KEPT, media_type=_MEDIA[form])

    app.include_router(router)


def _not_theirs(unit_id: str) -> NotFoundError:
    return NotFoundError(unit_id, "a unit within your scope", "name one of yours", field="unit_id")


async def _pieces(
    rows: Iterator[dict[str, str]], encode: Callable[[list[dict[str, str]], bool], bytes]
) -> AsyncIterator[bytes]:
    first = True
    while piece := list(islice(rows, AT_ONCE)):
        yield encode(piece, first)
        first = False
        await asyncio.sleep(0)


def _ndjson_piece(rows: list[dict[str, str]], _first: bool) -> bytes:  # noqa: FBT001 - as `_csv_piece`
    return b"".join(_encode(row) + b"\n" for row in rows)


def _csv_piece(rows: list[dict[str, str]], first: bool) -> bytes:  # noqa: FBT001 - called by position only
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\r\n")
    if first:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
