"""Turns a receipt code or an event id into a proof that the event is in the log, checked here."""

import json
from dataclasses import dataclass
from typing import Any

from deploy.audit.archive_log import ArchiveLog, Inclusion
from deploy.audit.keys import Trusted
from deploy.local import api
from deploy.local.errors import LocalError
from services.archive.domain.merkle import leaf_hash, verify_inclusion
from services.archive.domain.notes import Opened, open_note
from shared.kernel.errors import describe
from shared.kernel.ids import is_uuid


class UnprovedError(LocalError):
    """What the archive answered proves nothing."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that was checked: the event of ``event_id`` is in the signed log."""

    event_id: str
    inclusion: Inclusion
    leaf: dict[str, Any]
    opened: Opened

    def lines(self) -> list[str]:
        """The proof in plain words."""
        leaf, size = self.leaf, self.opened.checkpoint.size
        signers = [f"  signed by {key.name}+{key.key_hash.hex()}" for key in self.opened.signers]
        origin, place = self.opened.checkpoint.origin, f"{leaf['stream']} sequence {leaf['sequence']}"
        return [
            f"PROVED: event {self.event_id} is entry {self.inclusion.index} of the log {origin}.",
            f"  what it is: {leaf['type']}, received {leaf['received_at']}, {place}",
            f"  SHA-256 of its bytes: {leaf['data_hash']}",
            f"  {len(self.inclusion.path)} hashes lead from it to the root of the log of {size} entries:",
            f"  {self.opened.checkpoint.root.hex()}",
            *signers,
            "Nobody can take it out or change it any more without contradicting that signature.",
        ]

    def as_json(self) -> dict[str, Any]:
        """Everything that somebody needs to check it again."""
        return {
            "event_id": self.event_id,
            "index": self.inclusion.index,
            "leaf": self.inclusion.leaf,
            "size": self.inclusion.size,
            "path": [piece.hex() for piece in self.inclusion.path],
            "checkpoint": str(self.opened.note),
            "signers": [key.text for key in self.opened.signers],
        }


def event_id_of(asked: str, intake_url: str) -> str:
    """``asked`` if it is an event id, else the event that the receipt code ``asked`` stands for.

    Raises:
        ServiceRefusedError: intake knows no such receipt.
        LocalError: intake does not answer.
    """
    if is_uuid(asked.lower()):
        return asked.lower()
    answer = api.call("GET", f"{intake_url}/v1/receipts/{asked}")
    return str(answer["event_id"])


def prove(log: ArchiveLog, event_id: str, trusted: Trusted) -> Proof:
    """Ask for the proof and check it.

    Raises:
        UnprovedError: the leaf is another event's, the path does not lead to the signed root, or nobody
            trusted signed it.
        ServiceRefusedError: there is no such event, or it is not signed yet.
        LocalError: the archive does not answer.
    """
    claimed = log.inclusion(event_id)
    note = log.checkpoint(claimed.size) if claimed.note else ""
    opened = open_note(note, trusted.keys)
    checkpoint = opened.checkpoint
    leaf = json.loads(claimed.leaf)
    if leaf.get("event_id") != event_id:
        raise UnprovedError(
            describe(
                leaf.get("event_id"), f"the leaf of {event_id}", "distrust this archive, and tell its auditor"
            )
        )
    hashed = leaf_hash(claimed.leaf.encode())
    if not verify_inclusion(hashed, claimed.index, checkpoint.size, claimed.path, checkpoint.root):
        raise UnprovedError(
            describe(
                f"a path of {len(claimed.path)} hashes that leads elsewhere",
                f"one to the root of checkpoint {checkpoint.size}",
                "distrust this archive, and tell its auditor",
            )
        )
    return Proof(event_id, claimed, leaf, opened)
