"""``platform.json``: how other commands find the platform that runs on a data directory.

Written by the supervisor (mode 0600, since addresses may carry credentials), replaced atomically on every
change, removed at a clean stop. One that was left by a killed supervisor is recognised by process id and
creation time together, because ids are used again.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from deploy.local.errors import PlatformRunningError
from deploy.local.layout import Layout

CREATE_TIME_TOLERANCE_S = 1.0
"""psutil derives creation times from the boot time, whose last digits may differ between calls."""


class ChildRecord(BaseModel):
    """One child of the supervisor."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int | None
    restarts: int


class PlatformRecord(BaseModel):
    """The content of ``platform.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str
    """``starting``, ``ready`` or ``stopping``."""
    pid: int
    create_time: float
    """Creation time of the supervisor's process, seconds since the epoch as psutil gives it."""
    version: str
    started_at: AwareDatetime
    data: Path
    port_base: int
    external: bool
    nats_url: str
    nats_monitor_url: str | None
    mongodb_url: str
    services: Mapping[str, str]
    """Base address of each service's HTTP interface."""
    children: Mapping[str, ChildRecord]

    @classmethod
    def of(
        cls,
        layout: Layout,
        *,
        state: str,
        version: str,
        started_at: datetime,
        services: tuple[str, ...],
        children: Mapping[str, ChildRecord],
    ) -> Self:
        """The record of the platform that this very process supervises."""
        return cls(
            state=state,
            pid=os.getpid(),
            create_time=psutil.Process().create_time(),
            version=version,
            started_at=started_at,
            data=layout.data,
            port_base=layout.port_base,
            external=layout.external,
            nats_url=layout.nats_url,
            nats_monitor_url=layout.nats_monitor_url,
            mongodb_url=layout.mongodb_url,
            services={name: layout.service_url(name) for name in services},
            children=children,
        )

    def layout(self) -> Layout:
        """The layout that the running platform uses."""
        return Layout(
            data=self.data,
            port_base=self.port_base,
            external_nats_url=self.nats_url if self.external else None,
            external_mongodb_url=self.mongodb_url if self.external else None,
            service_urls=dict(self.services),
        )

    def supervisor(self) -> psutil.Process | None:
        """The supervisor's process if it still runs, None if the record is stale."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < CREATE_TIME_TOLERANCE_S
        except psutil.NoSuchProcess:
            return None
        return process if same and not has_ended(process) else None


def has_ended(process: psutil.Process) -> bool:
    """Whether a process, not necessarily our child, ended; also if its parent has not fetched it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def write_record(path: Path, record: PlatformRecord) -> None:
    """Replace the file at once, so that a reader sees the old or the new content and never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(record.model_dump_json(indent=2) + "\n")
    Path(temporary).replace(path)


def read_running(path: Path) -> PlatformRecord | None:
    """The record of a platform that runs now; None if there is no file, or it is stale or unreadable."""
    try:
        record = PlatformRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return record if record.supervisor() else None


@contextmanager
def hold(layout: Layout) -> Iterator[None]:
    """Keep every other supervisor off the data directory for the length of the block.

    The lock belongs to the process: the system takes it back even after SIGKILL. Removes ``platform.json``, a
    stale one at the start and our own at the end.

    Raises:
        PlatformRunningError: another supervisor holds it; the message says which.
    """
    layout.data.mkdir(parents=True, exist_ok=True)
    with layout.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlatformRunningError(_running_message(layout)) from error
        layout.platform_file.unlink(missing_ok=True)
        try:
            yield
        finally:
            layout.platform_file.unlink(missing_ok=True)


def _running_message(layout: Layout) -> str:
    record = read_running(layout.platform_file)
    if record is None:
        who = "a platform that is just starting or stopping"
    else:
        since = record.started_at.isoformat(timespec="seconds")
        who = f"pid {record.pid} (ports from {record.port_base}, since {since})"
    return (
        f"the data directory {layout.data} is in use by {who}; expected it to be free: stop that platform "
        f"with `pingyi down --data {layout.data}`, or choose another directory with --data"
    )
