"""Files that hold several live keys, so that a key can be changed without losing what it made.

One key on each line, the newest last: ``<hex>``, ``<key id>:<hex>``, or either with the day behind it from
which on it makes what is new (``<key id>:<hex> 2026-11-26``). Blank lines and lines that begin with ``#`` are
left out. What is new is made under the newest key; what an older one made can be read as long as its line
is there.

Keys of tokens and of event ids may have older lines in a file of their own beside it, ``<name>.former.keys``.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from shared.auth.secrets import SecretKey, parse_key, read_key_file
from shared.kernel.errors import InvalidValueError

EVENT_IDS_FILE: Final = "event-ids.key"
TOKEN_FILE: Final = "token.key"  # noqa: S105 - the name of a file
UNKEYED: Final = "unkeyed"
"""A line among the keys of event ids: ids of before there was a key."""


@dataclass(frozen=True, slots=True)
class DatedKey:
    """One line of a key file; `since` is when it became the newest, None where nobody wrote that down."""

    key: SecretKey
    since: date | None = None

    def line(self) -> str:
        """The line that `parse_keys` reads."""
        text = f"{self.key.key_id}:{self.key.secret.hex()}"
        return text if self.since is None else f"{text} {self.since.isoformat()}"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The live keys of one purpose, oldest first; never empty."""

    dated: tuple[DatedKey, ...]

    @property
    def newest(self) -> SecretKey:
        """The key that makes what is new."""
        return self.dated[-1].key

    @property
    def oldest(self) -> SecretKey:
        """The key that has been live for longest."""
        return self.dated[0].key

    @property
    def earlier(self) -> tuple[SecretKey, ...]:
        """All but the newest, the latest of them first."""
        return tuple(each.key for each in reversed(self.dated[:-1]))

    def __iter__(self) -> Iterator[SecretKey]:
        """The keys, oldest first."""
        return (each.key for each in self.dated)

    def __len__(self) -> int:
        """How many keys are live."""
        return len(self.dated)

    def with_new(self, key: SecretKey, since: date) -> "KeyRing":
        """The ring in which `key` makes what is new from `since` on.

        Raises:
            InvalidValueError: a key of that name is live already.
        """
        return _ring([*self.dated, DatedKey(key, since)], "the key file")

    def without(self, key_id: str) -> "KeyRing":
        """The ring without an earlier key.

        Raises:
            InvalidValueError: it is the newest, or not there.
        """
        if key_id not in {key.key_id for key in self.earlier}:
            live = ", ".join(key.key_id for key in self.earlier) or "none"
            raise InvalidValueError(
                key_id, f"the id of an earlier key: {live}", "add a new key first", field="key_id"
            )
        return KeyRing(tuple(each for each in self.dated if each.key.key_id != key_id))


def parse_keys(text: str, origin: str) -> KeyRing:
    """Parse the content of a key file; `origin` names the file in errors, which never quote the content.

    Raises:
        InvalidValueError: no key, a malformed line, or two keys of one name.
    """
    return _ring(_dated(_lines(text), origin), origin)


def _lines(text: str) -> list[str]:
    """The lines that say something."""
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def _dated(lines: Iterable[str], origin: str) -> list[DatedKey]:
    dated: list[DatedKey] = []
    for line in lines:
        words = line.split()
        try:
            since = date.fromisoformat(words[1]) if len(words) > 1 else None
        except ValueError:
            since = None
            words = []
        if not 1 <= len(words) <= 2:  # noqa: PLR2004 - key and day
            raise InvalidValueError(
                f"a line of {len(line)} characters in {origin}",
                "'<key id>:<hex>', and the day behind it or nothing",
                f"restore {origin} from its backup",
                field=origin,
            )
        dated.append(DatedKey(parse_key(words[0], origin), since))
    return dated


def _ring(dated: Iterable[DatedKey], origin: str) -> KeyRing:
    ring = KeyRing(tuple(dated))
    names = [key.key_id for key in ring]
    if not names or len(set(names)) != len(names):
        raise InvalidValueError(
            f"{len(names)} keys in {origin}",
            "at least one key, each with a name of its own",
            f"restore {origin} from its backup; do not make a new key while data of the old one exists",
            field=origin,
        )
    return ring


def load_keys(path: Path) -> KeyRing:
    """Read a key file with one or several live keys.

    Raises:
        SecretMissingError: the file isn't there or can't be read.
        InvalidValueError: see `parse_keys`.
    """
    return parse_keys(read_key_file(path), path.name)


@dataclass(frozen=True, slots=True)
class Recognised:
    """The keys of one purpose, where what was made without a key may count, too.

    Attributes:
        current: what new things are made with.
        former: what old things are still recognised by, the latest first; None stands for `UNKEYED`.
    """

    current: SecretKey
    former: tuple[SecretKey | None, ...] = ()


def former_file(name: str) -> str:
    """The name of the file that may hold the former keys of the key file `name`."""
    return f"{name.removesuffix('.key')}.former.keys"


def load_recognised(directory: Path, name: str, *, unkeyed: bool = False) -> Recognised:
    """Read the key file `name` in `directory`, and the file with former keys if there is one.

    Args:
        directory: with the key files.
        name: such as ``token.key``.
        unkeyed: whether the word `UNKEYED` may stand for a former key.

    Raises:
        SecretMissingError: the key file isn't there, or one of the two can't be read.
        InvalidValueError: see `parse_keys`.
    """
    words = {UNKEYED} if unkeyed else set()
    lines = _lines(read_key_file(directory / name))
    ring = _ring(_dated((line for line in lines if line not in words), name), name)
    path = directory / former_file(name)
    older = _lines(read_key_file(path)) if path.exists() else []
    former = _dated((line for line in older if line not in words), path.name)
    known = {key.key_id for key in ring}
    # Who changes a key by hand has the one in force in both files for a moment.
    keys = (*ring.earlier, *(each.key for each in reversed(former) if each.key.key_id not in known))
    return Recognised(ring.newest, (*keys, None) if words & {*lines, *older} else keys)


def store_keys(path: Path, ring: KeyRing) -> None:
    """Replace a key file in one step, readable by its owner only: a crash leaves the old one or the new one.

    Raises:
        OSError: it can't be written.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("".join(f"{each.line()}\n" for each in ring.dated))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
