"""What a client said: the values of one rating as they arrived, parsed but not yet judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from shared.kernel.grades import Channel, Source

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NO_DIMENSIONS: Final[Mapping[str, int]] = MappingProxyType({})


def unix_ms(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down; exact, unlike a float timestamp."""
    return (moment - _EPOCH) // _MILLISECOND


@dataclass(frozen=True, slots=True)
class Contact:
    """How a citizen can be called back. Goes to the vault and nowhere else; absent parts are None."""

    name: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    id_number: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    account: str | None = field(default=None, repr=False)

    def given(self) -> dict[str, str]:
        """The parts that are there, by name."""
        return {part: value for part in _CONTACT_PARTS if (value := getattr(self, part)) is not None}


_CONTACT_PARTS = tuple(part.name for part in fields(Contact))


class Submission(NamedTuple):
    """One rating in the client's own words. Shown (`repr`), it says nothing of a citizen.

    Attributes:
        unit_id: the unit that is rated, as written; may not exist.
        grade: 1 to 5.
        dimensions: sub-grades by name; only those that were given.
        occurred_at: when it happened, whole milliseconds; None where the client left that to us.
        text: the comment in NFC, not scrubbed yet; None if there is none.
        token: a one-time token's text, not looked at yet.
    """

    unit_id: str
    grade: int
    source: Source
    channel: Channel
    dimensions: Mapping[str, int] = _NO_DIMENSIONS
    transaction_id: str | None = None
    client_ref: str | None = None
    text: str | None = None
    contact: Contact | None = None
    device_id: str | None = None
    occurred_at: datetime | None = None
    token: str | None = None

    def __repr__(self) -> str:
        """What was rated how, and nothing of who rated."""
        return (
            f"Submission(unit_id={self.unit_id!r}, grade={self.grade}, source={self.source!r}, "
            f"channel={self.channel!r}, occurred_at={self.occurred_at!r})"
        )

    @property
    def keyed(self) -> bool:
        """Whether a repeat of it is recognised by what it says itself."""
        return self.token is not None or self.client_ref is not None

    def canonical(self) -> bytes:
        """One spelling of the client's own fields: equal content gives equal bytes, other content others.

        Only what the client sent goes in, not when or how we received it: a retry has a new time and trace.
        Each value is preceded by its name and length, so no two different submissions can run together.
        Order of keys, number form and offset of the time don't matter; milliseconds are the finest unit.
        """
        parts = [
            _part("unit_id", self.unit_id),
            f"grade={self.grade};source={self.source};channel={self.channel};",
        ]
        if self.dimensions:
            parts += [f"dimension.{name}={self.dimensions[name]};" for name in sorted(self.dimensions)]
        if self.transaction_id is not None:
            parts.append(_part("transaction_id", self.transaction_id))
        if self.client_ref is not None:
            parts.append(_part("client_ref", self.client_ref))
        if self.text is not None:
            parts.append(_part("text", self.text))
        if self.contact is not None:
            parts += [_part(f"contact.{name}", value) for name, value in self.contact.given().items()]
        if self.device_id is not None:
            parts.append(_part("device_id", self.device_id))
        if self.occurred_at is not None:
            parts.append(f"occurred_ms={unix_ms(self.occurred_at)};")
        if self.token is not None:
            parts.append(_part("token", self.token))
        return "".join(parts).encode("utf-8", "surrogatepass")


def _part(name: str, value: str) -> str:
    return f"{name}[{len(value)}]={value};"
