"""A broker with the platform's real authorization, and connections as each of its users."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nats
from nats.aio.client import Client

from deploy.local.embedded import NatsServer
from deploy.local.secrets import new_user_seed, user_public_key
from shared.auth.nats_permissions import MOST_READERS, authorization_config, users
from shared.messaging.connection import BrokerSettings
from shared.messaging.provisioner import provision
from tests.support.servers import delete_streams, running_nats


@dataclass(slots=True)
class BrokerUsers:
    """Connections to one provisioned broker; ``errors`` holds what the broker told each user."""

    server: NatsServer
    seeds: dict[str, Path]
    stack: AsyncExitStack
    errors: dict[str, list[str]] = field(default_factory=dict)

    async def connect(self, user: str) -> Client:
        """Connect as a service, ``provisioner`` or ``cli``, with the options that its code uses."""
        settings = BrokerSettings(nats_url=self.server.url, nats_nkey_seed_file=self.seeds[user])
        return await self._open(user, **settings.connect_options(user))

    async def connect_anonymously(self) -> Client:
        """Connect as anybody outside: an address and nothing else."""
        return await self._open("reader", servers=[self.server.url])

    async def _open(self, user: str, **options: object) -> Client:
        told = self.errors.setdefault(user, [])

        async def note(error: Exception) -> None:
            told.append(str(error).lower())

        client = await nats.connect(**options, error_cb=note)  # type: ignore[arg-type]  # a dict of options
        self.stack.push_async_callback(client.close)
        return client


@contextmanager
def running_broker(
    directory: Path, *, further: str = "", most_readers: int = MOST_READERS
) -> Iterator[tuple[NatsServer, dict[str, Path]]]:
    """A broker with fresh keys for every user, and ``further`` configuration; with the users' seed files."""
    (directory / "seeds").mkdir()
    keys, seeds = {}, {}
    for user in users():
        seed = new_user_seed()
        keys[user], seeds[user] = user_public_key(seed), directory / "seeds" / f"{user}.seed"
        seeds[user].write_text(seed + "\n")
    authorization = authorization_config(keys, most_readers=most_readers) + further
    with running_nats(directory, authorization=authorization) as server:
        yield server, seeds


@asynccontextmanager
async def provisioned(server: NatsServer, seeds: dict[str, Path]) -> AsyncIterator[BrokerUsers]:
    """The broker with exactly the declared streams, all empty; connections are closed at the end."""
    async with AsyncExitStack() as stack:
        broker = BrokerUsers(server, seeds, stack)
        admin = await broker.connect("provisioner")
        await delete_streams(admin.jetstream(), server.data)
        await provision(admin)
        yield broker
