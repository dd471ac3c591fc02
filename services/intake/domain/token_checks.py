"""May this rating be made with this token? The token is read; pure judgement over what it says."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from services.intake.domain.acceptance import Issue
from services.intake.domain.submission import Submission
from services.intake.domain.tokens import Token
from shared.kernel.clock import business_day, rfc3339
from shared.kernel.units import UnitRegistry
from shared.rules.intake_policy import Proof

TOKEN: Final = "token"  # noqa: S105 - the name of a field

GENUINE: Final = "a one-time token of this platform"
ASK_AGAIN: Final = "scan the code again, or ask the window for a new one"


def issues_of_token(
    token: Token | None,
    submission: Submission,
    received_at: datetime,
    proofs: Collection[Proof],
    transaction: str | None,
    units: UnitRegistry,
) -> tuple[Issue, ...]:
    """Everything that keeps `submission` from being made with its token; empty if nothing does.

    What was printed for a unit that was merged or recoded since is good for whoever took over.

    Args:
        token: what the token says; None: it is none of ours, and nothing more is said of why.
        submission: the rating.
        received_at: when it came in.
        proofs: what its channel is believed.
        transaction: pseudonym of the transaction that the client names itself.
        units: the registry in force.
    """
    if token is None:
        return (Issue(TOKEN, "something else", GENUINE, ASK_AGAIN),)
    issues: list[Issue] = []
    if Proof.TOKEN not in proofs:
        issues.append(
            Issue(
                TOKEN,
                f"a token through the channel {submission.channel.value}",
                "a channel that takes tokens, such as qr",
                "name the channel that the rating really came through, or leave the token out",
            )
        )
    if received_at >= token.expires_at:
        issues.append(
            Issue(
                TOKEN,
                f"a token that was valid until {rfc3339(token.expires_at)}",
                "one that is valid now",
                "ask the window for a new one",
            )
        )
    heir = heir_of(token, submission.occurred_at or received_at, units)
    if submission.unit_id not in {token.unit_id, heir}:
        since = "" if heir == token.unit_id else f", or {heir}, its successor since"
        issues.append(
            Issue(
                "unit_id",
                submission.unit_id,
                f"{token.unit_id}, the unit that the token was issued by{since}",
                f"rate {heir}: the token is good for no other",
            )
        )
    if other_transaction(token, transaction):
        issues.append(
            Issue(
                "transaction_id",
                "another transaction",
                "the one that the token was issued for",
                "leave the field out: the token names its transaction itself",
            )
        )
    return tuple(issues)


def heir_of(token: Token, moment: datetime, units: UnitRegistry) -> str:
    """The unit that a token is good for at `moment`: who issued it, or who has taken over from it."""
    if token.unit_id not in units:
        return token.unit_id
    heir = units.heir(units.get(token.unit_id), business_day(moment))
    return token.unit_id if heir is None else heir.unit_id


def other_transaction(token: Token, transaction: str | None) -> bool:
    """Whether the client names another transaction than the token; under another key nobody can tell."""
    if token.transaction is None or transaction is None:
        return False
    same_key = token.transaction.rpartition(".")[0] == transaction.rpartition(".")[0]
    return same_key and token.transaction != transaction
