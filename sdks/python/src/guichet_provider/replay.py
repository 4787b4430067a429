"""Memory of changes by ``Idempotency-Key``: the same call twice is done once and answered twice."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from .journal import Answer, Journal, Story

log = logging.getLogger("guichet_provider")
Key = tuple[str, str]


@dataclass
class _Entry:
    digest: str
    story: Story
    ended_at: datetime | None = None
    weight: int = 0


class Replay:
    """Bounded in answers, bytes and age. What is under way is never forgotten."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        entries: int = 10_000,
        size: int = 64 << 20,
        age: timedelta = timedelta(hours=24),
    ) -> None:
        self._clock = clock
        self._most, self._size, self._age = entries, size, age
        self._entries: dict[Key, _Entry] = {}
        # Ended entries, the longest unused first.
        self._ended: OrderedDict[Key, None] = OrderedDict()
        self._weight = 0
        #: When the memory began, or what it last forgot had ended.
        self.since = clock()
        self.stopping = False

    def stop(self) -> None:
        """The process ends: what keeps a journal is put away after its present step, and goes on in another."""
        self.stopping = True
        for entry in list(self._entries.values()):
            entry.story.journal.stop()

    def look(self, operation: str, key: str, digest: str) -> Story | None:
        """What is known of a call, without making it."""
        entry = self._entries.get((operation, key))
        return entry.story if entry is not None and entry.digest == digest else None

    def enter(self, operation: str, key: str, digest: str, kept: bool) -> tuple[Story | None, bool]:
        """The story of this call and whether it is new; no story where the key was used with another input."""
        self._forget_old()
        at = (operation, key)
        entry = self._entries.get(at)
        if entry is not None:
            if at in self._ended:
                self._ended.move_to_end(at)
            return (entry.story, False) if entry.digest == digest else (None, False)
        journal = Journal(kept)
        journal.stopping = self.stopping
        story = Story(journal)
        self._entries[at] = _Entry(digest, story)
        return story, True

    def end(self, operation: str, key: str, answer: Answer, resumable: bool) -> None:
        """Ends the work with this answer, which is kept when it is an end."""
        at = (operation, key)
        entry = self._entries[at]
        try:
            weight = answer.weight()
        except Exception:
            # Whoever waits must hear an end, and this one can be told to nobody.
            log.exception("how %s ended cannot be written as JSON", operation)
            answer, weight = Answer("lost"), 256
        if not answer.is_kept() or (resumable and answer.kind == "lost"):
            self.give_back(operation, key, answer)
            return
        entry.ended_at, entry.weight = self._clock(), weight
        self._ended[at] = None
        self._weight += entry.weight
        while self._ended and (len(self._ended) > self._most or self._weight > self._size):
            self._forget_oldest()
        entry.story.conclude(answer)

    def give_back(self, operation: str, key: str, answer: Answer) -> None:
        """Nothing was begun, or it goes on elsewhere: forgets the key, and tells whoever joined meanwhile."""
        entry = self._entries.pop((operation, key))
        entry.story.conclude(answer)

    def _forget_old(self) -> None:
        now = self._clock()
        while self._ended:
            entry = self._entries[next(iter(self._ended))]
            if entry.ended_at is None or now - entry.ended_at <= self._age:
                return
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        key, _ = self._ended.popitem(last=False)
        entry = self._entries.pop(key)
        self._weight -= entry.weight
        if entry.ended_at is not None:
            self.since = max(self.since, entry.ended_at)
