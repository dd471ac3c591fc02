"""Screening's state over a restart: one file, scratch like the index, written whole or not at all."""

import hashlib
import os
from pathlib import Path
from typing import Any, Final

import msgspec

from services.intake.domain.screening import Screen
from shared.events.unreadable import UNREADABLE
from shared.observability.logging import get_logger
from shared.rules.screening import Screening

NAME: Final = "screening.snapshot"
_DIGEST_BYTES: Final = 32

_log = get_logger(component="screening")


class ScreenFile:
    """Plays `entrypoints.screening.KeptScreen`."""

    def __init__(self, directory: Path, key_id: str) -> None:
        """Keep the state in `directory`; `key_id` names the key of the fingerprints in it."""
        self._path = directory / NAME
        self._key_id = key_id

    def load(self, stream: str, rules: Screening) -> Screen | None:
        """The state that was folded from `stream`; None if there is none that can be used."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        try:
            if hashlib.sha256(body).digest() != digest:
                raise ValueError("damaged")
            said: dict[str, Any] = msgspec.msgpack.decode(body)
            if (said["stream"], said["key"]) != (stream, self._key_id):
                raise ValueError("of another stream or key")
            screen = Screen(msgspec.convert(said["rules"], Screening))
            screen.load(said["screen"])
        except (*UNREADABLE, ValueError, KeyError, TypeError, IndexError) as error:
            _log.warning("screening_discarded", reason=repr(error))
            return None
        return screen.under(rules)

    def save(self, stream: str, screen: Screen) -> None:
        """Replace what is kept."""
        body = msgspec.msgpack.encode(
            {
                "stream": stream,
                "key": self._key_id,
                "rules": msgspec.to_builtins(screen.rules),
                "screen": screen.dump(),
            }
        )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
