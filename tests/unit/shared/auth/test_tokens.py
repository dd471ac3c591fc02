"""Tokens of staff: whatever is not exactly right proves nothing."""

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.auth.issuer import LOCAL, LocalIssuer
from shared.auth.principals import Role, Scope
from shared.auth.secrets import SecretKey
from shared.auth.tokens import TokenError, TokenVerifier, UnknownKeyError, parse_keys
from shared.kernel.errors import InvalidValueError

NOW = 1_795_000_000
KEY = SecretKey("local-1", bytes(range(32)))
ISSUER = LocalIssuer(KEY)
PRIVATE = Ed25519PrivateKey.from_private_bytes(KEY.secret)
HANDLER, COUNTY = Role.parse("county.handler"), Scope.parse("360721")
GOOD: dict[str, Any] = {
    "iss": "pingyi.local", "aud": "pingyi", "sub": "duty-officer", "iat": NOW, "exp": NOW + 900,
    "pingyi_role": "county.handler", "pingyi_region": "360721",
}  # fmt: skip


def verifier() -> TokenVerifier:
    return TokenVerifier(LOCAL, parse_keys(json.loads(ISSUER.jwks())))


def token(headers: dict[str, Any] | None = None, **claims: Any) -> bytes:  # noqa: ANN401 - claims
    body = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    return jwt.encode(body, PRIVATE, "EdDSA", headers={"kid": "local-1", **(headers or {})}).encode()


def test_a_token_of_the_issuer_says_who_what_and_where() -> None:
    made = ISSUER.token("duty-officer", (HANDLER,), COUNTY, NOW).encode()
    principal = verifier().principal(made, NOW + 1)
    assert (principal.subject, principal.roles, principal.scope) == ("duty-officer", (HANDLER,), COUNTY)
    assert not principal.channels


def test_a_good_token_is_good_until_it_runs_out_and_a_known_one_no_longer() -> None:
    one, made = verifier(), token()
    assert one.principal(made, NOW + 905).subject == "duty-officer"
    with pytest.raises(TokenError, match="run out"):
        one.principal(made, NOW + 911)


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "evil"},
    "another audience": {"aud": "others"},
    "no audience": {"aud": None},
    "no end": {"exp": None},
    "no beginning": {"iat": None},
    "no subject": {"sub": None},
    "sixteen minutes": {"exp": NOW + 901},
    "ended before it began": {"exp": NOW - 1},
    "of the future": {"iat": NOW + 60, "exp": NOW + 120},
    "not yet": {"nbf": NOW + 60},
    "run out": {"iat": NOW - 900, "exp": NOW - 10},
    "times as words": {"nbf": "tomorrow"},
    "no role": {"pingyi_role": None},
    "an unknown role": {"pingyi_role": "county.king"},
    "no roles": {"pingyi_role": []},
    "a system's role": {"pingyi_role": "service"},
    "a role of another tier": {"pingyi_role": "province.admin"},
    "one good role and one of another tier": {"pingyi_role": ["county.handler", "city.viewer"]},
    "no region": {"pingyi_region": None},
    "a region that is none": {"pingyi_region": "36072"},
    "another province": {"pingyi_role": "province.admin", "pingyi_region": "320000"},
    "a county of another province": {"pingyi_region": "320102"},
    "a name of a person": {"sub": "王某"},
    "a number of a person": {"sub": "13912345678"},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG.keys())
def test_a_token_with_one_thing_wrong_proves_nothing(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenError) as refused:
        verifier().principal(token(**claims), NOW)
    assert "13912345678" not in str(refused.value)


def _none() -> bytes:
    return jwt.encode(GOOD, "", "none", headers={"kid": "local-1"}).encode()


