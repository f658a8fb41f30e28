"""A slow or broken link between the browser and the Jupyter server: what passes through here takes its time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

from browser.server import Server, free_port

#: Bytes that are passed on at once; as many more wait on either side.
CHUNK = 4096


class Link:
    """Forwards one port of this machine to another, so many bytes a second each way.

    Attributes:
        rate: bytes a second, of all connections together; None: as fast as can be.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.rate: float | None = None
        self._target = target
        self._up = True
        self._free = {"down": 0.0, "up": 0.0}
        self._open = 0
        self._passing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(10)

    def mend(self) -> None:
        """Let connections through again."""
        self._up = True

    def end(self) -> None:
        """Close it for good."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * CHUNK)  # the connections have the same
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * CHUNK)
        listening.bind(("127.0.0.1", self.port))
        self._server = await asyncio.start_server(self._connect, sock=listening, limit=CHUNK)

    async def _cut(self) -> None:
        self._up = False
        while self._open:
            for task in self._passing:
                task.cancel()
            await asyncio.sleep(0.01)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        await self._server.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1  # one that is refused, too: it is to be closed before the loop ends
        try:
            if self._up:
                await self._forward(reader, writer)
            else:
                await _abort(writer)
        finally:
            self._open -= 1

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = socket.socket()
        onward.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * CHUNK)
        onward.setblocking(False)
        await self._loop.sock_connect(onward, ("127.0.0.1", self._target))
        far_reader, far_writer = await asyncio.open_connection(sock=onward, limit=CHUNK)
        tasks = {
            self._loop.create_task(self._pass(reader, far_writer, "up")),
            self._loop.create_task(self._pass(far_reader, writer, "down")),
        }
        self._passing |= tasks
        await asyncio.wait(tasks)
        self._passing -= tasks
        for end in (writer, far_writer):
            await _abort(end)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.rate is not None:
                    now = self._loop.time()
                    self._free[way] = max(self._free[way], now) + len(data) / self.rate
                    await asyncio.sleep(self._free[way] - now)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


async def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.contextmanager
def linked(server: Server) -> Iterator[tuple[Server, Link]]:
    """A server as it is seen through a link, and the link."""
    link = Link(int(server.url.rsplit(":", 1)[1]))
    try:
        yield replace(server, url=f"http://127.0.0.1:{link.port}"), link
    finally:
        link.end()
