"""Valid ratings as clients send them, the same for the same seed, each with a key of its own."""

import json
import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from deploy.local.demo.comments import COMMENTS
from shared.kernel.clock import rfc3339
from shared.kernel.grades import Level
from shared.kernel.units import load_units

TEXT_SHARE = 0.3
"""Part of the ratings with a comment, where a load has comments at all."""


class Ratings:
    """Makes bodies; ``tag`` is in every key, so that two loads never repeat each other."""

    def __init__(
        self, seed: int, *, text_share: float = 0.0, tag: str | None = None, proof: str = ""
    ) -> None:
        """Comments on ``text_share`` of the ratings; without ``tag`` a random one; sends ``proof`` along."""
        self._proof = f"Authorization: {proof}\r\n" if proof else ""
        self._chance = random.Random(seed)
        self._windows = [unit.unit_id for unit in load_units().by_level(Level.WINDOW)]
        self._text_share = text_share
        self._tag = tag or uuid4().hex[:12]
        self._start = datetime.now(UTC) - timedelta(hours=20)
        self._number = 0

    def next(self) -> tuple[str, bytes]:
        """A rating's key and its JSON body."""
        self._number += 1
        key = f"bench-{self._tag}-{self._number}"
        grade = self._chance.choices((5, 4, 3, 2, 1), (62, 22, 9, 4, 3))[0]
        body: dict[str, object] = {
            "unit_id": self._chance.choice(self._windows),
            "grade": grade,
            "source": "public",
            "channel": "terminal",
            "transaction_id": f"{self._chance.randrange(10**16):016d}",
            "client_ref": key,
            "occurred_at": rfc3339(self._start + timedelta(seconds=self._chance.randrange(60_000))),
        }
        if self._chance.random() < self._text_share:
            body["text"] = self._chance.choice(COMMENTS[grade])
        return key, json.dumps(body, ensure_ascii=False).encode()

    def post(self, path: str) -> bytes:
        """One rating as a complete HTTP request."""
        key, body = self.next()
        return request(path, body, "application/json", f"Idempotency-Key: {key}\r\n{self._proof}")

    def batch(self, path: str, lines: int) -> bytes:
        """``lines`` ratings as one NDJSON request."""
        body = b"\n".join(self.next()[1] for _ in range(lines))
        return request(path, body, "application/x-ndjson", self._proof)


def request(path: str, body: bytes, content_type: str, headers: str = "") -> bytes:
    """A complete POST request for a kept-alive connection; ``headers`` end with CRLF each."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body
