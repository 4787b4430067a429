"""The way of one call, from top to bottom, as an ASGI application.

Who calls is settled before the body is read, so that a stranger costs nothing; the input is checked before the memory of
changes is asked, so that a wrong call leaves no trace there. A change is performed by a task of its own: it goes on when the
caller goes away, and whoever calls again with the same key gets its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from . import canonical, document, moment, schema
from .context import Context
from .declare import Action
from .errors import ActionError, Mistakes, begun, denied
from .exchange import Exchange, Gone, Receive, Reply, Send, frames, problem_reply, reply_of
from .journal import Answer, Journal, Story
from .keys import Keys
from .lifespan import lived
from .registration import Registration
from .replay import Replay
from .schema import Coerce, Reader
from .token import Claims, Verifier

if TYPE_CHECKING:
    from .provider import Provider

log = logging.getLogger("guichet_provider")

#: How much larger than the body alone it may be with a journal, in bytes.
JOURNAL_ROOM = 1 << 20


@dataclass
class _Ready:
    action: Action
    segments: list[str]
    places: dict[str, str]
    schemas: dict[str, Any]
    reader: Reader
    has_body: bool
    renamed: dict[str, str]


@dataclass
class _Offered:
    """What a provider declares, ready to answer: replaced as a whole when it is renewed."""

    document: bytes
    etag: str
    coerce: Coerce
    ready: list[_Ready]

    @classmethod
    def by(cls, provider: "Provider") -> "_Offered":
        mistakes = document.mistakes(provider)
        if mistakes:
            raise Mistakes(mistakes)
        text = canonical.dumps(document.of(provider)).encode()
        ready = [_prepare(action) for action in provider.actions]
        # A part that is written out goes before one that a member fills.
        ready.sort(key=lambda ready: sum("{" in part for part in ready.segments))
        return cls(text, f'"{canonical.digest_of_bytes(text)}"', Coerce(provider.definitions), ready)


@dataclass
class _Work:
    ready: _Ready
    claims: Claims
    planned: str | None
    deadline: float
    input: Any
    #: The thread's work, of a plain function.
    thread: "Future[Any] | None" = None


class App:
    """A provider that is ready to answer: an ASGI application, to be served or mounted."""

    def __init__(self, provider: "Provider", keys: Keys, registration: Registration | None = None) -> None:
        self._offered = _Offered.by(provider)
        self.provider = provider
        #: How it registers itself; ``None`` when it stands in the gateway's configuration.
        self.registration = registration
        #: Whether the program takes connections; where nobody says so, it is tried.
        self.listens: Callable[[], bool] | None = None
        self._verifier = Verifier(provider.name, keys, provider.clock)
        self._replay: Replay = Replay(provider.clock)
        self._tasks: set[asyncio.Task[None]] = set()
        # A plain function may block: each has a thread of its own.
        self._threads = ThreadPoolExecutor(provider.most_calls, thread_name_prefix="guichet")
        self._in_threads: set[Future[Any]] = set()
        self._busy = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("a provider speaks HTTP alone")
        exchange = Exchange(scope, receive, send, self.etag)
        try:
            await self._answer(exchange)
        except ActionError as error:
            await exchange.reply(problem_reply(error.problem))
        except Gone:
            pass

    @property
    def etag(self) -> str:
        """The ETag of the document."""
        return self._offered.etag

    def renew(self, provider: "Provider") -> None:
        """Offers from now on what another provider of the same name declares.

        Calls under way go on as they were begun, and the memory of changes stays; the next answer tells the gateway that the
        document is another. How many calls are performed at once stays as it was. Raises `Mistakes` in its declarations, and
        ``ValueError`` for another name; then what was offered stays.
        """
        if provider.name != self.provider.name:
            raise ValueError(f"the provider is called `{self.provider.name}` as long as it runs, not `{provider.name}`")
        self._offered = _Offered.by(provider)

    def stop(self) -> None:
        """Resumable actions are put away after their present step from now on: another process goes on."""
        self._replay.stop()

    async def drain(self, limit: float = 30.0) -> int:
        """Waits until no change is under way, at most this many seconds. Answers how many still are."""
        self.stop()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=limit)
        return len(self._tasks)

    @property
    def in_threads(self) -> int:
        """How many plain functions are at work, also those for which nobody waits any more: nobody can end a thread."""
        return len(self._in_threads)

    def lifespan(self, beside: Any = None) -> contextlib.AbstractAsyncContextManager[None]:
        """From the start of a program to its end, for one that mounts this: ``FastAPI(lifespan=guichet.lifespan)``.

        It calls what `Provider.at_start` was given, registers with the gateway, and at the end takes leave, waits for what
        is under way, and calls what `Provider.at_stop` was given. SIGTERM and Ctrl-C reach the server after the farewell.
        A program with a lifespan of its own writes ``async with guichet.lifespan():`` within it.
        """
        return lived(self)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, exchange: Exchange) -> None:
        where = (exchange.method, exchange.path)
        if where == ("GET", "/healthz"):
            await exchange.reply(Reply(200, "text/plain", b"ok\n", {}))
        elif where == ("GET", "/openapi.json"):
            known = [tag.strip().removeprefix("W/") for tag in ",".join(exchange.all("if-none-match")).split(",")]
            offered = self._offered
            fresh = "*" in known or offered.etag in known
            reply = Reply(304, "", b"", {}) if fresh else Reply(200, "application/json", offered.document, {})
            reply.headers["etag"] = offered.etag
            await exchange.reply(reply)
        else:
            await self._call(exchange)

    async def _call(self, exchange: Exchange) -> None:
        # To the end of the call, whatever is offered meanwhile.
        offered = self._offered
        ready, members = _find(offered, exchange)
        action = ready.action
        mode = _mode(action, exchange.one("guichet-mode"))
        key = exchange.one("idempotency-key")
        claims = await self._verifier.check(exchange.all("authorization"), action.operation)
        handed = exchange.one("guichet-journal") is not None
        body = b""
        if ready.has_body or handed:
            body = await exchange.body(self.provider.body_limit + (JOURNAL_ROOM if handed else 0))
        if exchange.wrong_query:
            raise ActionError.of("bad-request", "the query cannot be read: it is no UTF-8")
        value, journal = _apart(action, body) if handed else (_json(body), {})
        flat, digest = _gather(offered.coerce, ready, members, exchange.query, value)
        if mode != "read":
            _belongs(claims, mode, key, digest)
            if claims.journal != (canonical.digest(journal) if handed else None):
                raise denied("the token is for another journal than the call carries")
        loop = asyncio.get_running_loop()
        work = _Work(
            ready,
            claims,
            exchange.one("guichet-plan"),
            loop.time() + _remaining(exchange.one("guichet-deadline-ms"), action.timeout_seconds),
            ready.reader.read(flat),
        )
        if mode == "plan":
            await exchange.reply(await self._look(work, self._plan(work), exchange))
        elif mode == "read" and action.is_long:
            await self._stream_read(work, exchange)
        elif mode == "read":
            await exchange.reply(await self._look(work, self._read(work, None), exchange))
        elif key is None:
            raise ActionError.of("bad-request", "a change needs the header Idempotency-Key")
        elif mode == "change":
            await self._change(work, key, digest, journal, exchange.one("guichet-cancel") is not None, exchange)
        else:
            await exchange.reply(self._remembered(work, key, digest, mode == "cancel"))

    async def _change(
        self, work: _Work, key: str, digest: str, journal: dict[str, Any], cancelled: bool, exchange: Exchange
    ) -> None:
        action = work.ready.action
        story, new = self._replay.enter(action.operation, key, digest, action.is_resumable)
        if story is None:
            detail = f"`{key}` was used for this operation with another input"
            raise ActionError.of("idempotency-conflict", detail)
        position = story.journal.hand_over(journal, cancelled)
        if new:
            if self._busy >= self.provider.most_calls:
                problem = _busy(self.provider.name)
                self._replay.give_back(action.operation, key, Answer("problem", problem=problem.problem))
                raise problem
            task = asyncio.get_running_loop().create_task(self._to_its_end(work, key, story))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if action.is_long:
            await exchange.stream(frames(story, position if not new else 0))
        else:
            # No deadline here: an answer "too late" would read as "not done".
            await exchange.reply(reply_of(await exchange.listened(story.wait())))

    async def _to_its_end(self, work: _Work, key: str, story: Story) -> None:
        action = work.ready.action
        answer = Answer("lost")
        self._busy += 1
        try:
            answer = await self._perform_change(work, story)
        finally:
            self._leave(work)
            self._replay.end(action.operation, key, answer, action.is_resumable)

    async def _perform_change(self, work: _Work, story: Story) -> Answer:
        action, journal = work.ready.action, story.journal
        context = self._context(work, story if action.is_long else None, journal)

        async def to_the_end() -> Answer:
            try:
                done, error = await self._perform(work, context), None
            except ActionError as refused:
                done, error = None, refused
            return await context.conclude(done, error)

        handler = asyncio.get_running_loop().create_task(to_the_end())
        away = asyncio.get_running_loop().create_task(journal.changes.until(lambda: journal.away))
        try:
            await asyncio.wait({handler, away}, return_when=asyncio.FIRST_COMPLETED)
            if handler.done() and not handler.cancelled():
                return handler.result()
            handler.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await handler
            return journal.away or Answer("lost")
        except Exception:
            # Half-way it may have acted: nobody can say, and nothing is claimed. Its text stays here.
            log.exception("the handler of %s broke", action.operation)
            return Answer("lost")
        finally:
            away.cancel()
            handler.cancel()

    async def _perform(self, work: _Work, context: Context) -> Any:
        action = work.ready.action
        done = await self._called(work, action.perform, context)
        try:
            return schema.to_json(action.result_type, done)
        except Exception as error:
            if not action.is_resumable:
                raise
            # It would be the same each time it is called again: it fails, and what its steps did is undone.
            raise ActionError.failed(f"done, but the result cannot be written as JSON: {error}") from error

    async def _called(self, work: _Work, function: Callable[..., Any] | None, context: Context) -> Any:
        if function is None:
            raise ActionError.failed("nothing performs this")
        arguments = (context, work.input) if work.ready.action.input_type is not None else (context,)
        if inspect.iscoroutinefunction(function):
            return await function(*arguments)
        own = contextvars.copy_context()
        work.thread = self._threads.submit(own.run, function, *arguments)
        self._in_threads.add(work.thread)
        work.thread.add_done_callback(self._in_threads.discard)
        done = await asyncio.wrap_future(work.thread)
        return await done if inspect.isawaitable(done) else done

    def _leave(self, work: _Work) -> None:
        """Gives the call's place back; that of a plain function once it is over, for nobody can end its thread."""

        def left() -> None:
            self._busy -= 1

        loop = asyncio.get_running_loop()

        def over(_: "Future[Any]") -> None:
            # A loop that has ended has no places.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(left)

        if work.thread is None or work.thread.done():
            left()
        else:
            work.thread.add_done_callback(over)

    def _context(self, work: _Work, story: Story | None, journal: Journal) -> Context:
        operation = work.ready.action.operation
        return Context(operation, work.claims, work.planned, work.deadline, story, journal, self.provider.clock)

    async def _read(self, work: _Work, story: Story | None) -> Answer:
        action = work.ready.action
        context = self._context(work, story, story.journal if story else Journal(False))
        try:
            return Answer("done", await self._perform(work, context))
        except ActionError as error:
            return Answer("problem", problem=begun(error.problem))
        except Exception:
            return _broken(action.operation)

    async def _plan(self, work: _Work) -> Answer:
        action = work.ready.action
        context = self._context(work, None, Journal(False))
        try:
            plan = await self._called(work, action.planner, context)
            name = plan.repeated()
            if name is not None:
                detail = f"the plan has more than one fact called `{name}`, and no gateway takes it"
                raise ActionError.failed(detail).next("make it one fact with a list, or name each apart")
            return Answer("done", schema.to_json(None, plan.to_json()))
        except ActionError as error:
            return Answer("problem", problem=begun(error.problem))
        except Exception:
            return _broken(action.operation)

    async def _look(self, work: _Work, looking: Awaitable[Answer], exchange: Exchange) -> Reply:
        """A read or a plan: within the deadline, and only as long as someone listens."""
        if self._busy >= self.provider.most_calls:
            looking.close()  # type: ignore[attr-defined]
            raise _busy(self.provider.name)
        self._busy += 1
        try:
            left = work.deadline - asyncio.get_running_loop().time()
            return reply_of(await asyncio.wait_for(exchange.listened(looking), max(0.0, left)))
        except asyncio.TimeoutError:
            return problem_reply(_too_late().problem)
        finally:
            self._leave(work)

    async def _stream_read(self, work: _Work, exchange: Exchange) -> None:
        story = Story(Journal(False))

        async def performed() -> None:
            left = max(0.0, work.deadline - asyncio.get_running_loop().time())
            try:
                story.conclude(await asyncio.wait_for(self._read(work, story), left))
            except asyncio.TimeoutError:
                story.conclude(Answer("problem", problem=_too_late().problem))

        if self._busy >= self.provider.most_calls:
            raise _busy(self.provider.name)
        self._busy += 1
        task = asyncio.get_running_loop().create_task(performed())
        try:
            await exchange.stream(frames(story, 0))
        finally:
            task.cancel()
            self._leave(work)

    def _remembered(self, work: _Work, key: str, digest: str, cancel: bool) -> Reply:
        """What is known of a change, without doing it; when it is under way, it may be told to stop."""
        story = self._replay.look(work.ready.action.operation, key, digest)
        if story is None:
            known: dict[str, Any] = {"known": False}
            # Another process may know what this one does not.
            if self.provider.is_one_process:
                known["remembers_since"] = moment.write(self._replay.since)
        else:
            if cancel:
                story.journal.cancel()
            known = {"known": True, "under_way": True}
            if story.end is not None:
                known = {"known": True, "outcome": story.end.outcome()}
        return reply_of(Answer("done", known))


