"""One request and its answer, as ASGI has them: the body, who goes away, the stream, and how an answer is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from . import canonical
from .errors import ActionError
from .journal import Answer, Story, Told

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

#: How long a caller may take to send its body, in seconds.
BODY_TIME = 30.0
#: A stream that has nothing to tell says so this often, in seconds.
KEEP_ALIVE = 15.0
_PROBLEM = "application/problem+json"
_LOST = b"the provider stopped while it performed this run; nobody knows how far it came\n"


class Gone(Exception):
    """The caller went away."""


@dataclass
class Reply:
    status: int
    kind: str
    body: bytes
    headers: dict[str, str]


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, etag: str) -> None:
        self.method: str = scope["method"]
        root = scope.get("root_path", "")
        path: str = scope["path"]
        raw: str = (scope.get("raw_path") or quote(path).encode()).decode("ascii", "replace").partition("?")[0]
        mounted = bool(root) and path.startswith(root)
        self.path = path[len(root) :] if mounted else path
        self.raw_path = raw[len(quote(root)) :] if mounted and raw.startswith(quote(root)) else raw
        self._headers: list[tuple[str, str]] = [
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        try:
            text = scope.get("query_string", b"").decode("ascii")
            self.query = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=10_000) if text else []
        except ValueError:
            self.query = []
            self.wrong_query = True
        else:
            self.wrong_query = False
        #: Headers of the answer, whatever it is.
        self.more = {"guichet-document": etag}
        self._receive = receive
        self._send = send

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for known, value in self._headers if known == name]

    def one(self, name: str) -> str | None:
        """A header that is there and not empty."""
        return next((value for value in self.all(name) if value), None)

    async def body(self, limit: int) -> bytes:
        """All of the body, at most so many bytes."""
        too_large = ActionError.of("body-too-large", f"the body is larger than the {limit} bytes this provider takes")
        told = self.one("content-length")
        if told is not None and told.isdigit() and int(told) > limit:
            raise too_large
        chunks: list[bytes] = []
        size = 0

        async def collect() -> None:
            nonlocal size
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise too_large
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return

        try:
            await asyncio.wait_for(collect(), BODY_TIME)
        except asyncio.TimeoutError:
            raise ActionError.of("bad-request", "the body did not come within 30 s") from None
        return b"".join(chunks)

    async def _gone(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return

    async def listened(self, work: Awaitable[Answer]) -> Answer:
        """Does it as long as the caller listens. Raises `Gone`."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Gone
        finally:
            task.cancel()
            gone.cancel()

    async def reply(self, reply: Reply) -> None:
        """The whole answer."""
        headers = {**self.more, **reply.headers, "content-length": str(len(reply.body))}
        if reply.kind:
            headers["content-type"] = reply.kind
        if reply.status in (204, 304):
            del headers["content-length"]
        await self._head(reply.status, headers)
        await self._send({"type": "http.response.body", "body": reply.body})

    async def stream(self, frames: AsyncIterator[bytes]) -> None:
        """An answer in pieces, as long as the caller listens."""
        headers = {**self.more, "content-type": "text/event-stream", "cache-control": "no-store"}
        await self._head(200, headers)

        async def pump() -> None:
            async for frame in frames:
                await self._send({"type": "http.response.body", "body": frame, "more_body": True})
            await self._send({"type": "http.response.body", "body": b""})

        pumping = asyncio.ensure_future(pump())
        gone = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({pumping, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pumping.done():
                pumping.result()
        finally:
            pumping.cancel()
            gone.cancel()

    async def _head(self, status: int, headers: dict[str, str]) -> None:
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})


async def frames(story: Story, position: int) -> AsyncIterator[bytes]:
    """The story as server-sent events."""
    while True:
        try:
            news, end, position = await asyncio.wait_for(story.next(position), KEEP_ALIVE)
        except asyncio.TimeoutError:
            yield b": keep-alive\n\n"
            continue
        text = b"".join(_frame(told) for told in news)
        # A step that must be durable ends the stream: the call that hands it back goes on.
        done = any(name == "step" and data.get("state") == "done" for name, data in news)
        outcome = end.outcome() if end is not None else None
        if end is None and story.journal.kept and done:
            outcome = {"status": "noted"}
        if outcome is not None:
            text += _frame(("outcome", outcome))
        if text:
            yield text
        if end is not None or outcome is not None:
            # Lost work ends without an outcome: the gateway takes that as unknown.
            return


def _frame(told: Told) -> bytes:
    return b"event: " + told[0].encode() + b"\ndata: " + _utf8(told[1]) + b"\n\n"


def _utf8(value: Any) -> bytes:
    """As JSON. Half a character, as the name of a file may have it, must not break the answer: it becomes a question mark."""
    return canonical.dumps(value).encode("utf-8", "replace")


def reply_of(answer: Answer) -> Reply:
    if answer.kind == "done":
        if answer.result is None:
            return Reply(204, "", b"", {})
        return Reply(200, "application/json", _utf8(answer.result), {})
    if answer.kind in ("problem", "cancelled"):
        return problem_reply(answer.problem or ActionError.cancelled().problem)
    # No problem+json: a problem would mean "not done". A bare 504 means that nobody knows.
    return Reply(504, "text/plain; charset=utf-8", _LOST, {})


def problem_reply(problem: dict[str, Any]) -> Reply:
    headers = {"www-authenticate": "Bearer"} if problem["status"] == 401 else {}
    return Reply(problem["status"], _PROBLEM, _utf8(problem), headers)
