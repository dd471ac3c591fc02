"""May this rating be accepted? Pure judgement over the registry, the rules and the time of receipt."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.intake.domain.submission import Contact, Submission
from shared.kernel.clock import business_day, rfc3339
from shared.kernel.errors import NotFoundError
from shared.kernel.grades import Channel, Verification
from shared.kernel.identity_numbers import is_identity_number, is_phone, normal_identity_number
from shared.kernel.units import Unit, UnitRegistry
from shared.rules.intake_policy import Proof
from shared.rules.pack import Intake as IntakeRules


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with a rating: where, what came (shortened), what was expected, what to do."""

    field: str
    value: str
    expected: str
    remedy: str


def issues_of(
    submission: Submission, units: UnitRegistry, rules: IntakeRules, received_at: datetime
) -> tuple[Issue, ...]:
    """Everything that keeps `submission` from being accepted; empty if nothing does.

    Text and contacts are described by their length, never quoted.
    """
    issues: list[Issue] = []
    occurred_at = submission.occurred_at or received_at
    unit: Unit | None = None
    try:
        unit = units.get(submission.unit_id)
    except NotFoundError as error:
        issues.append(Issue("unit_id", error.value, error.expected, error.remedy))
    if occurred_at > received_at + timedelta(seconds=rules.future_tolerance_s):
        issues.append(
            Issue(
                "occurred_at",
                rfc3339(occurred_at),
                f"a time up to now ({rfc3339(received_at)}, tolerance {rules.future_tolerance_s:g} s)",
                "correct the clock or the offset of the sender, or leave the field out",
            )
        )
    elif unit is not None and not unit.exists(business_day(occurred_at)):
        issues.append(_not_there(unit, occurred_at, units))
    if submission.text is not None and len(submission.text) > rules.text_max_chars:
        issues.append(_too_long("text", submission.text, rules.text_max_chars))
    if submission.contact is not None:
        issues += [
            _too_long(f"contact.{part}", value, rules.contact_max_chars)
            for part, value in submission.contact.given().items()
            if len(value) > rules.contact_max_chars
        ]
    return tuple(issues)


def _not_there(unit: Unit, occurred_at: datetime, units: UnitRegistry) -> Issue:
    """Name who stands for `unit` on the day, if it was merged or recoded."""
    day = business_day(occurred_at)
    heir = units.heir(unit, day)
    if heir is not None:
        return Issue(
            "unit_id",
            unit.unit_id,
            f"a unit that exists on {day}: {unit.unit_id} ended on {unit.valid_to}, its successor is "
            f"{heir.unit_id} ({heir.name})",
            f"rate {heir.unit_id}, or correct the time",
        )
    until = f" to {unit.valid_to} (exclusive)" if unit.valid_to else ""
    return Issue(
        "occurred_at",
        rfc3339(occurred_at),
        f"a day on which {unit.unit_id} exists: from {unit.valid_from}{until}",
        "correct the time, or name the unit that existed then",
    )


def _too_long(field: str, value: str, limit: int) -> Issue:
    return Issue(field, f"{len(value)} characters", f"at most {limit} characters", "shorten it")


def verification_of(
    submission: Submission, proofs: Collection[Proof], *, by_token: bool = False
) -> Verification:
    """How surely the rating stands for a real service.

    A one-time token, or a transaction where its word is taken for it, beats a real identity (an identity or
    phone number that can exist), which beats presence at the window; the rest is anonymous.

    Args:
        submission: the rating.
        proofs: what its channel is believed, see `proofs_of`.
        by_token: whether it came with a genuine token.
    """
    if by_token or (submission.transaction_id is not None and Proof.TRANSACTION in proofs):
        return Verification.TRANSACTION
    if submission.contact is not None and Proof.REAL_NAME in proofs and _is_real_name(submission.contact):
        return Verification.REAL_NAME
    return Verification.ONSITE if Proof.ONSITE in proofs else Verification.ANONYMOUS


def proofs_of(channel: Channel, rules: IntakeRules, *, imported: bool) -> Collection[Proof]:
    """What a rating of `channel` may prove; one of a bulk import also what staff are believed who import."""
    proofs = rules.channels[channel].proofs
    return (*proofs, *rules.channels[Channel.IMPORT].proofs) if imported else proofs


def issue_of_source(submission: Submission, rules: IntakeRules, *, imported: bool) -> Issue | None:
    """What keeps the rating's source from coming through its channel."""
    sources = rules.channels[submission.channel].sources
    if submission.source in sources or (
        imported and submission.source in rules.channels[Channel.IMPORT].sources
    ):
        return None
    carrying = ", ".join(
        channel.value for channel, policy in rules.channels.items() if submission.source in policy.sources
    )
    return Issue(
        "source",
        submission.source.value,
        f"a source of the channel {submission.channel.value}: {', '.join(sources)}",
        f"send appraisals of this source through one of {carrying or 'no channel'}",
    )


def _is_real_name(contact: Contact) -> bool:
    if contact.id_number and is_identity_number(normal_identity_number(contact.id_number)):
        return True
    return contact.phone is not None and is_phone(contact.phone)
