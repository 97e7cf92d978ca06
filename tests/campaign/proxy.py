"""A proxy between the binary and an S3 service that makes requests go wrong.

Requests go on exactly as they came, with the client's `Host`, so that their signatures hold. Each client has a listener of
its own with a plan of faults; see `faults`. Runs as a process:

    python proxy.py URL

Takes lines on stdin, JSON objects `{"open": PLAN}` and `{"close": PORT}`, and answers each with a line: `{"port": PORT}`, or
what happened there: the number of requests and of each fault. Bodies here are small, so they are taken whole.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import urllib.parse
from collections import Counter
from random import Random
from typing import Any

from faults import ANSWERS, Plan, error_body, operation_of

# Largest head of a message.
HEAD_BYTES = 64 * 1024

# A slow link, in bytes a second, and the size of its steps.
SLOW_RATE, SLOW_STEP = 20_000, 2_000

# No client waits so long.
FOREVER = 3_600.0

# Where a shifted range begins, counted from the one that was asked for.
SHIFT = 7


class Gone(Exception):
    """The other side is no longer there, or says what is not HTTP."""


class Message:
    """A request or an answer, whole."""

    def __init__(self, first: str, head: bytes, headers: dict[str, str], body: bytes) -> None:
        self.first = first
        # As it came, with the empty line.
        self.head = head
        # By names in lower case.
        self.headers = headers
        # As it came: chunks stay chunks.
        self.body = body


async def read_head(reader: asyncio.StreamReader) -> tuple[str, bytes, dict[str, str]]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
        raise Gone from error
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first, head, headers


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    try:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return await read_chunks(reader)
        return await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, OSError, ValueError) as error:
        raise Gone from error


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body as it came, with its trailer."""
    raw = b""
    while True:
        size = await reader.readline()
        raw += size
        length = int(size.split(b";")[0], 16)
        if length == 0:
            break
        raw += await reader.readexactly(length + 2)
    while True:
        line = await reader.readline()
        raw += line
        if line in (b"\r\n", b""):
            return raw


