"""Finds the story of a rating: follows every tie between events, round after round, within bounds.

A correlation id alone is not enough: what a rating caused may carry another one (a reviewer's correction,
an officer's acknowledgement, a ranking that many ratings led to), and an import gives one to thousands of
ratings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from services.archive.application import facts
from services.archive.application.handlers import Visible, everything
from services.archive.application.ports import EntryLog, EventQuery, Position, Snapshot
from services.archive.domain.entries import Attributes, Entry
from services.archive.domain.story import Step, Story, Tie, in_order
from shared.kernel.errors import NotFoundError
from shared.kernel.ids import derived_id
from shared.messaging.streams import CONSUMERS, FEEDBACK, NOTIFY_RATINGS

MOST_STEPS: Final = 300
MOST_ROUNDS: Final = 8
"""Links in a chain of causes; a rating's longest today has four."""
NARROW: Final = 100
"""Most events of a correlation id that is followed."""
MOST_RANKED: Final = 4
"""Ratings and revisions of a story whose ranking is looked for."""
MOST_RANKINGS: Final = 300
"""Rankings that are looked at for each of them: all lists, revised twice."""
RANKINGS_AT_ONCE: Final = 25
FIRST_REVISIONS: Final = 8
EARLIER: Final = timedelta(seconds=5)
"""How far scoring's clock may be behind intake's."""
FOLDS: Final = ("scoring-fold", NOTIFY_RATINGS)
"""Whose dead letters name ratings that they read without a durable consumer."""
MOVES_WITHIN: Final = timedelta(minutes=2)
"""Moves are told once a minute at most, so one that comes later has other reasons."""


@dataclass(frozen=True, slots=True)
class _Found:
    entry: Entry
    attributes: Attributes
    tie: Tie
    of: str | None
    stage: str | None = None
    summary: str | None = None


@dataclass(slots=True)
class _Walk:
    entry_log: EntryLog
    size: int
    visible: Visible = everything
    found: dict[str, _Found] = field(default_factory=dict)
    news: list[_Found] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    correlations: set[str] = field(default_factory=set)
    cases: set[str] = field(default_factory=set)
    ranked: int = 0

    def add(self, entries: Iterable[Entry], tie: Tie, of: str | None, **told: str) -> None:
        """Take what is new; an entry that is no event has no part in a story."""
        for entry in entries:
            attributes = entry.leaf.attributes
            if attributes is None or attributes.event_id in self.found or entry.index >= self.size:
                continue
            if not self.visible(entry):
                continue
            if len(self.found) >= MOST_STEPS:
                self.note(f"the story has more than {MOST_STEPS} events; look on with /v1/events")
                return
            one = _Found(entry, attributes, tie, of, **told)
            self.found[attributes.event_id] = one
            self.news.append(one)

    def note(self, text: str) -> None:
        """Say once what is left out."""
        if text not in self.notes:
            self.notes.append(text)

    def take_news(self) -> list[_Found]:
        """What was found since the last call."""
        news, self.news = self.news, []
        return news


async def trace(entry_log: EntryLog, asked: str, visible: Visible = everything) -> Story:
    """The story of an event (a rating, or anything that belongs to one), or of all that has a correlation id.

    Raises:
        NotFoundError: the log has neither an event nor a correlation of this id.
        TransientError: the store does not answer.
    """
    walk = _Walk(entry_log, await entry_log.size(), visible)
    walk.add(await entry_log.linked("event_id", [asked], 1), Tie.ASKED, None)
    if not walk.found:
        walk.correlations.add(asked)
        walk.add(await entry_log.linked("correlation_id", [asked], MOST_STEPS + 1), Tie.ASKED, None)
    if not walk.found:
        raise NotFoundError(
            asked,
            "the id of an archived event, or a correlation id of one",
            "check the id; an event is archived within seconds of being published",
            field="id",
        )
    for _ in range(MOST_ROUNDS):
        news = walk.take_news()
        if not news:
            break
        await _follow_causes(walk, news)
        await _follow_derived_ids(walk, news)
        await _follow_cases(walk, news)
        await _follow_correlations(walk, news)
        for one in news:
            await _follow_into_rankings(walk, one)
    else:
        walk.note(f"causes were followed {MOST_ROUNDS} links far")
    return Story(asked, in_order(_step(one) for one in walk.found.values()), tuple(walk.notes), walk.size)


