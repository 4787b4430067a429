"""What one piece of work has done so far, as the gateway has made it durable; whether it shall stop; what undoes it; and what is
told about it, for whoever listens, also for those who come late.

A handler that finished a step waits here until a call of the gateway hands the step back as part of the journal. Nothing
else says that it is durable. All of it lives on one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from . import canonical
from .errors import ActionError

#: The step that says that a run failed, before anything is undone.
UNDOING = "guichet: undoing"
#: Steps, pauses and compensations of one run.
STEPS_MAX = 1_000
#: Largest result of a step, and largest journal, bytes of JSON.
RESULT_MAX, JOURNAL_MAX = 64 << 10, 512 << 10
#: Events kept for late listeners, and characters kept of a line.
KEPT_EVENTS, KEPT_LINE = 1_000, 4_096

T = TypeVar("T")
Told = tuple[str, dict[str, Any]]


class Changes:
    """Wakes whoever waits for something to become true."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Something has changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, look: Callable[[], T | None]) -> T:
        """What ``look`` finds, once it finds something."""
        while (found := look()) is None:
            await self._event.wait()
        return found


@dataclass
class Answer:
    """How one piece of work ended.

    ``kind`` is ``done``, ``problem``, ``cancelled``, ``waits`` (put away until then), ``abandoned`` (put away; whoever calls
    again goes on from the journal) or ``lost`` (nobody can say how far it came).
    """

    kind: str
    result: Any = None
    problem: dict[str, Any] | None = None
    name: str = ""
    until: str = ""

    def is_kept(self) -> bool:
        """Whether a later call shall find it: what was only put away begins anew."""
        return self.kind not in ("waits", "abandoned")

    def outcome(self) -> dict[str, Any] | None:
        """As the last event of a stream; nothing is claimed of what is lost."""
        if self.kind == "done":
            return {"status": "succeeded", "result": self.result}
        if self.kind == "problem":
            return {"status": "failed", "problem": self.problem}
        if self.kind == "cancelled":
            return {"status": "cancelled", "problem": self.problem}
        if self.kind == "waits":
            return {"status": "waiting", "name": self.name, "until": self.until}
        return None

    def weight(self) -> int:
        """How much memory it holds, roughly, in bytes."""
        return 256 + len(canonical.dumps(self.result if self.kind == "done" else self.problem))


class Journal:
    """The journal of one piece of work."""

    def __init__(self, kept: bool) -> None:
        #: Whether the gateway keeps it: otherwise nobody hands steps back, and nothing is waited for.
        self.kept = kept
        self.durable: dict[str, Any] = {}
        self.told_at: dict[str, int] = {}
        self.named: set[str] = set()
        self.slept: list[str] = []
        self.cancelled = False
        self.stopping = False
        self.away: Answer | None = None
        self.undos: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        self.changes = Changes()
        self._weight = 0

    def hand_over(self, steps: dict[str, Any], cancelled: bool) -> int:
        """Takes in what a call hands over. Answers from where in the story the caller has not heard it."""
        for name, result in steps.items():
            if name not in self.durable:
                self._weight += len(name) + len(canonical.dumps(result))
                self.durable[name] = result
        self.cancelled |= cancelled
        self.changes.tell()
        return max((self.told_at.get(name, 0) for name in steps), default=0)

    def cancel(self) -> None:
        """It shall stop."""
        self.hand_over({}, True)

    def stop(self) -> None:
        """The process ends: the handler is put away where it next could be."""
        self.stopping = True
        self.changes.tell()

    def failure(self) -> dict[str, Any] | None:
        """Why it failed, when it is being undone already."""
        undoing = self.durable.get(UNDOING)
        return undoing["problem"] if isinstance(undoing, dict) else None

    def undoing(self, problem: dict[str, Any]) -> dict[str, Any]:
        """What is journaled before anything is undone."""
        return {"problem": problem, "slept": list(self.slept), "undo": [name for name, _ in self.undos]}

    def had_slept(self, name: str) -> bool:
        """Whether this pause was over when it failed."""
        return name in (self.durable.get(UNDOING) or {}).get("slept", [])

    def take_name(self, name: str) -> None:
        """Takes a name, which is taken once in an attempt."""
        if not name or name.startswith("guichet:"):
            raise ActionError.failed(f"`{name}` is no name for a step")
        if name.encode("utf-8", "replace").decode() != name:
            # It would come back as another name, and nothing would ever be durable under this one.
            raise ActionError.failed(f"{name!a} is no name for a step: it has half a character")
        if name in self.named:
            raise ActionError.failed(f"two steps of this run are named `{name}`").next(
                "tell the provider's owners: name each after what it is about, such as `copy orders`"
            )
        self.named.add(name)

    def has_room(self, name: str, undos: int = 0) -> None:
        """Whether one more step or pause has room, beside all that would undo what was done so far."""
        undos += len(self.undos)
        # One step says that it failed, before anything is undone.
        kept_free = undos + 1 if undos else 0
        if self.kept and len(self.durable) + kept_free >= STEPS_MAX:
            raise ActionError.failed(
                f"`{name}` is not begun: the journal of a run has room for {STEPS_MAX} steps, pauses and what undoes them, and "
                "this run has them all"
            ).next("tell the provider's owners: do more in one step, and wait longer in one pause")

    def fits(self, name: str, result: Any) -> None:
        """Whether a result still fits. What undoes always does: it must not fail for that."""
        if name == UNDOING or result is None:
            return
        size = len(canonical.dumps(result).encode())
        if size > RESULT_MAX:
            raise ActionError.failed(
                f"step `{name}` is done, but its result has {size} bytes, and a journal takes {RESULT_MAX}"
            ).next("give back less from the step: an id, not the thing")
        if self._weight + len(name) + size > JOURNAL_MAX:
            raise ActionError.failed(
                f"step `{name}` is done, but the journal of this run is full ({JOURNAL_MAX} bytes)"
            ).next("make fewer steps, or give back less from each")

    async def go_away(self, away: Answer) -> None:
        """Has the handler put away. It never goes on from here."""
        if self.away is None:
            self.away = away
        self.changes.tell()
        await asyncio.get_running_loop().create_future()


class Story:
    """The events of one piece of work, and its end."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.end: Answer | None = None
        self._dropped = 0
        self._events: deque[Told] = deque()
        self._changes = Changes()

    def tell(self, name: str, data: dict[str, Any]) -> None:
        """One event; after the end nothing is told."""
        if self.end is not None:
            return
        if len(self._events) == KEPT_EVENTS:
            self._events.popleft()
            self._dropped += 1
        self._events.append((name, data))
        if name == "step" and data.get("state") == "done":
            self.journal.told_at[data["name"]] = self._dropped + len(self._events)
        self._changes.tell()

    def conclude(self, answer: Answer) -> None:
        """The end, once; a second end is not heard."""
        if self.end is None:
            self.end = answer
            self._changes.tell()

    async def wait(self) -> Answer:
        """Waits for the end."""
        return await self._changes.until(lambda: self.end)

    async def next(self, position: int) -> tuple[list[Told], Answer | None, int]:
        """The events from ``position`` on, the end, and the position behind them, waiting for news."""

        def look() -> tuple[list[Told], Answer | None, int] | None:
            missed = self._dropped - position
            news: list[Told] = []
            if missed > 0:
                news.append(("log", {"line": f"({missed} earlier events are not kept)"}))
            news += list(self._events)[max(0, -missed) :]
            if not news and self.end is None:
                return None
            return news, self.end, self._dropped + len(self._events)

        return await self._changes.until(look)
