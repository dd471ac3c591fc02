"""What is flagged at present, and what has to be told about it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from services.scoring.domain.integrity import Examination, Finding, Key

MOST_FLAGS: Final = 5000
"""More are not raised, the likeliest left out: by then something else is wrong, and the state stays small."""


class Notice(NamedTuple):
    """One event to publish, worked out completely, so that it can be published again as it was.

    Attributes:
        finding: the numbers.
        raised: False: the flag is taken down.
        at_ms: when it was decided, Unix milliseconds.
        as_of: the business day that was looked at, ISO 8601.
        rules: hash of the rule pack.
        serial: numbers all notices; tells apart two that are otherwise alike.
    """

    finding: Finding
    raised: bool
    at_ms: int
    as_of: str
    rules: str
    serial: int


@dataclass(frozen=True, slots=True)
class Flags:
    """The state of the watch.

    Attributes:
        standing: for each unit and signal that is flagged, the notice that raised it.
        outbox: notices that may not have been published yet.
        serial: number of the last notice.
        position: sequence of FEEDBACK that the last change rests on.
    """

    standing: Mapping[Key, Notice]
    outbox: tuple[Notice, ...] = ()
    serial: int = 0
    position: int = 0

    def told(self) -> "Flags":
        """The same once the outbox has been published."""
        return replace(self, outbox=())


@dataclass(frozen=True, slots=True)
class Moment:
    """When and by what an examination was made; see `Notice`."""

    at_ms: int
    as_of: str
    rules: str
    position: int


def revise(flags: Flags, found: Examination, moment: Moment, hold_ms: float) -> Flags:
    """Raise what is newly flagged, take down what no longer is and has stood for ``hold_ms``.

    The same object comes back if nothing changes: numbers of a flag that stands may move.
    """
    standing, outbox, serial = dict(flags.standing), list(flags.outbox), flags.serial
    now = {each.key for each in found.flagged}
    for key, notice in flags.standing.items():
        if key not in now and moment.at_ms - notice.at_ms >= hold_ms:
            serial += 1
            del standing[key]
            outbox.append(_notice(_present(found, notice.finding), moment, serial, raised=False))
    for finding in found.flagged:
        if finding.key not in standing and len(standing) < MOST_FLAGS:
            serial += 1
            standing[finding.key] = _notice(finding, moment, serial, raised=True)
            outbox.append(standing[finding.key])
    if serial == flags.serial:
        return flags
    return Flags(standing, tuple(outbox), serial, moment.position)


def _notice(finding: Finding, moment: Moment, serial: int, *, raised: bool) -> Notice:
    return Notice(finding, raised, moment.at_ms, moment.as_of, moment.rules, serial)


def _present(found: Examination, raised: Finding) -> Finding:
    """What a flagged unit's numbers are by now, against the line that it had crossed."""
    reading = found.reading(raised.key)
    if reading is None:  # it exists no more
        return raised._replace(statistic=0.0, expected=None, probability=1.0, figures={})
    return reading._replace(threshold=raised.threshold)
