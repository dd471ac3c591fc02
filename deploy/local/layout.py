"""Where everything of one local platform is: ports, addresses, directories and the services' environment.

The single place for these facts; no other module computes a port or joins a path below the data directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local.embedded.mongod_secrets import APPEND, BOOTSTRAP, url_as
from deploy.local.embedded.ports import LOOPBACK
from deploy.local.errors import LocalError
from shared.kernel.errors import describe

DEFAULT_DATA = Path("var")
DEFAULT_PORT_BASE = 8000
MIN_PORT_BASE = 1024
MAX_PORT_BASE = 65_535 - 99

SERVICE_OFFSETS: Mapping[str, int] = {
    "intake": 1,
    "scoring": 2,
    "notify": 3,
    "archive": 4,
    "rectify": 5,
}
"""Every service of the platform, in the order of the data flow, with its port's distance from the base."""
SERVICES = tuple(SERVICE_OFFSETS)
UNIT_READERS = ("intake", "scoring", "notify", "rectify")
"""Services that read the table of units at their start."""
MONGODB_USER_OF: Mapping[str, str] = {"archive": APPEND, "provisioner": BOOTSTRAP}
"""Who of them uses the database, as which user."""

NATS_SCHEMES = ("nats", "tls", "ws", "wss")
MONGODB_SCHEMES = ("mongodb", "mongodb+srv")

AUTH = "auth"
"""Folder of the secrets with what services check credentials with: hashes and public keys."""
KEYS = "keys"
"""Folder of the secrets with keys as their owners have them."""
CLI_KEY = "cli"
"""The command line's own key, of all channels."""
SCORING_KEY = "scoring"
"""The key that scoring reads the archive with."""
SIGNING_KEY = "archive-signing.key"
WITNESS_KEYS = "archive-witness.keys"
"""File of the key that signs the log's checkpoints, among the secrets."""

NATS_OFFSET = 22
NATS_MONITOR_OFFSET = 23
MONGO_OFFSET = 27


