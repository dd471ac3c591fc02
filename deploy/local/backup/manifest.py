"""``manifest.json``: what a backup holds, written last, so that a backup without it was not finished."""

from hashlib import file_digest
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from deploy.local.errors import LocalError
from shared.kernel.errors import describe

NAME: Final = "manifest.json"
FORMAT: Final = 1
SHOWN: Final = 5
PARTS: Final = ("mongodb", "streams", "secrets")
"""Directories of a backup, in the order in which they are copied."""


class BackupDamagedError(LocalError):
    """A backup is not complete, or its files are not the ones that were written."""


class FileRecord(BaseModel):
    """One file of the backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int


class SavedStream(BaseModel):
    """One stream: the broker's configuration and state of it, in its own words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: dict[str, Any]
    state: dict[str, Any]


class Manifest(BaseModel):
    """The content of ``manifest.json``.

    Attributes:
        database: name of the archive's database.
        documents: how many of each collection.
        streams: by name, in the order in which they were copied.
        files: by path below the backup's directory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    version: str
    made_at: AwareDatetime
    nats: str
    mongodb: str
    database: str
    documents: dict[str, int]
    streams: dict[str, SavedStream]
    files: dict[str, FileRecord]


def describe_files(directory: Path) -> dict[str, FileRecord]:
    """Every file below ``directory`` but the manifest."""
    return {
        str(path.relative_to(directory)): _record(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != NAME
    }


def _record(path: Path) -> FileRecord:
    with path.open("rb") as file:
        return FileRecord(sha256=file_digest(file, "sha256").hexdigest(), bytes=path.stat().st_size)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the backup in ``directory``.

    Raises:
        BackupDamagedError: there is none, or it is not one that this release reads.
    """
    try:
        return Manifest.model_validate_json((directory / NAME).read_bytes())
    except FileNotFoundError as error:
        raise BackupDamagedError(
            describe(
                str(directory), f"a finished backup, with {NAME}", "name the directory of another backup"
            )
        ) from error
    except ValidationError as error:
        raise BackupDamagedError(
            describe(
                f"{directory / NAME}, which is not readable ({error.errors()[0]['msg']})",
                f"a manifest of format {FORMAT}",
                "use the release that made the backup",
            )
        ) from error


def check_files(directory: Path, manifest: Manifest, parts: tuple[str, ...]) -> None:
    """Compare the files of ``parts`` with the manifest.

    Raises:
        BackupDamagedError: one is missing, or has other bytes; the message names the first few.
    """
    wrong = []
    for name, record in manifest.files.items():
        if not name.startswith(tuple(f"{part}/" for part in parts)):
            continue
        path = directory / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif _record(path) != record:
            wrong.append(f"{name} has other bytes")
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise BackupDamagedError(
            describe(
                f"{'; '.join(wrong[:SHOWN])}{more}",
                f"the files that {NAME} names",
                "use another backup, or restore the other parts with --only",
            )
        )
