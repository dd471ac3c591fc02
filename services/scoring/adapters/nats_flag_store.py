"""What is flagged, in a key-value bucket of scoring's own: one key, compressed, one writer at a time."""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError

from services.scoring.adapters.nats_ranking_store import TIMEOUT_S
from services.scoring.application.ports import StoreConflictError
from services.scoring.domain.flags import Flags, Notice
from services.scoring.domain.integrity import Finding
from shared.kernel.errors import TransientError, describe
from shared.messaging.group_commit import WRONG_LAST_SEQUENCE
from shared.messaging.streams import INTEGRITY_BUCKET

log = structlog.get_logger(__name__)

STREAM: Final = f"KV_{INTEGRITY_BUCKET}"
SUBJECT: Final = f"$KV.{INTEGRITY_BUCKET}.flags"
FORMAT: Final = 1


class FlagStoreUnavailableError(TransientError):
    """The bucket did not answer: what it holds, or whether it was written, is not known."""


class NatsFlagStore:
    """See `FlagStore`. Remembers the key's sequence, which the next commit states."""

    def __init__(self, client: Client) -> None:
        """Use the bucket through ``client``; it must have been provisioned."""
        self._jetstream = client.jetstream(timeout=TIMEOUT_S)
        self._sequence = 0

    async def load(self) -> Flags:
        """See :meth:`FlagStore.load`.

        Raises:
            FlagStoreUnavailableError: the broker is away, or the bucket was not provisioned.
        """
        try:
            # Asked of the stream's leader: a replica may not have what was written a moment ago.
            found = await self._jetstream.get_last_msg(STREAM, SUBJECT)
        except NotFoundError as error:
            if error.err_code == _NO_MESSAGE:
                self._sequence = 0
                return Flags({})
            raise _unavailable(error) from error
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error
        self._sequence = int(found.seq or 0)
        try:
            return decode(found.data or b"")
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            log.warning("flags_unreadable", reason=repr(error), remedy="all flags are raised anew")
            return Flags({})

    async def commit(self, flags: Flags) -> None:
        """See :meth:`FlagStore.commit`.

        Raises:
            StoreConflictError: another writer was faster.
            FlagStoreUnavailableError: no answer; it may have been written.
        """
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(self._sequence),
            "Nats-Expected-Stream": STREAM,
        }
        try:
            answer = await self._jetstream.publish(SUBJECT, encode(flags), headers=headers)
        except APIError as error:
            if error.err_code in WRONG_LAST_SEQUENCE:
                raise StoreConflictError(
                    describe(error.description, "to be the only writer", "this instance reads again")
                ) from error
            raise _unavailable(error) from error
        except (NatsError, JetStreamError, TimeoutError, OSError) as error:
            raise _unavailable(error) from error
        self._sequence = answer.seq


_NO_MESSAGE: Final = 10037


def _unavailable(error: Exception) -> FlagStoreUnavailableError:
    return FlagStoreUnavailableError(
        describe(SUBJECT, f"an answer from {STREAM}", f"retry; if it lasts, provision the streams: {error!r}")
    )


def encode(flags: Flags) -> bytes:
    """The state as it is stored: compressed JSON."""
    document = {
        "format": FORMAT,
        "serial": flags.serial,
        "position": flags.position,
        "standing": [_document(notice) for notice in flags.standing.values()],
        "outbox": [_document(notice) for notice in flags.outbox],
    }
    return zlib.compress(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def decode(stored: bytes) -> Flags:
    """Read what `encode` wrote.

    Raises:
        KeyError: it is something else.
        TypeError: likewise.
        ValueError: likewise, or of another version.
        zlib.error: it is damaged.
    """
    document = json.loads(zlib.decompress(stored))
    if document["format"] != FORMAT:
        raise ValueError(describe(document["format"], f"format {FORMAT}", "let the newer release run"))
    standing = [_parse(each) for each in document["standing"]]
    return Flags(
        {notice.finding.key: notice for notice in standing},
        tuple(_parse(each) for each in document["outbox"]),
        int(document["serial"]),
        int(document["position"]),
    )


def _document(notice: Notice) -> dict[str, Any]:
    return {**notice._asdict(), "finding": notice.finding._asdict()}


def _parse(document: Mapping[str, Any]) -> Notice:
    return Notice(**{**document, "finding": Finding(**document["finding"])})
