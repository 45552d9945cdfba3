"""A network that can be pulled out: what connects here is carried to the broker."""

import asyncio


class Cable:
    """Between a device and the broker."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._streams = set()
        self._server = None
        self.port = 0

    async def plug_in(self):
        """Carries connections, from now on, always at the same port."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def pull_out(self):
        """Breaks every connection, and takes no other."""
        self._server.close()
        for stream in self._streams:
            stream.transport.abort()

    async def _carry(self, reader, writer):
        there, to_there = await asyncio.open_connection(*self._target)
        self._streams |= {writer, to_there}
        await asyncio.gather(_pump(reader, to_there), _pump(there, writer), return_exceptions=True)
        self._streams -= {writer, to_there}


async def _pump(reader, writer):
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
