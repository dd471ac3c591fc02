"""Letting requests in: who is it, and may they do this? The one place where every service asks.

Each route declares what it takes, `requires(Permission.X)`, or that it is `PUBLIC`; `protect` refuses an app
with a route that says neither. A request without proof is refused before its body is read::

    @router.get("/v1/alerts")
    async def list_alerts(actor: Annotated[Principal, requires(Permission.ALERTS_READ)]) -> AlertPage: ...

What a request is about is known to the endpoint alone: it asks `require_within` there.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.auth.credentials import PREFIX, KnownKey, Signing
from shared.auth.grants import WHAT, Permission, Verdict, holds, judge
from shared.auth.nonces import LocalNonces, Nonces, NoncesUnavailableError, SharedNonces
from shared.auth.principals import Place, Principal, Tier
from shared.auth.settings import AccessSettings
from shared.auth.signing import SCHEME, TOLERANCE_S, Signature, parse_signature
from shared.auth.sources import Sources
from shared.auth.tokens import TokenError, UnknownKeyError
from shared.messaging.session import BrokerSession
from shared.observability.head_only import asked_method
from shared.observability.openapi import SCHEMA
from shared.observability.problem import MEDIA_TYPE, Problem, ProblemError, urn

OPEN: Final = frozenset(
    {
        "/livez", "/readyz", "/metrics", "/docs", "/docs/assets", "/openapi.json",
        # Of an app made without `docs_url=None`, as tests make them.
        "/docs/oauth2-redirect", "/redoc",
    }
)  # fmt: skip
"""Open in every service, for probes, Prometheus and readers of the API; the network guards them."""

_Handle = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

MOST_HELD: Final = 1000
"""Principals of whom a route remembers that they hold its permission."""
PRINCIPAL: Final = "pingyi.principal"
"""Key of the ASGI scope under which an admitted request carries its `Principal`."""

UNCHECKED: Final = "pingyi.nonce.unchecked"
"""Key of the ASGI scope; true of a signed request of which nobody can say whether it came before."""
RETRY_AFTER_S: Final = 15

UNAUTHENTICATED: Final = 401
FORBIDDEN: Final = 403
UNAVAILABLE: Final = 503

_BEARER: Final = b"bearer "
_KEY: Final = PREFIX.encode()
_SIGNED: Final = f"{SCHEME} ".lower().encode()
_CHALLENGE: Final = f'Bearer realm="pingyi", {SCHEME} realm="pingyi"'


class Access:
    """Finds out who a request is from, against what `Sources` has in force."""

    def __init__(
        self, sources: Sources, nonces: Nonces | None = None, now: Callable[[], float] = time.time
    ) -> None:
        """Remember nonces in `nonces`, by default in this process alone; `now` gives Unix seconds."""
        self.sources = sources
        self._nonces = nonces or LocalNonces()
        self._now = now

    @classmethod
    def of(cls, settings: AccessSettings, session: BrokerSession | None = None) -> "Access":
        """By a service's settings; nonces are shared through `session`, where there is one."""
        return cls(Sources(settings), None if session is None else SharedNonces(session))

    async def identify(self, scope: Scope) -> tuple[Principal, Signature | None]:
        """Who the request is from; with a signature, its body is still to be compared.

        Raises:
            ProblemError: 401, it proves nothing.
        """
        given = _authorization(scope)
        if given is None:
            raise _unauthenticated(
                "Nothing proves who asks", "send a key or a token in the header Authorization"
            )
        if given[: len(_BEARER)].lower() == _BEARER:
            return self._by_bearer(given[len(_BEARER) :].strip()), None
        if given[: len(_SIGNED)].lower() == _SIGNED:
            return await self._by_signature(given[len(_SIGNED) :].decode("latin-1"), scope)
        raise _unauthenticated("An unknown scheme", f"use Bearer or {SCHEME}")

    def sees_whole(self, request: Request, permission: Permission) -> bool:
        """Whether a request to a public route proves that it may do more there, in the whole province.

        Raises:
            ProblemError: 401, it has a proof that is no good.
        """
        given = _authorization(request.scope)
        if given is None or given[: len(_BEARER)].lower() != _BEARER:
            return False
        principal = self._by_bearer(given[len(_BEARER) :].strip())
        return principal.scope.tier is Tier.PROVINCE and holds(principal, permission)

    def _by_bearer(self, proof: bytes) -> Principal:
        return self._by_key(proof) if proof.startswith(_KEY) else self._by_token(proof)

    def _by_key(self, key: bytes) -> Principal:
        known = self.sources.keys.find(key, self._now())
        if known is None:
            raise _unauthenticated(
                "The key is unknown, expired or revoked", "use the key that was issued last", invalid=True
            )
        if known.credential.signing is Signing.REQUIRED:
            raise _unauthenticated("This credential has to sign its requests", f"sign them with {SCHEME}")
        return known.principal

    def _by_token(self, token: bytes) -> Principal:
        try:
            return self.sources.tokens.principal(token, self._now())
        except TokenError as error:
            if isinstance(error, UnknownKeyError):
                self.sources.want_keys()
            # What to do stands in the error already.
            why = str(error).removesuffix(".")
            raise _unauthenticated("The token proves nothing", why, invalid=True) from error

    async def _by_signature(self, parameters: str, scope: Scope) -> tuple[Principal, Signature]:
        signature = parse_signature(parameters)
        if signature is None:
            raise _unauthenticated("The signature is malformed", "write the header as docs/access.md says")
        now = self._now()
        known = self._signer(signature, scope, now)
        if known is None:
            raise _unauthenticated(
                "The signature is not one of a known credential that signs",
                "sign method, path with query, time, nonce and the body's hash with the derived key",
                invalid=True,
            )
        if abs(signature.timestamp - now) > TOLERANCE_S:
            raise _unauthenticated(
                f"The signature's time is off by more than {TOLERANCE_S} s", "correct the clock", invalid=True
            )
        try:
            new = await self._nonces.take(signature.credential_id, signature.nonce, now)
        except NoncesUnavailableError:
            new = scope[UNCHECKED] = True
        if not new:
            raise _unauthenticated("The nonce came before", "sign each request anew", invalid=True)
        return known.principal, signature

    def _signer(self, signature: Signature, scope: Scope, now: float) -> KnownKey | None:
        query = scope["query_string"].decode("latin-1")
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        address = f"{path}?{query}" if query else path
        found = None
        for known in self.sources.keys.of(signature.credential_id, now):
            key = known.secret.signing_key
            if key is not None and signature.is_by(key, asked_method(scope), address):
                found = known
        return found

    def guarding(self, endpoint: ASGIApp, permission: Permission, *, knows_repeats: bool = False) -> ASGIApp:
        """`endpoint` for those who hold `permission` only; the request then carries its principal.

        A signed request of which nobody can say whether it came before is refused (503), unless the endpoint
        `knows_repeats`: then it calls `require_once` for whatever it would do twice.
        """
        held: dict[int, Principal] = {}  # keeps each alive, so that no other gets its id

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            principal, signature = await self.identify(scope)
            if not knows_repeats:
                require_once(scope)
            if held.get(id(principal)) is not principal:
                if not holds(principal, permission):
                    raise _forbidden(principal, permission, scope["path"])
                if len(held) >= MOST_HELD:
                    held.clear()
                held[id(principal)] = principal
            scope[PRINCIPAL] = principal
            if signature is not None:
                receive = _comparing(receive, signature.body_sha256)
            await endpoint(scope, receive, send)

        return guarded


