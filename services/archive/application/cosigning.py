"""Takes the signatures of witnesses: independent parties who saw that the log only grew."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from services.archive.application.ports import TreeStore
from services.archive.domain.notes import Note, Signature, VerifierKey
from shared.kernel.clock import Clock, rfc3339
from shared.kernel.errors import InvalidValueError, NotFoundError

AHEAD: Final = timedelta(minutes=5)
"""How far a witness's clock may be ahead of ours."""

log = structlog.get_logger(__name__)

WitnessKeys = Callable[[], Sequence[VerifierKey]]
"""Gives the keys of the witnesses that are known now."""


class Cosigning:
    """Keeps a witness's line beside the checkpoint that it signed; the first of each witness stays."""

    def __init__(self, store: TreeStore, witnesses: WitnessKeys, clock: Clock) -> None:
        """Accept the lines of ``witnesses`` only."""
        self._store = store
        self._witnesses = witnesses
        self._clock = clock

    @property
    def keys(self) -> Sequence[str]:
        """Texts of the witnesses' keys."""
        return [key.text for key in self._witnesses()]

    async def add(self, size: int, line: str) -> None:
        """Store ``line`` beside the checkpoint of ``size``; the same witness again changes nothing.

        Raises:
            NotFoundError: there is no such checkpoint.
            InvalidValueError: no signature line, or by no known witness, of another text, or dated ahead.
        """
        signature = Signature.parse(line)
        key = next((key for key in self._witnesses() if signature.is_from(key)), None)
        if key is None:
            raise InvalidValueError(
                f"{signature.name}+{signature.key_hash.hex()}",
                "a witness whose key is in the archive's ARCHIVE_WITNESS_KEYS file",
                "give the operator of the log the line that `pingyi witness --print-key` prints",
                field="line",
            )
        head = await self._store.checkpoint(size)
        if head is None:
            raise NotFoundError(
                size, "the size of a signed checkpoint", "cosign one of /v1/log/checkpoints", field="size"
            )
        if not key.verifies(Note.parse(head.note).body, signature.signature):
            raise InvalidValueError(
                f"a signature by {key.name}",
                f"one of the checkpoint of size {size} as this archive has it",
                "compare both checkpoints: if they differ, the log was forked",
                field="line",
            )
        now = self._clock.now()
        if signature.cosigned_at() > now + AHEAD:
            raise InvalidValueError(
                rfc3339(signature.cosigned_at()),
                f"a time up to {rfc3339(now)}",
                "set the witness's clock",
                field="line",
            )
        await self._store.put_cosignature(size, key.name, signature.line)
        log.info("checkpoint_cosigned", size=size, witness=key.name)