def _step(one: _Found) -> Step:
    entry, known = one.entry, one.attributes
    stage, summary = facts.stage_and_summary(entry)
    return Step(
        entry.index,
        entry.leaf.stream,
        entry.leaf.sequence,
        known.event_id,
        known.type,
        one.stage or stage,
        one.summary or summary,
        known.time,
        known.received_at,
        known.actor,
        known.correlation_id,
        known.causation_id,
        one.tie,
        one.of,
    )


async def _follow_causes(walk: _Walk, news: Sequence[_Found]) -> None:
    """What the news caused, and what caused them."""
    for part in _parts([one.attributes.event_id for one in news]):
        for entry in await walk.entry_log.linked("causation_id", part, MOST_STEPS + 1):
            cause = None if entry.leaf.attributes is None else entry.leaf.attributes.causation_id
            walk.add([entry], Tie.CAUSATION, cause)
    causes = {one.attributes.causation_id: one.attributes.event_id for one in reversed(news)}
    await _add_events(walk, {each: of for each, of in causes.items() if each is not None}, Tie.CAUSATION)


async def _follow_derived_ids(walk: _Walk, news: Sequence[_Found]) -> None:
    """Events whose ids belong to the news: they can be named without having been seen."""
    wanted: dict[str, str] = {}
    for one in news:
        event_id, leaf = one.attributes.event_id, one.entry.leaf
        if one.attributes.type == facts.SUBMITTED:
            wanted |= dict.fromkeys(_revision_ids(event_id, 1), event_id)
        elif one.attributes.type in facts.REVISIONS:
            data = facts.data_of(one.entry)
            target, number = data.get("target_id"), data.get("target_revision")
            if isinstance(target, str) and isinstance(number, int):
                wanted[target] = event_id
                wanted |= dict.fromkeys(_revision_ids(target, number + 1), target)
        elif one.attributes.type == facts.RAISED:
            wanted[derived_id("alert-acknowledged", event_id)] = event_id
        elif one.attributes.type == facts.ACKNOWLEDGED:
            alert = facts.data_of(one.entry).get("alert_id")
            if isinstance(alert, str):
                wanted[alert] = event_id
        letters = [each.durable for each in CONSUMERS if each.stream == leaf.stream]
        for consumer in (*letters, *(FOLDS if leaf.stream == FEEDBACK else ())):
            parts = (consumer, leaf.stream, str(leaf.sequence), leaf.data_hash.hex())
            wanted[derived_id("deadletter", *parts)] = event_id
    await _add_events(walk, wanted, Tie.DERIVED)


def _revision_ids(target_id: str, first: int) -> list[str]:
    numbers = range(first, first + FIRST_REVISIONS)
    return [derived_id("feedback-revision", target_id, str(number)) for number in numbers]


async def _add_events(walk: _Walk, wanted: dict[str, str], tie: Tie) -> None:
    """The events with these ids; values are the steps that lead to them."""
    for part in _parts([each for each in wanted if each not in walk.found]):
        for entry in await walk.entry_log.linked("event_id", part, MOST_STEPS + 1):
            if entry.leaf.attributes is not None:
                walk.add([entry], tie, wanted[entry.leaf.attributes.event_id])


async def _follow_cases(walk: _Walk, news: Sequence[_Found]) -> None:
    for one in news:
        case = one.attributes.case_id
        if case is not None and case not in walk.cases:
            walk.cases.add(case)
            entries = await walk.entry_log.linked("case_id", [case], MOST_STEPS + 1)
            walk.add(entries, Tie.CASE, one.attributes.event_id)


async def _follow_correlations(walk: _Walk, news: Sequence[_Found]) -> None:
    """What shares a request with the news, unless that request brought other ratings, too."""
    for one in news:
        correlation = one.attributes.correlation_id
        if correlation in walk.correlations:
            continue
        walk.correlations.add(correlation)
        entries = await walk.entry_log.linked("correlation_id", [correlation], NARROW + 1)
        ratings = [each for each in entries if _is_rating(each) and not _is_known(walk, each)]
        if len(entries) > NARROW or ratings:
            walk.note(f"{correlation} brought other ratings, too: of its events only those tied otherwise")
            continue
        walk.add(entries, Tie.CORRELATION, one.attributes.event_id)


