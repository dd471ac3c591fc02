"""The id of a rating that its client can name again: keyed, so that nobody else can work it out.

A client's reference often is a number that others know or can guess (办件号). Without a key, whoever sees an
event id could try numbers until one fits. The id is therefore the head of an HMAC over purpose, channel and
reference, under a key of its own that nothing else uses: were it rotated together with another one, repeats
of old references would count twice.
"""

from collections.abc import Iterable

from services.intake.domain.keyed_hash import KeyedHash
from shared.kernel.ids import derived_id, framed, uuid8

UNKEYED = None
"""Stands among the former keys for the ids of before there was a key."""


class EventIds:
    """Makes ids under the key in force, and tells what they would have been under former ones."""

    def __init__(self, key: bytes, former: Iterable[bytes | None] = ()) -> None:
        """Use `key` of 32 bytes; recognise the ids made under `former` keys too, `UNKEYED` among them."""
        self._hash = KeyedHash(key)
        self._former = tuple(None if old is None else KeyedHash(old) for old in former)

    def of(self, *parts: str) -> str:
        """The id that belongs to `parts`, the purpose first: same parts, same id, on every replica."""
        return uuid8(self._hash.digest(framed(parts)))

    def formerly(self, *parts: str) -> tuple[str, ...]:
        """The ids that `parts` had under former keys; empty where there are none, as mostly."""
        if not self._former:
            return ()
        value = framed(parts)
        return tuple(derived_id(*parts) if old is None else uuid8(old.digest(value)) for old in self._former)
