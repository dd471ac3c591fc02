"""Checks an export of Pingyi's audit log: offline, trusting neither who runs the log nor who made the export.

    python verify_export.py DIR --key KEY [--checkpoint SAVED]      (Python 3.11 or newer, and `cryptography`)

KEY is the log's verifier key, and should not come from DIR. SAVED is a checkpoint that you kept: with it, a
log that was forked, rolled back or cut since can't pass. Checked is: every index is there, with the event of
its leaf, byte for byte; every sequence of every stream comes once and in order, in the order announced before
it was signed; the RFC 6962 tree of the leaves is that of all tiles and checkpoints, which KEY signed; the
checkpoints that the log speaks of are there; nothing was dated back. Prints what is wrong and where, and
exits with 0: nothing is, 1: something is, 2: it can't be checked.
"""

import argparse
import json
import re
import sys
from array import array
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from secrets import token_bytes
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TILE = 256  # hashes in a tile, of 32 bytes each
SHOWN = 100  # findings that are printed; the others are counted
BEHIND = timedelta(hours=1)  # how much earlier than one before it an event of a stream may have been received
LONGEST = 256  # characters of an actor's name; nobody's is longer
MOST_MISSING = 1_000_000  # entries in a row that can be gone on behind
LOG_KEY, WITNESS_KEY = 1, 4  # first byte of a key: Ed25519 of the text; Ed25519 of a time and the text
SEQUENCED, SIGNED = "cn.pingyi.audit.batch-sequenced.v1", "cn.pingyi.audit.checkpoint-signed.v1"
canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def tree_root(hashes: list[bytes]) -> bytes:
    """RFC 6962: neighbours are paired level by level; one without a neighbour goes up as it is."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=False)
        hashes = [sha256(b"\x01" + one + two).digest() for one, two in pairs] + hashes[len(hashes) // 2 * 2 :]
    return hashes[0] if hashes else sha256(b"").digest()


class Key:
    """A verifier key, `<name>+<8 hex digits>+<base64>`, as C2SP signed-note has it."""

    def __init__(self, text: str) -> None:
        self.name, stated, encoded = text.strip().split("+", 2)
        raw = b64decode(encoded, validate=True)
        self.algorithm, self.public = raw[0], Ed25519PublicKey.from_public_bytes(raw[1:])
        self.hash = sha256(f"{self.name}\n".encode() + raw).digest()[:4]
        if self.hash.hex() != stated or self.algorithm not in {LOG_KEY, WITNESS_KEY}:
            raise ValueError(f"the key {text} was not copied in full")

    def check(self, body: bytes, signature: bytes) -> None:
        """Raise ValueError unless this key made this signature of `body`."""
        if self.algorithm == WITNESS_KEY:
            body = b"cosignature/v1\ntime %d\n%b" % (int.from_bytes(signature[:8]), body)
            signature = signature[8:]
        try:
            self.public.verify(signature, body)
        except InvalidSignature:
            raise ValueError(f"{self.name} signed another text than this") from None


def open_checkpoint(path: Path, keys: list[Key]) -> tuple[int, bytes, list[str]]:
    """Read a signed note: entries, root over them, who signed. ValueError says why it can't be trusted."""
    body, _, signatures = path.read_text(encoding="utf-8").rpartition("\n\n")
    lines = [line.removeprefix("— ").split(" ") for line in signatures.splitlines()]
    made = {(name, b64decode(code)[:4]): b64decode(code)[4:] for name, code in lines}
    signers = [key for key in keys if (key.name, key.hash) in made]
    if not any(key.algorithm == LOG_KEY for key in signers):
        found = ", ".join(f"{name}+{digest.hex()}" for name, digest in made)
        raise ValueError(f"signed by {found or 'nobody'}, and not by the log's key")
    for key in signers:
        key.check(f"{body}\n".encode(), made[key.name, key.hash])
    _, size, root = body.split("\n")[:3]
    return int(size), b64decode(root), [key.name for key in signers]


