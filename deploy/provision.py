"""``python -m deploy.provision``: make the broker's streams and MongoDB's indexes, then exit.

Runs once before the services, with credentials of its own: the services themselves may declare nothing.
"""

import asyncio
import sys

import structlog
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.archive.adapters import schema
from shared.kernel.errors import PingyiError
from shared.messaging.connection import BrokerSettings, close, connect
from shared.messaging.provisioner import LOCAL_STORAGE_BYTES, provision
from shared.observability.logging import configure_logging

log = structlog.get_logger(__name__)


class ProvisionSettings(BrokerSettings):
    """Environment of the provisioner."""

    model_config = SettingsConfigDict(extra="ignore")

    nats_replicas: int = Field(
        default=1, description="Copies of each stream: 1 on one machine, 3 in a cluster."
    )
    nats_storage_bytes: int = Field(
        default=LOCAL_STORAGE_BYTES, description="Budget of all streams together."
    )
    mongodb_url: str = Field(
        default="mongodb://127.0.0.1:8027/?directConnection=true",
        description="Connection of the bootstrap user, who may create indexes.",
    )
    mongodb_database: str = Field(default=schema.DATABASE, description="Database of the audit log.")


async def provision_all(settings: ProvisionSettings) -> None:
    """Provision the archive's collections, then the broker; both idempotent.

    In this order, because the archive begins to write as soon as its consumers exist.
    """
    await asyncio.to_thread(schema.bootstrap, settings.mongodb_url, settings.mongodb_database)
    client = await connect(settings, "provisioner")
    try:
        await provision(client, replicas=settings.nats_replicas, storage_bytes=settings.nats_storage_bytes)
    finally:
        await close(client)


def main() -> int:
    """Exit 0 when everything is as declared, 1 with the reason otherwise."""
    configure_logging("provisioner", "INFO")
    try:
        asyncio.run(provision_all(ProvisionSettings()))
    except (PingyiError, OSError) as error:
        log.error("provisioning_failed", reason=str(error))  # noqa: TRY400 - the reason is the message
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
