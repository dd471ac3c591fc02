"""What of FEEDBACK is handed on in the fields of the province's interface, and how a reader follows it."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from services.intake.adapters.good_bad_export import GoodBadExport
from services.intake.adapters.good_bad_review import STATES, SUBMITTED, to_submission
from services.intake.adapters.stored_revisions import read_in_force
from services.intake.application.prepared import RequestFacts
from services.intake.application.revision_messages import FACTS, revision_message
from services.intake.domain.decisions import Decision
from services.intake.domain.revisions import Move
from shared.events import EventData, FeedbackRevision, Provenance
from shared.kernel.clock import rfc3339
from shared.kernel.ids import derived_id
from shared.kernel.regions import load_divisions
from shared.kernel.units import load_units
from shared.rules.loading import load_pack
from shared.testing.builders import (
    counted_fields,
    envelope_of,
    feedback_conflicted,
    feedback_corrected,
    feedback_excluded,
    feedback_quarantined,
    feedback_reinstated,
    feedback_released,
    feedback_submitted,
    feedback_withdrawn,
    hmac_of,
)
from shared.testing.clock import NOON

UNITS = load_units()
UNIT, OTHER = "U000112", "U000200"
RECODED = next(unit for unit in UNITS if unit.division == "360122" and unit.kind == "marriage").unit_id
"""A window of 新建县, which is 新建区, 360112, since 2015-09-30."""
RATING = derived_id("test-event", "target")
PEOPLE = {name: hmac_of(name) for name in ("citizen_hmac", "device_hmac", "address_hmac", "text_hmac")}
FIELDS: dict[str, Any] = {"unit_id": UNIT, "grade": 2, "transaction_hmac": hmac_of("transaction"), **PEOPLE}
REVISIONS: list[tuple[Callable[..., FeedbackRevision], str]] = [
    (feedback_corrected, "corrected"),
    (feedback_withdrawn, "withdrawn"),
    (feedback_excluded, "excluded"),
    (feedback_reinstated, "reinstated"),
    (feedback_quarantined, "held"),
    (feedback_released, "released"),
]
RULES = load_pack(None, NOON.date())
REQUEST = RequestFacts(NOON, rfc3339(NOON), RULES.intake, RULES.hash, Provenance("test-request"))


async def nobody() -> Client:
    raise AssertionError("no broker is asked")


EXPORT = GoodBadExport(nobody, UNITS, load_divisions)


def record_of(data: EventData, **envelope: Any) -> dict[str, str] | None:  # noqa: ANN401 - of `envelope_of`
    return EXPORT.record(envelope_of(data, **envelope).to_json())


def submitted(**fields: object) -> dict[str, str]:
    record = record_of(feedback_submitted(**FIELDS | fields), event_id=RATING)
    assert record is not None
    return record


def test_a_rating_is_handed_on_as_submitted() -> None:
    assert submitted() == {
        "regionCode": "360102000000", "serviceDepartmentCode": UNIT, "projNo": hmac_of("transaction"),
        "satisfaction": "2", "evaluateChannel": "3", "transactionTime": "2026-03-02 12:00:00",
        "evaluationId": RATING, "evaluationState": "submitted", "revision": "0",
    }  # fmt: skip


def test_every_move_has_a_state_of_its_own() -> None:
    assert STATES.keys() == FACTS.keys() == set(Move)
    assert len({*STATES.values(), SUBMITTED}) == len(Move) + 1


@pytest.mark.parametrize(("make", "state"), REVISIONS)
@pytest.mark.parametrize("transaction", [hmac_of("transaction"), None])
def test_a_revision_is_the_ratings_record_with_what_is_in_force(
    make: Callable[..., FeedbackRevision], state: str, transaction: str | None
) -> None:
    given = {"transaction_hmac": transaction}
    target = counted_fields(**FIELDS | given)
    changes = {"corrected": counted_fields(**FIELDS | given | {"unit_id": OTHER, "grade": 5})}
    extra = changes if make is feedback_corrected else {}
    record = record_of(make(target=target, target_revision=7, **extra))
    in_force = {"serviceDepartmentCode": OTHER, "regionCode": "360123000000", "satisfaction": "5"}
    expected = submitted(**given) | (in_force if extra else {})
    assert record == expected | {"evaluationState": state, "revision": "7"}


@pytest.mark.parametrize(("make", "state"), REVISIONS)
def test_nothing_of_people_reasons_or_deciders_is_handed_on(
    make: Callable[..., FeedbackRevision], state: str
) -> None:
    told = {
        "decided_by": "county-clerk", "requested_by": "city-reviewer", "request_hmac": hmac_of("request"),
        "target": counted_fields(**FIELDS),
    }  # fmt: skip
    if make is feedback_corrected:
        told["corrected"] = counted_fields(**FIELDS)
    revision = make(**told)
    record = record_of(revision)
    assert record is not None
    assert record.keys() == submitted().keys()
    assert record["evaluationState"] == state
    secrets = {*PEOPLE.values(), hmac_of("request"), revision.digest, "county-clerk", "city-reviewer"}
    assert not secrets & set(record.values())


@pytest.mark.parametrize(
    ("moment", "region"), [("2015-09-29", "360122000000"), ("2015-09-30", "360112000000")]
)
def test_the_region_of_a_revision_is_that_of_the_day_of_the_service(moment: str, region: str) -> None:
    target = counted_fields(unit_id=RECODED, occurred_at=f"{moment}T01:00:00Z")
    record = record_of(feedback_withdrawn(target=target))
    assert record is not None
    assert record["regionCode"] == region


@pytest.mark.parametrize(("make", "state"), REVISIONS)
@pytest.mark.parametrize("left_out", [{"channel": "visit"}, {"synthetic": True}, {"unit_id": "U999999"}])
def test_a_revision_is_left_out_where_its_rating_is(
    make: Callable[..., FeedbackRevision], state: str, left_out: dict[str, Any]
) -> None:
    fields = counted_fields(**FIELDS | left_out)
    extra = {"corrected": fields} if make is feedback_corrected else {}
    assert state in STATES.values()
    assert record_of(make(target=fields, **extra)) is None


def test_what_is_neither_a_rating_nor_a_revision_is_left_out() -> None:
    assert record_of(feedback_conflicted()) is None
    assert record_of(feedback_submitted(**FIELDS | {"channel": "visit"})) is None
    assert record_of(feedback_submitted(**FIELDS), synthetic=True) is None
    assert record_of(feedback_withdrawn(target=counted_fields(**FIELDS)), synthetic=True) is None
    withdrawal = envelope_of(feedback_withdrawn(target=counted_fields(**FIELDS))).to_json()
    for data in (b"", b"{}", b"\xff", b'{"type":1}', withdrawal.replace(b"target_revision", b"number")):
        assert EXPORT.record(data) is None


def test_a_revision_after_a_change_of_keys_has_the_proj_no_of_its_rating() -> None:
    """What intake makes of the stored rating: under a new key, whose pseudonym it is not given to know."""
    old, new = f"old.{'1' * 32}", f"new.{'2' * 32}"
    for stored, alias in ((old, None), (new, old)):  # rated before the change; while it lasts
        aliases = None if alias is None else [{"transaction_hmac": alias}]
        rating = envelope_of(
            feedback_submitted(**FIELDS | {"transaction_hmac": stored, "aliases": aliases}), event_id=RATING
        ).to_json()
        before = read_in_force(rating)
        assert before is not None
        message = revision_message(
            Decision(Move.QUARANTINE, "burst", "county-clerk"), before, target_id=RATING, number=1,
            corrected=before.fields, request=None, digest=f"new.{'3' * 32}", facts=REQUEST,
        )  # fmt: skip
        records = [EXPORT.record(rating), EXPORT.record(message.payload)]
        assert [record and record["projNo"] for record in records] == [stored, stored]


def follow(records: Iterable[dict[str, str]]) -> dict[str, dict[str, str]]:
    """What a reader has by the rule that docs/registry.md gives."""
    have: dict[str, dict[str, str]] = {}
    for record in records:
        known = have.get(record["evaluationId"])
        if known is None or int(known["revision"]) < int(record["revision"]):
            have[record["evaluationId"]] = record
    return have


def history() -> list[dict[str, str]]:
    corrected = counted_fields(**FIELDS | {"grade": 4})
    events: list[EventData] = [
        feedback_corrected(target=counted_fields(**FIELDS), corrected=corrected, target_revision=1),
        feedback_quarantined(target=corrected, target_revision=2),
        feedback_released(target=corrected, target_revision=3),
        feedback_withdrawn(target=corrected, target_revision=4),
    ]
    return [submitted(), *(record for event in events if (record := record_of(event)) is not None)]


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=5))
def test_a_reader_that_replaces_lower_revisions_has_what_is_in_force_in_whatever_order(
    order: list[int], again: list[int]
) -> None:
    told = history()
    (left,) = follow(told[number] for number in (*again, *order, *again)).values()
    assert left == told[-1]
    assert (left["evaluationState"], left["revision"], left["satisfaction"]) == ("withdrawn", "4", "4")


def test_the_fields_of_a_revision_are_those_of_a_submission_of_the_interface() -> None:
    for record in history():
        body = to_submission(record, lambda each: UNITS.get(each["serviceDepartmentCode"]))
        assert body["transaction_id"] == hmac_of("transaction")
