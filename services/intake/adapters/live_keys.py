"""Intake's keys from their files: several live ones of each kind (ADR 0032)."""

from pathlib import Path
from typing import Final

from services.intake.adapters.sealing import AesGcmSealer
from services.intake.application.prepared import RandomBytes
from services.intake.domain.pseudonyms import REFERENCES, Pseudonyms, References
from shared.auth.key_files import DatedKey, KeyRing, load_keys
from shared.auth.secrets import HMAC_FILE, VAULT_FILE, SecretKey
from shared.kernel.errors import InvalidValueError

REFERENCES_FILE: Final = "references.key"
"""Keys of receipts and decisions, once the first of the keys in ``hmac.key`` has been replaced."""


def load_pseudonyms(directory: Path) -> Pseudonyms:
    """The pseudonyms under the newest key of ``hmac.key``, which know the earlier ones.

    Raises:
        SecretMissingError: a file isn't there or can't be read.
        InvalidValueError: a file is malformed.
    """
    ring = load_keys(directory / HMAC_FILE)
    path = directory / REFERENCES_FILE
    references = _read_references(load_keys(path)) if path.exists() else references_of(ring)
    earlier = [Pseudonyms(key.key_id, key.secret, references=references) for key in ring.earlier]
    newest = ring.newest
    return Pseudonyms(newest.key_id, newest.secret, earlier=earlier, references=references)


def references_of(ring: KeyRing) -> References:
    """The references of an installation that never changed its key."""
    return References.of(ring.oldest.key_id, ring.oldest.secret)


def references_ring(references: References) -> KeyRing:
    """What ``references.key`` holds: one line for each purpose, ``<key id>-<purpose>:<hex>``."""
    return KeyRing(
        tuple(
            DatedKey(SecretKey(f"{references.key_id}-{purpose}", references.keys[purpose]))
            for purpose in REFERENCES
        )
    )


def _read_references(ring: KeyRing) -> References:
    keys = {tuple(key.key_id.rsplit("-", 1)): key.secret for key in ring}
    ids = {name[0] for name in keys}
    if len(ids) != 1 or {name[-1] for name in keys} != set(REFERENCES):
        raise InvalidValueError(
            f"{len(keys)} keys in {REFERENCES_FILE}",
            f"one for each of {', '.join(REFERENCES)}, all of one key id",
            f"restore {REFERENCES_FILE} from its backup: without it no receipt is valid",
            field=REFERENCES_FILE,
        )
    return References(ids.pop(), {name[-1]: secret for name, secret in keys.items()})


def load_sealer(directory: Path, random: RandomBytes) -> AesGcmSealer:
    """Seals under the newest key of ``vault.key`` and opens what is under any of them.

    Raises:
        SecretMissingError: the file isn't there or can't be read.
        InvalidValueError: the file is malformed.
    """
    ring = load_keys(directory / VAULT_FILE)
    return AesGcmSealer(ring.newest, random, earlier=ring.earlier)


class VaultKeyFile:
    """The sealer with the keys of ``vault.key``, and the file looked at again: new keys need no restart."""

    def __init__(self, directory: Path, random: RandomBytes) -> None:
        """Load the keys.

        Raises:
            SecretMissingError: the file isn't there or can't be read.
            InvalidValueError: the file is malformed.
        """
        self._directory = directory
        self._random = random
        self.sealer = load_sealer(directory, random)
        """Seals under the newest key; goes on with others once `changed` has taken them up."""
        self.keys = self._ids()
        """Ids of the live keys, the newest last."""

    def _ids(self) -> tuple[str, ...]:
        return tuple(key.key_id for key in load_keys(self._directory / VAULT_FILE))

    def changed(self) -> tuple[str, ...] | None:
        """Take up the file if its keys have changed: their ids, the newest last; else None.

        Raises:
            SecretMissingError: the file isn't there or can't be read; the keys stay as they were.
            InvalidValueError: the file is malformed; likewise.
        """
        keys = self._ids()
        if keys == self.keys:
            return None
        self.sealer.take_keys(load_sealer(self._directory, self._random))
        self.keys = keys
        return keys
