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
    """Answers batches and approvals, which it carries out at once.

    Attributes:
        before: called with each request before it is answered; raises or answers to inject a fault.
        after: the same once it has been carried out: what it raises loses the answer.
    """

    before: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
    after: Callable[[httpx.Request], None] = lambda _: None
    ratings: dict[str, str] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    targets: dict[str, list[str]] = field(default_factory=dict)
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
        elif path.endswith("/exclusions"):
            answer = self._ask(request)
        elif path.endswith("/approve"):
            answer = self._approve(path.split("/")[3], request)
        else:
            wanted = request.url.params["import_id"]
            items = [each for each in self.asked.values() if each["import_id"] == wanted]
            answer = httpx.Response(200, json={"items": items[::-1]})
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

    def _ask(self, request: httpx.Request) -> httpx.Response:
        key, body = request.headers["idempotency-key"], json.loads(request.content)
        approval = derived_id("approval", body["decided_by"], key)
        if approval not in self.asked:
            self.targets[approval] = body["targets"]
            self.asked[approval] = {
                "approval_id": approval, "stage": "pending", "size": len(body["targets"]),
                "requested_by": body["decided_by"], "import_id": body["import_id"], "reason": body["reason"],
            }  # fmt: skip
        return httpx.Response(202, json=self.asked[approval])

    def _approve(self, approval: str, request: httpx.Request) -> httpx.Response:
        asked, who = self.asked[approval], json.loads(request.content)["decided_by"]
        if who == asked["requested_by"]:
            return httpx.Response(403, json={"title": "no", "status": 403, "detail": "another person"})
        left: dict[str, int] = {}
        for target in self.targets[approval]:
            if (state := self.states[target]) in {"excluded", "withdrawn"}:
                left[state] = left.get(state, 0) + 1
            else:
                self.states[target] = "excluded"
        asked |= {
            "stage": "carried_out", "decided_by": who, "done": asked["size"] - sum(left.values()),
            "left": [{"state": state, "count": count} for state, count in left.items()],
        }  # fmt: skip
        return httpx.Response(202, json=asked)
