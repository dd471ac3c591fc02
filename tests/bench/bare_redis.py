"""A baseline of the fold: the same rolling ranking in one Redis, pipelined.

``HINCRBY`` for each column of a unit's day, ``ZADD`` of a unit's score in each window once for each batch
in which it was rated. Repeats and the windows' sums are kept in the client: Redis would need a round trip
for each.
"""

from collections.abc import Sequence

import redis

from tests.bench.bare_fold import WINDOWS, Tally, day_of, decode, is_good, weight_of

BATCH = 1_000
"""Events in one pipeline."""


def rolling(url: str, bodies: Sequence[bytes]) -> dict[str, Tally]:
    """Count all events in an emptied Redis; the tallies of the client."""
    server = redis.Redis.from_url(url)
    server.flushall()
    tallies: dict[str, Tally] = {}
    for start in range(0, len(bodies), BATCH):
        pipeline = server.pipeline(transaction=False)
        rated: dict[str, Tally] = {}
        for body in bodies[start : start + BATCH]:
            event = decode(body)
            unit = event.data.unit_id
            tally = tallies.get(unit)
            if tally is None:
                tally = tallies[unit] = Tally()
            if not tally.add(event):
                continue
            rated[unit] = tally
            key, weight = f"{unit}:{day_of(event)}", weight_of(event)
            pipeline.hincrby(key, "ratings", 1)
            pipeline.hincrby(key, f"grade_{event.data.grade}", 1)
            pipeline.hincrby(key, "weight", weight)
            if is_good(event):
                pipeline.hincrby(key, "good", weight)
        for unit, tally in rated.items():
            for days, score in zip(WINDOWS, tally.scores(), strict=True):
                pipeline.zadd(f"ranking:{days}", {unit: score})
        pipeline.execute()
    if server.zcard(f"ranking:{WINDOWS[-1]}") != len(tallies):
        raise AssertionError(f"{len(tallies)} units expected in Redis")
    server.close()
    return tallies