class Upstream:
    """One connection to the service, made when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: Message) -> Message:
        """Hands a request on and takes the answer."""
        try:
            return await self._ask(request)
        except Gone:
            # The service may end a connection that it kept open; a new one is asked once.
            self.close()
            return await self._ask(request)

    async def _ask(self, request: Message) -> Message:
        if self._writer is None:
            try:
                self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=HEAD_BYTES)
            except OSError as error:
                raise Gone from error
        assert self._reader is not None
        # Some services send head and body apart and wait for the first to be acknowledged, which takes 40 ms by default.
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._writer.write(request.head + request.body)
        while True:
            first, head, headers = await read_head(self._reader)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            status = int(first.split()[1])
            if status >= 200:
                break  # What comes before is "100 Continue", which the client has had from us.
        bodiless = request.first.startswith("HEAD") or status in (204, 304)
        body = b"" if bodiless else await read_body(self._reader, headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Message(first, head, headers, body)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


class Listener:
    """A port with a plan of faults."""

    def __init__(self, upstream: str, plan: Plan) -> None:
        address = urllib.parse.urlsplit(upstream)
        assert address.hostname is not None
        self._host, self._port = address.hostname, address.port or 80
        self._upstream = upstream
        self._plan = plan
        self._rng = Random(plan.seed)
        self._open: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()

    async def start(self) -> int:
        """Listens; the port is chosen by the system."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        return self._server.sockets[0].getsockname()[1]

    async def end(self) -> None:
        """Ends, with all that is under way."""
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        upstream = Upstream(self._host, self._port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._answer(reader, writer, upstream):
                pass
        except (Gone, OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            upstream.close()
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: Upstream) -> bool:
        """Takes one request and answers it, or not; false when the connection has ended."""
        first, head, headers = await read_head(reader)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = Message(first, head, headers, await read_body(reader, headers))
        method, target, _ = first.split(" ", 2)
        operation = operation_of(method, target, headers)
        kind = self._draw(operation, "range" in headers)
        self.counts["requests"] += 1
        if kind is not None:
            self.counts[kind] += 1
        return await self._act(kind, request, writer, upstream)

    def _draw(self, operation: str, has_range: bool) -> str | None:
        """The fault that happens to a request, if any: one throw for each kind that can."""
        for kind, rate in self._plan.rates.items():
            if self._plan.applies(kind, operation, has_range) and self._rng.random() < rate:
                return kind
        return None

    async def _act(self, kind: str | None, request: Message, writer: asyncio.StreamWriter, upstream: Upstream) -> bool:
        is_head = request.first.startswith("HEAD")
        if kind == "reset-before":
            return reset(writer)
        if kind in ANSWERS and kind != "apply-then-500":
            return await send(writer, said(kind, is_head))
        if kind in ("range-ignored", "range-shifted"):
            return await send(writer, await asyncio.to_thread(other_range, kind, request, self._upstream))
        if kind == "slow":
            await asyncio.sleep(len(request.body) / SLOW_RATE)
        answer = await upstream.ask(request)
        if kind == "reset-after":
            return reset(writer)
        if kind == "apply-then-500":
            return await send(writer, said(kind, is_head))
        if kind == "truncated" and len(answer.body) > 1:
            await send(writer, answer.head + answer.body[: self._rng.randrange(len(answer.body))])
            return reset(writer) if self._rng.random() < 0.5 else False
        if kind == "stall":
            if answer.body:
                await send(writer, answer.head)
            await asyncio.sleep(FOREVER)
        if kind == "slow":
            return await trickle(writer, answer.head + answer.body)
        return await send(writer, answer.head + answer.body)


async def send(writer: asyncio.StreamWriter, message: bytes) -> bool:
    writer.write(message)
    await writer.drain()
    return True


async def trickle(writer: asyncio.StreamWriter, message: bytes) -> bool:
    for start in range(0, len(message), SLOW_STEP):
        await send(writer, message[start : start + SLOW_STEP])
        await asyncio.sleep(SLOW_STEP / SLOW_RATE)
    return True


def reset(writer: asyncio.StreamWriter) -> bool:
    """Ends a connection so that the other side gets an error and not an end."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    return False


def said(kind: str, is_head: bool) -> bytes:
    """The answer of a fault."""
    status, reason, code = ANSWERS[kind]
    body = b"" if is_head else error_body(code)
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}", "Content-Type: application/xml"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def other_range(kind: str, request: Message, upstream: str) -> bytes:
    """The object that a request is about, whole, or another range of it than the one asked for. It is fetched under our own name."""
    from stores import client

    target = request.first.split(" ")[1].partition("?")[0]
    bucket, _, key = urllib.parse.unquote(target).strip("/").partition("/")
    service = client(dict(os.environ) | {"AWS_ENDPOINT_URL": upstream})
    try:
        found = service.get_object(Bucket=bucket, Key=key)
    except service.exceptions.ClientError as error:
        status, body = error.response["ResponseMetadata"]["HTTPStatusCode"], error_body(error.response["Error"]["Code"])
        return f"HTTP/1.1 {status} Refused\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    whole = found["Body"].read()
    lines = ["HTTP/1.1 200 OK", f"ETag: {found['ETag']}", "Accept-Ranges: bytes"]
    lines.append(f"Last-Modified: {found['LastModified']:%a, %d %b %Y %H:%M:%S GMT}")
    body = whole
    if kind == "range-shifted":
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        # `bytes=-8` asks for the last eight.
        start = int(first) if first else max(0, len(whole) - int(last))
        end = min(int(last), len(whole) - 1) if first and last else len(whole) - 1
        start = start + SHIFT if end - start > SHIFT else max(0, start - SHIFT)
        body = whole[start : end + 1]
        lines[0] = "HTTP/1.1 206 Partial Content"
        lines.append(f"Content-Range: bytes {start}-{end}/{len(whole)}")
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def main(upstream: str) -> None:
    """Answers the lines on stdin."""
    listeners: dict[int, Listener] = {}
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order: dict[str, Any] = json.loads(line)
        if "open" in order:
            listener = Listener(upstream, Plan(**order["open"]))
            port = await listener.start()
            listeners[port] = listener
            print(json.dumps({"port": port}), flush=True)
        else:
            listener = listeners.pop(order["close"])
            await listener.end()
            print(json.dumps(listener.counts), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
