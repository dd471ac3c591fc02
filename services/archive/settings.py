"""Environment of the archive."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.archive.adapters.schema import DATABASE
from services.archive.domain.entries import LOG_ORIGIN
from shared.auth.settings import AccessSettings
from shared.messaging.connection import BrokerSettings


class Settings(BrokerSettings, AccessSettings):
    """Read from the environment; every variable has a default that fits one machine."""

    mongodb_url: str = Field(
        default="mongodb://127.0.0.1:8027/?directConnection=true",
        description="Connection of the archive's user, whose role has insert and find only.",
    )
    mongodb_database: str = Field(default=DATABASE, description="Database of the log.")
    http_host: str = Field(default="127.0.0.1", description="Address to bind.")
    http_port: int = Field(default=8004, description="TCP port to bind.", ge=0, le=65535)
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    batch_entries: int = Field(default=1000, description="Most entries in one insert.", ge=1, le=5000)
    archive_origin: str = Field(
        default=LOG_ORIGIN, description="Name of the log in its checkpoints; never changes.",
        pattern=r"^[^\s+]+$",
    )  # fmt: skip
    archive_signing_key: Path = Field(
        default=Path("var/secrets/archive-signing.key"),
        description="File of the key that signs checkpoints.",
    )
    archive_witness_keys: Path = Field(
        default=Path("var/secrets/archive-witness.keys"),
        description="File with the verifier keys of witnesses, one a line; read at each cosignature.",
    )
    archive_retired_keys: str = Field(
        default="", description="Verifier keys that signed before the present one, comma-separated."
    )
    archive_retention: Literal["never"] = Field(
        default="never",
        description="When entries expire. Only never: what is dropped can't be proved; people are erased by "
        "their key.",
    )
    checkpoint_every_s: float = Field(default=10, description="Longest time from entry to checkpoint.", gt=0)
    checkpoint_every_entries: int = Field(
        default=1000, description="New entries after which a checkpoint is due at once.", ge=1
    )
    data_dir: Path | None = Field(
        default=None,
        description="Directory of this replica alone: a restart then leads again at once; may be lost.",
    )
    verify_timeout_s: float = Field(default=900, description="Longest verification before it gives up.", gt=0)
    lag_limit: int = Field(
        default=50_000, description="Messages behind a stream from which /readyz says degraded.", ge=1
    )
    reconcile_interval_s: float = Field(
        default=60, description="Pause between two comparisons of the streams with the log.", gt=0
    )
