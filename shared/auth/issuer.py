"""The issuer of one machine: staff's tokens made with an Ed25519 key of the secrets directory.

For one machine and for tests. In production tokens come from the organisation's own OpenID provider, and no
machine of the platform has a key that could make one.
"""

import base64
import json
import secrets
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.auth.principals import STAFF, Role, Scope
from shared.auth.secrets import SecretKey
from shared.auth.tokens import LONGEST_S, Claims, fault_of
from shared.kernel.errors import InvalidValueError

LOCAL: Final = Claims("pingyi.local", "pingyi")
"""What the local issuer says of itself; the settings' defaults."""


class LocalIssuer:
    """Makes tokens."""

    def __init__(self, key: SecretKey, claims: Claims = LOCAL) -> None:
        """Sign with the Ed25519 key whose seed `key` is."""
        self._private = Ed25519PrivateKey.from_private_bytes(key.secret)
        self._key_id = key.key_id
        self._claims = claims

    def token(
        self, subject: str, roles: tuple[Role, ...], scope: Scope, now_s: float, life_s: int = LONGEST_S
    ) -> str:
        """A token that lives for `life_s` seconds from `now_s` on.

        Raises:
            InvalidValueError: a system's role, a role of another tier than the scope's, too long a life, or a
                subject or region that no verifier takes.
        """
        for role in roles:
            if role.duty not in STAFF or role.tier is not scope.tier:
                raise InvalidValueError(
                    f"{role} of {scope}", f"a role of the {scope.tier}", "name a region of the role's tier",
                    field="region",
                )  # fmt: skip
        fault = fault_of(subject, scope)
        if fault is not None:
            raise InvalidValueError(*fault, "correct it; nobody would believe the token")
        if not 0 < life_s <= LONGEST_S:
            raise InvalidValueError(life_s, f"1 to {LONGEST_S} seconds", "ask for another token when it ends")
        issued = int(now_s)
        body: dict[str, Any] = {
            "iss": self._claims.issuer,
            "aud": self._claims.audience,
            "iat": issued,
            "exp": issued + life_s,
            "jti": secrets.token_hex(16),
            self._claims.subject: subject,
            self._claims.role: [str(each) for each in roles],
            self._claims.region: scope.code,
        }
        return jwt.encode(body, self._private, "EdDSA", headers={"kid": self._key_id})

    def jwks(self) -> str:
        """The key set with the public key, as services read it."""
        public = base64.urlsafe_b64encode(self._private.public_key().public_bytes_raw()).rstrip(b"=")
        key = {
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self._key_id,
            "x": public.decode("ascii"),
        }  # fmt: skip
        return json.dumps({"keys": [key]}, indent=2) + "\n"
