"""Changing the keys of people's data in their files: a new one, and later the old one gone (ADR 0032)."""

import hashlib
import secrets
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from deploy.local.errors import LocalError
from services.intake.adapters.live_keys import REFERENCES_FILE, references_of, references_ring
from shared.auth.key_files import KeyRing, load_keys, store_keys
from shared.auth.secrets import HMAC_FILE, KEY_BYTES, VAULT_FILE, SecretKey
from shared.kernel.errors import describe
from shared.rules.pack import Windows

SLACK_DAYS: Final = 5
"""Ratings that waited in a spool, replicas that started later: scoring allows for as much."""
_ID_LENGTH: Final = 8


def add_vault_key(directory: Path, today: date) -> KeyRing:
    """Add a key-encryption key to ``vault.key``; new records are sealed under it.

    Raises:
        PermanentError: the file is missing or malformed.
        OSError: it can't be written.
    """
    path = directory / VAULT_FILE
    key = SecretKey(f"kek-{secrets.token_hex(4)}", secrets.token_bytes(KEY_BYTES))
    ring = load_keys(path).with_new(key, today)
    store_keys(path, ring)
    return ring


def add_pseudonym_key(directory: Path, today: date) -> KeyRing:
    """Add a key of pseudonyms to ``hmac.key``; the first time, keep the keys of receipts apart from it.

    Raises:
        PermanentError: a file is missing or malformed.
        OSError: a file can't be written.
    """
    path, references = directory / HMAC_FILE, directory / REFERENCES_FILE
    ring = load_keys(path)
    if not references.exists():
        store_keys(references, references_ring(references_of(ring)))
    secret = secrets.token_bytes(KEY_BYTES)
    ring = ring.with_new(SecretKey(hashlib.sha256(secret).hexdigest()[:_ID_LENGTH], secret), today)
    store_keys(path, ring)
    return ring


def remove_vault_key(directory: Path, key_id: str) -> KeyRing:
    """Destroy an earlier key-encryption key; who calls this knows that no record is under it.

    Raises:
        PermanentError: it is the newest, or not there.
        OSError: the file can't be written.
    """
    return _remove(directory / VAULT_FILE, key_id)


def pseudonyms_overlap_days(windows: Windows) -> int:
    """How long an earlier key of pseudonyms has to stay: as long as a rating can refer to an earlier one."""
    return max(windows.replacement_days, windows.lateness_days) + SLACK_DAYS


def pseudonyms_removable_from(ring: KeyRing, key_id: str, overlap_days: int) -> date | None:
    """First day on which an earlier key may go: so long after the next one began; None if that is unknown."""
    names = [each.key.key_id for each in ring.dated]
    if key_id not in names[:-1]:
        return None
    began = ring.dated[names.index(key_id) + 1].since
    return None if began is None else began + timedelta(days=overlap_days)


def remove_pseudonym_key(directory: Path, key_id: str, today: date, overlap_days: int) -> KeyRing:
    """Destroy an earlier key of pseudonyms: from then on nobody can guess who its pseudonyms were.

    Raises:
        LocalError: ratings under it may still be replaced or clustered with new ones, or nobody can tell.
        PermanentError: it is the newest, or not there.
        OSError: the file can't be written.
    """
    ring = load_keys(directory / HMAC_FILE)
    ring.without(key_id)
    free_from = pseudonyms_removable_from(ring, key_id, overlap_days)
    if free_from is None or today < free_from:
        when = "a day that the file does not tell" if free_from is None else free_from.isoformat()
        raise LocalError(
            describe(
                key_id,
                f"a key that nothing needs any more; this one is needed up to {when}",
                "wait: until then a citizen's ratings under both keys belong together",
            )
        )
    return _remove(directory / HMAC_FILE, key_id)


def _remove(path: Path, key_id: str) -> KeyRing:
    ring = load_keys(path).without(key_id)
    store_keys(path, ring)
    return ring
