"""Use case: read from the archive what the stream has forgotten, and never past a hole.

The broker drops the stream's oldest messages after 400 days, the archive none. A fold that begins before the
oldest one left gets what is missing from the archive: every sequence, and on both sides of the gap the same
messages as were folded and as the stream still has. ADR 0024.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from services.scoring.application.ports import ArchivedMessage, FeedbackArchive
from services.scoring.application.published import STREAM
from services.scoring.application.snapshots import anchor_of
from services.scoring.domain.snapshots import RUNBOOK
from shared.kernel.errors import PermanentError, TransientError, describe

log = structlog.get_logger(__name__)

PART: Final = 1000
"""Messages read at once."""


class OlderMessagesMissingError(PermanentError):
    """Nobody has the messages that the fold lacks, or they are not those that the stream had."""


class ArchiveBehindError(TransientError):
    """The archive has not stored yet what the stream already has."""


class OlderMessages:
    """What lies before the oldest message of the stream."""

    def __init__(self, archive: FeedbackArchive | None, stream: str = STREAM) -> None:
        """Read ``stream`` from ``archive``; None: there is none, and a gap can't be filled."""
        self._archive = archive
        self._stream = stream

    async def check_seam(self, following: int, following_hash: str) -> None:
        """Make sure that the archive has what the stream has at the sequence ``following``.

        Raises:
            OlderMessagesMissingError: it has another message there, or there is no archive.
            ArchiveBehindError: it has not got so far.
            TransientError: it is away.
        """
        found = await self._read(following - 1, 1)
        if not found or found[0].sequence > following:
            raise ArchiveBehindError(
                describe(
                    f"{self._stream} begins at {following}, which is not archived yet",
                    "an archive that has caught up",
                    "it is asked again",
                )
            )
        self._compare(found[0], following_hash)

    async def read(
        self, after: int, anchor: str, last: int, *, past_holes: bool = False
    ) -> Sequence[ArchivedMessage]:
        """The next messages behind the sequence ``after``, up to ``last``: at least one, none left out.

        Args:
            after: last sequence that was folded; 0: none.
            anchor: `message_hash` of the message there; empty if it is not known.
            last: where the gap ends.
            past_holes: hand out what lies behind a hole, too: a person has allowed it. It is logged.

        Raises:
            OlderMessagesMissingError: the archive lacks one of them, has another one at ``after``, or there
                is no archive.
            ArchiveBehindError: it has not got so far.
            TransientError: it is away.
        """
        # One before, to see that it continues what was folded.
        found = list(await self._read(max(0, after - 1), PART))
        if found and found[0].sequence == after:
            before = found.pop(0)
            if anchor:
                self._compare(before, anchor)
        elif found and after > 0 and not past_holes:
            raise self._missing(after, found[0].sequence - 1)
        wanted = [message for message in found if message.sequence <= last]
        expected = after + 1
        for message in wanted:
            if message.sequence != expected:
                self._pass(expected, message.sequence - 1, past_holes=past_holes)
            expected = message.sequence + 1
        if not wanted:
            if not found:
                raise ArchiveBehindError(
                    describe(
                        f"an archive that ends before {after + 1}",
                        f"{self._stream} up to {last}",
                        "it is asked again",
                    )
                )
            raise self._missing(after + 1, last)
        return wanted

    async def _read(self, after: int, most: int) -> Sequence[ArchivedMessage]:
        if self._archive is None:
            raise OlderMessagesMissingError(
                describe(
                    f"a gap in {self._stream} and no archive",
                    "the address of the archive, which has what is missing",
                    "set ARCHIVE_URL",
                )
            )
        return await self._archive.read(after, most)

    def _pass(self, first: int, last: int, *, past_holes: bool) -> None:
        error = self._missing(first, last)
        if not past_holes:
            raise error
        log.error("messages_left_out", first=first, last=last, reason="ACCEPT_NEW_HISTORY is set")

    def _missing(self, first: int, last: int) -> OlderMessagesMissingError:
        return OlderMessagesMissingError(
            describe(
                f"messages {first} to {last} of {self._stream}, neither in the stream nor in the archive",
                "every message of the past",
                f"see {RUNBOOK}",
            )
        )

    def _compare(self, archived: ArchivedMessage, expected_hash: str) -> None:
        if archived.kept and anchor_of(archived) != expected_hash:
            raise OlderMessagesMissingError(
                describe(
                    f"an archive with another message at {archived.sequence} than {self._stream} had",
                    "the archive of this stream",
                    f"check ARCHIVE_URL, see {RUNBOOK}",
                )
            )
