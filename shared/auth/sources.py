"""Where credentials and key sets come from, and how they stay fresh: never while a request waits.

Files are looked at once a second and read anew when they changed; a key set at an address is fetched every
five minutes, and soon after a token named a key that is not known. What can't be read leaves what was there
in force and is said in ``/readyz``: a damaged file must not lock everybody out, nor let anybody in.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import httpx
import structlog
from jwt import PyJWK

from shared.auth.credential_file import CREDENTIALS_FILE
from shared.auth.credentials import KeyRing, parse_credentials
from shared.auth.secrets import JWKS_FILE
from shared.auth.settings import AccessSettings
from shared.auth.tokens import TokenVerifier, parse_keys
from shared.kernel.errors import InvalidValueError, TransientError

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
FETCH_S: Final = 300.0
AGAIN_S: Final = 10.0
"""Least pause between two fetches, whoever asks for one: unknown keys are for free."""
TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 1 << 20

_State = tuple[int, int, int] | None


class AccessNotFreshError(TransientError):
    """What stands in a file, or at an address, is not what is in force."""


class Sources:
    """What is in force at present."""

    def __init__(self, settings: AccessSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Read the files that are there; fetch nothing yet."""
        self.keys = KeyRing()
        self.tokens = TokenVerifier(settings.claims)
        self._credentials = _File(settings.auth_dir / CREDENTIALS_FILE, self._use_credentials)
        self._url = settings.auth_jwks_url
        self._jwks = None if self._url else _File(settings.auth_dir / JWKS_FILE, self._use_jwks)
        self._transport = transport
        self._fetched_at = -FETCH_S
        self._wanted = False
        self._fetch_trouble: str | None = "the key set was not fetched yet" if self._url else None
        self.look()

    def look(self) -> None:
        """Take up files that changed."""
        self._credentials.look()
        if self._jwks is not None:
            self._jwks.look()

    def want_keys(self) -> None:
        """Somebody named a key that is not known: perhaps the issuer has a new one."""
        self._wanted = True

    async def keep(self) -> None:
        """Keep everything fresh, for ever."""
        while True:
            try:
                self.look()
                age = time.monotonic() - self._fetched_at
                if self._url is not None and (age >= FETCH_S or (self._wanted and age >= AGAIN_S)):
                    await self.fetch(self._url)
            except Exception:
                # A defect. What is in force stays; a process that never looks again would be worse.
                log.exception("access_not_refreshed")
            await asyncio.sleep(LOOK_S)

    async def fetch(self, url: str) -> None:
        """Fetch the key set at `url`; a failure leaves the keys that were there in force."""
        self._fetched_at, self._wanted = time.monotonic(), False
        try:
            async with httpx.AsyncClient(
                timeout=TIMEOUT_S, transport=self._transport, follow_redirects=False
            ) as http:
                answer = await http.get(url)
            if answer.status_code != httpx.codes.OK or len(answer.content) > MOST_BYTES:
                raise InvalidValueError(f"status {answer.status_code}", "a key set", "correct AUTH_JWKS_URL")
            self._use_jwks(answer.text)
        except (httpx.HTTPError, httpx.InvalidURL, InvalidValueError) as error:
            self._fetch_trouble = f"{type(error).__name__}: {error}"
            log.warning("jwks_not_fetched", reason=self._fetch_trouble)
            self._fetched_at += AGAIN_S - FETCH_S  # again soon
        else:
            self._fetch_trouble = None

    def _use_credentials(self, text: str) -> int:
        self.keys = KeyRing(parse_credentials(text))
        return len(self.keys.credentials)

    def _use_jwks(self, text: str) -> int:
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InvalidValueError(f"{len(text)} characters", "JSON", "correct the key set") from error
        keys = parse_keys(document if isinstance(document, dict) else {})
        if _material(keys) != _material(self.tokens.keys) or self._jwks is not None:
            self.tokens.use(keys)
        return len(keys)

    async def check(self) -> str:
        """Health check.

        Raises:
            AccessNotFreshError: something could not be read.
        """
        files = [each for each in (self._credentials, self._jwks) if each is not None]
        troubles = [each.trouble for each in files if each.trouble is not None]
        if self._fetch_trouble is not None:
            troubles.append(self._fetch_trouble)
        if troubles:
            raise AccessNotFreshError("; ".join(troubles))
        return f"{len(self.keys.credentials)} credentials, {len(self.tokens.keys)} keys of the issuer"


def _material(keys: Mapping[str, PyJWK]) -> dict[str, object]:
    """What keys are, not only their names: an issuer may give a new key the name of the one before."""
    return {name: key.key for name, key in keys.items()}


class _File:
    def __init__(self, path: Path, use: Callable[[str], int]) -> None:
        self._path = path
        self._use = use
        self._state: _State = None
        self.trouble: str | None = f"{path.name} was not there yet"

    def look(self) -> None:
        """Read the file if it is another one than before."""
        state = self._stat()
        if state == self._state and (state is not None or self.trouble is not None):
            return
        self._state = state
        if state is None:
            self.trouble = f"{self._path} is not there; what was in force stays"
            log.warning("access_file_missing", file=self._path.name)
            return
        try:
            count = self._use(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, InvalidValueError) as error:
            self.trouble = f"{self._path.name}: {error}"
            log.error("access_file_refused", file=self._path.name, reason=str(error))  # noqa: TRY400 - no trace
        else:
            self.trouble = None
            log.info("access_file_read", file=self._path.name, entries=count)

    def _stat(self) -> _State:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - the fast way, once a second for good
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
