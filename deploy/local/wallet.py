"""What the command line proves itself with: keys and tokens of the secrets directory, or of the environment.

On one machine the secrets directory holds the issuer's key, so whoever may read it is whoever they like; that
is what makes the platform usable without an identity provider, and why production has no such key. For a
platform elsewhere, ``PINGYI_KEY`` is the key to submit ratings with and ``PINGYI_TOKEN`` a token of staff.
"""

import json
import re
import time
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Final

import httpx

from deploy.local.layout import CLI_KEY, KEYS, SERVICES, Layout
from shared.kernel.ids import is_uuid
from shared.kernel.scrubbing import scrub

SUBJECT: Final = "pingyi-cli"
ROLE: Final = "province.admin"
REGION: Final = "360000"
_ADAPTER: Final = "/v1/adapters/good-bad-review"
SUBMITTING: Final = frozenset({"/v1/feedback", "/v1/feedback/batch", _ADAPTER, f"{_ADAPTER}/batch"})
TOKEN_VARIABLE: Final = "PINGYI_TOKEN"  # noqa: S105 - a name
KEY_VARIABLE: Final = "PINGYI_KEY"

_HALF_A_LIFE_S: Final = 450
_SUBJECT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


class Wallet(httpx.Auth):
    """Puts the right proof on each request to the platform's own addresses, and on none to others.

    Ratings are submitted with the key, all else with a token in the name of ``extensions={"subject": …}``, of
    whom the body says that they decide, or of `SUBJECT`.
    """

    def __init__(
        self, secrets: Path, addresses: Iterable[str] = (), environ: Mapping[str, str] | None = None
    ) -> None:
        """Take proofs from `secrets` unless `environ` has them; `addresses` are those of the services."""
        self._secrets = secrets
        self._addresses = tuple(each.rstrip("/") + "/" for each in addresses)
        self._environ = environ or {}
        self._tokens: dict[str, tuple[str, float]] = {}

    @classmethod
    def of(cls, layout: Layout, environ: Mapping[str, str] | None = None) -> "Wallet":
        """The proofs that lie beside a platform, for its own services."""
        return cls(layout.secrets, map(layout.service_url, SERVICES), environ)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the proof, unless the request has one or goes elsewhere."""
        if "authorization" not in request.headers and str(request.url).startswith(self._addresses):
            submits = request.method == "POST" and request.url.path in SUBMITTING
            proof = (
                self.key() if submits else self.token(request.extensions.get("subject") or _named(request))
            )
            if proof is not None:
                request.headers["authorization"] = f"Bearer {proof}"
        yield request

    def key(self, name: str = CLI_KEY) -> str | None:
        """A key to submit ratings with: of one channel, or of all; None where there is none."""
        return self._environ.get(KEY_VARIABLE) or _text(self._secrets / KEYS / f"{name}.key")

    def token(self, subject: str = SUBJECT, role: str = ROLE, region: str = REGION) -> str | None:
        """A token of staff, of the local issuer; None where there is no issuer here."""
        given = self._environ.get(TOKEN_VARIABLE)
        if given:
            return given
        name, now = f"{subject} {role} {region}", time.time()
        known, made = self._tokens.get(name, ("", 0.0))
        if now - made < _HALF_A_LIFE_S:
            return known
        # Cryptography takes 0.1 s to load, and most commands need no token.
        from shared.auth.issuer import LocalIssuer  # noqa: PLC0415 - as said
        from shared.auth.principals import Role, Scope  # noqa: PLC0415 - as said
        from shared.auth.secrets import ISSUER_FILE, load_key  # noqa: PLC0415 - as said

        path = self._secrets / ISSUER_FILE
        if not path.exists():
            return None
        token = LocalIssuer(load_key(path)).token(subject, (Role.parse(role),), Scope.parse(region), now)
        self._tokens[name] = token, now
        return token


def _named(request: httpx.Request) -> str:
    """Whom the body of a request says that decides; the command line acts as whoever it is told to."""
    if request.method != "POST" or not request.headers.get("content-type", "").startswith("application/json"):
        return SUBJECT
    try:
        body = json.loads(request.content)
    except (ValueError, httpx.RequestNotRead):
        return SUBJECT
    named = body.get("decided_by") if isinstance(body, dict) else None
    if not isinstance(named, str) or _SUBJECT.fullmatch(named) is None:
        return SUBJECT
    # With a person's number in it there is no such token, and the service says best what is wrong.
    return named if is_uuid(named) or scrub(named, mistyped=True) == named else SUBJECT


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
