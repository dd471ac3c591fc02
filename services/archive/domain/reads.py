"""Reads of the log that are facts themselves: who read which records."""

from dataclasses import dataclass
from typing import Literal

Reading = Literal["page", "event", "trace", "export"]
Stage = Literal["answered", "begun", "ended"]
Format = Literal["json", "text", "csv", "ndjson"]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks.

    Attributes:
        actor: account, post or program; None if it did not say.
        verified: whether a credential proved it.
    """

    actor: str | None
    verified: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, and by whom.

    Attributes:
        conditions: by name, in words that hold no number of a person.
    """

    reader: Reader
    what: Reading
    format: Format
    conditions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Read:
    """One word about a read, to be made durable before its records are sent.

    Attributes:
        read: id; the two words about an export share it.
        size: entries in the log as it was read.
        rows: entries that were read; None where an export begins.
    """

    read: str
    request: Request
    size: int
    stage: Stage
    rows: int | None
