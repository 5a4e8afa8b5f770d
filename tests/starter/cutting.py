"""A TCP proxy that cuts connections: what networks and servers do to whoever is in the middle of something."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress


class Cutting:
    """`allow`: bytes from the server that the next connections let through, one each, before they are cut; then all.

    `down`: nobody is let in, and whoever is in is cut.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: set[asyncio.StreamWriter] = set()
        self.allow: list[int] = []
        self.cuts = 0
        self._down = False

    @property
    def down(self) -> bool:
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        if down:
            for writer in self._open:
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            self.cuts += 1
            writer.transport.abort()
            return
        most = self.allow.pop(0) if self.allow else None
        there, back = await asyncio.open_connection(*self._target)
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._pass(reader, back, None), self._pass(there, writer, most))
        finally:
            self._open -= {writer, back}

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, most: int | None) -> None:
        passed = 0
        with suppress(ConnectionError, OSError):
            while data := await source.read(65_536):
                data = data if most is None else data[: most - passed]
                passed += len(data)
                sink.write(data)
                await sink.drain()
                if most is not None and passed >= most:
                    self.cuts += 1
                    break
        with suppress(ConnectionError, OSError):
            sink.close()


@asynccontextmanager
async def cutting(host: str, port: int) -> AsyncGenerator[tuple[Cutting, int]]:
    """The proxy, and its port on this machine."""
    made = Cutting(host, port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        made.down = True
        server.close()
