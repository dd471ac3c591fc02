"""Calling the services' HTTP interfaces from the command line, with readable failures."""

import ssl
import time
from functools import cache
from typing import Any

import httpx

from deploy.local.errors import LocalError, ServiceRefusedError
from deploy.local.wallet import Wallet
from shared.kernel.errors import describe

TIMEOUT_S = 30.0
UNAVAILABLE = 503
LONGEST_PAUSE_S = 15.0
VERIFY_ATTEMPTS = 3
"""A verification takes long enough to meet a passing failure of the database; it is asked for again."""


def call(
    method: str,
    url: str,
    *,
    params: dict[str, Any] | None = None,
    body: Any = None,  # noqa: ANN401 - whatever JSON the endpoint takes
    headers: dict[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    attempts: int = 1,
) -> Any:  # noqa: ANN401 - whatever JSON the endpoint gives
    """Send one request and return the JSON answer; parameters that are None are left out.

    A 503 is asked for again after the pause that the service names, ``attempts`` times in all: only for
    requests that may be repeated.

    Raises:
        ServiceRefusedError: the service answered with an error.
        LocalError: nobody answers there.
    """
    with client(timeout_s) as http:
        for attempt in range(1, attempts + 1):
            try:
                return send(http, method, url, params=params, body=body, headers=headers).json()
            except ServiceRefusedError as error:
                if error.problem.get("status") != UNAVAILABLE or attempt == attempts:
                    raise
                time.sleep(error.retry_after_s)
        raise AssertionError(attempts)  # pragma: no cover - the last attempt returns or raises


def client(timeout_s: float = TIMEOUT_S) -> httpx.Client:
    """A connection for several calls of :func:`send`, with the proofs of :func:`use`; to be closed."""
    return httpx.Client(timeout=timeout_s, trust_env=False, verify=_certificates(), auth=wallet())


def use(proofs: Wallet) -> None:
    """Prove who we are with ``proofs`` from now on: what a command does once it has found its platform."""
    _wallets[:] = [proofs]


def wallet() -> Wallet | None:
    """The proofs of :func:`use`; None before that."""
    return _wallets[0] if _wallets else None


_wallets: list[Wallet] = []


def send(
    http: httpx.Client,
    method: str,
    url: str,
    *,
    params: dict[str, Any] | None = None,
    body: Any = None,  # noqa: ANN401 - whatever JSON the endpoint takes
    headers: dict[str, str] | None = None,
    subject: str | None = None,
) -> httpx.Response:
    """Send one request and return the answer, which is no error; otherwise like :func:`call`.

    It is made in the name of ``subject``, if that is given.
    """
    given = {name: value for name, value in (params or {}).items() if value is not None}
    # As bytes: httpx takes ASCII text only, while it is for the service to say what it does not take.
    sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    try:
        extensions = None if subject is None else {"subject": subject}
        answer = http.request(method, url, params=given, json=body, headers=sent, extensions=extensions)
    except httpx.HTTPError as error:
        remedy = "look at `pingyi status` and the logs, or name the platform with --data or --port-base"
        raise LocalError(describe(url, f"an answer ({error})", remedy)) from error
    if answer.is_error:
        raise refusal(answer)
    return answer


def refusal(answer: httpx.Response) -> ServiceRefusedError:
    """The error that an answer with an error status is; its body must have been read."""
    return ServiceRefusedError(_problem(answer), _pause_s(answer))


def _pause_s(answer: httpx.Response) -> float:
    named = answer.headers.get("retry-after", "")
    return min(float(named), LONGEST_PAUSE_S) if named.isdecimal() else 1.0


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: each client would read them again, 20 ms for a call that takes 5."""
    return httpx.create_ssl_context(trust_env=False)


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict):
        return problem
    return {"title": answer.reason_phrase, "status": answer.status_code, "detail": answer.text[:200]}
