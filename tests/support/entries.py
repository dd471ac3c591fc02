"""Entries of a log as documents, made up: for tests and measurements that need many of them at once."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from services.archive.adapters.documents import to_document
from services.archive.domain.entries import Attributes, Entry, Kind, Leaf
from shared.messaging.streams import ALERTS, FEEDBACK
from shared.testing.clock import NOON

SUBMITTED: Final = "cn.pingyi.feedback.submitted.v1"
RAISED: Final = "cn.pingyi.alerts.raised.v1"
EXCLUDED: Final = "cn.pingyi.feedback.excluded.v1"


def synthetic_documents(
    count: int, *, units: int = 12, start: datetime = NOON, every: timedelta = timedelta(seconds=5)
) -> Iterator[dict[str, Any]]:
    """``count`` documents of a log from index 0, always the same: ratings, one alert in ten, some decisions.

    They came ``every`` so often from ``start`` on; what they tell had happened within the half hour before.
    Not sealed: hashes are of the right length, and of nothing.
    """
    chance = random.Random(7)
    sequences = {FEEDBACK: 0, ALERTS: 0}
    for index in range(count):
        unit = chance.randrange(units)
        alert, decision = index % 10 == 9, index % 50 == 7
        stream = ALERTS if alert else FEEDBACK
        sequences[stream] += 1
        city = 3601 + unit % 11
        county = city * 100 + (2, 21)[unit // 11 % 2]
        received = start + every * index
        happened = received - timedelta(milliseconds=min(1_800_000, int(chance.expovariate(1 / 60_000))))
        attributes = Attributes(
            f"{index:032x}",
            RAISED if alert else EXCLUDED if decision else SUBMITTED,
            "/pingyi/notify" if alert else "/pingyi/intake",
            happened,
            received,
            f"request-{index - alert}",
            f"{index - 1:032x}" if alert else None,
            f"U{unit:06d}",
            None if alert or decision else "qr",
            False,
            "city-reviewer" if decision else None,
            f"case-{index // 500}" if decision else None,
        )
        fact = (
            "alerts.v1.raised" if alert else "feedback.v1.excluded" if decision else "feedback.v1.submitted"
        )
        digest = sha256(index.to_bytes(8, "big")).digest()
        envelope = b'{"id":"%032x","data":{"unit_id":"U%06d","grade":%d},"pad":"%s"}' % (
            index, unit, 1 + index % 5, digest.hex().encode() * 8,
        )  # fmt: skip
        subject = f"{fact}.{city}.{county}"
        leaf = Leaf(Kind.EVENT, stream, sequences[stream], subject, attributes, None, digest)
        yield to_document(Entry(index, leaf, envelope, digest))
