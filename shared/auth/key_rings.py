"""Keys that are rotated with an overlap: the one in force, and those of before that are still recognised.

The key in force is ``<name>.key``. Those of before are in ``<name>.former.keys``, one on each line, in the
same form; the file may be missing. To rotate, append the key in force to the former ones on every replica,
replace it, restart, and take the line out again when nothing made under it matters any more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.auth.secrets import SecretKey, SecretMissingError, load_key, parse_key
from shared.kernel.errors import InvalidValueError, describe

EVENT_IDS_FILE: Final = "event-ids.key"
TOKEN_FILE: Final = "token.key"  # noqa: S105 - the name of a file
UNKEYED: Final = "unkeyed"
"""Among the former keys of event ids: ids of before there was a key."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one purpose.

    Attributes:
        current: what new things are made with.
        former: what old things are still recognised by; None stands for `UNKEYED`.
    """

    current: SecretKey
    former: tuple[SecretKey | None, ...] = ()


def former_file(name: str) -> str:
    """The name of the file with the former keys of the key file `name`."""
    return f"{name.removesuffix('.key')}.former.keys"


def load_ring(directory: Path, name: str, *, unkeyed: bool = False) -> KeyRing:
    """Read the key file `name` in `directory`, and the former keys if there are any.

    Args:
        directory: with the key files.
        name: such as ``token.key``.
        unkeyed: whether the word `UNKEYED` may stand for a former key.

    Raises:
        SecretMissingError: the key file isn't there, or one of the two can't be read.
        InvalidValueError: a line isn't a key.
    """
    current = load_key(directory / name)
    path = directory / former_file(name)
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return KeyRing(current)
    except OSError as error:
        raise SecretMissingError(
            describe(str(path), "a readable file of former keys", f"correct its rights ({error.strerror})")
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(
            str(path), "a file of ASCII text", "restore it from its backup", field=path.name
        ) from error
    former = tuple(
        None if unkeyed and line.strip() == UNKEYED else parse_key(line, path.name)
        for line in lines
        if line.strip()
    )
    return KeyRing(current, former)
