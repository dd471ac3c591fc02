import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest

from services.intake.adapters.rules import RulePacks
from services.intake.domain.acceptance import issues_of, proofs_of, verification_of
from services.intake.domain.addresses import TrustedProxies
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.submission import Contact, Submission
from services.intake.domain.unit_pages import UnitFilter, page_of_units
from shared.kernel.errors import InvalidValueError
from shared.kernel.grades import Channel, Source, Verification
from shared.kernel.ids import UnitId
from shared.kernel.units import UnitRegistry, load_units

NOW = datetime(2026, 7, 1, 4, tzinfo=UTC)
UNITS = load_units()
RULES = RulePacks(None).at(NOW).intake
PSEUDONYMS = Pseudonyms("k1", bytes(32))
PLAIN = Submission("U000200", 5, Source.PUBLIC, Channel.WEB)


def issue_fields(submission: Submission, units: UnitRegistry = UNITS) -> list[str]:
    return [issue.field for issue in issues_of(submission, units, RULES, NOW)]


def test_a_plain_rating_has_no_issue() -> None:
    assert issue_fields(PLAIN) == []


def test_all_issues_are_told_at_once() -> None:
    wrong = PLAIN._replace(
        unit_id="U999999",
        occurred_at=NOW + timedelta(days=1),
        text="x" * (RULES.text_max_chars + 1),
        contact=Contact(name="x" * (RULES.contact_max_chars + 1)),
    )
    assert issue_fields(wrong) == ["unit_id", "occurred_at", "text", "contact.name"]


@pytest.mark.parametrize(("ahead_s", "fields"), [(0, []), (1, ["occurred_at"])])
def test_the_future_begins_after_the_tolerance(ahead_s: int, fields: list[str]) -> None:
    edge = NOW + timedelta(seconds=RULES.future_tolerance_s + ahead_s)
    assert issue_fields(PLAIN._replace(occurred_at=edge)) == fields


def test_a_unit_is_rated_only_on_days_on_which_it_exists() -> None:
    closed = UnitRegistry(
        dataclasses.replace(unit, valid_to=date(2026, 5, 1)) if unit.unit_id == "U000200" else unit
        for unit in UNITS
    )
    # The business day turns at 16:00 UTC.
    for moment, fields in (
        (datetime(2026, 4, 30, 15, 59, tzinfo=UTC), []),
        (datetime(2026, 4, 30, 16, 0, tzinfo=UTC), ["occurred_at"]),
        (datetime(2009, 12, 30, 15, 59, tzinfo=UTC), ["occurred_at"]),
        (datetime(2009, 12, 30, 16, 0, tzinfo=UTC), []),
    ):
        assert issue_fields(PLAIN._replace(occurred_at=moment), closed) == fields, moment


def test_who_rates_a_merged_unit_is_told_its_successor_of_that_day() -> None:
    merges = {"U000200": (date(2026, 5, 1), "U000201"), "U000201": (date(2026, 6, 1), "U000202")}
    merged = UnitRegistry(
        dataclasses.replace(unit, valid_to=merges[unit.unit_id][0], successor=UnitId(merges[unit.unit_id][1]))
        if unit.unit_id in merges
        else unit
        for unit in UNITS
    )
    for moment, heir in ((datetime(2026, 5, 2, 4, tzinfo=UTC), "U000201"), (NOW, "U000202")):
        (issue,) = issues_of(PLAIN._replace(occurred_at=moment), merged, RULES, NOW)
        assert (issue.field, issue.remedy) == ("unit_id", f"rate {heir}, or correct the time")
        assert f"{heir} ({UNITS.get(heir).name})" in issue.expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Verification.ANONYMOUS),
        ({"channel": Channel.QR}, Verification.ONSITE),
        ({"channel": Channel.TERMINAL}, Verification.ONSITE),
        ({"contact": Contact(phone="138-0013-8000"), "channel": Channel.QR}, Verification.REAL_NAME),
        ({"contact": Contact(id_number="11010519491231002X")}, Verification.REAL_NAME),
        ({"contact": Contact(id_number="110105194912310021")}, Verification.ANONYMOUS),
        ({"contact": Contact(phone="1")}, Verification.ANONYMOUS),
        ({"contact": Contact(name="王五", email="a@example.org")}, Verification.ANONYMOUS),
        ({"transaction_id": "t", "channel": Channel.TERMINAL}, Verification.TRANSACTION),
        (
            {"transaction_id": "t", "channel": Channel.HOTLINE, "contact": Contact(phone="13800138000")},
            Verification.TRANSACTION,
        ),
        ({"transaction_id": "t", "contact": Contact(phone="13800138000")}, Verification.REAL_NAME),
        ({"transaction_id": "t", "channel": Channel.QR}, Verification.ONSITE),
        ({"transaction_id": "t", "channel": Channel.APP}, Verification.ANONYMOUS),
    ],
)
def test_how_surely_a_rating_stands_for_a_service(change: dict[str, object], expected: Verification) -> None:
    submission = PLAIN._replace(**change)  # type: ignore[arg-type]  # table
    proofs = proofs_of(submission.channel, RULES, imported=False)
    assert verification_of(submission, proofs) is expected


