"""The use cases of people: opening by hand, moving a case, reading, and the citizen's own word."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from services.rectify.application.desk import Desk, KeyReusedError
from services.rectify.application.ports import CaseStore, StoredCase, Texts
from services.rectify.domain import commands as c
from services.rectify.domain.book import CaseBook, CaseFilter, Figures, Summary
from services.rectify.domain.case import Case, CommandMark, ConfirmedBy, Origin, Sealed
from services.rectify.domain.effects import opened
from services.rectify.domain.errors import CaseNotFoundError
from services.rectify.domain.machine import open_moves
from services.rectify.domain.opening import case_id_of_finding
from shared.events import Envelope, Provenance
from shared.events.cases import CaseChanged
from shared.kernel.errors import describe
from shared.kernel.ids import derived_id
from shared.kernel.receipts import parse_receipt_code
from shared.kernel.scrubbing import scrub
from shared.kernel.units import UnitRegistry

Fingerprint = Callable[[str], str]
"""Keyed hash of something a client said, 32 hex digits: events must not let anybody guess texts."""
CITIZEN: Final = "citizen"


class Books(Protocol):
    """Role: the book of all cases, once it is complete."""

    def require_caught_up(self) -> CaseBook:
        """The book.

        Raises:
            TransientError: history is still being read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A person's command before its texts are sealed.

    Attributes:
        make: the command, given the sealed texts by name.
        texts: what was written; blank is the same as nothing.
        note: name of the text that goes with the event instead of into the state.
        canonical: what decides "same or different" of a repeat.
    """

    make: Callable[[Mapping[str, Sealed | None]], c.Command]
    canonical: str
    texts: Mapping[str, str | None] = field(default_factory=dict)
    note: str | None = None


class MoveCase:
    """Carries a person's command out, with its texts scrubbed and sealed."""

    def __init__(self, desk: Desk, texts: Texts, fingerprint: Fingerprint) -> None:
        """Decide at `desk`, seal with `texts`."""
        self._desk = desk
        self._texts = texts
        self._fingerprint = fingerprint

    async def __call__(
        self,
        case_id: str,
        asked: Asked,
        *,
        by: str,
        key: str | None = None,
        if_match: int | None = None,
        traceparent: str | None = None,
    ) -> StoredCase:
        """Carry `asked` out; see `Desk.ask` for what may go wrong.

        Args:
            case_id: which case.
            asked: what to do.
            by: role or credential.
            key: Idempotency-Key.
            if_match: sequence of the state that the person has seen.
            traceparent: of the request.
        """
        await self._desk.load(case_id)  # no key is made for a case that is none
        sealed = {name: await self._sealed(case_id, text) for name, text in asked.texts.items()}
        mark = None
        if key is not None:
            mark = CommandMark(
                self._fingerprint(f"{case_id}\0{key}"), self._fingerprint(f"{case_id}\0{asked.canonical}")
            )
        return await self._desk.ask(
            case_id,
            asked.make(sealed),
            by=by,
            note=sealed[asked.note] if asked.note else None,
            mark=mark,
            if_match=if_match,
            traceparent=traceparent,
        )

    async def _sealed(self, case_id: str, text: str | None) -> Sealed | None:
        words = scrub(text, mistyped=True).strip() if text else ""
        return await self._texts.seal(case_id, words) if words else None


@dataclass(frozen=True, slots=True)
class ByHand:
    """A case to be opened by hand, or for a finding of a spot check."""

    unit_id: str
    origin: Origin
    ref: str | None
    reason: str


