"""Whose request it is, and whether that goes together with what it says: channel, region, rating."""

from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from services.intake.application.errors import RejectedError
from services.intake.domain.acceptance import Issue
from services.intake.domain.revisions import History
from services.intake.domain.submission import Submission
from shared.auth.access import acting, principal_of, refusal, require_within
from shared.auth.grants import Permission
from shared.auth.principals import Place, Principal, Tier
from shared.kernel.errors import NotFoundError
from shared.kernel.grades import Channel
from shared.kernel.units import UnitRegistry
from shared.rules.intake_policy import Proof
from shared.rules.pack import Intake as IntakeRules

IMPORT_HEADER: Final = "X-Import-Id"


def require_may_submit(scope: Scope, submission: Submission, units: UnitRegistry) -> None:
    """Return if the rating is of a channel and a region of the credential; an unknown unit is for later.

    Raises:
        ProblemError: 403, it is not.
    """
    issue = _foreign(submission, principal_of(scope), units)
    if issue is not None:
        detail = f"{issue.field}: got {issue.value}, expected {issue.expected}: {issue.remedy}."
        raise refusal(detail, scope["path"], "foreign-channel")


def require_may_import(scope: Scope) -> None:
    """Return if whoever asks may say that ratings come with a bulk import.

    An import is believed its transactions and its sources, and no device has a quota in it. So it takes a
    credential with the channel ``import``: a terminal's or a website's is for what it takes down itself.

    Raises:
        ProblemError: 403, the credential is for other channels.
    """
    channels = principal_of(scope).channels
    if Channel.IMPORT not in channels:
        raise refusal(
            f"{IMPORT_HEADER}: this credential is for {', '.join(sorted(channels))}, expected one with the "
            f"channel {Channel.IMPORT.value} among them: leave the header out, or import with the credential "
            "of imports.",
            scope["path"],
            "foreign-import",
        )


def require_may_issue(principal: Principal, rules: IntakeRules, path: str) -> None:
    """Return if `principal` is a person, or a system that knows transactions by itself.

    A token is the proof of a transaction: a website's credential could print itself what it is not believed.

    Raises:
        ProblemError: 403, none of the credential's channels is believed a transaction.
    """
    channels = sorted(principal.channels)
    if channels and not any(Proof.TRANSACTION in rules.channels[each].proofs for each in channels):
        knowing = ", ".join(name for name, each in rules.channels.items() if Proof.TRANSACTION in each.proofs)
        raise refusal(
            f"tokens: this credential is for {', '.join(channels)}, expected one with a channel that knows "
            f"transactions among them ({knowing}): let the terminal or the hall's system issue them.",
            path,
            "foreign-token",
        )


def own_lines(
    scope: Scope, parse: Callable[[bytes], Submission], units: UnitRegistry
) -> Callable[[bytes], Submission]:
    """`parse` for the lines of a batch; each has to be of a channel and a region of the credential."""
    principal = principal_of(scope)

    def parse_own(raw: bytes) -> Submission:
        submission = parse(raw)
        issue = _foreign(submission, principal, units)
        if issue is not None:
            raise RejectedError((issue,))
        return submission

    return parse_own


def _foreign(submission: Submission, principal: Principal, units: UnitRegistry) -> Issue | None:
    if submission.channel not in principal.channels:
        return Issue(
            "channel",
            submission.channel.value,
            f"a channel of this credential: {', '.join(sorted(principal.channels))}",
            "submit it with the credential of its channel",
        )
    if principal.scope.tier is Tier.PROVINCE:
        return None
    try:
        unit = units.get(submission.unit_id)
    except NotFoundError:
        return None
    if principal.scope.sees(Place.of_unit(unit)):
        return None
    return Issue(
        "unit_id",
        submission.unit_id,
        f"a unit of {principal.scope}, for which this credential is",
        "submit it with a credential of its region",
    )


def require_may_revise(scope: Scope, permission: Permission, history: History, units: UnitRegistry) -> None:
    """Return if the principal may do it to the rating, whose unit in force decides.

    Raises:
        NotFoundError: the rating is out of their scope; worded as if there were none.
        ProblemError: 403, they see it and may not.
    """
    event_id = history.accepted.event_id
    require_within(
        principal_of(scope),
        permission,
        place_of(history, units),
        lambda: NotFoundError(
            event_id,
            "the event id of an accepted rating",
            "compare it with the answer to the rating",
            field="event_id",
        ),
        scope["path"],
    )


def place_of(history: History, units: UnitRegistry) -> Place:
    """Where a rating belongs: to its unit in force, or to the province alone if that is gone."""
    try:
        return Place.of_unit(units.get(history.unit_id))
    except NotFoundError:
        return Place.of_tokens(None, None)


def acting_reviewer(scope: Scope, named: str | None) -> str:
    """Who decides: whoever asks; see `acting`."""
    return acting(principal_of(scope), named, "decided_by", scope["path"])
