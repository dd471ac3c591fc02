"""Scoring's settings, from the environment."""

from pathlib import Path

from pydantic import Field

from shared.auth.settings import AccessSettings
from shared.messaging.connection import BrokerSettings


class Settings(BrokerSettings, AccessSettings):
    """Where scoring listens, where the broker is, and which rules apply."""

    http_host: str = Field(default="127.0.0.1", description="Address to bind.")
    http_port: int = Field(default=8002, ge=0, le=65535, description="TCP port to bind.")
    log_level: str = Field(default="INFO", description="Lowest level written.")
    units_path: Path | None = Field(default=None, description="Table of units; the committed one if not set.")
    rules_path: Path | None = Field(
        default=None, description="Rule pack (a TOML file or a folder of them) instead of the committed ones."
    )
    most_boards: int = Field(
        default=500, ge=0, description="Live boards (server-sent events) followed at once; beyond that, 503."
    )
    snapshot_every_events: int = Field(
        default=100_000, ge=1, description="Messages folded after which a snapshot is due."
    )
    snapshot_every_s: float = Field(
        default=300.0, gt=0, description="Seconds after which a snapshot is due, if anything was folded."
    )
    data_dir: Path | None = Field(
        default=None,
        description="Directory of this replica alone: a restart then leads again at once; may be lost.",
    )
    archive_url: str | None = Field(
        default="http://127.0.0.1:8004",
        description="The archive, for messages that FEEDBACK no longer has; empty: none, such a start stops.",
    )
    archive_key_file: Path | None = Field(
        default=None, description="File with the key that the archive knows scoring by."
    )
    accept_new_history: bool = Field(
        default=False,
        description="Fold a stream whose past is another than the snapshots'; see docs/operations.md.",
    )
    ignore_snapshots: bool = Field(
        default=False, description="Fold the whole stream at this start; see docs/operations.md."
    )
