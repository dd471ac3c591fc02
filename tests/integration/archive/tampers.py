"""What somebody with all rights on the database does to the log, most of it with all hashes made to fit."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from services.archive.adapters.documents import from_document
from services.archive.adapters.schema import CHECKPOINTS, ENTRIES, TILES
from services.archive.application.notary import SEQUENCED, SIGNED
from services.archive.domain import notes
from services.archive.domain.entries import LOG_ORIGIN
from services.archive.domain.leaves import leaf_hash
from services.archive.domain.merkle import Frontier
from services.archive.domain.notes import Algorithm, Checkpoint, SigningKey
from shared.kernel.clock import rfc3339
from shared.kernel.ids import derived_id
from shared.messaging.streams import AUDIT, FEEDBACK
from tests.integration.archive.prepared import PreparedLog
from tests.integration.archive.support import Document

ANOTHER_KEY = SigningKey(LOG_ORIGIN, Algorithm.ED25519, bytes(32))
OWN_SEQUENCE = 9_999
"""Of an event that was never in the stream."""
PLACE = ("_id", "stream", "sequence", "subject")


@dataclass(frozen=True, slots=True)
class Tamper:
    """Something that is done, and what each verifier has to say of it.

    Attributes:
        plant: does it.
        online: parts of one line each of `pingyi audit verify`, from the log as it was.
        offline: likewise of `verify_export.py`.
    """

    plant: Callable[[PreparedLog], None]
    online: Callable[[PreparedLog], tuple[str, ...]]
    offline: Callable[[PreparedLog], tuple[str, ...]]


def rewritten(entry: Document, change: Callable[[Document], object]) -> Document:
    """``entry`` with a changed event, and every field that follows from it."""
    event = json.loads(entry["envelope"])
    change(event)
    raw = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    return entry | {
        "envelope": raw,
        "data_hash": sha256(raw).digest(),
        "event_id": event["id"],
        "received_at": datetime.fromisoformat(event["receivedat"]),
    }


def edit(log: PreparedLog) -> None:
    """A 5 becomes a 1, with hashes and tiles that fit."""
    entries = all_of(log)
    entries[log.at] = rewritten(entries[log.at], lambda event: event["data"].update(grade=1))
    log.rewrite(entries)


def delete(log: PreparedLog) -> None:
    """One entry is gone."""
    log.database[ENTRIES].delete_one({"_id": log.at})


def insert(log: PreparedLog) -> None:
    """A rating that nobody gave, with all later ones moved up."""
    entries = all_of(log)
    made = rewritten(log.entry(log.at), lambda event: event.update(id=derived_id("made", "up")))
    entries.insert(log.at, made | {"sequence": OWN_SEQUENCE})
    log.rewrite(entries)


def reorder(log: PreparedLog) -> None:
    """Two neighbours of different streams change places: each stream stays in order."""
    entries, place = all_of(log), border(log)
    entries[place], entries[place + 1] = entries[place + 1], entries[place]
    log.rewrite(entries)


def cut_the_tail(log: PreparedLog) -> None:
    """The last entries are gone, some of them signed."""
    log.database[ENTRIES].delete_many({"_id": {"$gte": log.sizes[-1] - 5}})


def fork(log: PreparedLog) -> None:
    """Another history under the same key: all that the log says of itself is made to fit."""
    edit(log)
    frontier, roots = Frontier(), dict[int, bytes]()
    entries = list(log.database[ENTRIES].find(sort=[("_id", 1)]))
    for index, entry in enumerate(entries):
        if frontier.size in log.sizes:
            roots[frontier.size] = frontier.root()
        if entry.get("type") in {SEQUENCED.event_type, SIGNED.event_type}:
            entries[index] = rewritten(entry, lambda event: say(log, event["data"], roots))
        frontier.append(leaf_hash(from_document(entries[index]).leaf))
    log.rewrite(entries)
    log.sign_again(log.key)


def say(log: PreparedLog, data: Document, roots: dict[int, bytes]) -> None:
    """What the log says of its tree, with the roots that it has now."""
    root = roots[data["size"]]
    data["root"] = root.hex()
    if "note" in data:
        said = Checkpoint(LOG_ORIGIN, data["size"], root)
        data["note"] = str(notes.sign(said, log.key, datetime.now().astimezone()))


def roll_back(log: PreparedLog) -> None:
    """Yesterday's database."""
    size = log.sizes[-4]
    log.database[ENTRIES].delete_many({"_id": {"$gte": size}})
    log.database[CHECKPOINTS].delete_many({"_id": {"$gt": size}})
    for tile in log.originals[TILES]:
        level, index = map(int, tile["_id"].split("/"))
        if (index + 1) * 256 ** (level + 1) > size:
            log.database[TILES].delete_one({"_id": tile["_id"]})