@dataclass(frozen=True, slots=True)
class Layout:
    """One platform's ports, addresses and paths.

    With ``external_nats_url`` and ``external_mongodb_url`` the servers are somebody else's and only services
    (and the provisioner) run here. ``service_urls`` overrides where single services are
    reached, for commands that talk to a platform on other machines.
    """

    data: Path
    port_base: int = DEFAULT_PORT_BASE
    external_nats_url: str | None = None
    external_mongodb_url: str | None = None
    service_urls: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the port range.

        Raises:
            LocalError: a port of the range would be privileged or beyond 65535.
        """
        if not MIN_PORT_BASE <= self.port_base <= MAX_PORT_BASE:
            expected = f"a --port-base from {MIN_PORT_BASE} to {MAX_PORT_BASE}"
            raise LocalError(describe(self.port_base, expected, f"leave it out for {DEFAULT_PORT_BASE}"))

    @classmethod
    def from_environment(cls, data: Path, port_base: int, environ: Mapping[str, str]) -> "Layout":
        """The layout of ``data`` and ``port_base``, with the addresses that ``environ`` overrides."""
        return cls(
            data=data.resolve(),
            port_base=port_base,
            external_nats_url=environ.get("NATS_URL") or None,
            external_mongodb_url=environ.get("MONGODB_URL") or None,
            service_urls={
                name: url.rstrip("/") for name in SERVICES if (url := environ.get(f"{name.upper()}_URL"))
            },
        )

    def overridden_by(self, environ: Mapping[str, str]) -> "Layout":
        """This layout with the addresses that ``environ`` sets instead of its own."""
        changed = Layout.from_environment(self.data, self.port_base, environ)
        return replace(
            self,
            external_nats_url=changed.external_nats_url or self.external_nats_url,
            external_mongodb_url=changed.external_mongodb_url or self.external_mongodb_url,
            service_urls={**self.service_urls, **changed.service_urls},
        )

    @property
    def external(self) -> bool:
        """Whether nats-server and mongod are run by somebody else."""
        return self.external_nats_url is not None

    def here(self) -> "Layout":
        """This layout with every service on its own port of this machine, whatever the environment says."""
        return replace(self, service_urls={})

    def require_startable(self) -> None:
        """Make sure that a platform can be started on this layout: half of the servers cannot be external.

        Raises:
            LocalError: only one of NATS_URL and MONGODB_URL is given, or one is no address of its kind.
        """
        if (self.external_nats_url is None) != (self.external_mongodb_url is None):
            given = "NATS_URL" if self.external_nats_url else "MONGODB_URL"
            expected = "NATS_URL and MONGODB_URL both set, or neither"
            raise LocalError(describe(f"only {given}", expected, "set or unset both"))
        for name, url, schemes in (
            ("NATS_URL", self.external_nats_url, NATS_SCHEMES),
            ("MONGODB_URL", self.external_mongodb_url, MONGODB_SCHEMES),
        ):
            if url is not None and url.partition("://")[0] not in schemes:
                expected = f"{name} to start with one of {', '.join(f'{scheme}://' for scheme in schemes)}"
                raise LocalError(describe(url.partition("://")[0], expected, "correct the address"))

    @property
    def nats_port(self) -> int:
        """Client port of the embedded nats-server."""
        return self.port_base + NATS_OFFSET

    @property
    def nats_monitor_port(self) -> int:
        """Monitoring port of the embedded nats-server."""
        return self.port_base + NATS_MONITOR_OFFSET

    @property
    def mongo_port(self) -> int:
        """Port of the embedded mongod."""
        return self.port_base + MONGO_OFFSET

    @property
    def nats_url(self) -> str:
        """Address of the broker."""
        return self.external_nats_url or f"nats://{LOOPBACK}:{self.nats_port}"

    @property
    def nats_monitor_url(self) -> str | None:
        """Base address of the broker's monitoring; None for an external broker, where we don't know it."""
        return None if self.external else f"http://{LOOPBACK}:{self.nats_monitor_port}"

    @property
    def mongodb_url(self) -> str:
        """Address of the database; an external one may contain credentials."""
        return self.external_mongodb_url or f"mongodb://{LOOPBACK}:{self.mongo_port}/?directConnection=true"

    def mongodb_url_of(self, service: str) -> str:
        """Address of the database with the credentials of who needs it: the archive or the provisioner."""
        user = MONGODB_USER_OF.get(service)
        if self.external or user is None:
            return self.mongodb_url
        return url_as(self.mongodb_url, self.mongo_secrets, user)

    def service_port(self, service: str) -> int:
        """HTTP port of a service (a name of ``SERVICES``)."""
        return self.port_base + SERVICE_OFFSETS[service]

    def service_url(self, service: str) -> str:
        """Base address of a service's HTTP interface, without a final slash."""
        return self.service_urls.get(service, f"http://{LOOPBACK}:{self.service_port(service)}")

    def env_for(self, service: str) -> dict[str, str]:
        """Environment variables that tell a service (or ``provisioner``, ``cli``) where everything is."""
        variables = {
            "NATS_URL": self.nats_url,
            "MONGODB_URL": self.mongodb_url_of(service),
            "SECRETS_DIR": str(self.secrets),
            "DATA_DIR": str(self.service_data(service)),
        }
        if not self.external:  # an external broker knows its own users; their seeds come from the environment
            variables["NATS_NKEY_SEED_FILE"] = str(self.nkey_seed(service))
        if service in SERVICE_OFFSETS:
            variables |= {"HTTP_HOST": LOOPBACK, "HTTP_PORT": str(self.service_port(service))}
            variables["AUTH_DIR"] = str(self.secrets / AUTH)
        if service in UNIT_READERS and self.units_path is not None:
            variables["UNITS_PATH"] = str(self.units_path)
        if service == "archive":
            variables["ARCHIVE_SIGNING_KEY"] = str(self.secrets / SIGNING_KEY)
            variables["ARCHIVE_WITNESS_KEYS"] = str(self.secrets / WITNESS_KEYS)
        if service == "scoring":
            variables["ARCHIVE_URL"] = self.service_url("archive")
            variables["ARCHIVE_KEY_FILE"] = str(self.secrets / KEYS / f"{SCORING_KEY}.key")
        return variables

    @property
    def units_file(self) -> Path:
        """Table of units that was loaded, if any was; see ``pingyi registry load``."""
        return self.data / "registry" / "units.csv"

    @property
    def divisions_file(self) -> Path:
        """Table of divisions, written beside `units_file`."""
        return self.units_file.with_name("divisions.csv")

    @property
    def units_path(self) -> Path | None:
        """The table of units that services read; None: the committed one, nothing was loaded."""
        return self.units_file if self.units_file.is_file() else None

    def ports(self, services: tuple[str, ...] = SERVICES) -> dict[int, str]:
        """Every port that this platform listens on when ``services`` run, with its purpose."""
        wanted = {self.service_port(name): name for name in services}
        if not self.external:
            wanted |= {
                self.nats_port: "nats-server",
                self.nats_monitor_port: "nats-server's monitoring",
                self.mongo_port: "mongod",
            }
        return wanted

    @property
    def platform_file(self) -> Path:
        """What runs on this data directory; see ``platform_file``."""
        return self.data / "platform.json"

    @property
    def lock_file(self) -> Path:
        """Held locked by the supervisor as long as it lives."""
        return self.data / "platform.lock"

    @property
    def secrets(self) -> Path:
        """Directory of keys; see ``secrets``."""
        return self.data / "secrets"

    @property
    def mongo_secrets(self) -> Path:
        """Directory of the embedded mongod's passwords; see ``embedded.mongod_secrets``."""
        return self.secrets / "mongo"

    @property
    def nats_data(self) -> Path:
        """Directory of the embedded nats-server."""
        return self.data / "nats"

    @property
    def mongo_data(self) -> Path:
        """Directory of the embedded mongod."""
        return self.data / "mongo"

    def service_data(self, service: str) -> Path:
        """Scratch directory of a service."""
        return self.data / service

    def nkey_seed(self, user: str) -> Path:
        """File with the NKey seed of a broker user: a service, ``provisioner`` or ``cli``."""
        return self.secrets / "nats" / f"{user}.seed"

    def log(self, name: str) -> Path:
        """Log file of a child process: a service, ``provision``, ``nats``, ``mongod`` or ``supervisor``."""
        return self.data / "logs" / f"{name}.log"
