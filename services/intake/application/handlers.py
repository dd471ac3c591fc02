"""Intake's use cases, one function each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from services.intake.application.accepting import Acceptor
from services.intake.application.errors import KeyReusedError, RejectedError, TokenUsedError
from services.intake.application.ports import Tally
from services.intake.application.prepared import CLIENT_REF, Prepared, Preparer, RequestFacts
from services.intake.application.quotas import QuotaGate
from services.intake.domain.acceptance import Issue
from services.intake.domain.accepted import Outcome, Verdict
from services.intake.domain.lines import Line
from services.intake.domain.quotas import Taken
from services.intake.domain.submission import Submission
from services.intake.domain.token_checks import TOKEN

CHUNK = 250
"""Lines prepared at a stretch: about 15 ms of work, so that single requests don't wait behind a batch."""
CHUNKS_UNDER_WAY = 4
"""Chunks of one batch that wait for the broker at once; group commit joins them to atomic batches."""

_KNOWN_FIELDS = frozenset({"body", "address", *Submission._fields})


_GoodLine = tuple[int, Prepared, Taken]


class LineResult(NamedTuple):
    """The answer to one line of a batch: an outcome, or none; and the issues that keep it out."""

    number: int
    outcome: Outcome | None
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class Desk:
    """What both ways of submitting ratings need."""

    preparer: Preparer
    acceptor: Acceptor
    tally: Tally
    gate: QuotaGate


async def submit_feedback(submission: Submission, facts: RequestFacts, desk: Desk) -> Outcome:
    """Accept one rating, or repeat the answer to it.

    Raises:
        OverQuotaError: too much comes from the same place.
        RejectedError: it can't be accepted.
        KeyReusedError: its key came before with other content.
        TokenUsedError: the same of its token.
        TransientError: not known to be accepted; send it again.
    """
    try:
        prepared, taken = _admitted(submission, facts, desk, lambda: desk.preparer.one(submission, facts))
    except RejectedError as error:
        desk.tally.rejected(submission.channel.value, _reason(error))
        raise
    try:
        (outcome,) = await desk.acceptor.accept((prepared,))
    except BaseException:
        desk.gate.give_back(taken)
        raise
    if outcome.verdict is Verdict.DUPLICATE:
        desk.gate.give_back(taken)
    elif outcome.verdict is Verdict.CONFLICT:
        raise _reused(prepared, outcome)
    return outcome


async def submit_batch(
    lines: Sequence[Line], facts: RequestFacts, desk: Desk, parse: Callable[[bytes], Submission]
) -> list[LineResult]:
    """Accept the good lines of a batch and say what is wrong with the others; answers in the lines' order.

    Args:
        lines: what the client sent.
        facts: facts of the request.
        desk: where ratings are judged and stored.
        parse: reads one line; raises `RejectedError`.

    Raises:
        TransientError: some lines aren't known to be accepted; the whole batch may be sent again.
    """
    results: dict[int, LineResult] = {}
    under_way: set[asyncio.Task[None]] = set()
    failure: BaseException | None = None

    async def accept(chunk: list[_GoodLine]) -> None:
        try:
            outcomes = await desk.acceptor.accept([prepared for _, prepared, _ in chunk])
        except BaseException:
            for _, _, taken in chunk:
                desk.gate.give_back(taken)
            raise
        for (number, prepared, taken), outcome in zip(chunk, outcomes, strict=True):
            if outcome.verdict is Verdict.DUPLICATE:
                desk.gate.give_back(taken)
            results[number] = LineResult(number, outcome, _conflict_issues(prepared, outcome))

    for start in range(0, len(lines), CHUNK):
        good, bad = await _prepare(lines[start : start + CHUNK], facts, desk, parse)
        results.update(bad)
        under_way.add(asyncio.create_task(accept(good)))
        under_way, failure = await _settle(under_way, CHUNKS_UNDER_WAY - 1)
        if failure is not None:
            break
    _, late_failure = await _settle(under_way, 0)
    if (error := failure or late_failure) is not None:
        raise error
    return [results[line.number] for line in lines]


def _admitted(
    submission: Submission, facts: RequestFacts, desk: Desk, prepare: Callable[[], Prepared]
) -> tuple[Prepared, Taken]:
    """What `prepare` makes of a rating that its quotas let through, and what it took from them."""

    def is_repeat() -> bool:
        try:
            return desk.acceptor.knows(prepare())
        except RejectedError:
            return False

    taken = desk.gate.admit(submission, facts, is_repeat)
    return prepare(), taken


async def _prepare(
    lines: Sequence[Line], facts: RequestFacts, desk: Desk, parse: Callable[[bytes], Submission]
) -> tuple[list[_GoodLine], dict[int, LineResult]]:
    """Judge `lines`: the prepared ones with their numbers, and the results of the refused ones."""
    good: list[_GoodLine] = []
    bad: dict[int, LineResult] = {}
    async with desk.acceptor.slices.work() as work:
        for line in lines:
            if work.over:
                await work.others()
            try:
                submission = parse(line.data)
                prepare = partial(desk.preparer.line, submission, facts, line.place)
                good.append((line.number, *_admitted(submission, facts, desk, prepare)))
            except RejectedError as error:
                bad[line.number] = LineResult(line.number, None, error.issues)
                desk.tally.rejected("batch", _reason(error))
    return good, bad


async def _settle(
    tasks: set[asyncio.Task[None]], leave: int
) -> tuple[set[asyncio.Task[None]], BaseException | None]:
    """Wait until at most `leave` of `tasks` are under way: these, and the first failure of the others."""
    await asyncio.sleep(0)
    failure: BaseException | None = None
    while len(tasks) > leave:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        failures = [error for task in done if (error := task.exception()) is not None]
        failure = failure or (failures[0] if failures else None)
    return tasks, failure


def _reused(prepared: Prepared, outcome: Outcome) -> KeyReusedError | TokenUsedError:
    standing = outcome.accepted.event_id
    field = prepared.key_field
    if prepared.also is not None and standing != prepared.event_id:
        field = prepared.also
    if field == TOKEN:
        return TokenUsedError()
    return KeyReusedError(standing, field or CLIENT_REF)


def _conflict_issues(prepared: Prepared, outcome: Outcome) -> tuple[Issue, ...]:
    if outcome.verdict is not Verdict.CONFLICT:
        return ()
    error = _reused(prepared, outcome)
    return (Issue(error.field or CLIENT_REF, error.value, error.expected, error.remedy),)


def _reason(error: RejectedError) -> str:
    """The first field that is wrong; a word of a short list, since clients may invent fields."""
    field = error.issues[0].field.split(".")[0]
    return field if field in _KNOWN_FIELDS else "other"
