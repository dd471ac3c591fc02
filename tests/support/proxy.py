"""A way to the broker on which answers can be lost, while the broker itself knows nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from deploy.local.embedded import NatsServer

PIECE = 65536


class Proxy:
    """Hands on what comes and goes; made by :func:`proxied`."""

    def __init__(self, server: NatsServer) -> None:
        """Lead to `server`."""
        self._server = server
        self._ways: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.losing = False
        """Whether what the broker says is thrown away."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        there, back = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._ways |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hand_on(reader, back, heed_loss=False))
                group.create_task(self._hand_on(there, writer, heed_loss=True))
        finally:
            self._ways -= {writer, back}

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, heed_loss: bool
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                if not (heed_loss and self.losing):
                    writer.write(piece)
                    await writer.drain()
        writer.close()

    def cut(self) -> None:
        """End every connection; the next ones lose nothing."""
        for way in self._ways:
            way.close()
        self.losing = False


@asynccontextmanager
async def proxied(server: NatsServer) -> AsyncIterator[Proxy]:
    """A way to `server`."""
    proxy = Proxy(server)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    proxy.url = f"nats://127.0.0.1:{port}"
    try:
        yield proxy
    finally:
        listening.close()
        proxy.cut()
        await asyncio.sleep(0)
