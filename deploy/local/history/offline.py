"""Recomputing rankings from a file alone: no broker, no archive, no clock."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

import msgspec

from deploy.local.history.moments import Moment
from deploy.local.history.recomputing import Folded, NothingRecordedError
from deploy.local.history.sources import Source, batches
from services.scoring.application.cases import parsed
from services.scoring.application.fold import SUBJECT_PREFIX, Fold, Message
from services.scoring.domain.lists import RankedList
from shared.events import InvalidEventError
from shared.events.unreadable import UNREADABLE
from shared.kernel.clock import business_day
from shared.kernel.errors import describe
from shared.kernel.units import UnitRegistry, load_units
from shared.messaging.streams import CASES, FEEDBACK
from shared.rules import RulePack


@dataclass(frozen=True, slots=True)
class Offline:
    """All lists from a file alone.

    Attributes:
        position: sequence of the last message that was folded.
        as_of: last day of the windows.
        rules: the pack that was applied.
    """

    position: int
    as_of: date
    rules: RulePack
    lists: Mapping[str, RankedList]
    folded: Folded


class _Received(msgspec.Struct, gc=False):
    receivedat: Annotated[datetime, msgspec.Meta(tz=True)]


_decode = msgspec.json.Decoder(_Received).decode


def _received_at(message: Message) -> datetime | None:
    try:
        return _decode(message.data).receivedat
    except UNREADABLE:
        return None  # no event; the fold leaves it out as well


async def recompute_offline(
    source: Source, rules: RulePack, moment: Moment | None, registry: UnitRegistry | None = None
) -> Offline:
    """Compute every list from a file under a pack and a registry (None: the committed one), and nothing else.

    A file says when each event was received, not when a ranking was published. So a time means what was
    received until then; and the day is that of the time, else the day of the newest receipt.

    Raises:
        NothingRecordedError: the file has no feedback at or before the moment.
        LocalError: the file can't be read, a line is broken, or it ends before the position that is named.
    """
    folding = _OfflineFold(rules, moment, registry or load_units())
    if not source.is_standard_input:
        async with contextlib.aclosing(batches(source, None, CASES)) as parts:
            async for batch in parts:
                await asyncio.to_thread(folding.keep_cases, batch)
    async with contextlib.aclosing(batches(source, None)) as parts:
        async for batch in parts:
            if not await asyncio.to_thread(folding.take, batch):
                break
    fold = folding.fold
    if fold is None:
        found = source.title if moment is None else f"{source.title} at {moment.text}"
        raise NothingRecordedError(
            describe(found, "feedback up to there", "name a later moment or another file")
        )
    if moment is not None:
        moment.require_reached(FEEDBACK, folding.last, source.title)
        moment.require_reached(CASES, folding.last_case, source.title)
    folding.fold_cases(fold)
    folded = Folded(folding.ratings, folding.invalid, folding.first)
    return Offline(fold.position, fold.as_of, rules, fold.lists(), folded)


class _OfflineFold:
    """A fold whose day follows the receipts, unless the moment names it."""

    def __init__(self, rules: RulePack, moment: Moment | None, registry: UnitRegistry) -> None:
        self._rules = rules
        self._moment = moment
        self._registry = registry
        self._cases: list[tuple[Message, datetime | None]] = []
        self._newest: datetime | None = None
        self.fold: Fold | None = None
        self.ratings = self.invalid = self.first = self.last = self.last_case = 0

    def keep_cases(self, batch: Sequence[Message]) -> None:
        """Keep what may count of CASES, until it is known how far the ratings reach."""
        self._cases += [(message, _received_at(message)) for message in batch]
        self.last_case = batch[-1].sequence

    def fold_cases(self, fold: Fold) -> None:
        """Fold what had become of cases at the moment; see `Moment.cases`."""
        moment = self._moment
        if moment is not None and moment.cases is not None:
            covered = [message for message, _ in self._cases if message.sequence <= moment.cases]
        else:
            until = None if moment is None else moment.until or self._newest
            covered = [
                message
                for message, received in self._cases
                if until is None or received is None or received <= until
            ]
        if covered:
            states = parsed(fold.case_parser, covered, self._note)
            fold.take_cases(states, covered[-1].sequence)

    def take(self, batch: Sequence[Message]) -> bool:
        """Fold what the moment covers; whether more may come."""
        self.last = batch[-1].sequence
        received = [_received_at(message) for message in batch]
        covered = [
            (message, when)
            for message, when in zip(batch, received, strict=True)
            if self._covers(message, when)
        ]
        if covered:
            times = [when for _, when in covered if when is not None]
            self._newest = max([*times, *([self._newest] if self._newest else [])], default=None)
            days = [business_day(when) for when in times]
            self._fold([message for message, _ in covered], max(days, default=None))
        position = None if self._moment is None else self._moment.position
        return position is None or batch[-1].sequence < position

    def _covers(self, message: Message, received: datetime | None) -> bool:
        moment = self._moment
        if moment is None:
            return True
        if moment.until is None or received is None:
            return moment.position is None or message.sequence <= moment.position
        return received <= moment.until

    def _fold(self, messages: Sequence[Message], newest: date | None) -> None:
        day = (self._moment.day if self._moment is not None else None) or newest
        if self.fold is None:
            if day is None:
                return  # not one event so far
            self.fold = Fold(self._registry, self._rules, day)
            self.first = messages[0].sequence
        self.fold.take(messages, self._note)
        self.ratings += sum(message.subject.startswith(SUBJECT_PREFIX) for message in messages)
        if day is not None:
            self.fold.advance(day)

    def _note(self, _message: Message, _error: InvalidEventError) -> None:
        self.invalid += 1
