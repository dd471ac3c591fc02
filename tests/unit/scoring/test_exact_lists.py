"""From the bytes of events to the bytes of lists, against exact fractions: any order, repeats, batches."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st

from services.scoring.application.fold import Fold
from services.scoring.domain.lists import Row, canonical_json
from services.scoring.domain.posterior import scores
from services.scoring.domain.spans import Period, PeriodKind, Rolling
from services.scoring.domain.spans import Span as ListSpan
from shared.kernel.clock import SHANGHAI, rfc3339
from shared.kernel.grades import Level
from shared.kernel.units import UnitRegistry, load_units
from shared.rules import load_pack
from shared.rules.pack import Suppression
from shared.rules.unproven import UnprovenCap
from tests.support.properties import retried
from tests.unit.scoring import full_oracle, list_oracle
from tests.unit.scoring.feedback import Message, event_id, hmac, none_is_invalid
from tests.unit.scoring.list_oracle import Span, TieError

AS_OF = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=SHANGHAI)
TODAY = (AS_OF - date(1970, 1, 1)).days
SHIPPED = load_pack(None, AS_OF)
RULES = replace(
    SHIPPED,
    suppression=Suppression(publish_from=2, rank_from=3),  # so that few ratings make ranks
    kinds={kind: SHIPPED.kinds[kind] for kind in ("marriage", "lottery")},
    unproven=UnprovenCap(floor_milli=700, share_milli=333),  # and few unproven ones are too many
)


def tiny_province() -> UnitRegistry:
    everyone = load_units()
    city = everyone.by_level(Level.CITY)[0]
    counties = everyone.children(city.unit_id)[:2]
    windows = [each for county in counties for each in everyone.children(county.unit_id)]
    return UnitRegistry(
        [
            *everyone.by_level(Level.PROVINCE),
            city,
            *counties,
            *(each for each in windows if each.kind in RULES.kinds),
        ]
    )


UNITS = tiny_province()
PLACE: dict[str, int] = {unit.unit_id: number for number, unit in enumerate(UNITS)}
RATED = [*UNITS.by_level(Level.WINDOW), *UNITS.by_level(Level.COUNTY)]


def days(first: date, last: date) -> tuple[int, int]:
    start = date(1970, 1, 1)
    return (first - start).days, (last - start).days


SPANS: dict[ListSpan, Span] = {
    Rolling(7): Span("7", 7, None, (TODAY - 6, TODAY), (TODAY - 7, TODAY - 1)),
    Rolling(30): Span("30", 30, None, (TODAY - 29, TODAY), (TODAY - 30, TODAY - 1)),
    Period(PeriodKind.MONTH, 2026, 11): Span(
        "2026-11", 30, "2026-11", days(date(2026, 11, 1), date(2026, 11, 30)),
        days(date(2026, 10, 1), date(2026, 10, 31)),
    ),
}  # fmt: skip


def counted_fields(random: Random) -> dict[str, Any]:
    """What counts of a rating; few people, devices and units, so that they meet."""
    quality = random.choice((0.5, 0.8, 0.95))
    fields: dict[str, Any] = {
        "unit_id": random.choice(RATED[: random.choice((2, 3, 9))]).unit_id,
        "grade": random.choice((3, 4, 5)) if random.random() < quality else random.choice((1, 2)),
        "source": "social" if random.random() < 0.15 else "public",
        "channel": random.choice(("terminal", "qr", "web", "app", "paper")),
        "verification": random.choice(("transaction", "real_name", "onsite", "anonymous")),
    }
    if random.random() < 0.4:
        person = random.randrange(4)
        fields |= {"citizen_hmac": hmac(person), "transaction_hmac": hmac(10 + person)}
    for at, mark in enumerate(("device_hmac", "address_hmac", "text_hmac")):
        if random.random() < 0.4:
            fields[mark] = hmac(20 + 10 * at + random.randrange(2))
    if random.random() < 0.2:
        names = random.sample(list_oracle.DIMENSIONS, random.randint(1, 5))
        fields["dimensions"] = {name: random.randint(1, 5) for name in names}
    return fields


def history(random: Random) -> list[Message]:
    """Ratings of some weeks, received in the last days, and what was decided about some of them."""
    found: list[tuple[str, dict[str, Any]]] = []
    for number in range(random.choice((4, 16, 32))):
        received = NOON - timedelta(days=random.choice((0, 0, 1, 3)), minutes=random.randrange(12))
        occurred = received - timedelta(days=random.choice((0, 0, 0, 0, 1, 6, 7, 19, 20, 29, 30, 31)))
        fields = counted_fields(random)
        common = {"specversion": "1.0", "synthetic": random.random() < 0.05}
        times = {"occurred_at": rfc3339(occurred), "received_at": rfc3339(received)}
        found.append(
            (
                "submitted",
                common
                | {"id": event_id(number), "time": times["occurred_at"], "receivedat": times["received_at"]}
                | {"data": fields},
            )
        )
        standing = original = {**fields, **times, "synthetic": common["synthetic"]}
        for revision in range(1, random.choice((1, 1, 2, 3, 4))):
            fact = random.choice(
                ("corrected", "withdrawn", "excluded", "reinstated", "quarantined", "released")
            )
            data = {"target_id": event_id(number), "target_revision": revision, "target": standing}
            if standing is not original:
                data["submitted"] = original
            if fact == "corrected":
                data["corrected"] = standing = {
                    **standing, "grade": random.randint(1, 5), "unit_id": random.choice(RATED).unit_id,
                }  # fmt: skip
            decided = {"specversion": "1.0", "id": event_id(1000 * revision + number), "data": data}
            found.append((fact, decided))
    return [
        Message(
            f"feedback.v1.{fact}.3601.360102",
            json.dumps({**event, "type": f"cn.pingyi.feedback.{fact}.v1"}).encode(),
            0,
        )
        for fact, event in found
    ]


def folded(events: Sequence[Message], random: Random) -> Fold:
    """In any order, with repeats, in batches, over midnights, killed and taken up again from snapshots."""
    stream = [*events, *random.choices(events, k=random.randrange(6))]
    random.shuffle(stream)
    fold = Fold(UNITS, RULES, AS_OF - timedelta(days=random.randrange(3)))
    place = 0
    while place < len(stream):
        snapshot, start = fold.dump() if random.random() < 0.2 else None, place
        place += random.randint(1, len(stream))
        batch = [replace(each, sequence=at) for at, each in enumerate(stream, 1)][start:place]
        fold.take(batch, none_is_invalid)
        if snapshot is not None:  # killed before the next snapshot: the tail once more
            fold = Fold.load(snapshot, UNITS, RULES)
            fold.take(batch, none_is_invalid)
        if random.random() < 0.2:
            fold.lists(wanted=list(SPANS))  # what is remembered of it must not show
        fold.advance(min(AS_OF, fold.as_of + timedelta(days=random.randrange(2))))
    fold.advance(AS_OF)
    return fold


@retried(1000)
@given(st.integers(0, 2**32 - 1))
def test_heads_and_rows_are_to_the_byte_what_exact_fractions_make_of_the_events(seed: int) -> None:
    random = Random(seed)
    events = history(random)
    fold = folded(events, random)
    judged = full_oracle.judge(
        list_oracle.read([event.data for event in events], PLACE, RULES),
        RULES.windows.lateness_days,
        RULES.windows.replacement_days,
    )
    try:
        expected = list_oracle.lists(judged, UNITS, RULES, AS_OF, list(SPANS.values()))
    except TieError:
        assume(condition=False)
    books = fold.books()
    assert (books.accepted, books.counted, books.replaced) == (
        judged.accepted, judged.counted, judged.replaced,
    )  # fmt: skip
    assert (books.held, books.excluded, books.late) == (judged.held, judged.excluded, judged.late)
    found = fold.lists(wanted=list(SPANS))
    assert found.keys() == expected.keys()
    for key, computed in found.items():
        head, rows = expected[key]
        items = [
            canonical_json(_with_floats(mine, theirs).document())
            for mine, theirs in zip(rows, computed.rows, strict=True)
        ]
        assert computed.canonical() == b'{"head":%b,"items":[%b]}' % (canonical_json(head), b",".join(items))


def _with_floats(mine: Row, theirs: Row) -> Row:
    """What floats decide, from the row itself."""
    return mine._replace(
        interval_low=theirs.interval_low,
        interval_high=theirs.interval_high,
        band=theirs.band,
        rank_low=theirs.rank_low,
        rank_high=theirs.rank_high,
    )


@retried(1000)
@given(
    st.integers(0, 4 * 10**11),
    st.integers(0, 10**6),
    st.integers(1, 999),
    st.integers(1, 99_990),
)
@example(weight=1000, per_million=500_000, mu_milli=3, strength_tenths=10)
def test_a_score_is_exact_and_rounded_half_up(
    weight: int, per_million: int, mu_milli: int, strength_tenths: int
) -> None:
    good = weight * per_million // 10**6
    mu, strength = Fraction(mu_milli, 1000), Fraction(strength_tenths, 10)
    mean = (mu * strength + Fraction(good, 1000)) / (strength + Fraction(weight, 1000))
    expected = Fraction(math.floor(100 * mean * 10**4 + Fraction(1, 2)), 10**4)
    (found,) = scores(
        np.array([weight]), np.array([good]), np.array([float(mu)]), np.array([float(strength)])
    ).tolist()
    assert found == float(expected)