class Guard(SecurityBase):
    """The dependency that `requires` makes: gives the principal whom `protect` has let in."""

    def __init__(self, permission: Permission, *, knows_repeats: bool = False) -> None:
        """Stand for `permission`; `knows_repeats` as in `Access.guarding`."""
        self.permission = permission
        self.knows_repeats = knows_repeats
        self.model = HTTPBearer(
            description="A key pk_<id>.<secret> of a channel system, or a token of staff."
        )
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Principal:
        """The principal of the request."""
        return principal_of(request.scope)


class Open:
    """The dependency that `PUBLIC` is: nothing."""

    async def __call__(self) -> None:
        """Let everybody pass."""


PUBLIC: Any = Depends(Open())
"""For ``dependencies=[PUBLIC]`` of a route, or of a router of which every route is public."""


def requires(permission: Permission, *, knows_repeats: bool = False) -> Any:  # noqa: ANN401 - as `fastapi.Depends`, which says Any itself
    """Declare what a route takes; as a parameter's annotation it gives the `Principal`.

    `knows_repeats` as in `Access.guarding`.
    """
    return Depends(Guard(permission, knows_repeats=knows_repeats))


def require_once(scope: Scope) -> None:
    """Return unless the request may be another's, sent again: signed, and its nonce can't be looked up.

    Raises:
        ProblemError: 503, it may come again later, signed anew.
    """
    if scope.get(UNCHECKED, False):
        detail = (
            "Nobody can say at present whether this signed request came before. Send it again after "
            f"{RETRY_AFTER_S} s, signed anew; a rating with a client_ref or a one-time token is taken now."
        )
        problem = Problem(urn("unavailable"), "Temporarily unavailable", UNAVAILABLE, detail, scope["path"])
        raise ProblemError(problem, {"Retry-After": str(RETRY_AFTER_S)})


