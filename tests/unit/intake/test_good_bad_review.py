import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.adapters import good_bad_review
from services.intake.adapters.good_bad_review import (
    CHANNELS,
    CODES,
    FIELDS,
    from_submission,
    to_submission,
)
from services.intake.entrypoints.bodies import FeedbackBody
from shared.kernel.clock import SHANGHAI
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel, Level
from shared.kernel.regions import Division, DivisionRegistry, load_divisions
from shared.kernel.units import Unit, load_units

UNITS = load_units()
UNIT = UNITS.get("U000112")
RECODED = next(unit for unit in UNITS if unit.division == "360122" and unit.kind == "marriage")
"""A window of 新建县, which is 新建区, 360112, since 2015-09-30."""
RECORD = {
    "projNo": "360102-2026-1", "projName": "结婚登记", "serviceCode": "11360102", "serviceVersion": "2",
    "serviceDepartmentCode": "U000112", "regionCode": "360102000000", "evaluateChannel": "PJQ",
    "applicantName": "张三", "applicantCardNumber": "11010519491231002X", "applicantPhone": "13800138000",
    "userProp": "1", "handleStateCode": "3", "applyTime": "2026-03-01 09:00:00",
    "transactionTime": "2026-03-01 09:30:00", "satisfaction": "2", "writingEvaluation": "等了很久",
}  # fmt: skip


def unit_of(record: Mapping[str, str]) -> Unit:
    return UNITS.get(record["serviceDepartmentCode"])


def test_a_record_of_the_interface_is_a_submission_that_intake_takes() -> None:
    body = to_submission(RECORD, unit_of)
    assert body == {
        "unit_id": "U000112", "grade": 2, "channel": "terminal", "transaction_id": "360102-2026-1",
        "text": "等了很久", "occurred_at": "2026-03-01T09:30:00+08:00",
        "contact": {"name": "张三", "phone": "13800138000", "id_number": "11010519491231002X"},
    }  # fmt: skip
    FeedbackBody.model_validate_json(json.dumps(body))


def test_every_code_of_a_channel_has_one() -> None:
    assert CHANNELS.keys() == CODES["evaluateChannel"].keys()


def test_every_field_of_the_interface_is_used_told_of_or_left_out_on_purpose() -> None:
    known = {
        *FIELDS, *good_bad_review.UNIT_FIELDS, *good_bad_review.CODED_FIELDS, *good_bad_review.UNUSED_FIELDS,
    }  # fmt: skip
    assert RECORD.keys() == known


def test_identifiers_travel_only_where_intake_hashes_or_seals_them() -> None:
    identifiers = {"projNo", "applicantName", "applicantCardNumber", "applicantPhone"}
    places = {FIELDS[name] for name in identifiers}
    assert places == {"transaction_id", "contact.name", "contact.phone", "contact.id_number"}


submissions = st.fixed_dictionaries(
    {
        "unit_id": st.just(UNIT.unit_id),
        "grade": st.integers(1, 5),
        "channel": st.sampled_from([each.value for each in set(CHANNELS.values())]),
    },
    optional={
        "transaction_id": st.from_regex(r"[A-Z0-9]{4,18}", fullmatch=True),
        "text": st.from_regex(r"[一-龥]{1,9}", fullmatch=True),
        "occurred_at": st.integers(1_600_000_000, 1_900_000_000).map(
            lambda seconds: datetime.fromtimestamp(seconds, SHANGHAI).isoformat()
        ),
        "contact": st.fixed_dictionaries(
            {"phone": st.just("13800138000")}, optional={"name": st.just("张三")}
        ),
    },
)


@given(submissions)
def test_what_goes_out_comes_back_as_it_was(body: dict[str, object]) -> None:
    record = from_submission(body, UNIT)
    assert record["regionCode"] == "360102000000"
    assert to_submission(record, unit_of) == body


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"satisfaction": "6"}, "satisfaction"), ({"satisfaction": " "}, "satisfaction"),
        ({"evaluateChannel": "9"}, "evaluateChannel"), ({"transactionTime": "2026-03-01"}, "transactionTime"),
        ({"userProp": "8"}, "userProp"), ({"handleStateCode": "x"}, "handleStateCode"),
        ({"regionCode": "360102"}, "regionCode"), ({"regionCode": "360103000000"}, "regionCode"),
        ({"regionCode": "36010200000０"}, "regionCode"),
    ],
)  # fmt: skip
def test_a_value_that_the_interface_does_not_have_is_refused(change: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidValueError) as told:
        to_submission(RECORD | change, unit_of)
    assert told.value.field == field
    for code, meaning in CODES.get(field, {}).items():
        assert f"{code} {meaning}" in str(told.value), "it says what there is"


def test_a_region_that_was_loaded_is_known_both_ways() -> None:
    new = Division("360799", "蓉江区", Level.COUNTY, "360700", date(2026, 1, 1), None)
    divisions = DivisionRegistry((*load_divisions(), new))
    unit = replace(UNIT, division="360799", city="3607", county="360799")
    record = RECORD | {"regionCode": "360799000000"}
    body = to_submission(record, lambda _: unit, divisions)
    assert from_submission(body, unit, divisions)["regionCode"] == "360799000000"
    with pytest.raises(InvalidValueError, match="first six are 360799"):
        to_submission(record | {"regionCode": "360102000000"}, lambda _: unit, divisions)


def test_a_channel_without_a_code_is_not_handed_on() -> None:
    with pytest.raises(InvalidValueError, match="'visit'"):
        from_submission({"unit_id": UNIT.unit_id, "grade": 5, "channel": Channel.VISIT.value}, UNIT)


@pytest.mark.parametrize(
    ("prop", "place"), [("1", "id_number"), ("", "id_number"), ("2", "account"), ("9", "account")]
)
def test_the_card_number_is_a_persons_only_if_a_person_applied(prop: str, place: str) -> None:
    contact = to_submission(RECORD | {"userProp": prop}, unit_of)["contact"]
    assert contact == {"name": "张三", "phone": "13800138000", place: "11010519491231002X"}


@pytest.mark.parametrize("region", ["360122000000", "360112000000", "360112001000"])
def test_a_region_is_known_by_the_codes_that_it_had_and_has(region: str) -> None:
    record = RECORD | {"serviceDepartmentCode": RECODED.unit_id, "regionCode": region}
    assert to_submission(record, unit_of)["unit_id"] == RECODED.unit_id


@pytest.mark.parametrize(("day", "region"), [("2015-09-29", "360122000000"), ("2015-09-30", "360112000000")])
def test_the_region_that_is_handed_on_is_that_of_the_day(day: str, region: str) -> None:
    moment = f"{day}T09:00:00+08:00"
    body = {"unit_id": RECODED.unit_id, "grade": 5, "channel": "web", "occurred_at": moment}
    record = from_submission(body, RECODED)
    assert record["regionCode"] == region
    assert to_submission(record, unit_of) == body


@given(
    st.fixed_dictionaries(
        {name: st.sampled_from(sorted(codes)) for name, codes in CODES.items()},
    )
)
def test_every_code_is_taken_in_and_what_was_handed_on_is_handed_on_again(codes: dict[str, str]) -> None:
    record = from_submission(to_submission(RECORD | codes, unit_of), UNIT)
    assert from_submission(to_submission(record, unit_of), UNIT) == record
    first = {"5": "4", "PJQ": "4"}
    assert record["evaluateChannel"] == first.get(codes["evaluateChannel"], codes["evaluateChannel"])
    assert record["satisfaction"] == codes["satisfaction"]
