"""Examines whether this machine can run the platform; every finding says what to do about it."""

import os
import platform
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import psutil

from deploy.local.embedded import MongoServer, NatsServer, free_ports
from deploy.local.embedded.mongod_binary import find_mongod
from deploy.local.embedded.nats_server import MIN_VERSION, find_nats_server, nats_server_version
from deploy.local.embedded.ports import describe_holder, holder_of, is_free
from deploy.local.errors import LocalError
from deploy.local.layout import Layout
from deploy.local.platform_file import PlatformRecord
from shared.auth.secrets import HMAC_FILE, VAULT_FILE

GIB = 1024**3
OTHERS = 0o077
IRREPLACEABLE = (HMAC_FILE, VAULT_FILE)
"""Keys whose loss is a loss of data; a start makes new ones where they are missing."""
MIN_PYTHON = (3, 11)
MIN_GLIBC = (2, 34)
DISK_FAIL_GIB, DISK_WARN_GIB = 1, 5
MEMORY_FAIL_GIB, MEMORY_WARN_GIB = 0.5, 1
FILES_FAIL, FILES_WARN = 512, 1024
FSYNC_SAMPLES, FSYNC_WARN_S = 20, 0.02
CLOCK_TOLERANCE = timedelta(minutes=2)
BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock before this day is wrong: the platform did not exist."""


class Level(StrEnum):
    """How bad a finding is; FAIL means that the platform will not run."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    level: Level
    found: str
    remedy: str = ""
    """What to do; empty for OK."""


Check = Callable[[Layout, PlatformRecord | None], Finding]


def examine(layout: Layout, record: PlatformRecord | None) -> list[Finding]:
    """Run every check; takes two seconds or so, since both servers are really started.

    Args:
        layout: the platform that is wanted.
        record: the platform that runs on the same data directory, if one does.
    """
    return [_finding_of(check, layout, record) for check in CHECKS]


def _finding_of(check: Check, layout: Layout, record: PlatformRecord | None) -> Finding:
    """What a check finds; a data directory that it can't use is a finding, and no end to the others."""
    try:
        return check(layout, record)
    except OSError as error:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        remedy = "name a directory that you may read and write with --data, or correct its permissions"
        return Finding(name, Level.FAIL, f"{layout.data} can't be used: {error}", remedy)


