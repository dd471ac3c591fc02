"""Intake's HTTP interface in memory: ids and states of ratings as the real one keeps them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from deploy.local.importing.intake_client import IntakeClient
from shared.kernel.ids import derived_id
from tests.unit.deploy.importing.files import UNITS


@dataclass
class FakeIntake:
    """Answers batches and exclusions.

    Attributes:
        before: called with each request before it is answered; raises or answers to inject a fault.
        after: the same once it has been carried out: what it raises loses the answer.
    """

    before: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    after: Callable[[httpx.Request], None] = lambda _: None
    ratings: dict[str, str] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    requests: int = 0

    def client(self, **options: Any) -> IntakeClient:  # noqa: ANN401 - those of the client
        """A client of it."""
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return IntakeClient(http, "http://intake", **options)

    def of(self, import_id: str) -> list[str]:
        """Ids of the ratings that an import added."""
        return sorted(event for event, each in self.imports.items() if each == import_id)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if (answer := self.before(request)) is not None:
            return answer
        path = request.url.path
        if path == "/v1/units":
            items = [asdict(u) for u in UNITS]
            return httpx.Response(200, json={"items": items, "next": None})
        if path.endswith("/batch"):
            answer = self._batch(request)
        elif path.endswith("/exclusion"):
            answer = self._exclude(path.split("/")[3], request)
        else:
            answer = httpx.Response(200, json={"state": self.states[path.split("/")[3]]})
        self.after(request)
        return answer

    def _batch(self, request: httpx.Request) -> httpx.Response:
        results = []
        for number, line in enumerate(request.content.split(b"\n"), 1):
            body = json.loads(line)
            event = derived_id("client_ref", body["channel"], body["client_ref"])
            digest = hashlib.sha256(line).hexdigest()
            result: dict[str, Any] = {"line": number, "event_id": event, "receipt_code": event[:8]}
            if body.get("occurred_at", "") > "2027":
                issue = {
                    "field": "occurred_at",
                    "value": "later",
                    "expected": "a time up to now",
                    "remedy": "correct it",
                }
                result = {"line": number, "status": "rejected", "errors": [issue]}
            elif event not in self.ratings:
                self.ratings[event] = digest
                self.imports[event] = request.headers["x-import-id"]
                self.states[event] = "counted"
                result["status"] = "accepted"
            elif self.ratings[event] == digest:
                result["status"] = "duplicate"
            else:
                issue = {
                    "field": "client_ref",
                    "value": "other content",
                    "expected": "the same",
                    "remedy": "correct",
                }
                result = {"line": number, "status": "conflict", "event_id": event, "errors": [issue]}
            results.append(result)
        return httpx.Response(200, json={"results": results})

    def _exclude(self, event: str, request: httpx.Request) -> httpx.Response:
        key, body = request.headers["idempotency-key"], json.loads(request.content)
        earlier = dict(self.revisions.get(event, []))
        if key in earlier:
            return httpx.Response(202 if earlier[key] == body else 409, json={})
        if self.states[event] in {"excluded", "withdrawn"}:
            return httpx.Response(409, json={})
        self.revisions.setdefault(event, []).append((key, body))
        self.states[event] = "excluded"
        return httpx.Response(202, json={})
