"""Undoing an import: one person asks, another agrees, then each rating that it added is excluded.

Nothing is deleted (ADR 0013): an excluded rating stays visible and can be reinstated. What the import added
is what FEEDBACK says: events with its id. A row that was in already keeps the id of the import that
brought it, or none, and is left alone.

Whoever asks and agrees is a name that nobody checks yet; with credentials of their own, the two steps become
two authorised calls and `Undo` the record of them.
"""

import asyncio
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from deploy.local.errors import LocalError
from deploy.local.importing.intake_client import IntakeClient
from deploy.local.importing.rejects import PRIVATE
from shared.events import FeedbackSubmitted, spec_for_data
from shared.kernel.errors import describe
from shared.kernel.reasons import ExclusionReason
from shared.messaging.reading import StoredMessage

CHUNK: Final = 500
"""Exclusions between two notes of how far it has come."""
AT_ONCE: Final = 32
ATTEMPTS: Final = 5
REASON: Final = ExclusionReason.WRONG_IMPORT
SUBMITTED: Final = spec_for_data(FeedbackSubmitted).pattern
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,29}", re.ASCII)


class UndoError(LocalError):
    """The undo can't be asked for, agreed to or carried out like this."""


@dataclass(frozen=True, slots=True)
class Undo:
    """A request to undo an import, and what became of it.

    Attributes:
        events: how many ratings the import added.
        digest: SHA-256 over their event ids in order: what is agreed to is what was asked for.
        requested_by: role or credential of the person who asked.
        approved_by: of the one who agreed; None until then.
        excluded: how many of them, in the order of their ids, have been dealt with.
        outcomes: how many by state afterwards.
        done: whether all of them have been.
    """

    import_id: str
    events: int
    digest: str
    requested_by: str
    requested_at: str
    approved_by: str | None = None
    approved_at: str | None = None
    excluded: int = 0
    outcomes: dict[str, int] | None = None
    done: bool = False

    @property
    def decided_by(self) -> str:
        """Both people, as the exclusions name them: who agreed, a dot, who asked."""
        return f"{self.approved_by}.{self.requested_by}"


def person(name: str) -> str:
    """A role or credential as exclusions can carry it, twice in one field.

    Raises:
        UndoError: another form; names of people do not belong into events.
    """
    if _NAME.fullmatch(name) is None:
        expected = "a role or credential of up to 30 small letters, digits, hyphens and underscores"
        raise UndoError(
            describe(name, expected, "for example --by county-360721-clerk, never a person's name")
        )
    return name


def record_path(data: Path, import_id: str) -> Path:
    """Where the record of an undo lies."""
    return data / "imports" / f"{import_id}.undo.json"


def read_undo(data: Path, import_id: str) -> Undo | None:
    """The undo of an import as far as it has come; None if nobody asked for it."""
    try:
        return Undo(**json.loads(record_path(data, import_id).read_bytes()))
    except FileNotFoundError:
        return None


def write_undo(data: Path, undo: Undo) -> Path:
    """Keep `undo`, durable on return; where it lies."""
    path = record_path(data, undo.import_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, PRIVATE), "w") as file:
        json.dump(asdict(undo), file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return path


async def events_of(import_id: str, feedback: AsyncIterator[Sequence[StoredMessage]]) -> list[str]:
    """The ids of the ratings that an import added, ordered, from all messages of FEEDBACK."""
    mark = json.dumps(import_id).encode()
    found: set[str] = set()
    async for batch in feedback:
        for message in batch:
            # Looked for before parsing: of a year of ratings nearly all belong to other imports or none.
            if mark not in message.data:
                continue
            envelope: dict[str, Any] = json.loads(message.data)
            if envelope.get("importid") == import_id:
                found.add(envelope["id"])
    return sorted(found)


def digest_of(events: Sequence[str]) -> str:
    """What two lists of events have in common only if they are equal."""
    return hashlib.sha256("\n".join(events).encode()).hexdigest()


def request(import_id: str, events: Sequence[str], by: str, now: str, earlier: Undo | None) -> Undo:
    """The first step: take down who wants `events` undone.

    Raises:
        UndoError: there is nothing to undo, or it has been undone already.
    """
    if not events:
        expected = "an import that has added ratings"
        raise UndoError(describe(import_id, expected, "compare the id with the import's output"))
    digest = digest_of(events)
    if earlier is not None and earlier.digest == digest and earlier.approved_by is not None:
        state = "undone" if earlier.done else "being undone"
        raise UndoError(
            describe(
                f"{import_id}, {state} by {earlier.requested_by} and {earlier.approved_by}",
                "an import that nobody has undone",
                "nothing is left to do" if earlier.done else "go on with --approve",
            )
        )
    return Undo(import_id, len(events), digest, person(by), now)


def approve(undo: Undo | None, import_id: str, events: Sequence[str], by: str, now: str) -> Undo:
    """The second step: another person agrees; or the undo goes on where it was left.

    Raises:
        UndoError: nobody asked, the same person did, or the import has added ratings since.
    """
    if undo is None:
        raise UndoError(
            describe(
                import_id, "an undo that somebody has asked for", "ask with --undo first, without --approve"
            )
        )
    if undo.requested_by == person(by):
        raise UndoError(
            describe(by, "another person than the one who asked", "let somebody else agree (two-person rule)")
        )
    if undo.digest != digest_of(events):
        raise UndoError(
            describe(
                f"{len(events)} ratings of {import_id}",
                f"the {undo.events} that {undo.requested_by} asked to undo",
                "ask again: the import has added ratings since",
            )
        )
    if undo.approved_by is not None:
        return undo  # decided before: whoever takes it up again changes nothing about who decided
    return replace(undo, approved_by=by, approved_at=now)


async def carry_out(
    undo: Undo,
    events: Sequence[str],
    intake: IntakeClient,
    keep: Callable[[Undo], object],
    on_progress: Callable[[int], None] = lambda _: None,
) -> Undo:
    """Exclude what is left of `events`; `keep` is told after each chunk how far it has come.

    Repeating it changes nothing: each exclusion has a key of its own.

    Raises:
        LocalError: intake refuses or stays away.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(event_id: str) -> str:
        async with gate:
            return await _exclude(undo, event_id, intake)

    while undo.excluded < len(events):
        chunk = events[undo.excluded : undo.excluded + CHUNK]
        outcomes = Counter(undo.outcomes or {}) + Counter(await asyncio.gather(*map(one, chunk)))
        undo = replace(undo, excluded=undo.excluded + len(chunk), outcomes=dict(outcomes))
        await asyncio.to_thread(keep, undo)
        on_progress(undo.excluded)
    undo = replace(undo, done=True)
    await asyncio.to_thread(keep, undo)
    return undo


async def _exclude(undo: Undo, event_id: str, intake: IntakeClient) -> str:
    """Exclude one rating: its state afterwards.

    A rating that is excluded or withdrawn already is left as it is; so is one that this very undo excluded
    and an appeal reinstated.
    """
    body = {"reason": REASON.value, "decided_by": undo.decided_by}
    state = ""
    for _ in range(ATTEMPTS):
        if await intake.revise(event_id, "exclusion", body, f"undo-{undo.import_id}") < 400:  # noqa: PLR2004 - HTTP's errors
            return "excluded"
        state = await intake.state(event_id)
        if state in {"excluded", "withdrawn"}:
            break
    return f"{state} before"
