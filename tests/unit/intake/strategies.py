"""Hypothesis strategies for submissions."""

from datetime import UTC, date, datetime

from hypothesis import strategies as st

from services.intake.domain.submission import Contact, Submission
from shared.kernel.clock import whole_ms
from shared.kernel.grades import Channel, Source
from shared.rules import load_pack

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
moments = st.datetimes(datetime(2010, 1, 2), datetime(2026, 6, 1), timezones=st.just(UTC)).map(whole_ms)  # noqa: DTZ001 - made aware by the strategy
contacts = st.builds(
    Contact,
    name=st.none() | words,
    phone=st.none() | words,
    id_number=st.none() | words,
    email=st.none() | words,
    account=st.none() | words,
)
dimensions = st.dictionaries(
    st.sampled_from(["service", "efficiency", "quality", "conduct", "image"]), st.integers(1, 5)
)
_CHANNELS = load_pack(None, date(2026, 6, 1)).intake.channels
_ways = st.sampled_from(
    [(channel, source) for channel, policy in _CHANNELS.items() for source in policy.sources]
)


def _through(way: tuple[Channel, Source]) -> st.SearchStrategy[Submission]:
    channel, source = way
    return st.builds(
        Submission,
        channel=st.just(channel),
        source=st.just(source),
        unit_id=st.sampled_from(["U000001", "U000020", "U000200"]),
        grade=st.integers(1, 5),
        dimensions=dimensions,
        transaction_id=st.none() | words,
        client_ref=st.none() | words,
        text=st.none() | words,
        contact=st.none() | contacts.filter(lambda contact: bool(contact.given())),
        device_id=st.none() | words,
        occurred_at=st.none() | moments,
        token=st.none(),
    )


submissions = _ways.flatmap(_through)
