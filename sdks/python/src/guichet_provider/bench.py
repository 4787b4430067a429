"""A bench to try a provider on, without a gateway: calls are signed with a key of the bench's own and go through the provider's
application, so that what holds here holds behind a gateway.

::

    bench = Bench(greeter)
    assert await bench.call("say-hello", {"name": "Ada"}) == "Hello, Ada"
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

import pyseto
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pyseto import Key

from . import canonical, moment
from .declare import Action
from .errors import ActionError
from .keys import Keys
from .provider import Provider
from .token import Principal


class Reply:
    """One answer in full."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    def result(self) -> Any:
        """What was done; raises `ActionError` with the problem where it was not."""
        if 200 <= self.status < 300:
            return canonical.loads(self.body) if self.body else None
        if self.headers.get("content-type") == "application/problem+json":
            raise ActionError(json.loads(self.body))
        raise ActionError.of("provider-silent", self.body.decode().strip())

    def events(self) -> list[tuple[str, Any]]:
        """The events of a stream: name, and what each says."""
        found = []
        for block in self.body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found


class Bench:
    """Signs calls as a gateway does. Raises `Mistakes` where the provider is declared wrongly."""

    def __init__(self, provider: Provider | Action, principal: Principal | None = None) -> None:
        self.provider = provider.done() if isinstance(provider, Action) else provider
        self.principal = principal or Principal("bench")
        own = Ed25519PrivateKey.generate()
        raw = own.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._secret = Key.from_asymmetric_key_params(4, d=raw)
        shown = Key.from_asymmetric_key_params(4, x=public)
        self._kid = shown.to_paserk_id()
        self.app = self.provider.app(Keys.fixed(shown.to_paserk()))

    async def call(self, operation: str, input: dict[str, Any]) -> Any:
        """Calls an operation with its members, as a run of its own when it is a change."""
        return await self.perform(operation, input)

    async def plan(self, operation: str, input: dict[str, Any]) -> dict[str, Any]:
        """Asks for the plan, as it goes on the wire."""
        reply = await self.send(operation, input, headers={"guichet-mode": "plan"})
        return dict(reply.result())

    async def perform(self, operation: str, input: dict[str, Any], plan: dict[str, Any] | None = None) -> Any:
        """Performs an operation; with what ``plan`` is bound to, as after its approval."""
        headers = {}
        if plan and plan.get("bound") is not None:
            bound = base64.urlsafe_b64encode(canonical.dumps(plan["bound"]).encode())
            headers["guichet-plan"] = bound.decode().rstrip("=")
        return (await self.send(operation, input, headers=headers)).result()

    async def send(
        self,
        operation: str,
        input: dict[str, Any],
        run: str | None = None,
        claims: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        journal: dict[str, Any] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """A signed call; ``claims`` and ``headers`` are put over those of a good one, ``None`` removes one."""
        action = next(action for action in self.provider.actions if action.operation == operation)
        now = moment.now()
        who = self.principal
        said: dict[str, Any] = {
            "iss": "guichet/bench",
            "aud": self.provider.name,
            "sub": who.name,
            "kind": who.kind,
            "teams": list(who.teams),
            "agent": who.agent,
            "environment": "bench",
            "action": operation,
            "iat": moment.write(now),
            "nbf": moment.write(now),
            "exp": moment.write(now + timedelta(seconds=60)),
            "jti": str(uuid.uuid4()),
        }
        sent: dict[str, Any] = {}
        if action.effect != "read":
            run = run or str(uuid.uuid4())
            flat = {action.flat_name(name): value for name, value in input.items()}
            said |= {"run": run, "input": canonical.digest(flat), "approved_by": []}
            sent["idempotency-key"] = run
        if journal:
            said["journal"] = canonical.digest(journal)
            sent["guichet-journal"] = "body"
        said = {name: value for name, value in (said | (claims or {})).items() if value is not None}
        token = pyseto.encode(
            self._secret, canonical.dumps(said).encode(), canonical.dumps({"kid": self._kid}).encode()
        )
        sent["authorization"] = f"Bearer {token.decode()}"
        sent |= headers or {}
        path, query, content = _spread(action, input)
        if journal:
            content = canonical.dumps(
                {"input": canonical.loads(content) if content else None, "journal": journal}
            ).encode()
        sent = {name: value for name, value in sent.items() if value is not None}
        method = action.method_and_path[0]
        return await self.exchange(method, path, query, sent, content if body is None else body)

    async def exchange(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        """One exchange with the application, to the end of its answer."""
        reply = Reply()
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if waiting:
                return waiting.pop()
            await asyncio.get_running_loop().create_future()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                reply.body += message.get("body", b"")

        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await self.app(scope, receive, send)
        return reply


class LongRun:
    """A run of a resumable action, call by call. Each call may go to another `Bench`, which is another process."""

    def __init__(self, operation: str, input: dict[str, Any]) -> None:
        self.operation = operation
        self.input = input
        #: The ``Idempotency-Key`` of each call.
        self.id = str(uuid.uuid4())
        #: The steps that are durable, with their results.
        self.journal: dict[str, Any] = {}
        #: All that was told, in order, but the outcomes.
        self.told: list[tuple[str, Any]] = []
        #: Whether the next call says that somebody wants it stopped.
        self.cancelled = False

    async def call(self, bench: Bench) -> dict[str, Any] | None:
        """One call, to the end of its stream: the outcome; none when the stream was cut."""
        headers = {"guichet-cancel": "asked"} if self.cancelled else {}
        reply = await bench.send(self.operation, self.input, run=self.id, headers=headers, journal=self.journal)
        if reply.status != 200:
            reply.result()
        outcome = None
        for name, data in reply.events():
            if name == "outcome":
                outcome = data
                if data["status"] == "waiting":
                    self.journal[data["name"]] = {"until": data["until"]}
            else:
                self.told.append((name, data))
                if name == "step" and data["state"] == "done":
                    self.journal[data["name"]] = data["result"]
        return outcome

    async def to_its_end(self, bench: Bench) -> dict[str, Any]:
        """Calls until it ends, or only waits."""
        while True:
            outcome = await self.call(bench)
            if outcome is None:
                raise ActionError.of("provider-silent", "the stream was cut")
            if outcome["status"] != "noted":
                return outcome

    def done(self) -> list[str]:
        """The steps that were told as done, in order."""
        return [data["name"] for name, data in self.told if name == "step" and data["state"] == "done"]


def _spread(action: Action, input: dict[str, Any]) -> tuple[str, str, bytes]:
    """Path, query and body, as the gateway spreads a flat input."""
    path = action.method_and_path[1]
    query: list[str] = []
    body: dict[str, Any] = {}
    has_body = any(action.place_of(name) == "body" for name in action.input_schema()["properties"])
    for name, value in input.items():
        place = action.place_of(name)
        if place == "path":
            path = path.replace(f"{{{name}}}", quote(_text(value), safe="-._~"))
        elif place == "query":
            values = value if isinstance(value, list) else [value]
            query += [f"{quote(name, safe='-._~')}={quote(_text(one), safe='-._~')}" for one in values]
        else:
            body[name] = value
    return path, "&".join(query), canonical.dumps(body).encode() if has_body else b""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical.dumps(value)