def sign_with_another_key(log: PreparedLog) -> None:
    """Every checkpoint once more, by somebody else."""
    log.sign_again(ANOTHER_KEY)


def date_back(log: PreparedLog) -> None:
    """A rating is made a day older, with hashes and tiles that fit."""
    entries = all_of(log)
    day_before = rfc3339(entries[log.at]["received_at"] - timedelta(days=1))
    entries[log.at] = rewritten(entries[log.at], lambda event: event.update(receivedat=day_before))
    log.rewrite(entries)


def flip_a_bit_in_a_tile(log: PreparedLog) -> None:
    """One bit of the hash of entry 5."""
    tile = bytearray(next(tile["hashes"] for tile in log.originals[TILES] if tile["_id"] == "0/0"))
    tile[5 * 32 + 9] ^= 1
    log.database[TILES].update_one({"_id": "0/0"}, {"$set": {"hashes": bytes(tile)}})


def swap_what_two_leaves_hold(log: PreparedLog) -> None:
    """Two ratings change places in their stream, with leaf hashes that fit."""
    entries, one, other = all_of(log), log.at, log.at + 3
    places = [{name: entries[index][name] for name in PLACE} for index in (one, other)]
    entries[one], entries[other] = entries[other] | places[0], entries[one] | places[1]
    log.rewrite(entries, tiles=False)


def drop_a_checkpoint(log: PreparedLog) -> None:
    """One of the signed heads is gone."""
    log.database[CHECKPOINTS].delete_one({"_id": log.sizes[2]})


def all_of(log: PreparedLog) -> list[Document]:
    """Every entry as it was."""
    return [log.entry(index) for index in range(len(log.originals[ENTRIES]))]


def border(log: PreparedLog) -> int:
    """Index of an entry in the first tile whose neighbour is of another stream, neither of them AUDIT."""
    entries = log.originals[ENTRIES]
    return next(
        index
        for index in range(20, 250)
        if len({entries[index]["stream"], entries[index + 1]["stream"], AUDIT}) == 3
    )


def sequence(log: PreparedLog, index: int) -> int:
    """Of an entry, in its stream."""
    return int(log.originals[ENTRIES][index]["sequence"])


def named(log: PreparedLog, index: int) -> str:
    """An entry as the archive names it."""
    return f"{log.originals[ENTRIES][index]['stream']} sequence {sequence(log, index)}"


def pair(log: PreparedLog, index: int) -> str:
    """An entry as the stand-alone verifier names it."""
    return repr((log.originals[ENTRIES][index]["stream"], sequence(log, index)))


def before(log: PreparedLog, index: int) -> int:
    """Size of the last checkpoint that does not cover ``index``."""
    return max((size for size in log.sizes if size <= index), default=0)


def after(log: PreparedLog, index: int) -> int:
    """Size of the first checkpoint that covers ``index``."""
    return next(size for size in log.sizes if size > index)


def saved(log: PreparedLog) -> int:
    """Size of the checkpoint that the auditor kept."""
    return log.sizes[-3]