def _find(offered: _Offered, exchange: Exchange) -> tuple[_Ready, dict[str, str]]:
    others: list[str] = []
    parts = exchange.raw_path.split("/")
    for ready in offered.ready:
        members = _match(ready.segments, parts)
        if members is None:
            continue
        if ready.action.method_and_path[0] == exchange.method:
            return ready, members
        others.append(ready.action.method_and_path[0])
    if others:
        error = ActionError.of("method-not-allowed", f"{exchange.path} is not offered with {exchange.method}")
        exchange.more["allow"] = ", ".join(others)
        raise error
    raise ActionError.of("not-found", f"the provider has no operation at {exchange.path}")


def _gather(
    coerce: Coerce, ready: _Ready, members: dict[str, str], query: list[tuple[str, str]], value: Any
) -> tuple[dict[str, Any], str]:
    """The flat input with our names, and its digest with the gateway's."""
    flat: dict[str, Any] = {}
    if ready.has_body and value is not None:
        if not isinstance(value, dict):
            raise ActionError.of("invalid-input", "the body is not a JSON object")
        for name in value:
            if ready.places.get(name, "body") != "body":
                raise ActionError.invalid(f"/{name}", "it belongs in the path or query, not in the body")
        flat.update(value)
    for name, text in members.items():
        flat[name] = coerce.text(ready.schemas[name], text)
    for name, _ in query:
        if ready.places.get(name) != "query":
            raise ActionError.invalid(f"/{name}", "there is no such member in the query")
        if name not in flat:
            texts = [text for other, text in query if other == name]
            flat[name] = coerce.texts(ready.schemas[name], texts)
    named = {ready.renamed.get(name, name): value for name, value in flat.items()}
    return flat, canonical.digest(named)


