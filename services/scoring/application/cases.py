"""The fold of CASES: from the events of rectification cases to their outcomes, beside the fold of ratings.

It depends on neither rules nor day, but for what it forgets, so it outlives a change of rule packs.
"""

from binascii import unhexlify
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec

from services.scoring.domain.days import day_of_ms
from services.scoring.domain.outcomes import LAST_DAY, MOST_VERSIONS, CaseState, Outcome, Outcomes
from shared.events import InvalidEventError
from shared.events.unreadable import UNREADABLE
from shared.kernel.errors import describe

CASES: Final = "CASES"
"""The stream whose position a list states beside that of the ratings, once there are cases."""

SUBJECT_PREFIX: Final = "cases.v1.changed."
SETTLED: Final = frozenset({"closed", "explained"})
ANNULLED: Final = "annulled"
WITH_CITIZEN: Final = frozenset({"rating", "complaint"})
"""Origins of cases with a citizen who can confirm."""
_FIX: Final = "fix the producer; the message is left out"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

_AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
StatusName = Literal[
    "opened", "classified", "assigned", "planned", "in_progress", "answered", "confirmed", "closed",
    "explained", "annulled",
]  # fmt: skip
ConfirmedByName = Literal["citizen", "silence", "supervisor"]


class Message(Protocol):
    """One message of the stream."""

    @property
    def subject(self) -> str:
        """Where it was published."""
        ...

    @property
    def data(self) -> bytes:
        """The body."""
        ...

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""
        ...


OnInvalid = Callable[[Message, InvalidEventError], None]


class _Record(msgspec.Struct, gc=False):
    """The fields of a case's state that count."""

    origin: str
    status: StatusName
    version: Annotated[int, msgspec.Meta(ge=1, le=MOST_VERSIONS)]
    reopened: Annotated[int, msgspec.Meta(ge=0)] = 0
    overdue: bool = False
    overdue_since: _AwareTime | None = None
    confirmed_by: ConfirmedByName | None = None
    closed_at: _AwareTime | None = None


class _Changed(msgspec.Struct, gc=False):
    case_id: Annotated[str, msgspec.Meta(pattern=_ID)]
    unit_id: str
    case: _Record


class _Event(msgspec.Struct, gc=False):
    specversion: Literal["1.0"]
    id: str
    type: Annotated[str, msgspec.Meta(pattern=r"^cn\.pingyi\.cases\.[a-z-]+\.v1$")]
    time: _AwareTime
    data: _Changed
    synthetic: bool = False


class CaseParser:
    """Parses event bodies under one registry."""

    def __init__(self, units: Mapping[str, int]) -> None:
        """``units`` gives each unit id its place in the statistics."""
        self._units = units
        self._decode = msgspec.json.Decoder(_Event).decode

    def parse(self, message: Message) -> CaseState | None:
        """What a message says about a case; None: nothing that counts, as in a drill or on another subject.

        Raises:
            InvalidEventError: it is no event of a case, or about a unit that the registry does not know.
        """
        if not message.subject.startswith(SUBJECT_PREFIX):
            return None
        try:
            event = self._decode(message.data)
        except UNREADABLE as error:
            found = f"{len(message.data)} bytes"
            raise InvalidEventError(describe(found, f"a valid event of a case ({error})", _FIX)) from error
        if event.synthetic:
            return None
        unit = self._units.get(event.data.unit_id)
        if unit is None:
            expected = "the id of a registered unit"
            raise InvalidEventError(describe(event.data.unit_id, expected, "add it to the registry"))
        return CaseState(
            unhexlify(event.data.case_id.replace("-", "")),
            event.data.case.version,
            _outcome(unit, event.data.case),
            event.id,
            _day(event.time),
        )