def told_at(log: PreparedLog, size: int) -> int:
    """Index of the entry that tells of the checkpoint of ``size``."""
    told = (entry for entry in log.originals[ENTRIES] if entry.get("type") == SIGNED.event_type)
    return next(int(one["_id"]) for one in told if json.loads(one["envelope"])["data"]["size"] == size)


def changed(log: PreparedLog) -> str:
    """What the stand-alone verifier says of the first checkpoint over the entry that was changed."""
    return (
        f"checkpoints/{after(log, log.at)}: signed for other entries: one from index {before(log, log.at)} on"
    )


TAMPERS: dict[str, Tamper] = {
    "edit": Tamper(
        edit,
        lambda log: (
            f"stream {FEEDBACK}, sequence {sequence(log, log.at)}: SHA-256",
            f"checkpoint {after(log, log.at)}: root",
            f"an entry from index {before(log, log.at)} to {after(log, log.at) - 1} was changed",
        ),
        lambda log: (changed(log), "saved.txt: signed for other entries"),
    ),
    "delete": Tamper(
        delete,
        lambda log: (f"index {log.at}: missing", f"index {log.at}: nothing; {named(log, log.at)}, as index"),
        lambda log: (f"index {log.at}: missing",),
    ),
    "insert": Tamper(
        insert,
        lambda log: (f"sequences {sequence(log, log.at)} to 9998 missing before index {log.at}",),
        lambda log: (f"stream {FEEDBACK}: {sequence(log, log.at)} to 9998 missing before index {log.at}",),
    ),
    "reorder": Tamper(
        reorder,
        lambda log: (
            f"index {border(log)}: {named(log, border(log) + 1)}; {named(log, border(log))}, as index",
        ),
        lambda log: (f"index {border(log)}: {pair(log, border(log) + 1)} here; index",),
    ),
    "cut the tail": Tamper(
        cut_the_tail,
        lambda log: (f"checkpoint {log.sizes[-1]}: {log.sizes[-1] - 5} entries in the log",),
        lambda log: (f"checkpoint: of {log.sizes[-1]} entries, and {log.sizes[-1] - 5} are here",),
    ),
    "fork": Tamper(
        fork,
        lambda log: (
            f"stream {FEEDBACK}, sequence {sequence(log, log.at)}: SHA-256",
            f"saved.txt: FORKED: the log of {log.sizes[-1]} entries does not begin with the {saved(log)}",
        ),
        lambda _: ("saved.txt: signed for other entries: one from index 0 on changed",),
    ),
    "roll back": Tamper(
        roll_back,
        lambda log: (
            f"ROLLED BACK: the log was signed with {saved(log)} entries and has {log.sizes[-4]} now",
            "not archived",
        ),
        lambda log: (f"saved.txt: of {saved(log)} entries, and {log.sizes[-4]} are here",),
    ),
    "re-sign with another key": Tamper(
        sign_with_another_key,
        lambda log: (
            f"checkpoint {log.sizes[0]}: Got 'signatures by",
            "newest checkpoint: Got 'signatures by",
        ),
        lambda log: (f"checkpoints/{log.sizes[0]}: can't be trusted: signed by {LOG_ORIGIN}+37b2c038",),
    ),
    "backdate": Tamper(
        date_back,
        lambda log: (f"index {log.at}: dated back", f"stream {FEEDBACK}, sequence {sequence(log, log.at)}"),
        lambda log: (f"index {log.at}: dated back", changed(log)),
    ),
    "flip a bit in a tile": Tamper(
        flip_a_bit_in_a_tile,
        lambda _: ("tile 0/0: hash", "for index 5;"),
        lambda _: ("index 5: not the entry that tile/0/0 was made of",),
    ),
    "swap two leaves' data": Tamper(
        swap_what_two_leaves_hold,
        lambda log: tuple(
            f"stream {FEEDBACK}, sequence {sequence(log, index)}: SHA-256" for index in (log.at, log.at + 3)
        ),
        lambda log: tuple(f"index {index}: not the entry that tile/0/0" for index in (log.at, log.at + 3)),
    ),
    "drop a checkpoint": Tamper(
        drop_a_checkpoint,
        lambda log: (f"checkpoint {log.sizes[2]}: missing; the one that was published",),
        lambda log: (f"checkpoints/{log.sizes[2]}: missing; index {told_at(log, log.sizes[2])}",),
    ),
}