def _prepare(action: Action) -> _Ready:
    schemas = action.input_schema()["properties"]
    places = {name: action.place_of(name) for name in schemas}
    renamed = {name: action.flat_name(name) for name in schemas if action.flat_name(name) != name}
    segments = action.method_and_path[1].split("/")
    return _Ready(
        action, segments, places, schemas, Reader(action.input_type, set(schemas)), "body" in places.values(), renamed
    )


def _match(segments: list[str], parts: list[str]) -> dict[str, str] | None:
    """The path's members, when it is this one."""
    if len(segments) != len(parts):
        return None
    members: dict[str, str] = {}
    for segment, part in zip(segments, parts):
        before, brace, rest = segment.partition("{")
        if not brace:
            if segment != part:
                return None
            continue
        name, _, behind = rest.partition("}")
        if not part.startswith(before) or not part.endswith(behind) or len(part) <= len(before) + len(behind):
            return None
        try:
            members[name] = unquote_to_bytes(part[len(before) : len(part) - len(behind)]).decode("utf-8")
        except UnicodeDecodeError:
            raise ActionError.of("bad-request", f"`{name}` in the path is not UTF-8") from None
    return members


def _mode(action: Action, said: str | None) -> str:
    read = action.effect == "read"
    if said in (None, "perform"):
        return "read" if read else "change"
    if said == "plan":
        if action.planner is not None:
            return "plan"
        raise ActionError.of("not-offered", f"operation `{action.operation}` makes no plans")
    if said in ("outcome", "cancel") and not read:
        return str(said)
    raise ActionError.of("bad-request", f"`{said}` is no Guichet-Mode here: plan, perform, outcome or cancel")