def _is_rating(entry: Entry) -> bool:
    return entry.leaf.attributes is not None and entry.leaf.attributes.type == facts.SUBMITTED


def _is_known(walk: _Walk, entry: Entry) -> bool:
    return entry.leaf.attributes is not None and entry.leaf.attributes.event_id in walk.found


async def _follow_into_rankings(walk: _Walk, one: _Found) -> None:
    """The first ranking that a rating or revision is in, the unit's next move, and lists restated by it."""
    kind, unit_id = one.attributes.type, facts.unit_of(one.entry)
    if kind not in {facts.SUBMITTED, *facts.REVISIONS} or unit_id is None or one.attributes.synthetic:
        return
    walk.ranked += 1
    if walk.ranked > MOST_RANKED:
        walk.note(f"rankings were looked for after the first {MOST_RANKED} ratings and revisions")
        return
    ranking, standing = await _first_ranking(walk, one, unit_id)
    event_id, sequence = one.attributes.event_id, one.entry.leaf.sequence
    if ranking is None:
        # A unit with fewer than ten ratings has no row that could change.
        walk.note(f"no ranking includes FEEDBACK {sequence} yet: one is published only when a row changes")
        return
    stage = "ranked" if kind in facts.REVISIONS else "counted"
    if standing is None:
        summary = f"up to FEEDBACK {sequence}; no list shows {unit_id} anew: too few ratings, or not counted"
        walk.add([ranking], Tie.POSITION, event_id, stage="folded", summary=summary)
        return
    place = "unranked" if standing.rank is None else f"rank {standing.rank}"
    walk.add([ranking], Tie.POSITION, event_id, stage=stage, summary=f"{standing.list}: {unit_id} {place}")
    await _first_move(walk, ranking, unit_id)
    if kind in facts.REVISIONS:
        await _restatements(walk, one)


async def _first_ranking(
    walk: _Walk, one: _Found, unit_id: str
) -> tuple[Entry | None, facts.Standing | None]:
    """The first ranking that includes ``one`` and shows its unit anew; else the first that includes it."""
    query = EventQuery(type=facts.REVISED, start=one.attributes.received_at - EARLIER)
    snapshot = Snapshot(walk.size, None)
    first: Entry | None = None
    after: Position | None = None
    for _ in range(MOST_RANKINGS // RANKINGS_AT_ONCE):
        entries, after = await walk.entry_log.page(query, snapshot, after, RANKINGS_AT_ONCE)
        for entry in entries:
            ranking = facts.data_of(entry)
            if facts.folded_up_to(ranking) < one.entry.leaf.sequence:
                continue
            first = first or entry
            standing = facts.standing_in(ranking, unit_id)
            if standing is not None:
                return entry, standing
        if after is None:
            break
    return first, None


async def _first_move(walk: _Walk, ranking: Entry, unit_id: str) -> None:
    if ranking.leaf.attributes is None:
        return
    time = ranking.leaf.attributes.time
    query = EventQuery(unit_id=unit_id, type=facts.MOVED, start=time, end=time + MOVES_WITHIN)
    moves, _ = await walk.entry_log.page(query, Snapshot(walk.size, None), None, 1)
    walk.add(moves, Tie.UNIT, ranking.leaf.attributes.event_id)


async def _restatements(walk: _Walk, one: _Found) -> None:
    query = EventQuery(type=facts.RESTATED, start=one.attributes.received_at - EARLIER)
    event_id = one.attributes.event_id
    entries, _ = await walk.entry_log.page(query, Snapshot(walk.size, None), None, RANKINGS_AT_ONCE)
    naming = [each for each in entries if event_id in (facts.data_of(each).get("causes") or ())]
    walk.add(naming, Tie.RESTATEMENT, event_id)


_AT_ONCE: Final = 100


def _parts(values: Sequence[str]) -> Iterable[list[str]]:
    return (list(values[start : start + _AT_ONCE]) for start in range(0, len(values), _AT_ONCE))
