"""Undoing an import: one person asks, another agrees, and intake excludes each rating that it added.

Nothing is deleted (ADR 0013): an excluded rating stays visible and can be reinstated. What the import added
is what FEEDBACK says: events with its id. A row that was in already keeps the id of the import that
brought it, or none, and is left alone.

Both steps are events of intake's (ADR 0034), so they can be made on different machines; nothing is kept here.
"""

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deploy.local.errors import LocalError
from deploy.local.importing.intake_client import IntakeClient
from shared.events import FeedbackSubmitted, spec_for_data
from shared.kernel.errors import describe
from shared.kernel.reasons import ExclusionReason
from shared.messaging.stored import StoredMessage

CHUNK: Final = 10_000
"""Ratings of one request for approval, which is one event."""
LOOK_S: Final = 0.25
REASON: Final = ExclusionReason.WRONG_IMPORT
SUBMITTED: Final = spec_for_data(FeedbackSubmitted).pattern
OVER: Final = frozenset({"expired", "rejected"})
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


class UndoError(LocalError):
    """The undo can't be asked for, agreed to or carried out like this."""


@dataclass(frozen=True, slots=True)
class Undo:
    """A request to undo an import, and what became of it.

    Attributes:
        events: how many ratings it is about.
        requested_by: role or credential of the person who asked.
        approved_by: of the one who agreed; None until then.
        approvals: ids of the requests for approval.
        outcomes: how many by what became of them, once all of them are dealt with.
    """

    import_id: str
    events: int
    requested_by: str
    approvals: tuple[str, ...]
    approved_by: str | None = None
    outcomes: dict[str, int] | None = None

    @property
    def done(self) -> bool:
        """Whether all of them have been dealt with."""
        return self.outcomes is not None


def person(name: str) -> str:
    """A role or credential as events can carry it.

    Raises:
        UndoError: another form; names of people do not belong into events.
    """
    if _NAME.fullmatch(name) is None:
        expected = "a role or credential of up to 64 small letters, digits, dots, hyphens and underscores"
        raise UndoError(
            describe(name, expected, "for example --by county-360721-clerk, never a person's name")
        )
    return name


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


async def standing(import_id: str, intake: IntakeClient) -> Undo | None:
    """The undo of an import as far as it has come; None if nobody asked, or nobody agreed in time.

    Raises:
        LocalError: intake stays away.
    """
    asked = [each for each in await intake.approvals(import_id) if each["stage"] not in OVER]
    if not asked:
        return None
    agreed = {each["decided_by"] for each in asked if "decided_by" in each}
    outcomes: Counter[str] | None = None
    if all(each["stage"] == "carried_out" for each in asked):
        outcomes = Counter()
        for each in asked:
            outcomes["excluded"] += each["done"]
            for left in each.get("left", []):
                outcomes[f"{left['state']} before"] += left["count"]
    return Undo(
        import_id,
        sum(each["size"] for each in asked),
        asked[-1]["requested_by"],
        tuple(each["approval_id"] for each in asked),
        min(agreed) if agreed else None,
        None if outcomes is None else {name: count for name, count in outcomes.items() if count},
    )


async def ask(import_id: str, events: Sequence[str], by: str, level: str, intake: IntakeClient) -> Undo:
    """The first step: take down who wants `events` undone; the same request again is the same.

    Raises:
        UndoError: there is nothing to undo, or it has been undone already.
        LocalError: intake refuses or stays away.
    """
    who = person(by)
    if not events:
        expected = "an import that has added ratings"
        raise UndoError(describe(import_id, expected, "compare the id with the import's output"))
    earlier = await standing(import_id, intake)
    if earlier is not None and earlier.approved_by is not None and earlier.events >= len(events):
        state = "undone" if earlier.done else "being undone"
        raise UndoError(
            describe(
                f"{import_id}, {state} by {earlier.requested_by} and {earlier.approved_by}",
                "an import that nobody has undone",
                "nothing is left to do" if earlier.done else "go on with --approve",
            )
        )
    digest = hashlib.sha256("\n".join(events).encode()).hexdigest()[:16]
    approvals = []
    for start in range(0, len(events), CHUNK):
        body = {
            "targets": list(events[start : start + CHUNK]),
            "reason": REASON.value,
            "import_id": import_id,
            "decided_by": who,
            "level": level,
        }
        answer = await intake.ask_exclusions(body, f"undo-{import_id}-{digest}-{start}")
        approvals.append(str(answer["approval_id"]))
    return Undo(import_id, len(events), who, tuple(approvals))


async def agree(
    import_id: str,
    events: Sequence[str],
    by: str,
    level: str,
    intake: IntakeClient,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Undo:
    """The second step: another person agrees, then wait until everything is excluded; repeating it is safe.

    Raises:
        UndoError: nobody asked, or the import has added ratings since.
        LocalError: intake refuses (the same person, say) or stays away.
    """
    who = person(by)
    undo = await standing(import_id, intake)
    if undo is None:
        raise UndoError(
            describe(
                import_id, "an undo that somebody has asked for", "ask with --undo first, without --approve"
            )
        )
    if undo.events < len(events):
        raise UndoError(
            describe(
                f"{len(events)} ratings of {import_id}",
                f"the {undo.events} that {undo.requested_by} asked to undo",
                "ask again: the import has added ratings since",
            )
        )
    for each in await intake.approvals(import_id):
        if each["stage"] == "pending":
            await intake.approve(each["approval_id"], {"decided_by": who, "level": level})
    while True:
        asked = [each for each in await intake.approvals(import_id) if each["stage"] not in OVER]
        on_progress(sum(each["size"] for each in asked if each["stage"] == "carried_out"))
        if all(each["stage"] == "carried_out" for each in asked):
            break
        await asyncio.sleep(LOOK_S)
    done = await standing(import_id, intake)
    if done is None:  # pragma: no cover - what was carried out stays so
        raise UndoError(describe(import_id, "an undo", "look at `pingyi approvals list`"))
    return done
