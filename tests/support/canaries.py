"""Fifty people's numbers and names, everything that came out of a platform, and the search for the former."""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import quote

import httpx

from shared.kernel.identity_numbers import check_digit
from tests.support.platform import Platform

MARK = "mark-of-nobody-7f3a"
"""A correlation id: it travels into logs, streams, the archive and answers, as the canaries must not."""


def _bank_card(number: int) -> str:
    body = f"62220212345{number:07d}"
    for digit in "0123456789":
        card = body + digit
        total = sum(
            (2 * int(each) - 9 * (int(each) > 4)) if place % 2 else int(each)
            for place, each in enumerate(reversed(card))
        )
        if total % 10 == 0:
            return card
    raise AssertionError(body)


def _identity(number: int) -> str:
    seventeen = f"36010219{70 + number:02d}0{1 + number % 9}1{number % 10}{number:03d}"[:17]
    return seventeen + check_digit(seventeen)


PHONES = [f"1391704{number:04d}" for number in range(2001, 2013)]
IDENTITIES = [_identity(number) for number in range(10)]
CARDS = [_bank_card(number) for number in range(4_711_001, 4_711_011)]
PLATES = [f"赣K8{number}7Z" for number in range(30, 38)]
NAMES = [
    f"{family}{given}" for family, given in zip("欧皇诸令尉澹濮淳单于", "桢翀昶赟璟珺祯旻昱玥", strict=True)
]
NUMBERS = [*PHONES, *IDENTITIES, *CARDS, *PLATES]
CANARIES = [*NUMBERS, *NAMES]


@dataclass(frozen=True)
class Person:
    """One citizen."""

    phone: str
    identity: str
    card: str
    plate: str
    name: str

    @property
    def words(self) -> str:
        """What they would write of themselves in a comment."""
        numbers = f"电话{self.phone}，身份证{self.identity}，卡{self.card}，车{self.plate}"
        return f"我是{self.name}，{numbers}，窗口没人"


def people() -> Iterator[Person]:
    """All of them, round and round."""
    columns = map(cycle, (PHONES, IDENTITIES, CARDS, PLATES, NAMES))
    return (Person(*row) for row in zip(*columns, strict=False))


def spellings(canary: str) -> set[bytes]:
    """How a canary could be written: as it is, escaped in JSON, or in an address."""
    return {
        canary.encode(),
        canary.encode("unicode_escape"),
        quote(canary).encode(),
        quote(canary).lower().encode(),
    }


FILES = "broker's files"
HANDLERS = "what handlers are shown"
"""Here names may be: whoever handles a case reads what was written about it."""
OF_HANDLERS = frozenset({"rectify GET /v1/cases/{case_id}", "rectify GET /v1/receipts/{code}/case"})
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}")
NEEDLES = {canary: spellings(canary) for canary in CANARIES}


def _decoded(piece: bytes) -> Iterator[bytes]:
    """What stands in base64 in `piece`: an exported log keeps each event so."""
    for match in _BASE64.finditer(piece):
        with suppress(binascii.Error):
            yield base64.b64decode(match[0] + b"=" * (-len(match[0]) % 4))


@dataclass
class Haystack:
    """Everything that came out of the platform, by place."""

    places: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, place: str, *found: bytes | str) -> None:
        """Keep what was `found` at a place."""
        kept = self.places.setdefault(place, [])
        for each in found:
            piece = each.encode() if isinstance(each, str) else each
            kept += [piece, *(() if place == FILES else _decoded(piece))]

    def leaks(self) -> list[tuple[str, str]]:
        """Place and canary of everything that should not be there, with what stands around it."""
        return [
            (place, f"{canary} in …{_around(joined, needle)}…")
            for place, joined in ((place, b"\0".join(pieces)) for place, pieces in self.places.items())
            for canary in (NUMBERS if place == HANDLERS else CANARIES)
            for needle in sorted(NEEDLES[canary])
            if needle in joined
        ]

    def holds(self, place: str, mark: str) -> bool:
        """Whether `mark` was found there."""
        return any(mark.encode() in piece for piece in self.places[place])


def _around(joined: bytes, needle: bytes, width: int = 120) -> str:
    at = joined.index(needle)
    return joined[max(0, at - width) : at + width].decode(errors="replace")


class Sender:
    """Sends canaries to services, keeps what they answer, and knows which routes were asked."""

    def __init__(self, platform: Platform, haystack: Haystack, routes: Iterable[str]) -> None:
        """`routes` are written as ``intake POST /v1/feedback/{event_id}/appeal``."""
        self.platform, self._haystack = platform, haystack
        self._http = httpx.Client(trust_env=False, timeout=30, auth=platform.proofs)
        self._patterns = [(route, _pattern(route)) for route in sorted(routes, key=lambda it: it.count("{"))]
        self.answered: dict[str, set[int]] = {}

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __call__(
        self,
        method: str,
        service: str,
        path: str,
        headers: dict[str, str] | None = None,
        **more: Any,  # noqa: ANN401 - as httpx takes it
    ) -> httpx.Response:
        """Send a request and keep its answer."""
        given = {"X-Correlation-Id": MARK, **(headers or {})}
        encoded = [(name.encode(), value.encode()) for name, value in given.items()]
        answer = self._http.request(method, self.platform.url(service, path), headers=encoded, **more)
        route = self.knows(service, method, path.partition("?")[0], answer.status_code)
        place = HANDLERS if route in OF_HANDLERS and answer.is_success else f"answers of {service}"
        self._haystack.add(place, answer.content, *(f"{n}: {v}" for n, v in answer.headers.items()))
        return answer

    def knows(self, service: str, method: str, path: str, status: int) -> str | None:
        """Remember how a route answered; the route."""
        asked = f"{service} {method} {path}"
        route = next((route for route, pattern in self._patterns if pattern.fullmatch(asked)), None)
        if route is not None:
            self.answered.setdefault(route, set()).add(status)
        return route

    def took(self, route: str) -> bool:
        """Whether a route did what it was asked at least once."""
        return any(200 <= status < 300 for status in self.answered.get(route, ()))

    def refused(self, route: str) -> bool:
        """Whether a route refused something."""
        return any(400 <= status < 500 for status in self.answered.get(route, ()))


def _pattern(route: str) -> re.Pattern[str]:
    literal = re.split(r"\{\w+\}", route)
    return re.compile("[^/]+".join(map(re.escape, literal)))
