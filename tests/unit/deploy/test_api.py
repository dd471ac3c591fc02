"""Calling services: a passing failure is asked about again, others are not."""

from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner

from deploy.local import api
from deploy.local.cli import make_app
from deploy.local.errors import ServiceRefusedError

URL = "http://127.0.0.1:1/v1/verify"


class Service:
    """Answers with the given statuses, one after the other; waits are counted, not waited."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *statuses: int) -> None:
        self.asked = 0
        self.waited: list[float] = []
        self.headers = httpx.Headers()
        self._statuses: Iterator[int] = iter(statuses)
        transport = httpx.MockTransport(self._answer)
        monkeypatch.setattr(api, "client", lambda _timeout_s: httpx.Client(transport=transport))
        monkeypatch.setattr("deploy.local.api.time.sleep", self.waited.append)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.headers = request.headers
        status = next(self._statuses)
        if status == 200:
            return httpx.Response(200, json={"ok": True})
        problem = {"title": "no", "status": status, "detail": "not now"}
        return httpx.Response(status, json=problem, headers={"Retry-After": "5"})


def test_a_passing_failure_is_asked_about_again_after_the_pause_that_the_service_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service(monkeypatch, 503, 503, 200)
    assert api.call("GET", URL, attempts=3) == {"ok": True}
    assert service.waited == [5.0, 5.0]


def test_a_failure_that_lasts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, 503, 503, 503)
    with pytest.raises(ServiceRefusedError, match="not now"):
        api.call("GET", URL, attempts=3)
    assert service.asked == 3


@pytest.mark.parametrize(("status", "attempts"), [(404, 3), (500, 3), (503, 1)])
def test_other_failures_and_other_calls_are_not_repeated(
    monkeypatch: pytest.MonkeyPatch, status: int, attempts: int
) -> None:
    service = Service(monkeypatch, status)
    with pytest.raises(ServiceRefusedError):
        api.call("GET", URL, attempts=attempts)
    assert (service.asked, service.waited) == (1, [])


@pytest.mark.parametrize("key", ["中文", "é", "", "visit-4711"])
def test_any_header_reaches_the_service_which_says_what_it_does_not_take(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    service = Service(monkeypatch, 200)
    api.call("POST", URL, headers={"Idempotency-Key": key})
    assert dict(service.headers.raw)[b"Idempotency-Key"] == key.encode()


def test_an_empty_key_is_sent_and_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(monkeypatch, 422)
    answer = CliRunner().invoke(
        make_app("submit"), ["submit", "U000112", "5", "--idempotency-key", "", "--port-base", "9990"]
    )
    assert isinstance(answer.exception, ServiceRefusedError)
    assert service.headers["Idempotency-Key"] == ""
