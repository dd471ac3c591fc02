"""Issuing one-time tokens, and telling what became of one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from services.intake.application.errors import IndexNotReadyError
from services.intake.application.ports import AcceptedIndex, Rules
from services.intake.application.prepared import RandomBytes
from services.intake.domain.decisions import issue_of_unit
from services.intake.domain.measures import Size
from services.intake.domain.pseudonyms import Pseudonyms
from services.intake.domain.token_checks import ASK_AGAIN, GENUINE, TOKEN, heir_of
from services.intake.domain.tokens import NONCE_BYTES, Token, TokenMint
from shared.kernel.clock import Clock
from shared.kernel.errors import InvalidValueError, NotFoundError
from shared.kernel.units import UnitRegistry

ONE: Final = 1


class TokenState(StrEnum):
    """What a token is worth."""

    VALID = "valid"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Issued:
    """A fresh token: its text, and what it says."""

    text: str
    token: Token


@dataclass(frozen=True, slots=True)
class Order:
    """Tokens that somebody asks for.

    Attributes:
        transaction_id: the service transaction that the token is for; only for one token.
        valid_days: how long; None: as the rule pack says.
    """

    unit_id: str
    count: int = ONE
    transaction_id: str | None = None
    valid_days: int | None = None


class TokenTally(Protocol):
    """Role: counts tokens, for operators."""

    def issued_tokens(self, count: int) -> None:
        """`count` tokens were issued."""
        ...


class TokenOffice:
    """Issues tokens and knows their state; keeps none of them."""

    def __init__(  # noqa: PLR0913 - what a token's content and state hang on
        self,
        mint: TokenMint,
        *,
        receipts_of: Callable[[Token], tuple[bytes, ...]],
        pseudonyms: Pseudonyms,
        units: UnitRegistry,
        rules: Rules,
        index: AcceptedIndex,
        clock: Clock,
        random: RandomBytes,
        horizon_days: int,
        tally: TokenTally,
    ) -> None:
        """Use these; a token must not outlive the `horizon_days` that `index` remembers its use for."""
        self._mint = mint
        self._receipts_of = receipts_of
        self._pseudonyms = pseudonyms
        self._units = units
        self._rules = rules
        self._index = index
        self._clock = clock
        self._random = random
        self._horizon_days = horizon_days
        self._tally = tally

    def issue(self, order: Order) -> Iterator[Issued]:
        """The ordered tokens, made one by one as they are taken.

        Raises:
            InvalidValueError: no such unit today, too many, or valid for too long; before the first is made.
        """
        now = self._clock.now()
        rules = self._rules.at(now).intake.tokens
        longest = min(rules.max_days, self._horizon_days)
        days = min(rules.default_days, longest) if order.valid_days is None else order.valid_days
        _require(order.count, ONE, rules.max_count, "count", "order the rest with another request")
        _require(days, ONE, longest, "valid_days", "shorten it; later ones can be issued later")
        if order.transaction_id is not None and order.count != ONE:
            raise InvalidValueError(
                order.count,
                "one token for one transaction",
                "leave count or transaction_id out",
                field="count",
            )
        issue = issue_of_unit(order.unit_id, now, self._units)
        if issue is not None:
            raise InvalidValueError(Size(issue.value), issue.expected, issue.remedy, field=issue.field)
        transaction = self._pseudonyms.transaction(order.transaction_id)
        self._tally.issued_tokens(order.count)
        return self._made(order.unit_id, order.count, _whole_seconds(now + timedelta(days=days)), transaction)

    def _made(
        self, unit_id: str, count: int, expires_at: datetime, transaction: str | None
    ) -> Iterator[Issued]:
        for _ in range(count):
            token = Token(unit_id, self._random(NONCE_BYTES), expires_at, transaction)
            yield Issued(self._mint.issue(token), token)

    def genuine(self, text: str) -> Token:
        """What a token says.

        Raises:
            NotFoundError: it is none of ours; nothing is said of why.
        """
        token = self._mint.read(text)
        if token is None:
            raise NotFoundError(Size("something else"), GENUINE, ASK_AGAIN, field=TOKEN)
        return token

    def rated_with(self, token: Token) -> str:
        """The id of the unit that a genuine token is good for now."""
        return heir_of(token, self._clock.now(), self._units)

    def state(self, token: Token) -> TokenState:
        """What a genuine token is worth now. Says nothing of the rating that it was used for.

        Raises:
            TransientError: the index can't say yet.
        """
        if self._index.find(self._receipts_of(token)):
            return TokenState.USED
        if self._clock.now() >= token.expires_at:
            return TokenState.EXPIRED
        if not self._index.ready:
            raise IndexNotReadyError
        return TokenState.VALID


def _require(value: int, least: int, most: int, field: str, remedy: str) -> None:
    if not least <= value <= most:
        raise InvalidValueError(value, f"a whole number from {least} to {most}", remedy, field=field)


def _whole_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