def _belongs(claims: Claims, mode: str, key: str | None, digest: str) -> None:
    """The token is for this run and this input, not only for this operation."""
    if claims.input is None and mode != "plan":
        raise denied("the token names no input, which a change needs")
    if claims.input is not None and claims.input != digest:
        raise denied("the token is for another input than the call carries")
    if mode == "plan":
        return
    if claims.run is None:
        raise denied("the token names no run, which a change needs")
    if claims.run != key:
        raise denied("the token is for another run than the header Idempotency-Key names")


def _apart(action: Action, body: bytes) -> tuple[Any, dict[str, Any]]:
    """The body that the action takes, and the journal beside it."""
    if not action.is_resumable:
        raise ActionError.of("bad-request", f"operation `{action.operation}` keeps no journal")
    both = _json(body)
    if not isinstance(both, dict) or not isinstance(both.get("journal"), dict):
        raise ActionError.of("bad-request", "the journal cannot be read: there is none in `journal`")
    return both.get("input"), both["journal"]


def _json(body: bytes) -> Any:
    if not body:
        return None
    try:
        return canonical.loads(body)
    except ValueError as error:
        raise ActionError.of("bad-request", f"the body is not JSON: {error}") from None


def _remaining(said: str | None, timeout: int) -> float:
    if said is None or not said.isdigit():
        return float(timeout)
    # A day is the longest an action may take.
    return min(int(said) / 1_000, 86_400.0)


def _busy(name: str) -> ActionError:
    detail = f"provider `{name}` performs as many calls as it may; nothing was done"
    return ActionError.of("provider-busy", detail).next("try again in a moment")


def _too_late() -> ActionError:
    detail = "the provider had no answer before the call's deadline"
    return ActionError.of("provider-silent", detail).next("try again; ask for less, if that can be")


def _broken(operation: str) -> Answer:
    """A read or a plan that breaks has changed nothing."""
    log.exception("the handler of %s broke", operation)
    error = ActionError.failed("the provider broke while it worked on this; its log says more")
    return Answer("problem", problem=error.next("tell the owners of the provider").problem)
