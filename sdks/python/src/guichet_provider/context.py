"""What a handler may know about the call it answers, how it tells what it does, and how it does it in steps."""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import TypeAdapter

from . import canonical, moment
from .errors import ActionError, begun
from .journal import KEPT_LINE, UNDOING, Answer, Journal, Story
from .token import Claims, Principal

log = logging.getLogger("guichet_provider")
T = TypeVar("T")

#: How long a handler waits to be told that its step is durable, before it is put away, in seconds.
PARKED = 300.0
#: A pause that is shorter is waited for in memory, in seconds.
SHORT = 0.25
_NOT_UNDONE = "; NOT undone: "


class Context:
    """One call: who asks, for which run, until when."""

    def __init__(
        self,
        operation: str,
        claims: Claims,
        planned: str | None,
        deadline: float,
        story: Story | None,
        journal: Journal,
        clock: Callable[[], datetime],
    ) -> None:
        self._operation = operation
        self._claims = claims
        self._planned = planned
        self._deadline = deadline
        self._story = story
        self._journal = journal
        self._clock = clock
        self._loop = asyncio.get_running_loop()

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return self._claims.principal

    @property
    def environment(self) -> str:
        """The gateway's environment: ``production``."""
        return self._claims.environment

    @property
    def operation(self) -> str:
        """The ``operationId`` that is called."""
        return self._operation

    @property
    def run(self) -> str | None:
        """The run that is performed; ``None`` for reads, and for a plan that belongs to no run yet."""
        return self._claims.run

    @property
    def approved_by(self) -> tuple[str, ...]:
        """The people who approved this run."""
        return self._claims.approved_by

    @property
    def planned(self) -> Any:
        """What the approved plan was bound to (`Plan.bound_to`); ``None`` when the call follows no such plan."""
        if self._planned is None:
            return None
        try:
            text = base64.urlsafe_b64decode(self._planned + "=" * (-len(self._planned) % 4))
            return canonical.loads(text)
        except ValueError as error:
            raise ActionError.failed(f"the header Guichet-Plan cannot be read: {error}") from None

    @property
    def remaining(self) -> float:
        """How long someone still waits for the answer, in seconds."""
        return max(0.0, self._deadline - self._loop.time())

    def log(self, line: str) -> None:
        """A line for whoever follows the run; for actions that are not `long` it goes to the provider's log."""
        if self._story is None:
            log.info("%s (run %s): %s", self._operation, self.run, line)
        else:
            self._tell("log", {"line": line[:KEPT_LINE]})

    def progress(self, percent: float | None, message: str = "") -> None:
        """How far it is: 0-100, or ``None`` when that cannot be told, and what it is doing."""
        if percent is not None:
            percent = min(100.0, max(0.0, float(percent)))
        self._tell("progress", {"percent": percent, "message": message})

    def note(self, name: str, result: Any = None) -> None:
        """Tells that something is done; nothing rests on it. `step` does a step and keeps it."""
        self._tell("step", {"name": name, "state": "noted", "result": result})

    def key(self, step: str) -> str:
        """What to give to others as their idempotency key: ``{run}/{step}``, the same each time this step is tried."""
        return f"{self.run or 'no-run'}/{step}"

    async def step(self, name: str, work: Callable[[], Awaitable[T] | T], result: Any = Any) -> T:
        """Does a named step and gives its result; when this run did it before, gives that result and does nothing.

        Of a resumable action the result is durable before this returns. A step that was done while the process died before
        that is done **again**: give `key` to whoever else is called. ``result`` is its type, where it is not plain JSON.
        """
        journal = self._journal
        journal.take_name(name)
        if name in journal.durable:
            try:
                known: T = TypeAdapter(result).validate_python(journal.durable[name])
                return known
            except ValueError as error:
                raise ActionError.conflict(
                    f"step `{name}` was done by another version of this provider, whose result is another: {error}"
                ) from None
        self._may_go_on()
        journal.has_room(name)
        if journal.kept and journal.stopping:
            await journal.go_away(Answer("abandoned"))
        self._tell_step(name, "began")
        try:
            done = work()
            if inspect.isawaitable(done):
                done = await done
        except ActionError as error:
            self._tell_step(name, "failed", error.detail)
            raise
        except Exception as error:
            self._tell_step(name, "failed", str(error))
            raise
        try:
            value = canonical.loads(TypeAdapter(result).dump_json(done))
        except Exception as error:
            # Anything else than a failure would have it done again and again: it is done, and nothing says so.
            raise ActionError.failed(f"step `{name}` is done, but its result is no JSON: {error}") from error
        await self._make_durable(name, value)
        return done

    async def sleep(self, name: str, time: float | timedelta) -> None:
        """Waits this long (seconds) from the first time it comes here.

        Of a resumable action the handler ends here and is called again when the time is over: nothing is held meanwhile.
        """
        time = time if isinstance(time, timedelta) else timedelta(seconds=time)
        await self.sleep_until(name, self._clock() + time)

    async def sleep_until(self, name: str, until: datetime) -> None:
        """Waits until this moment, or, when this run came here before, until the moment it was given then."""
        journal = self._journal
        journal.take_name(name)
        known = journal.durable.get(name)
        if isinstance(known, dict) and isinstance(known.get("until"), str):
            until = moment.read(known["until"])
        else:
            known = None
        if journal.failure() is not None and journal.had_slept(name):
            journal.slept.append(name)
            return
        self._may_go_on()
        left = (until - self._clock()).total_seconds()
        if journal.kept and left > SHORT:
            if known is None:
                journal.has_room(name)
                text = moment.write(until)
            else:
                text = known["until"]
            await journal.go_away(Answer("waits", name=name, until=text))
        await self._until(lambda: journal.cancelled or None, left)
        self._may_go_on()
        journal.slept.append(name)

    def undo(self, name: str, work: Callable[[], Awaitable[None] | None]) -> None:
        """What undoes what was done: runs when the handler fails or is cancelled, the last one first.

        Say it before the step that may need it, or after: what is not said yet is not undone.
        """
        self._journal.take_name(f"undo {name}")
        # On the way back it is there already, and room was kept for it.
        if self._journal.failure() is None:
            self._journal.has_room(f"undo {name}", 1)

        async def undone() -> None:
            done = work()
            if inspect.isawaitable(done):
                await done

        self._journal.undos.append((name, undone))

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked that this run be stopped. Steps and sleeps look by themselves."""
        return self._journal.cancelled

    async def cancelled(self, within: float | None = None) -> bool:
        """Waits until somebody asks that this run be stopped, at most this many seconds; whether somebody did."""
        await self._until(lambda: self._journal.cancelled or None, within)
        return self._journal.cancelled

    async def _until(self, look: Callable[[], Any], within: float | None) -> None:
        try:
            await asyncio.wait_for(self._journal.changes.until(look), None if within is None else max(0.0, within))
        except asyncio.TimeoutError:
            pass

    def _may_go_on(self) -> None:
        """Nothing new is begun once it failed, shall stop, or was put away."""
        if self._journal.away is not None:
            raise asyncio.CancelledError
        failure = self._journal.failure()
        if failure is not None:
            raise ActionError(dict(failure))
        if self._journal.cancelled:
            raise ActionError.cancelled()

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        story = self._story
        if story is None:
            return
        data = _written(name, data)
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            story.tell(name, data)
        else:
            # A handler that is no coroutine runs on a thread of its own.
            self._loop.call_soon_threadsafe(story.tell, name, data)

    def _tell_step(self, name: str, state: str, result: Any = None) -> None:
        data = {"name": name, "state": state}
        if state != "began":
            data["result"] = result
        self._tell("step", data)

    async def _make_durable(self, name: str, result: Any) -> None:
        """Tells it, and waits until it comes back."""
        journal = self._journal
        if journal.kept:
            journal.fits(name, result)
        self._tell_step(name, "done", result)
        if self._story is None or not journal.kept:
            return
        await self._until(lambda: True if name in journal.durable or journal.stopping else None, PARKED)
        if name not in journal.durable:
            await journal.go_away(Answer("abandoned"))

    async def conclude(self, done: Any, error: ActionError | None) -> Answer:
        """The end of a change: what its handler answered, and, when that is no success, what was undone."""
        journal = self._journal
        failure = journal.failure()
        if failure is None and error is None:
            return Answer("done", done)
        # What was journaled is why it failed; what it stumbles over on the way back is not.
        problem = begun(_written_problem(failure if failure is not None else error.problem))  # type: ignore[union-attr]
        if journal.undos:
            if UNDOING not in journal.durable:
                try:
                    await self._make_durable(UNDOING, journal.undoing(problem))
                except ActionError as full:
                    problem["detail"] = f"{problem['detail']}; {full.detail}"
            await self._undo_all(problem)
        if journal.cancelled:
            left = problem.get("code") != "run-cancelled" or _NOT_UNDONE in problem["detail"]
            return Answer("cancelled", problem=problem if left else None)
        return Answer("problem", problem=problem)

    async def _undo_all(self, problem: dict[str, Any]) -> None:
        journal = self._journal
        left: list[str] = []
        wanted = list((journal.durable.get(UNDOING) or {}).get("undo", []))
        while journal.undos:
            name, undo = journal.undos.pop()
            wanted = [other for other in wanted if other != name]
            step = f"undo {name}"
            if step in journal.durable:
                continue
            self._tell_step(step, "began")
            try:
                await undo()
                await self._make_durable(step, None)
            except Exception as error:
                detail = error.detail if isinstance(error, ActionError) else str(error)
                self._tell_step(step, "failed", detail)
                left.append(f"{name} ({detail})")
        # Only of a handler that takes another way each time.
        left += [f"{name} (not come by again)" for name in wanted if f"undo {name}" not in journal.durable]
        if left:
            problem["detail"] = f"{problem['detail']}{_NOT_UNDONE}{', '.join(left)}"
            problem["next"] = "look at what is not undone, and undo it by hand"


def _written(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """What is told, as it goes over the wire: one event that cannot be written would break every stream of its run."""
    try:
        return dict(canonical.plain(data))
    except Exception as error:
        log.error("%s `%s` is told without what cannot be written as JSON: %s", event, data.get("name", ""), error)
        return dict(canonical.plain({name: said if isinstance(said, str) else None for name, said in data.items()}))


def _written_problem(problem: dict[str, Any]) -> dict[str, Any]:
    """Whatever a handler put into it."""
    try:
        return dict(canonical.plain(problem))
    except Exception as error:
        log.error("why it was not done cannot be written as JSON: %s", error)
        return ActionError.failed(f"it was not done, and why cannot be written as JSON: {error}").problem