class OpenByHand:
    """Opens a case that no rating opens."""

    def __init__(self, desk: Desk, texts: Texts, units: UnitRegistry, fingerprint: Fingerprint) -> None:
        """`units` says where a unit is."""
        self._desk = desk
        self._texts = texts
        self._units = units
        self._fingerprint = fingerprint

    async def __call__(self, wanted: ByHand, *, by: str, key: str, correlation_id: str) -> StoredCase:
        """Open the case; the same key opens the same case, and so does the same finding.

        Raises:
            NotFoundError: no such unit.
            KeyReusedError: the key has opened another unit's case.
            TransientError: not known to be stored; send it again with the same key.
        """
        unit = self._units.get(wanted.unit_id)
        case_id = derived_id("case", wanted.origin.value, self._fingerprint(key))
        if wanted.origin is Origin.INSPECTION and wanted.ref is not None:
            case_id = case_id_of_finding(wanted.ref)  # the finding itself may have opened it
        now = self._desk.now()
        case = opened(
            Case(
                case_id=case_id,
                origin=wanted.origin,
                ref=wanted.ref or case_id,
                unit_id=unit.unit_id,
                kind=None if unit.kind == "bureau" else unit.kind,
                city=unit.city,
                county=unit.county,
                opened_at=now,
                has_text=False,
                has_contact=False,
            ),
            self._desk.terms(unit.kind, now),
        )
        note = await self._texts.seal(case_id, scrub(wanted.reason, mistyped=True))
        stored = await self._desk.open(case, by=by, provenance=Provenance(correlation_id), note=note)
        if stored.case.unit_id != unit.unit_id:
            raise KeyReusedError(
                describe("an Idempotency-Key of another case", "a key of its own", "send a new key")
            )
        return stored


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a case's history."""

    sequence: int
    fact: str
    at: datetime
    by: str
    status: str
    note: str | None
    event_id: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A case with its texts open, for who may read it.

    Attributes:
        texts: of plan and answer, by name; None: erased.
    """

    stored: StoredCase
    moves: tuple[str, ...]
    texts: Mapping[str, str | None]
    history: tuple[Step, ...]


class ReadCases:
    """Answers questions about cases."""

    def __init__(self, store: CaseStore, texts: Texts, books: Books, desk: Desk) -> None:
        """Read from `store`, lists from `books`."""
        self._store = store
        self._texts = texts
        self._books = books
        self._desk = desk

    async def get(self, case_id: str) -> Opened:
        """One case with its history.

        Raises:
            CaseNotFoundError: no such case.
            TransientError: the broker is away.
        """
        stored = await self._desk.load(case_id)
        history = [
            await self._step(sequence, event)
            for sequence, event in await self._store.history(case_id)
            if sequence <= stored.sequence  # not what came after the state that is shown
        ]
        case = stored.case
        texts: dict[str, str | None] = {}
        if case.plan is not None:
            texts["goal"] = await self._texts.open(case_id, case.plan.goal)
            texts["measures"] = await self._texts.open(case_id, case.plan.measures)
        if case.answer is not None:
            texts["answer"] = await self._texts.open(case_id, case.answer.text)
        return Opened(stored, open_moves(case), texts, tuple(history))

    async def _step(self, sequence: int, event: Envelope[Any]) -> Step:
        data: CaseChanged = event.data
        note = None
        if data.note is not None:
            note = await self._texts.open(data.case_id, Sealed(data.note.nonce, data.note.ciphertext))
        fact = event.type.split(".")[3]
        return Step(sequence, fact, event.time, data.by, data.case.status, note, event.id)

    def page(
        self, wanted: CaseFilter, *, limit: int, before: int | None
    ) -> tuple[tuple[Summary, ...], int | None]:
        """Cases, the last changed first, and where the next page starts.

        Raises:
            TransientError: history is still being read.
        """
        found = self._books.require_caught_up().page(wanted, self._desk.now(), limit=limit + 1, before=before)
        more = len(found) > limit
        return found[:limit], found[limit - 1].sequence if more else None

    def worklist(self, wanted: CaseFilter, *, limit: int) -> tuple[Summary, ...]:
        """What has to be done, what burns first at the top; raises like `page`."""
        return self._books.require_caught_up().worklist(wanted, self._desk.now(), limit=limit)

    def figures(self, wanted: CaseFilter) -> Figures:
        """How well it is done; raises like `page`."""
        return self._books.require_caught_up().figures(wanted, self._desk.now())


@dataclass(frozen=True, slots=True)
class CitizensView:
    """What a citizen sees of the own case: where it stands and the answer, nobody's names."""

    case: Case
    answer: str | None


class CitizensWord:
    """The citizen looks at the own case, and confirms or refuses its answer, by the receipt's code."""

    def __init__(self, move: MoveCase, texts: Texts, books: Books, desk: Desk) -> None:
        """Find cases in `books`."""
        self._move = move
        self._texts = texts
        self._books = books
        self._desk = desk

    async def look(self, code: str) -> CitizensView:
        """The case of a receipt.

        Raises:
            InvalidValueError: it can't be a receipt code.
            CaseNotFoundError: that rating led to no case.
            TransientError: the broker is away, or history is still being read.
        """
        stored = await self._desk.load(self._case_id(code))
        return await self._view(stored)

    async def confirm(self, code: str, *, key: str | None) -> CitizensView:
        """The answer is accepted; saying it twice is the same as once. Raises like `look`, and `Desk.ask`."""
        case_id = self._case_id(code)
        stored = await self._desk.load(case_id)
        if stored.case.confirmed_by is not ConfirmedBy.CITIZEN:
            asked = Asked(lambda _texts: c.Confirm(ConfirmedBy.CITIZEN), canonical="confirm")
            stored = await self._move(case_id, asked, by=CITIZEN, key=key)
        return await self._view(stored)

    async def refuse(self, code: str, reason: str | None, *, key: str | None) -> CitizensView:
        """The answer is not accepted: the case is open again. Raises like `confirm`."""
        asked = Asked(
            lambda texts: c.RefuseAnswer(texts["reason"]),
            canonical=f"refuse\0{reason or ''}",
            texts={"reason": reason},
            note="reason",
        )
        return await self._view(await self._move(self._case_id(code), asked, by=CITIZEN, key=key))

    def _case_id(self, code: str) -> str:
        found = self._books.require_caught_up().of_receipt(parse_receipt_code(code))
        if found is None:
            raise CaseNotFoundError(
                code,
                "the code of a rating that led to a case",
                "compare it with the receipt; good reviews and those without a text or contact lead to none",
                field="receipt_code",
            )
        return found.case_id

    async def _view(self, stored: StoredCase) -> CitizensView:
        answer = stored.case.answer
        text = None if answer is None else await self._texts.open(stored.case.case_id, answer.text)
        return CitizensView(stored.case, text)
