"""May this rating be made with this token? The token is read; pure judgement over what it says."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from services.intake.domain.acceptance import Issue
from services.intake.domain.submission import Submission
from services.intake.domain.tokens import Token
from shared.kernel.clock import rfc3339
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
) -> tuple[Issue, ...]:
    """Everything that keeps `submission` from being made with its token; empty if nothing does.

    Args:
        token: what the token says; None: it is none of ours, and nothing more is said of why.
        submission: the rating.
        received_at: when it came in.
        proofs: what its channel is believed.
        transaction: pseudonym of the transaction that the client names itself.
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
    if submission.unit_id != token.unit_id:
        issues.append(
            Issue(
                "unit_id",
                submission.unit_id,
                f"{token.unit_id}, the unit that the token was issued by",
                "rate the unit that issued the token",
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


def other_transaction(token: Token, transaction: str | None) -> bool:
    """Whether the client names another transaction than the token; under another key nobody can tell."""
    if token.transaction is None or transaction is None:
        return False
    same_key = token.transaction.rpartition(".")[0] == transaction.rpartition(".")[0]
    return same_key and token.transaction != transaction