def test_a_citizen_is_known_by_the_strongest_identity_however_it_is_written() -> None:
    citizen = PSEUDONYMS.citizen
    person = citizen(Contact(id_number="11010519491231002X", phone="13800138000"), Channel.WEB)
    assert person == citizen(Contact(id_number="１１０１０５ 19491231 002x"), Channel.APP)
    phone = citizen(Contact(phone="+86 138-0013-8000", email="a@b"), Channel.WEB)
    assert phone == citizen(Contact(phone="13800138000"), Channel.QR)
    assert phone != person
    assert citizen(Contact(email=" A@Example.org"), Channel.WEB) == citizen(
        Contact(email="a@example.ORG"), Channel.APP
    )
    account = Contact(account="u1")
    assert citizen(account, Channel.WEB) != citizen(account, Channel.APP)
    assert citizen(Contact(name="王五"), Channel.WEB) is None
    assert citizen(None, Channel.WEB) is None


def test_pseudonyms_of_different_kinds_never_meet() -> None:
    value = "13800138000"
    found = {
        PSEUDONYMS.device(value),
        PSEUDONYMS.transaction(value),
        PSEUDONYMS.text(value),
        PSEUDONYMS.citizen(Contact(phone=value), Channel.WEB),
        PSEUDONYMS.citizen(Contact(account=value), Channel.WEB),
    }
    assert len(found) == 5
    assert all(each is not None and each.startswith("k1.") and len(each) == 35 for each in found)


def test_the_fingerprint_of_a_text_ignores_width_case_blanks_and_punctuation() -> None:
    assert PSEUDONYMS.text("很好，ＯＫ！") == PSEUDONYMS.text(" 很 好 ok")
    assert PSEUDONYMS.text("很好") != PSEUDONYMS.text("不好")
    assert PSEUDONYMS.text("……！") is None


def test_addresses_of_one_ipv6_household_are_one() -> None:
    assert PSEUDONYMS.address("2001:db8::1") == PSEUDONYMS.address("2001:db8::ffff:1")
    assert PSEUDONYMS.address("2001:db8::1") != PSEUDONYMS.address("2001:db8:0:1::1")
    assert PSEUDONYMS.address("203.0.113.1") != PSEUDONYMS.address("203.0.113.2")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", None, None),
        ("10.0.0.1", "10.0.0.3", None),
        ("10.0.0.1", "198.51.100.1, rubbish", None),
        ("socket", None, None),
        (None, "198.51.100.1", "198.51.100.1"),
    ],
)
def test_only_trusted_proxies_may_speak_for_others(
    peer: str | None, forwarded: str | None, expected: str | None
) -> None:
    assert TrustedProxies(["10.0.0.0/8"]).client_address(peer, forwarded) == expected


def test_a_malformed_proxy_network_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="TRUSTED_PROXIES"):
        TrustedProxies(["10.0.0.1/8"])


def test_pages_of_units_are_full_and_end_without_an_empty_one() -> None:
    wanted = UnitFilter(parent="U000001")
    pages = []
    cursor = None
    while True:
        page = page_of_units(UNITS, wanted, 11, cursor)
        pages.append(len(page.items))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == [11]