def principal_of(scope: Scope) -> Principal:
    """Whom a guarded route has let in.

    Raises:
        RuntimeError: nobody was asked: the app is not protected.
    """
    found = scope.get(PRINCIPAL)
    if not isinstance(found, Principal):
        raise RuntimeError("a guarded route was reached without `protect`: nobody was asked who they are")  # noqa: TRY004 - a defect of the composition, no wrong type
    return found


def declared(route: RouteContext) -> Permission | None:
    """What a route takes; None if it is public.

    Raises:
        LookupError: it does not say.
    """
    path = route.path or ""
    if isinstance(route.original_route, APIRoute):
        found = [] if route.dependant is None else _declarations(route.dependant)
        permissions = {each.permission for each in found if isinstance(each, Guard)}
        if len(permissions) == 1 and len({type(each) for each in found}) == 1:
            return permissions.pop()
        if not permissions and (found or path in OPEN):
            return None
    elif path in OPEN:
        return None
    raise LookupError(
        f"{path}: expected exactly one of `requires(Permission.…)` and PUBLIC; see shared/auth/access.py"
    )


def _declarations(dependant: Dependant) -> list[Guard | Open]:
    found = [dependant.call] if isinstance(dependant.call, Guard | Open) else []
    for each in dependant.dependencies:
        found += _declarations(each)
    return found


def protect(app: FastAPI, access: Access) -> FastAPI:
    """Guard every route of `app`, which is complete and `install`ed, with what it declares.

    Says so in OpenAPI, adds the check ``access`` to its health, and keeps keys fresh as long as it lives. A
    route that is added afterwards keeps the app from starting.

    Raises:
        LookupError: a route declares nothing: better no service than an open one.
    """
    known = set()
    for context in iter_route_contexts(app.routes):
        known.add(id(context.original_route))
        permission, route = declared(context), context.original_route
        if permission is not None and isinstance(route, APIRoute):
            route.handle = _guarded(route, access, permission)  # type: ignore[method-assign,assignment]  # of this route only
    app.state.access = access
    app.state.health.register("access", access.sources.check, required=False)
    _describe(app)
    lives = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[Any]:
        late = [each.path for each in iter_route_contexts(app.routes) if id(each.original_route) not in known]
        if late:
            raise LookupError(f"{', '.join(map(str, late))}: added after `protect`, so that nobody guards it")
        keeping = asyncio.create_task(access.sources.keep(), name="access")
        try:
            async with lives(served) as state:
                yield state
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    app.router.lifespan_context = lifespan
    return app


def _guarded(route: APIRoute, access: Access, permission: Permission) -> _Handle:
    """`route.handle` behind a guard; what is no request for the route (405) goes on as before."""
    handle, methods = route.handle, set(route.methods or ())
    knows_repeats = any(
        isinstance(each, Guard) and each.knows_repeats for each in _declarations(route.dependant)
    )
    guarded = access.guarding(handle, permission, knows_repeats=knows_repeats)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        await (guarded if scope["method"] in methods else handle)(scope, receive, send)

    return choose


