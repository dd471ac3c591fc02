from functools import cache
from itertools import pairwise

from shared.events import FeedbackSubmitted, parse_envelope, spec_for_data
from shared.kernel.grades import Level
from tests.bench.bare_fold import Tally, decode
from tests.bench.fold_events import Stored, registry_of, stored_events, windows_of
from tests.bench.fold_sides import scoring

EVENTS = 20_000
REGISTRY = registry_of(300)


@cache
def stored() -> list[Stored]:
    return list(stored_events(windows_of(REGISTRY), EVENTS))


def test_every_event_is_valid_under_the_contract_and_on_its_own_subject() -> None:
    spec = spec_for_data(FeedbackSubmitted)
    for message in stored()[:2_000]:
        event = parse_envelope(spec.envelope, message.data)
        assert event.data.unit_id == event.subject
        assert message.subject == spec.subject_for(event.data.city, event.data.county)


def test_events_come_in_the_order_of_receipt_and_some_of_them_twice() -> None:
    events = [decode(message.data) for message in stored()]
    assert all(one.receivedat <= two.receivedat for one, two in pairwise(events))
    assert [message.sequence for message in stored()] == list(range(1, EVENTS + 1))
    assert 0.98 * EVENTS < len({event.id for event in events}) < EVENTS


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(stored_events(windows_of(REGISTRY), EVENTS)) == stored()


def test_scoring_counts_what_the_plain_tally_counts() -> None:
    tallies: dict[str, Tally] = {unit.unit_id: Tally() for unit in windows_of(REGISTRY)}
    for message in stored():
        event = decode(message.data)
        tallies[event.data.unit_id].add(event)
    plain = [sum(counts) for counts in zip(*(tally.ratings() for tally in tallies.values()), strict=True)]
    assert scoring(stored(), REGISTRY, "")() == plain
    assert 0 < plain[0] < plain[-1]


def test_a_registry_of_any_size_has_so_many_windows() -> None:
    for windows in (300, 1_188, 5_000):
        assert len(registry_of(windows).by_level(Level.WINDOW)) == windows
