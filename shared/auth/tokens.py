"""Tokens of staff: JSON Web Tokens of one issuer, checked against its public keys.

Only signatures of key pairs are believed (EdDSA, ES256, RS256); never ``none``, never an HMAC, whose key a
public key could be mistaken for. A token lives for fifteen minutes at most: it can't be revoked, it runs out.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from shared.auth.principals import STAFF, Principal, Role, Scope
from shared.kernel.errors import InvalidValueError
from shared.kernel.regions import home_province
from shared.kernel.scrubbing import scrub

ALGORITHMS: Final = ("EdDSA", "ES256", "RS256")
LONGEST_S: Final = 15 * 60
LEEWAY_S: Final = 10
"""How far the issuer's clock may be off."""
MOST_KNOWN: Final = 2000
MOST_BYTES: Final = 8192
RSA_BITS: Final = 2048
_PROVINCE_DIGITS: Final = 2

_SUBJECT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class TokenError(InvalidValueError):
    """A token proves nothing. The message quotes nothing that it holds."""


class UnknownKeyError(TokenError):
    """A token names a key that is not known (yet)."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Where a token says what.

    Attributes:
        issuer: the ``iss`` that is believed.
        audience: the ``aud`` that must be among the token's.
        role: name of the claim with the role, or a list of roles.
        region: name of the claim with the division's code or the unit's id.
        subject: name of the claim with the account or post.
    """

    issuer: str
    audience: str
    role: str = "pingyi_role"
    region: str = "pingyi_region"
    subject: str = "sub"


def parse_keys(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The usable public keys of a JSON Web Key Set, by key id; what can't be used is left out.

    Raises:
        InvalidValueError: it is no key set, or nothing in it can be used.
    """
    rows = document.get("keys")
    keys: dict[str, jwt.PyJWK] = {}
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict) or row.get("use", "sig") != "sig" or not isinstance(row.get("kid"), str):
            continue
        try:
            key = jwt.PyJWK(row)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        weak = getattr(key.key, "key_size", RSA_BITS) < RSA_BITS and key.algorithm_name == "RS256"
        if key.algorithm_name in ALGORITHMS and not weak and "d" not in row:
            keys[row["kid"]] = key
    if not keys:
        raise InvalidValueError(
            f"{len(rows) if isinstance(rows, list) else 'no'} keys",
            f"a key set with a public key for {', '.join(ALGORITHMS)}, with kid",
            "correct the issuer's key set",
            field="jwks",
        )
    return keys


class TokenVerifier:
    """Checks tokens; remembers those that were good until they run out, since checking takes 100 µs."""

    def __init__(self, claims: Claims, keys: Mapping[str, jwt.PyJWK] | None = None) -> None:
        """Believe the issuer of `claims`, whose public keys are `keys`."""
        self._claims = claims
        self._keys: Mapping[str, jwt.PyJWK] = keys or {}
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    @property
    def keys(self) -> Mapping[str, jwt.PyJWK]:
        """The public keys that are believed, by key id."""
        return self._keys

    def use(self, keys: Mapping[str, jwt.PyJWK]) -> None:
        """Believe these keys from now on; nothing that others proved is remembered."""
        self._keys = keys
        self._known.clear()

    def principal(self, token: bytes, now_s: float) -> Principal:
        """Who `token` stands for at `now_s`.

        Raises:
            UnknownKeyError: it names a key that is not known.
            TokenError: it proves nothing.
        """
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is not None and now_s < known[1]:
            return known[0]
        principal, until = self._check(token, now_s)
        self._known[digest] = principal, until
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return principal

    def _check(self, token: bytes, now_s: float) -> tuple[Principal, float]:
        if len(token) > MOST_BYTES:
            raise _bad(f"{len(token)} bytes", f"at most {MOST_BYTES}")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise _bad("what is no token", "a JSON Web Token") from error
        kid, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in ALGORITHMS:
            raise _bad("another algorithm", f"one of {', '.join(ALGORITHMS)}")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise UnknownKeyError("a key id that is not known", "one of the issuer's key set", "log in again")
        if key.algorithm_name != algorithm:
            raise _bad("an algorithm that is not the key's", "the key's own")
        claims = self._claims
        try:
            body = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=claims.audience,
                issuer=claims.issuer,
                # Times are checked below, against a clock that tests can set.
                options={
                    "require": ["iss", "aud", "exp", "iat", claims.subject],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _bad(f"a token that fails ({type(error).__name__})", "one of our issuer for us") from error
        until = _check_times(body, now_s)
        return self._read(body), until

    def _read(self, body: Mapping[str, Any]) -> Principal:
        claims = self._claims
        subject, region, given = body.get(claims.subject), body.get(claims.region), body.get(claims.role)
        names = given if isinstance(given, list) else [given]
        if not isinstance(region, str) or not names:
            raise _bad("no role or no region", f"the claims {claims.role} and {claims.region}")
        try:
            scope = Scope.parse(region)
            roles = tuple(Role.parse(str(each)) for each in names)
        except InvalidValueError as error:
            raise _bad("an unknown role or region", "ones of the platform") from error
        fault = fault_of(subject, scope)
        if fault is not None:
            raise _bad(*fault)
        if any(each.duty not in STAFF or each.tier is not scope.tier for each in roles):
            raise _bad("a role that does not fit its region", f"roles of the {scope.tier}")
        return Principal(str(subject), roles, scope)


def fault_of(subject: object, scope: Scope) -> tuple[str, str] | None:
    """What is wrong with a token's subject or region, and what was expected; None: nothing."""
    if not isinstance(subject, str) or _SUBJECT.fullmatch(subject) is None:
        return "a subject of another form", "an account or post: small letters, digits, . _ -"
    if _UUID.fullmatch(subject) is None and scrub(subject, mistyped=True) != subject:
        return "a subject with a person's number", "an account or post, which goes into the log"
    if scope.unit_id is None and scope.code[:_PROVINCE_DIGITS] != home_province()[:_PROVINCE_DIGITS]:
        # One issuer may serve several provinces, and a province's scope is all that there is here.
        return "a region of another province", "one of ours"
    return None


def _check_times(body: Mapping[str, Any], now_s: float) -> float:
    issued, expires, before = body["iat"], body["exp"], body.get("nbf", body["iat"])
    if not all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in (issued, expires, before)
    ):
        raise _bad("times that are no numbers", "Unix seconds")
    if not 0 < expires - issued <= LONGEST_S:
        raise _bad("a token that lives too long", f"at most {LONGEST_S} s from iat to exp")
    if now_s >= expires + LEEWAY_S:
        raise _bad("a token that has run out", "one of the last fifteen minutes")
    if max(issued, before) > now_s + LEEWAY_S:
        raise _bad("a token of the future", "a clock that is right")
    return float(expires) + LEEWAY_S


def _bad(found: str, expected: str) -> TokenError:
    return TokenError(found, expected, "log in again, or correct the issuer")
