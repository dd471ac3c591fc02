"""The quotas at intake's door: every rating passes them before it is judged."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import ClassVar, Final, Protocol

from services.intake.application.errors import RejectedError
from services.intake.application.prepared import RequestFacts
from services.intake.domain.acceptance import Issue
from services.intake.domain.quotas import Claim, Excess, QuotaBook, Taken, Window
from services.intake.domain.submission import Submission
from shared.kernel.grades import Channel
from shared.rules.intake_policy import Quota, QuotaKind, Quotas

_HTTP_TOO_MANY_REQUESTS: Final = 429
_HOUSEHOLD_BYTES: Final = 8
_CREDENTIALS: Final = 1024
"""Credentials whose places are kept at hand."""
_FIELDS: Final = {
    QuotaKind.TOKEN: "token",
    QuotaKind.DEVICE: "device_id",
    QuotaKind.TERMINAL: "device_id",
    QuotaKind.ADDRESS: "address",
    QuotaKind.CHANNEL: "channel",
    QuotaKind.CREDENTIAL: "Authorization",
}


class OverQuotaError(RejectedError):
    """Too much came from one place; nothing else is wrong with the rating.

    Attributes:
        kind: which quota.
        retry_after_s: when there is room again.
    """

    http_status: ClassVar[int] = _HTTP_TOO_MANY_REQUESTS
    title: ClassVar[str] = "A quota is used up"

    def __init__(self, excess: Excess) -> None:
        """Name the quota and when it has room again, not the place."""
        quota, kind = excess.quota, excess.kind.value
        super().__init__(
            (
                Issue(
                    _FIELDS[excess.kind],
                    f"one more than {quota.limit} ratings in {quota.seconds} s",
                    f"at most {quota.limit} ratings in {quota.seconds} s by one {kind} (the quota '{kind}')",
                    f"send it again in {max(1, round(excess.seconds))} s",
                ),
            )
        )
        self.kind = excess.kind
        self.retry_after_s = excess.seconds


class QuotaTally(Protocol):
    """Role: counts what went over a quota, for operators."""

    def over_quota(self, quota: str) -> None:
        """A rating went over a quota."""
        ...


@dataclass(frozen=True, slots=True)
class _Counted:
    """Where the ratings of one channel are counted."""

    channel: Claim
    device: tuple[Window, Quota]
    address: tuple[Window, Quota] | None


class QuotaGate:
    """Counts ratings by where they come from, and refuses what is too much."""

    def __init__(self, book: QuotaBook, tally: QuotaTally, *, enforce: bool = True) -> None:
        """Only count and tell, without refusing anything, unless `enforce`."""
        self._book = book
        self._tally = tally
        self._enforce = enforce
        self._quotas: Quotas | None = None
        self._counted: dict[Channel, _Counted] = {}
        self._token: tuple[Window, Quota] | None = None
        self._credential: tuple[Window, Quota] | None = None
        self._place_of_credential = lru_cache(maxsize=_CREDENTIALS)(book.place)  # few, and each comes often

    def admit(self, submission: Submission, facts: RequestFacts, is_repeat: Callable[[], bool]) -> Taken:
        """Count a rating; hand the answer to `give_back` if it was a repeat or was not stored.

        A line of a bulk import counts for the channel `import` alone: whoever imports has typed in, or
        fetched from a terminal, what others said over weeks, and takes no room from those who use it now.

        Args:
            submission: the rating.
            facts: of its request.
            is_repeat: whether it was accepted before; then it gets its receipt again, quota or not. Asked
                only where a quota is used up.

        Raises:
            OverQuotaError: too much comes from its device, address, channel, token or credential.
        """
        quotas = facts.rules.quotas
        if quotas is not self._quotas:
            self._open(quotas)
        counted = self._counted[submission.channel if facts.import_id is None else Channel.IMPORT]
        claims: list[tuple[Window, Quota, bytes]] = [counted.channel]
        place = self._book.place
        if facts.import_id is None:
            if submission.device_id is not None:
                claims.append((*counted.device, place(submission.device_id)))
            if facts.address is not None and counted.address is not None:
                claims.append((*counted.address, place(place_of_address(facts.address))))
            if facts.credential is not None and self._credential is not None:
                claims.append((*self._credential, self._place_of_credential(facts.credential)))
        if submission.token is not None and self._token is not None:
            claims.append((*self._token, place(submission.token)))
        found = self._book.take(claims, facts.received_at.timestamp())
        if isinstance(found, Excess):
            if is_repeat():
                return []
            self._tally.over_quota(found.kind.value)
            if self._enforce:
                raise OverQuotaError(found)
            return []
        return found

    def give_back(self, taken: Taken) -> None:
        """Uncount a rating."""
        self._book.give_back(taken)

    def _open(self, quotas: Quotas) -> None:
        """Look up once what holds as long as the rule pack does."""
        book = self._book

        def at(kind: QuotaKind, quota: Quota) -> tuple[Window, Quota]:
            return book.window(kind, quota), quota

        device, address = at(QuotaKind.DEVICE, quotas.device), at(QuotaKind.ADDRESS, quotas.address)
        terminal = at(QuotaKind.TERMINAL, quotas.terminal)
        for channel in Channel:
            own = channel in quotas.self_service
            whole = quotas.channels.get(channel, quotas.channel)
            self._counted[channel] = _Counted(
                channel=Claim(*at(QuotaKind.CHANNEL, whole), book.place(channel.value)),
                device=device if own else terminal,
                address=address if own else None,
            )
        self._token = at(QuotaKind.TOKEN, quotas.token)
        self._credential = at(QuotaKind.CREDENTIAL, quotas.credential)
        self._quotas = quotas


def place_of_address(address: str) -> str:
    """What an address is counted as: itself, or of IPv6 the /64, which is what one household gets."""
    if ":" not in address:
        return address
    return ip_address(address).packed[:_HOUSEHOLD_BYTES].hex()
