"""Cases, terms and the commands of a usual life, for the tests of the machine."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.rectify.domain import commands as c
from services.rectify.domain.case import Case, CaseClass, ConfirmedBy, Origin, Outcome, Party, Sealed
from services.rectify.domain.effects import opened
from services.rectify.domain.machine import decide
from services.rectify.domain.terms import Terms
from shared.kernel.holidays import Holidays
from shared.rules.rectify import Rectify

MONDAY = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
"""Monday, 10:00 in Shanghai."""
TEXT = Sealed("bm9uY2U=", "Y2lwaGVydGV4dA==")
HERE, THERE = Party("U000532", "窗口负责人"), Party("U000533", "分管领导")
TERMS = Terms.of(Rectify(), "assistance", Holidays())


def new_case(**fields: object) -> Case:
    """A case as the bad review of somebody who can be called back opens it."""
    case = Case(
        case_id="0b0e7a7e-0000-8000-8000-000000000001",
        origin=Origin.RATING,
        ref="0b0e7a7e-0000-8000-8000-000000000002",
        unit_id="U000532",
        kind="assistance",
        city="3607",
        county="360702",
        opened_at=MONDAY,
        has_text=True,
        has_contact=True,
    )
    return opened(replace(case, **fields), TERMS)  # type: ignore[arg-type]  # a test's own fields


def plan(now: datetime = MONDAY, /, **fields: object) -> c.MakePlan:
    """A plan with its six elements."""
    whole = c.MakePlan(TEXT, TEXT, now + timedelta(days=3), "U000532", "分管副局长", "窗口负责人")
    return replace(whole, **fields)  # type: ignore[arg-type]  # a test's own fields


def answer(outcome: Outcome = Outcome.RESOLVED) -> c.GiveAnswer:
    """An answer."""
    return c.GiveAnswer(outcome, TEXT)


def life(*commands: c.Command, case: Case | None = None, now: datetime = MONDAY) -> Case:
    """`case` after `commands`, all given at `now`."""
    found = case or new_case()
    for command in commands:
        found = decide(found, command, TERMS, now).case
    return found


TO_PROGRESS: tuple[c.Command, ...] = (
    c.Contact(), c.Classify(CaseClass.A), c.Assign(HERE), plan(), c.Report(TEXT),
)  # fmt: skip
TO_CLOSED: tuple[c.Command, ...] = (*TO_PROGRESS, answer(), c.Confirm(ConfirmedBy.CITIZEN), c.Close())
TO_EXPLAINED: tuple[c.Command, ...] = (
    c.Classify(CaseClass.C), c.Assign(HERE), answer(Outcome.EXPLAINED), c.Confirm(ConfirmedBy.CITIZEN),
    c.Close(),
)  # fmt: skip
