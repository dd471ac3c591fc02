"""Settings of intake, from the environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.auth.settings import AccessSettings
from shared.messaging.connection import BrokerSettings

MIB = 1024 * 1024


class Settings(BrokerSettings, AccessSettings):
    """Environment of intake; those of the broker are inherited."""

    model_config = SettingsConfigDict(extra="ignore")

    http_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    http_port: int = Field(default=8001, description="TCP port to listen on.")
    log_level: str = Field(default="INFO", description="Lowest level that is logged.")
    secrets_dir: Path = Field(default=Path("var/secrets"), description="Directory with the key files.")
    data_dir: Path = Field(
        default=Path("var/intake"), description="Directory of the index, which may be lost, and of the spool."
    )
    rules_path: Path | None = Field(default=None, description="Rule packs; the committed ones if not set.")
    units_path: Path | None = Field(default=None, description="Unit registry; the committed one if not set.")
    trusted_proxies: str = Field(
        default="127.0.0.0/8,::1/128",
        description="Networks whose X-Forwarded-For is believed, comma-separated.",
    )
    index_horizon_days: int = Field(
        default=400,
        ge=31,
        description="How long repeats and receipts are known: as long as FEEDBACK is kept.",
    )
    rating_url: str = Field(
        default="",
        description="What QR codes say before the token, such as https://pj.example.cn/r/; else only that.",
    )
    screening_process: bool = Field(
        default=True, description="Whether a process beside this one screens (on Linux), or this one itself."
    )
    quotas: Literal["enforce", "observe"] = Field(
        default="enforce", description="Whether what is over a quota gets 429, or is only counted."
    )
    quota_places: int = Field(
        default=50_000, ge=1_000, description="Places of one kind that quotas count at a time."
    )
    max_body_bytes: int = Field(default=64 * 1024, ge=1024, description="Largest single rating.")
    max_batch_bytes: int = Field(default=16 * MIB, ge=1024, description="Largest batch.")
    max_batch_lines: int = Field(default=10_000, ge=1, description="Most ratings in a batch.")
    batches_at_once: int = Field(
        default=4, ge=1, description="Batches read into memory at once; more wait, which bounds memory."
    )
    max_batches_waiting: int = Field(
        default=32,
        ge=1,
        description="Batches that may wait to be read, half of them of one credential; more come back later.",
    )
    max_under_way: int = Field(
        default=2000, ge=32, description="Most single ratings under way; with slow answers there are fewer."
    )
    refusals_per_s: int = Field(
        default=1000,
        ge=1,
        description="Most single ratings that are sent away in a second by overload, and a quarter of "
        "what is answered; more wait for up to two seconds, so that refusing leaves time for answers.",
    )
    max_queued: int = Field(default=20_000, ge=1, description="Ratings that may wait for the broker.")
    spool_dir: Path | None = Field(
        default=None,
        description="Directory of the spool, on a disk that survives; DATA_DIR/spool if not set.",
    )
    spool_max_bytes: int = Field(
        default=3 * 1024 * MIB, ge=0, description="Most that waits for the broker on this machine's disk."
    )
    spool_drain_per_s: int = Field(
        default=5000, ge=1, description="Most messages that are drained in a second."
    )
    spool_grace_s: float = Field(
        default=5.0, ge=0, description="Time after the start in which /readyz waits for broker and index."
    )
    broker_timeout_s: float = Field(
        default=3.0, gt=0, description="How long an acknowledgement is waited for before ratings are spooled."
    )
    body_timeout_s: float = Field(default=30.0, gt=0, description="Time that a client has to send its body.")
    vault_sweep_after_days: float = Field(
        default=7.0,
        ge=1 / 24,
        description="Age from which a vault record without a rating is destroyed: longer than a rating may "
        "wait in a spool.",
    )
    vault_pass_every_s: float = Field(
        default=86_400.0, gt=0, description="How often the vault is gone through; at once after new keys."
    )
    key_look_s: float = Field(
        default=5.0, gt=0, description="How often the vault's key file is looked at for new keys."
    )

    @property
    def spool_directory(self) -> Path:
        """Where the spool is."""
        return self.spool_dir or self.data_dir / "spool"

    @property
    def proxy_networks(self) -> tuple[str, ...]:
        """The single networks of `trusted_proxies`."""
        return tuple(network for network in self.trusted_proxies.split(",") if network.strip())