def _hmac_with_the_public_key() -> bytes:
    public = PRIVATE.public_key().public_bytes_raw()
    head = _part({"alg": "HS256", "kid": "local-1", "typ": "JWT"})
    signed = head + b"." + _part(GOOD)
    import hashlib  # noqa: PLC0415 - used here alone
    import hmac  # noqa: PLC0415 - used here alone

    return signed + b"." + base64.urlsafe_b64encode(hmac.digest(public, signed, hashlib.sha256)).rstrip(b"=")


def _part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def _of_another_key() -> bytes:
    return jwt.encode(GOOD, Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": "local-1"}).encode()


def _changed() -> bytes:
    head, _, signature = token().split(b".")
    return b".".join((head, _part({**GOOD, "pingyi_region": "360700"}), signature))


def _es256_under_the_same_kid() -> bytes:
    return jwt.encode(
        GOOD, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "local-1"}
    ).encode()


@pytest.mark.parametrize(
    "forged", [_none, _hmac_with_the_public_key, _of_another_key, _changed, _es256_under_the_same_kid]
)
def test_a_forged_token_proves_nothing(forged: Callable[[], bytes]) -> None:
    with pytest.raises(TokenError):
        verifier().principal(forged(), NOW)


@pytest.mark.parametrize("text", [b"", b"a", b"a.b.c", b"." * 9, b"\xff.\xff.\xff", b"x" * 10_000])
def test_what_is_no_token_is_refused_without_a_crash(text: bytes) -> None:
    with pytest.raises(TokenError):
        verifier().principal(text, NOW)


def test_a_key_that_is_not_known_is_told_apart_so_that_the_set_is_fetched_again() -> None:
    with pytest.raises(UnknownKeyError):
        verifier().principal(token({"kid": "new"}), NOW)


def test_other_keys_end_what_the_former_had_proved() -> None:
    one, made = verifier(), token()
    one.principal(made, NOW)
    other = LocalIssuer(SecretKey("local-2", bytes(32)))
    one.use(parse_keys(json.loads(other.jwks())))
    with pytest.raises(UnknownKeyError):
        one.principal(made, NOW)


def test_rsa_and_elliptic_keys_of_an_identity_provider_are_believed() -> None:
    of_rsa, of_curve = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    rows = {
        "RS256": jwt.algorithms.RSAAlgorithm.to_jwk(of_rsa.public_key()),
        "ES256": jwt.algorithms.ECAlgorithm.to_jwk(of_curve.public_key()),
    }
    for algorithm, row in rows.items():
        key = json.loads(row) | {"kid": "idp", "use": "sig", "alg": algorithm}
        private = of_rsa if algorithm == "RS256" else of_curve
        made = jwt.encode(GOOD, private, algorithm, headers={"kid": "idp"}).encode()
        assert TokenVerifier(LOCAL, parse_keys({"keys": [key]})).principal(made, NOW).scope == COUNTY


def _weak_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused


def test_keys_that_could_be_misused_are_left_out_of_a_set() -> None:
    weak = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_weak_key().public_key()))
    rows = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
        weak | {"kid": "weak", "alg": "RS256"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "private", "alg": "EdDSA", "x": "AA", "d": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "AA"},
        "nonsense",
    ]
    with pytest.raises(InvalidValueError, match="a key set with a public key"):
        parse_keys({"keys": rows})
    with pytest.raises(InvalidValueError):
        parse_keys({})


@pytest.mark.parametrize(
    ("subject", "role", "region", "life_s"),
    [
        ("somebody", "county.handler", "360700", 900),
        ("somebody", "channel", "360000", 900),
        ("somebody", "county.handler", "360721", 901),
        ("somebody", "province.admin", "320000", 900),
        ("张三", "county.handler", "360721", 900),
        ("13912345678", "county.handler", "360721", 900),
    ],
)
def test_the_local_issuer_makes_no_token_that_nobody_would_believe(
    subject: str, role: str, region: str, life_s: int
) -> None:
    with pytest.raises(InvalidValueError):
        ISSUER.token(subject, (Role.parse(role),), Scope.parse(region), NOW, life_s)