def check_python(_layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether the interpreter is new enough."""
    found = platform.python_version()
    if sys.version_info >= MIN_PYTHON:
        return Finding("python", Level.OK, found)
    return Finding("python", Level.FAIL, found, "install Python 3.11 or newer and run `make setup` again")


def check_libc(_layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether the C library is new enough for the wheel's mongod."""
    name, found = platform.libc_ver()
    if name != "glibc":
        return Finding("libc", Level.OK, f"{sys.platform}, not glibc")
    if tuple(int(part) for part in found.split(".")[:2]) >= MIN_GLIBC:
        return Finding("libc", Level.OK, f"glibc {found}")
    remedy = "set $MONGOD to a mongod made for this system, or use a newer one (Debian 12, Ubuntu 22.04)"
    return Finding("libc", Level.WARN, f"glibc {found}, the bundled mongod wants 2.34 or newer", remedy)


def check_nats_version(layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether there is a nats-server with atomic batches."""
    if layout.external:
        return Finding("nats-server", Level.OK, "external, see NATS_URL")
    try:
        executable = find_nats_server()
        found = nats_server_version(executable)
    except LocalError as error:
        return Finding("nats-server", Level.FAIL, str(error), "see the message")
    shown = f"{'.'.join(map(str, found))} ({executable})"
    if found >= MIN_VERSION:
        return Finding("nats-server", Level.OK, shown)
    remedy = "unset $NATS_SERVER and install the pinned one with `make setup`"
    return Finding("nats-server", Level.FAIL, f"{shown}, 2.12 or newer expected", remedy)


def check_mongod_version(layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether there is a mongod that can be executed (which its shared libraries may prevent)."""
    if layout.external:
        return Finding("mongod", Level.OK, "external, see MONGODB_URL")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            binary = find_mongod(Path(scratch))
        except LocalError as error:
            return Finding("mongod", Level.FAIL, str(error), "see the message")
    return Finding("mongod", Level.OK, f"{binary.version} ({binary.path})")


def check_servers_start(layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether both servers get ready here, on free ports and with data that is thrown away."""
    if layout.external:
        return Finding("servers start", Level.OK, "external")
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        home = Path(scratch)
        port, monitor_port, mongo_port = free_ports(3)
        nats = NatsServer(home / "nats", port=port, monitor_port=monitor_port, log=home / "nats.log")
        mongo = MongoServer(home / "mongo", port=mongo_port, log=home / "mongod.log")
        try:
            nats.start()
            mongo.start()
        except LocalError as error:
            return Finding("servers start", Level.FAIL, str(error), "see the message")
        finally:
            nats.kill()
            mongo.kill()
    return Finding(
        "servers start", Level.OK, f"nats-server and mongod within {time.monotonic() - began_s:.1f} s"
    )


def check_ports(layout: Layout, record: PlatformRecord | None) -> Finding:
    """Whether every port is free, or held by the platform that runs on this data directory."""
    ours = {child.pid for child in record.children.values()} if record else set[int | None]()
    taken = []
    for port, purpose in layout.ports().items():
        if is_free(port):
            continue
        holder = holder_of(port)
        if holder is None or holder.pid not in ours:
            taken.append(f"{port} ({purpose}) by {describe_holder(port)}")
    if taken:
        remedy = "stop those processes, or choose other ports with --port-base"
        return Finding("ports", Level.FAIL, f"held: {', '.join(taken)}", remedy)
    wanted = sorted(layout.ports())
    whose = f"held by the running platform, pid {record.pid}" if record else "free"
    return Finding("ports", Level.OK, f"{wanted[0]}-{wanted[-1]} {whose}")


def check_disk(layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether there is room for streams and archive."""
    free = shutil.disk_usage(_existing(layout.data)).free / GIB
    remedy = "free some space, or put the data on another disk with --data"
    return _bounded("disk space", free, DISK_FAIL_GIB, DISK_WARN_GIB, " GiB free", remedy)


def check_fsync(layout: Layout, _record: PlatformRecord | None) -> Finding:
    """How long one fsync takes: every acknowledged rating waits for one."""
    with tempfile.NamedTemporaryFile(dir=_existing(layout.data)) as file:
        samples_s = []
        for _ in range(FSYNC_SAMPLES):
            began_s = time.perf_counter()
            file.write(b"x" * 512)
            file.flush()
            os.fsync(file.fileno())
            samples_s.append(time.perf_counter() - began_s)
    median_s = statistics.median(samples_s)
    found = f"{median_s * 1000:.1f} ms for an fsync (median of {FSYNC_SAMPLES})"
    if median_s <= FSYNC_WARN_S:
        return Finding("disk speed", Level.OK, found)
    return Finding("disk speed", Level.WARN, found, "expect slow acknowledgements; a local SSD takes 1 ms")


def check_secrets(layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether the keys that data was written with are there, and only we can read them."""
    lost = [name for name in IRREPLACEABLE if not (layout.secrets / name).exists()]
    if lost and (layout.nats_data / "jetstream").exists():
        found = f"no {' and '.join(lost)} in {layout.secrets}, but data that was written with them"
        remedy = "put it back from a backup before the next start, which makes another, that opens nothing"
        return Finding("secrets", Level.WARN, found, remedy)
    if not layout.secrets.exists():
        return Finding("secrets", Level.OK, "none yet; made at the first start")
    keys = (layout.secrets, *layout.secrets.rglob("*"))
    exposed = [path for path in keys if path.stat().st_mode & OTHERS]
    if exposed:
        remedy = f"chmod -R go= {layout.secrets}; if others had access, treat the keys as known"
        return Finding("secrets", Level.WARN, f"{exposed[0]} is accessible to others", remedy)
    return Finding("secrets", Level.OK, f"{layout.secrets}, ours alone")


def check_clock(layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether the clock is sane: after this software was made, and after the data was last written."""
    now = datetime.now(UTC)
    newest = _newest_change(layout.data)
    remedy = "set the clock, for example with `timedatectl set-ntp true`"
    if now < BUILT:
        return Finding("clock", Level.FAIL, f"{now.isoformat()} is before this software was made", remedy)
    if newest is not None and newest > now + CLOCK_TOLERANCE:
        found = f"it is {now.isoformat()}, but files in {layout.data} are from {newest.isoformat()}"
        return Finding(
            "clock", Level.FAIL, found, f"{remedy}: times that run backwards put ratings into wrong days"
        )
    return Finding("clock", Level.OK, now.isoformat(timespec="seconds"))


def check_time_zone(_layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether the business day's time zone is known."""
    try:
        offset = datetime.now(ZoneInfo("Asia/Shanghai")).utcoffset()
    except ZoneInfoNotFoundError:
        offset = None
    if offset == timedelta(hours=8):
        return Finding("time zone", Level.OK, "Asia/Shanghai is UTC+8")
    found = f"Asia/Shanghai is {f'UTC+{offset}' if offset else 'unknown'}"
    return Finding("time zone", Level.FAIL, found, "pip install tzdata")


def check_open_files(_layout: Layout, _record: PlatformRecord | None) -> Finding:
    """Whether mongod and nats-server may open enough files and connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = sys.maxsize if soft == resource.RLIM_INFINITY else soft
    return _bounded(
        "open files", allowed, FILES_FAIL, FILES_WARN, " allowed", "raise it with `ulimit -n 65536`"
    )


def check_memory(_layout: Layout, record: PlatformRecord | None) -> Finding:
    """Whether there is memory for the services and both servers."""
    available = psutil.virtual_memory().available / GIB
    if record:
        return Finding("memory", Level.OK, f"{available:.1f} GiB left beside the running platform")
    remedy = "end other programs: services and servers take about 1 GiB"
    return _bounded("memory", available, MEMORY_FAIL_GIB, MEMORY_WARN_GIB, " GiB available", remedy)


CHECKS: tuple[Check, ...] = (
    check_python,
    check_libc,
    check_nats_version,
    check_mongod_version,
    check_servers_start,
    check_ports,
    check_disk,
    check_fsync,
    check_secrets,
    check_clock,
    check_time_zone,
    check_open_files,
    check_memory,
)


def _bounded(check: str, value: float, fail: float, warn: float, unit: str, remedy: str) -> Finding:
    """A finding on a number that should be large."""
    found = f"{value:,}{unit}" if isinstance(value, int) else f"{value:.4g}{unit}"
    if value < fail:
        return Finding(check, Level.FAIL, f"{found}, at least {fail:,} expected", remedy)
    if value < warn:
        return Finding(check, Level.WARN, f"{found}, at least {warn:,} is comfortable", remedy)
    return Finding(check, Level.OK, found)


def _existing(path: Path) -> Path:
    """The path itself, or the nearest ancestor that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def _newest_change(data: Path) -> datetime | None:
    """When a file of the logs or of the broker's store was last written; None in an empty directory."""
    newest: float | None = None
    for folder in (data / "logs", data / "nats"):
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):  # the running platform replaces files while we look
                newest = max(newest or 0.0, path.stat().st_mtime)
    return datetime.fromtimestamp(newest, UTC) if newest is not None else None
