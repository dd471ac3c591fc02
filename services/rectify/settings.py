"""Settings of rectify, from the environment."""

from pathlib import Path

from pydantic import Field

from shared.auth.settings import AccessSettings
from shared.messaging.connection import BrokerSettings


class Settings(BrokerSettings, AccessSettings):
    """Environment of the service; every variable has the field's name in upper case."""

    http_host: str = Field(default="127.0.0.1", description="Address to bind.")
    http_port: int = Field(default=8005, ge=0, le=65535, description="TCP port to bind.")
    log_level: str = Field(default="INFO", description="Lowest level logged.")
    secrets_dir: Path = Field(default=Path("var/secrets"), description="Folder of cases.key and receipt.key.")
    rules_path: Path | None = Field(default=None, description="Rule packs other than the committed ones.")
    units_path: Path | None = Field(default=None, description="Table of units; the committed one if not set.")
    holidays_path: Path | None = Field(
        default=None,
        description="TOML file of holidays announced since; read again when it changes.",
    )
    open_max_age_days: float = Field(
        default=30.0, gt=0, description="Ratings received longer ago than this open no case."
    )
    sweep_every_s: float = Field(
        default=3600.0, gt=0, description="How often cases and timers are compared, besides at the start."
    )
