"""A canary in each place that a request has: every operation of the services, as their OpenAPI describes it.

Nobody has to remember a new route here: it is in its service's OpenAPI, and so its path, its parameters, its
headers and every member of its body get their turn.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final
from urllib.parse import quote, urlencode

from deploy.local.layout import SERVICES
from tests.support.canaries import CANARIES, NUMBERS, Sender

HEADERS: Final = (
    "User-Agent", "X-Forwarded-For", "Referer", "Cookie", "X-Import-Id", "Idempotency-Key", "If-Match",
    "X-Synthetic", "X-Correlation-Id", "traceparent", "Accept", "Host",
)  # fmt: skip
OFFICIAL: Final = frozenset(
    {"title", "issue", "issuer", "note", "handler", "responsible_leader", "responsible_person"}
)
"""Words of an office about itself: numbers are refused or taken out, and a name in them is an official's."""
ENDLESS: Final = "/stream"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_DEPTH: Final = 3
_NDJSON: Final = "application/x-ndjson"


@dataclass
class Sweep:
    """The whole of it.

    Attributes:
        send: sends and keeps what is answered.
        example: a request of a route that is well formed, if there is one: of httpx's arguments.
        proof: headers by which somebody is let in at a route.
        known: ids that exist, by the names of path parameters.
    """

    send: Sender
    example: Callable[[str], Mapping[str, Any]]
    proof: Callable[[str], dict[str, str]]
    known: Mapping[str, str]

    def run(self) -> None:
        """Ask every operation of every service."""
        self._canaries, self._numbers = cycle(CANARIES), cycle(NUMBERS)
        for service in SERVICES:
            described = self.send("GET", service, "/openapi.json").json()
            for path, operations in described["paths"].items():
                for method in _METHODS:
                    if method in operations:
                        self._ask(service, method.upper(), path, operations[method], described)

    def _ask(
        self,
        service: str,
        method: str,
        path: str,
        operation: Mapping[str, Any],
        described: Any,  # noqa: ANN401 - JSON
    ) -> None:
        route = f"{service} {method} {path}"
        example, proof = self.example(route), self.proof(route)
        common = {**example.get("headers", {}), **proof}
        more = {name: value for name, value in example.items() if name != "headers"}
        parameters = [each for each in operation.get("parameters", []) if each["in"] in {"path", "query"}]
        for each in parameters:
            if each["in"] == "path":
                self.send(method, service, self._path(path, each["name"]), common, **more)
        if path.endswith(ENDLESS):
            return
        there, canary = self._path(path), next(self._canaries)
        for each in parameters:
            if each["in"] == "query":
                query = urlencode({each["name"]: next(self._canaries)})
                self.send(method, service, f"{there}?{query}", common, **_without_params(more))
        unknown = f"{there}?{quote(canary)}={quote(canary)}"
        self.send(method, service, unknown, common, **_without_params(more))
        for name in HEADERS:
            self.send(method, service, there, {**common, name: next(self._canaries)}, **more)
        if "requestBody" in operation:
            kinds = operation["requestBody"]["content"]
            schema = next(iter(kinds.values())).get("schema", {})
            for body in self._bodies(schema, example.get("json"), described):
                raw = json.dumps(body, ensure_ascii=False).encode()
                kind = _NDJSON if _NDJSON in kinds else "application/json"
                self.send(method, service, there, {"Content-Type": kind, **proof}, content=raw)
            broken = json.dumps({"text": next(self._canaries)}, ensure_ascii=False)[:-2].encode()
            for kind in ("application/json", next(self._canaries)):
                self.send(method, service, there, {"Content-Type": kind, **proof}, content=broken)

    def _path(self, path: str, wrong: str | None = None) -> str:
        pieces = path.split("{")
        for place, piece in enumerate(pieces[1:], start=1):
            name, _, rest = piece.partition("}")
            value = quote(next(self._canaries)) if name == wrong else self.known.get(name, "none")
            pieces[place] = value + rest
        return "".join(pieces)

    def _bodies(self, schema: Any, example: Any, described: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON
        canary = next(self._canaries)
        yield from (canary, [canary], {canary: canary})
        for place in _leaves(example):
            yield _replaced(example, place, self._fitting(place))
        if isinstance(example, dict):
            yield {**example, canary: canary}
        for alternative in _alternatives(schema, described):
            fixed = {
                name: found["const"]
                for name, each in alternative.get("properties", {}).items()
                if "const" in (found := _resolved(each, described))
            }
            for name, each in alternative.get("properties", {}).items():
                for value in self._values(name, each, described, _DEPTH):
                    yield {**(example if isinstance(example, dict) else {}), **fixed, name: value}

    def _values(self, name: str, schema: Any, described: Any, depth: int) -> Iterator[Any]:  # noqa: ANN401 - JSON
        yield self._fitting((name,))
        if not depth:
            return
        for alternative in _alternatives(schema, described):
            for inner, each in alternative.get("properties", {}).items():
                for value in self._values(inner, each, described, depth - 1):
                    yield {inner: value}
            if "items" in alternative:
                for value in self._values(name, alternative["items"], described, depth - 1):
                    yield [value]

    def _fitting(self, place: tuple[str | int, ...]) -> str:
        official = any(part in OFFICIAL for part in place)
        return next(self._numbers if official else self._canaries)


def _without_params(more: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in more.items() if name != "params"}


def _resolved(schema: Any, described: Any) -> Any:  # noqa: ANN401 - JSON
    while "$ref" in schema:
        found = described
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _alternatives(schema: Any, described: Any) -> Iterator[Any]:  # noqa: ANN401 - JSON
    found = _resolved(schema, described)
    choices = found.get("oneOf") or found.get("anyOf")
    if choices is None:
        yield found
        return
    for each in choices:
        yield from _alternatives(each, described)


def _leaves(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _leaves(each, (*place, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _leaves(each, (*place, number))
    elif place:
        yield place


def _replaced(value: Any, place: tuple[str | int, ...], canary: str) -> Any:  # noqa: ANN401 - JSON
    copy = deepcopy(value)
    inner = copy
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = canary
    return copy