def utc(text: str) -> str:
    """A time in UTC with three digits of a second: rounded to six if there are more, then cut."""
    up = timedelta(microseconds=1 if re.search(r"\.\d{6}[5-9]", text) else 0)
    moment = datetime.fromisoformat(text.upper()).astimezone(UTC) + up
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def expected_leaf(leaf: dict[str, Any], raw: bytes | None, event: dict[str, Any] | None) -> dict[str, Any]:
    """The leaf of this event, at the place in the streams that `leaf` states."""
    made = {name: leaf[name] for name in ("kind", "sequence", "stream", "subject")} | {"v": 2}
    places = leaf["subject"].split(".")[3:5]  # city and county, or it is nowhere
    made["region"] = next((place for place in reversed(places[1:] and places) if place != "all"), None)
    made["data_hash"] = leaf["data_hash"] if raw is None else sha256(raw).hexdigest()
    made["duplicate_of"] = int(leaf["duplicate_of"]) if leaf["kind"] == "duplicate_of" else None
    if (leaf["kind"] == "unparseable") != (event is None):
        raise ValueError(f"{leaf['kind']}, with{'out' if event is None else ''} an event")
    if event is not None:
        made |= {"event_id": event["id"], "source": event["source"], "type": event["type"]}
        made |= {"time": utc(event["time"]), "received_at": utc(event["receivedat"])}
        named = [event["data"].get(name) for name in ("actor", "decided_by", "by")]
        made["actor"] = next((by for by in named if isinstance(by, str) and 0 < len(by) <= LONGEST), None)
        made |= {"synthetic": event.get("synthetic", False), "channel": event["data"].get("channel")}
    return {name: value for name, value in made.items() if value is not None}


