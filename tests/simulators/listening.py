"""A loopback listener that takes webhooks down, and answers as it is told."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heard:
    headers: dict[str, str]
    body: bytes
    target: str = ""


@dataclass
class Listener:
    """`answers` are the next statuses, 200 afterwards; `says` makes the body, `more` are headers, `late` seconds."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list[Heard])
    answers: list[int] = field(default_factory=list[int])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    says: Callable[[Heard], bytes] = lambda _: b""
    more: str = ""
    late: list[float] = field(default_factory=list[float])
    busy: set[asyncio.Task[object]] = field(default_factory=set[asyncio.Task[object]])

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.busy.add(task)
        task.add_done_callback(self.busy.discard)
        with suppress(ConnectionError):
            await self._answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        heard = Heard(headers, body, first.split(" ")[1])
        self.heard.append(heard)
        self.arrived.set()
        status, said = self.answers.pop(0) if self.answers else 200, self.says(heard)
        if self.late:
            await asyncio.sleep(self.late.pop(0))
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(said)}\r\nconnection: close\r\n{self.more}\r\n"
        writer.write(head.encode() + said)
        await writer.drain()


@asynccontextmanager
async def listening() -> AsyncGenerator[Listener]:
    listener = Listener()
    server = await asyncio.start_server(listener.handle, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks/x"
    async with server:
        yield listener
        await asyncio.gather(*listener.busy)
