"""Which keys are believed: those given, else this machine's own, else what the archive claims."""

from collections.abc import Sequence
from dataclasses import dataclass

from deploy.audit.archive_log import ArchiveLog
from deploy.local.layout import SIGNING_KEY, WITNESS_KEYS, Layout
from services.archive.adapters.key_files import load_witness_keys
from services.archive.domain.notes import Algorithm, SigningKey, VerifierKey


@dataclass(frozen=True, slots=True)
class Trusted:
    """Keys of the log and of witnesses, and what to tell a person of where they come from."""

    keys: tuple[VerifierKey, ...]
    remark: str | None = None

    @property
    def log(self) -> tuple[VerifierKey, ...]:
        """Those that sign checkpoints."""
        return tuple(key for key in self.keys if key.algorithm is Algorithm.ED25519)


def trusted_keys(given: Sequence[str], layout: Layout, log: ArchiveLog) -> Trusted:
    """The keys of ``given`` texts; without any, of the platform's secrets, else of the archive's answer.

    Raises:
        NoteError: a text is no verifier key.
    """
    if given:
        return Trusted(tuple(VerifierKey.parse(text) for text in given))
    own = layout.secrets / SIGNING_KEY
    if own.exists():
        signing = SigningKey.parse(own.read_text(encoding="ascii")).verifier
        return Trusted((signing, *load_witness_keys(layout.secrets / WITNESS_KEYS)))
    keys = tuple(VerifierKey.parse(text) for text in log.claimed_keys())
    return Trusted(
        keys, f"The key came from the archive itself; compare it with what you know: {keys[0].text}"
    )