class Verifier:
    """Reads the export once, in order, and prints what is wrong."""

    def __init__(self, directory: Path, keys: list[Key], saved: list[Path]) -> None:
        self.directory, self.keys = directory, keys
        self.layouts = {2: expected_leaf}  # how the leaf of an event is made, by version
        self.wrong = self.count = self.end = 0  # findings; entries, so the next index; entries signed
        self.checkpoints: dict[int, dict[Path, bytes]] = {}  # root by size and file
        self.signers = set[str]()
        self.own, self.saved = [*directory.glob("checkpoints/*"), directory / "checkpoint"], saved
        self.sound = {True: 0, False: 0}  # size up to which checkpoints agree: those you saved, the log's own
        self.astray = set[bool]()  # which of the two agree no longer
        self.levels, self.tile = [list[bytes]()], b""  # of the tree: hashes that do not fill a tile yet
        self.last, self.newest = dict[str, int](), dict[str, datetime]()  # by stream: sequence, latest time
        self.order: list[tuple[str, int]] = []  # stream and sequence of the entries that came last
        self.ids, self.seen, self.salt = array("q"), set[int](), token_bytes(32)  # of ids 64 bits of a hash

    def report(self, where: str | Path, what: str) -> None:
        """Say one thing that is wrong."""
        self.wrong += 1
        if self.wrong <= SHOWN:
            print(f"{str(where).removeprefix(f'{self.directory}/')}: {what}")

    def run(self) -> None:
        """Check everything."""
        for path in self.own + self.saved:
            try:
                size, root, names = open_checkpoint(path, self.keys)
                self.checkpoints.setdefault(size, {})[path] = root
                self.signers.update(names)
            except (OSError, ValueError) as error:
                self.report(path, f"can't be trusted: {error}")
        self.end = max(self.checkpoints, default=0)
        for path in sorted(self.directory.glob("entries/*")):
            with path.open("rb") as lines:
                for at, line in enumerate(lines, 1):
                    try:
                        self.feed(json.loads(line))
                    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                        self.report(f"{path} line {at}", f"not an entry ({type(error).__name__}): {error}")
        self.finish()

    def feed(self, entry: dict[str, Any]) -> None:
        """Take the next entry; a missing one counts as the tiles have it."""
        if "problem" in entry:
            raise ValueError(f"what the database has at index {entry['index']} is {entry['problem']}")
        index, text, encoded = entry["index"], entry["leaf"], entry.get("envelope")
        raw = None if encoded is None else b64decode(encoded, validate=True)
        leaf = json.loads(text)  # numbers of an event may have any length; no long one matters here
        event = None if raw is None else json.loads(raw, parse_int=lambda digits: int(digits[:99]))
        made = self.layouts[leaf["v"]](leaf, raw, event)
        if not 0 <= index - self.count <= MOST_MISSING:
            raise ValueError(f"index {index} after {self.count - 1}")
        if index > self.count:
            self.report(f"index {self.count}" + f" to {index - 1}" * (index > self.count + 1), "missing")
        while self.count < index:
            self.order.append(("missing", 0))
            self.grow(None, 0)
        if canonical(made) != text:
            names = ", ".join(name for name in sorted({*made, *leaf}) if made.get(name) != leaf.get(name))
            self.report(f"index {index}", f"the leaf is not that of its event: {names or 'its form'}")
        self.check_place(leaf["stream"], leaf["sequence"])
        digest = b"" if event is None else sha256(self.salt + event["id"].encode()).digest()[:8]
        name, original = int.from_bytes(digest, signed=True), leaf.get("duplicate_of")
        if original is not None and (not 0 <= original < index or self.ids[original] != name):
            self.report(f"index {index}", f"not the same event as index {original}")
        elif event is not None and original is None:
            self.check_event(name, leaf, event["data"])
        self.grow(sha256(b"\x00" + text.encode()).digest(), name if original is None else 0)

    def check_place(self, stream: str, sequence: int) -> None:
        """Every sequence of a stream comes once and in order."""
        due = self.last.get(stream, sequence - 1) + 1
        if sequence > due:
            self.report(f"stream {stream}", f"{due} to {sequence - 1} missing before index {self.count}")
        elif sequence < due:
            self.report(f"index {self.count}", f"{stream} sequence {sequence} out of order; {due} was due")
        self.last[stream] = sequence
        self.order.append((stream, sequence))

    def check_event(self, name: int, leaf: dict[str, Any], data: dict[str, Any]) -> None:
        """Its id is new, its time fits its stream, and what it says of the log is so."""
        if name in self.seen:
            self.report(f"index {self.count}", f"event id {leaf['event_id']} is in the log already")
        self.seen.add(name)
        received = datetime.fromisoformat(leaf["received_at"])
        newest = self.newest[leaf["stream"]] = max(received, self.newest.get(leaf["stream"], received))
        if newest - received > BEHIND:
            self.report(f"index {self.count}", f"dated back: received at {received}, after one of {newest}")
        if leaf["type"] == SEQUENCED:
            self.check_batch(data["first_index"], data["size"], data)
        elif leaf["type"] == SIGNED:
            self.check_signed(data["size"], data)

    def check_batch(self, first: int, size: int, data: dict[str, Any]) -> None:
        """The order announced before signing is that of the entries, the root that of the checkpoint."""
        start = self.count + 1 - len(self.order)
        runs = [(run["stream"], range(run["first"], run["last"] + 1)) for run in data["runs"]]
        announced = [(stream, sequence) for stream, run in runs for sequence in run][max(0, start - first) :]
        there = self.order[max(0, first - start) : size - start]
        for index, (said, found) in enumerate(zip_longest(announced, there), max(first, start)):
            if said != found:
                self.report(f"index {index}", f"{found} here; index {self.count} announced {said}")
                break
        if any(root.hex() != data["root"] for root in self.checkpoints.get(size, {}).values()):
            self.report(f"index {self.count}", f"announced another root of {size} entries than was signed")
        del self.order[: max(0, first - start)]

    def check_signed(self, size: int, data: dict[str, Any]) -> None:
        """The checkpoint that was published is there, and the one before it."""
        for other in {size, data["previous_size"]} - {0}:
            path = self.directory / f"checkpoints/{other}"
            if not path.exists():
                self.report(path, f"missing; index {self.count} says that it was signed")
            elif other == size and not path.read_text(encoding="utf-8").startswith(data["note"]):
                self.report(path, f"not what was published, which is in index {self.count}")

    def grow(self, leaf_hash: bytes | None, name: int) -> None:
        """Add a leaf to the tree; compare the tiles that it fills, and the checkpoints of this size."""
        level, at = 0, self.count % TILE
        self.tile = self.tile if at else self.read_tile(0, self.count // TILE)
        stated = self.tile[32 * at : 32 * at + 32] or leaf_hash or bytes(32)
        if leaf_hash not in {stated, None}:
            self.report(f"index {self.count}", f"not the entry that tile/0/{self.count // TILE} was made of")
        self.levels[0].append(leaf_hash or stated)
        self.ids.append(name)
        self.count += 1
        while len(hashes := self.levels[level]) == TILE:
            number = self.count // TILE ** (level + 1) - 1
            tile = self.read_tile(level, number)
            if not tile or (level and tile != b"".join(hashes)):
                self.report(f"tile/{level}/{number}", "not made of the tiles below" if tile else "missing")
            self.levels[level], level = [], level + 1
            self.levels += [[]] if level == len(self.levels) else []
            self.levels[level].append(tree_root(hashes))
        if self.count in self.checkpoints:
            self.compare()

    def read_tile(self, level: int, number: int) -> bytes:
        """A full tile; empty if there is none."""
        path = self.directory / f"tile/{level}/{number}"
        return path.read_bytes() if path.exists() else b""

    def compare(self) -> None:
        """The checkpoints of this size have the root of the entries so far."""
        last: list[bytes] = []
        for hashes in self.levels:
            last = [tree_root(hashes + last)] if hashes or last else []
        for path, root in self.checkpoints[self.count].items():
            yours = path in self.saved
            if root == tree_root(last):
                self.sound[yours] = self.count
                self.astray.discard(yours)
            elif yours not in self.astray:
                self.report(path, f"signed for other entries: one from index {self.sound[yours]} on changed")
                self.astray.add(yours)

    def finish(self) -> None:
        """Entries, tiles and checkpoints end together."""
        for path in self.checkpoints[self.end] if self.end > self.count else ():
            self.report(path, f"of {self.end} entries, and {self.count} are here: cut or rolled back")
        if self.count > self.end:
            self.report(f"index {self.end} to {self.count - 1}", "in no checkpoint that can be trusted")
        for path in self.directory.glob("tile/*/*"):
            if (int(path.name) + 1) * TILE ** (int(path.parent.name) + 1) > self.count:
                self.report(path, "made of entries that are not in the export")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Check an export of Pingyi's audit log.")
    parser.add_argument("directory", type=Path, metavar="DIR", help="the export")
    parser.add_argument("--key", action="append", help="verifier key that you trust: the log's, a witness's")
    parser.add_argument("--checkpoint", action="append", default=[], type=Path, help="a note that you saved")
    given = parser.parse_args()
    try:
        texts = given.key or (given.directory / "keys").read_text(encoding="utf-8").splitlines()
        verifier = Verifier(given.directory, [Key(text) for text in texts], given.checkpoint)
        verifier.run()
    except (OSError, ValueError) as error:
        print(f"{given.directory} can't be checked: {error}")
        return 2
    verdict = f"NOT OK, {verifier.wrong} findings" if verifier.wrong else "OK"
    of = f"{verifier.count} entries of {len(verifier.last)} streams, {len(verifier.checkpoints)} checkpoints"
    print(f"{verdict}: {of}; signed by {', '.join(sorted(verifier.signers))}")
    if not given.key:
        print("The keys came from the export itself; compare them with what you know:", *texts, sep="\n  ")
    return 1 if verifier.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