def require_within(
    principal: Principal, permission: Permission, place: Place, missing: Callable[[], Exception], path: str
) -> None:
    """Return if `principal` may do it to what is at `place`.

    Args:
        principal: who asks.
        permission: what for.
        place: where that is.
        missing: makes the very error of something that does not exist.
        path: of the request, for the problem.

    Raises:
        Exception: what `missing` makes, where the place is out of their scope.
        ProblemError: 403, they see it, but it is not theirs to do.
    """
    verdict = judge(principal, permission, place)
    if verdict is Verdict.HIDDEN:
        raise missing()
    if verdict is Verdict.REFUSED:
        raise _forbidden(principal, permission, path, at=place)


def require_at_one(
    principal: Principal,
    permission: Permission,
    places: Sequence[Place],
    missing: Callable[[], Exception],
    path: str,
) -> None:
    """Return if `principal` may do it at one of `places`, of which there is at least one.

    Raises like `require_within`: of several places about one where they see it, if there is one.
    """
    verdicts = [judge(principal, permission, place) for place in places]
    if Verdict.GRANTED in verdicts:
        return
    at = places[verdicts.index(Verdict.REFUSED)] if Verdict.REFUSED in verdicts else places[0]
    require_within(principal, permission, at, missing, path)


def acting(principal: Principal, named: str | None, field: str, path: str) -> str:
    """In whose name something is done: the principal's; a body may say so, and nothing else.

    Raises:
        ProblemError: 403, the body names somebody else.
    """
    if named is not None and named != principal.subject:
        raise refusal(
            f"{field} names somebody else than who asks, {principal.subject}: leave it out.", path, "actor"
        )
    return principal.subject


def refusal(detail: str, path: str, kind: str = "forbidden") -> ProblemError:
    """A 403 in these words."""
    return ProblemError(Problem(urn(kind), "This is not yours to do", FORBIDDEN, detail, path))


def _authorization(scope: Scope) -> bytes | None:
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                raise _unauthenticated("Two headers Authorization", "send one")
            found = value
    return found


def _unauthenticated(what: str, remedy: str, *, invalid: bool = False) -> ProblemError:
    problem = Problem(urn("unauthenticated"), "Who asks is not known", UNAUTHENTICATED, f"{what}: {remedy}.")
    challenge = _CHALLENGE.replace(",", ', error="invalid_token",', 1) if invalid else _CHALLENGE
    return ProblemError(problem, {"WWW-Authenticate": challenge})


def _forbidden(
    principal: Principal, permission: Permission, path: str, at: Place | None = None
) -> ProblemError:
    roles = ", ".join(map(str, principal.roles))
    where = "" if at is None else f" to what is {_where(at)}"
    return refusal(
        f"{principal.subject} ({roles} of {principal.scope}) may not {WHAT[permission]}{where}: "
        f"it takes {permission.value}; see docs/access.md for the roles that have it.",
        path,
    )


def _where(place: Place) -> str:
    division = place.county if place.county != "all" else place.city
    return f"of {place.level} level in {division}" if division != "all" else f"of {place.level} level"


def _comparing(receive: Receive, expected: str) -> Receive:
    """`receive` that raises a 401 in place of the end of a body that is not the signed one."""
    digest = hashlib.sha256()

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            digest.update(message.get("body", b""))
            if not message.get("more_body", False) and digest.hexdigest() != expected:
                raise _unauthenticated(
                    "The body is not the one that was signed", "sign what is sent", invalid=True
                )
        return message

    return receiving


_REFUSALS: Final[Mapping[str, str]] = {
    "401": "Nothing proves who asks, or the proof is not good (any more).",
    "403": "Whoever asks may not do this, or not there.",
    "503": "Nobody can say whether the signed request came before.",
}


def _describe(app: FastAPI) -> None:
    """Add the refusals to the OpenAPI document of guarded routes; FastAPI adds the scheme by itself."""
    make: Callable[[], dict[str, Any]] = app.openapi
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{SCHEMA}"}}}

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        document = make()
        if fresh:
            for operations in document["paths"].values():
                for operation in operations.values():
                    if operation.get("security"):
                        for status, text in _REFUSALS.items():
                            operation["responses"].setdefault(
                                status, {"description": text, "content": content}
                            )
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