def _outcome(unit: int, case: _Record) -> Outcome | None:
    closed = case.closed_at if case.status in SETTLED else None
    overdue = case.overdue_since if case.status != ANNULLED else None
    if closed is None and overdue is None:
        return None
    return Outcome(
        unit,
        closed_on=None if closed is None else _day(closed),
        on_time=not case.overdue,
        asked=case.origin in WITH_CITIZEN,
        confirmed=closed is not None and case.confirmed_by == "citizen",  # silence is no word
        reopened=case.reopened > 0,
        overdue_on=None if overdue is None else _day(overdue),
    )


def _day(moment: datetime) -> int:
    """Number of the day in Asia/Shanghai.

    Raises:
        InvalidEventError: before 1970 or after 2328.
    """
    since = moment - _EPOCH
    day = day_of_ms((since.days * 86_400 + since.seconds) * 1000)
    if 0 <= day <= LAST_DAY:
        return day
    raise InvalidEventError(describe(moment.isoformat(), "a time since 1970", _FIX))


class CaseFold:
    """The outcomes at one position of CASES."""

    def __init__(self, outcomes: Outcomes) -> None:
        """Begin before the first message."""
        self.outcomes = outcomes
        self.position = 0
        """Sequence of the last message folded; 0: none."""
        self.anchor = ""
        """`message_hash` of that message; empty before the first, and where nobody asked for it."""

    def take(self, states: Iterable[CaseState | None], position: int, anchor: str = "") -> int:
        """Take in what the messages up to ``position`` say; how many of them changed the statistics."""
        fold = self.outcomes.fold
        changed = sum(fold(state) for state in states if state is not None)
        self.position, self.anchor = position, anchor
        return changed

    def dump(self) -> dict[str, Any]:
        """Everything; `load` takes it back."""
        return {"position": self.position, "anchor": self.anchor, **self.outcomes.dump()}

    @classmethod
    def load(cls, dumped: Mapping[str, Any], units: int, lengths: tuple[int, ...]) -> "CaseFold":
        """Take up what `dump` gave.

        Raises:
            KeyError: it is something else.
            TypeError: likewise.
            ValueError: likewise.
        """
        found = cls(Outcomes.load(dumped, units, lengths))
        found.position, found.anchor = int(dumped["position"]), str(dumped["anchor"])
        return found


def parsed(
    parser: CaseParser, messages: Iterable[Message], on_invalid: OnInvalid
) -> Iterator[CaseState | None]:
    """What each message says; one that says nothing valid is told to ``on_invalid`` and counts as nothing."""
    for message in messages:
        try:
            yield parser.parse(message)
        except InvalidEventError as error:
            on_invalid(message, error)
            yield None


class TakesCases(Protocol):
    """A `Fold`, as far as cases go."""

    cases: CaseFold

    def take_cases(self, states: Iterable[CaseState | None], position: int, anchor: str = "") -> None:
        """Take in what the messages of CASES behind the last ones say, up to ``position``."""
        ...


class CaseLog:
    """The messages of CASES, taken apart once, to be folded up to any position by any number of folds.

    Memory: some 200 bytes for each message.
    """

    def __init__(self, parser: CaseParser) -> None:
        """Begin without messages."""
        self._parser = parser
        self._states: list[CaseState | None] = []
        self._sequences: list[int] = []
        self.invalid = 0
        """Messages that are no valid events; the live fold left them out too."""

    @property
    def position(self) -> int:
        """Sequence of the last message; 0: none."""
        return self._sequences[-1] if self._sequences else 0

    def add(self, messages: Sequence[Message]) -> None:
        """Append messages in the order of the stream."""

        def note(_message: Message, _error: InvalidEventError) -> None:
            self.invalid += 1

        self._states += parsed(self._parser, messages, note)
        self._sequences += [message.sequence for message in messages]

    def fold_into(self, fold: TakesCases, position: int) -> None:
        """Fold what lies behind the position of ``fold``, up to ``position``."""
        start = bisect_right(self._sequences, fold.cases.position)
        end = bisect_right(self._sequences, position)
        if start < end:
            fold.take_cases(self._states[start:end], self._sequences[end - 1])
