"""An HTTP proxy in front of the object store that can answer for it: errors, slowness, refusal.

``python -m tests.chaos.proxy LISTEN_PORT UPSTREAM_PORT`` reads one mode a line from standard input,
says ``ok`` when it holds, and ends with its standard input. Requests go through as the client sent
them, with its `Host` header, which an S3 signature covers.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from typing import IO, cast

PASS, ERROR, SLOW_DOWN, SLOW, REFUSE = "pass", "500", "503", "slow", "refuse"
MODES = (PASS, ERROR, SLOW_DOWN, SLOW, REFUSE)
SLOW_SECONDS = 3.0
_HEAD_BYTES = 64 * 1024
_CHUNK = 64 * 1024
_ANSWERS = {
    ERROR: ("500 Internal Server Error", "InternalError"),
    SLOW_DOWN: ("503 Slow Down", "SlowDown"),
}


class StoreProxy:
    """The proxy as a process of its own, so that it shares no interpreter lock with the load."""

    def __init__(self, port: int, upstream: int):
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", str(port), str(upstream)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.switch(PASS)

    def switch(self, mode: str) -> None:
        """Returns when the mode holds for every request from now on."""
        cast(IO[bytes], self._process.stdin).write(f"{mode}\n".encode())
        cast(IO[bytes], self._process.stdin).flush()
        answer = cast(IO[bytes], self._process.stdout).readline()
        assert answer == b"ok\n", f"the proxy ended: {answer!r}"

    def close(self) -> None:
        with suppress(BrokenPipeError):
            cast(IO[bytes], self._process.stdin).close()
        cast(IO[bytes], self._process.stdout).close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Proxy:
    def __init__(self, port: int, upstream: int):
        self._port = port
        self._upstream = upstream
        self._mode = PASS
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def switch(self, mode: str) -> None:
        self._mode = mode
        if mode == REFUSE and self._server is not None:
            self._server.close()
            self._server = None
            for writer in list(self._open):
                writer.transport.abort()
        elif mode != REFUSE and self._server is None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self._port, limit=_HEAD_BYTES, backlog=512
            )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        store: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = _fields(head)
                if b"expect" in fields:
                    # Not signed, and answered here: the store need not be asked.
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    head = _without(head, b"expect")
                if self._mode == SLOW:
                    await asyncio.sleep(SLOW_SECONDS)
                if self._mode in _ANSWERS:
                    await _copy_body(reader, None, fields)
                    writer.write(_answer(self._mode))
                    await writer.drain()
                    continue
                if store is None:
                    store = await asyncio.open_connection("127.0.0.1", self._upstream)
                store[1].write(head)
                await _copy_body(reader, store[1], fields)
                method = head.split(b" ", 1)[0]
                if not await _copy_answer(store[0], writer, method):
                    return
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return
        finally:
            self._open.discard(writer)
            for end in (writer, *([store[1]] if store else [])):
                end.transport.abort()


async def _copy_answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: bytes
) -> bool:
    """Pass one answer on; False when the connection cannot be used again."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(head)
    fields, status = _fields(head), int(head.split(b" ", 2)[1])
    if method != b"HEAD" and status not in (204, 304):
        await _copy_body(reader, writer, fields)
    await writer.drain()
    return fields.get(b"connection", b"").lower() != b"close"


async def _copy_body(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter | None,
    fields: dict[bytes, bytes],
) -> None:
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        while True:
            line = await reader.readuntil(b"\r\n")
            chunk = await reader.readexactly(int(line.split(b";")[0], 16) + 2)
            if writer is not None:
                writer.write(line + chunk)
                await writer.drain()
            if chunk == b"\r\n":
                return
    left = int(fields.get(b"content-length", b"0"))
    while left:
        data = await reader.read(min(left, _CHUNK))
        if not data:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(data)
        if writer is not None:
            writer.write(data)
            await writer.drain()


def _fields(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _without(head: bytes, name: bytes) -> bytes:
    lines = head.split(b"\r\n")
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() != name]
    return b"\r\n".join(kept)


def _answer(mode: str) -> bytes:
    status, code = _ANSWERS[mode]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>chaos</Message></Error>"
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _main(port: int, upstream: int) -> None:
    proxy = _Proxy(port, upstream)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        await proxy.switch(line.decode().strip())
        sys.stdout.write("ok\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