def setting(**fields: object) -> Callable[[PreparedLog], None]:
    """Fields of one document get other values."""
    return lambda log: put_fields(log, log.at, **fields)


def put_fields(log: PreparedLog, index: int, **fields: object) -> None:
    """Give fields of an entry other values; None takes one away."""
    document = log.entry(index) | fields
    log.database[ENTRIES].replace_one(
        {"_id": index}, {name: value for name, value in document.items() if value is not None}
    )


def set_the_envelope(log: PreparedLog) -> None:
    """The event alone."""
    put_fields(log, log.at, envelope=log.entry(log.at)["envelope"].replace(b'"grade":5', b'"grade":1'))


def set_the_envelope_with_its_hash(log: PreparedLog) -> None:
    """The event and the hash of its bytes."""
    raw = log.entry(log.at)["envelope"].replace(b'"grade":5', b'"grade":1')
    put_fields(log, log.at, envelope=raw, data_hash=sha256(raw).digest())


def add_an_entry_of_its_own(log: PreparedLog) -> None:
    """Behind the last one, of a stream that ends earlier."""
    last = log.entry(len(log.originals[ENTRIES]) - 1)
    log.database[ENTRIES].insert_one(
        last | {"_id": last["_id"] + 1, "stream": AUDIT, "sequence": OWN_SEQUENCE}
    )


def duplicate_of_another(log: PreparedLog) -> None:
    """A repeated event names another one as its first occurrence."""
    put_fields(log, repeated(log), duplicate_of=0)


def repeated(log: PreparedLog) -> int:
    """Index of an event that came twice."""
    return next(int(entry["_id"]) for entry in log.originals[ENTRIES] if entry["kind"] == "duplicate_of")


def delete_some(log: PreparedLog) -> None:
    """Several entries in a row are gone."""
    log.database[ENTRIES].delete_many({"_id": {"$gte": log.at, "$lte": log.at + 3}})


FIELDS: dict[str, tuple[Callable[[PreparedLog], None], Callable[[PreparedLog], str]]] = {
    "a field of the index": (setting(unit_id="U000001"), lambda log: f"index {log.at}: fields unit_id"),
    "the place": (setting(city="3601"), lambda log: f"index {log.at}: fields city"),
    "the subject": (
        setting(subject="feedback.v1.submitted.3607.360799"),
        lambda log: f"index {log.at}: fields county, region",
    ),
    "the mark of a probe": (setting(synthetic=True), lambda log: f"index {log.at}: fields synthetic"),
    "an added field": (setting(note="checked"), lambda log: f"index {log.at}: fields note"),
    "a removed field": (setting(time=None), lambda log: f"index {log.at}: an unreadable document"),
    "the envelope": (set_the_envelope, lambda log: f"index {log.at}: envelope with SHA-256"),
    "the envelope with its hash": (
        set_the_envelope_with_its_hash,
        lambda log: f"index {log.at}: leaf hash",
    ),
    "the leaf hash": (setting(leaf_hash=bytes(32)), lambda log: f"index {log.at}: leaf hash"),
    "the kind": (setting(kind="unparseable"), lambda log: f"index {log.at}: fields"),
    "some entries deleted": (delete_some, lambda log: f"index {log.at} to {log.at + 3}: missing"),
    "an entry of one's own": (add_an_entry_of_its_own, lambda _: f"stream {AUDIT}: the stream ends at"),
    "what a duplicate repeats": (
        duplicate_of_another,
        lambda log: f"index {repeated(log)}: duplicate of 0; duplicate of ",
    ),
}
"""Changes of single documents without care, for the archive's own verification; of fields in no leaf, too."""
