"""From the start of a program to its end: hooks, registering, taking leave while calls are still answered, and finishing.

A server stops taking connections as soon as it is told to stop. A gateway that was not told before would call nobody. So who
is registered hears the signal first, takes leave, and only then lets the server have it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .call import App
    from .registration import Registration

log = logging.getLogger("guichet_provider")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.asynccontextmanager
async def lived(app: "App") -> AsyncIterator[None]:
    """What is within it is the time in which the program serves."""
    await app.provider.started()
    there = _There(app, app.registration) if app.registration is not None else None
    try:
        yield
    finally:
        if there is not None:
            await there.left()
        await app.drain()
        await app.provider.stopped()


class _There:
    """That a gateway is told of this process, and that signals wait for the farewell."""

    def __init__(self, app: "App", registration: "Registration") -> None:
        self._app = app
        self._registration = registration
        self._loop = asyncio.get_running_loop()
        self._keeping = self._loop.create_task(registration.keep(app.provider.name, lambda: app.etag, app.listens))
        self._keeping.add_done_callback(_ended)
        self._leaving: asyncio.Task[None] | None = None
        self._handed_on = False
        self._before: dict[int, Any] = {}
        # Signals are the main thread's.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._heard)

    def _heard(self, number: int, frame: Any) -> None:
        if self._leaving is not None:
            # Who asks twice does not wait for the farewell.
            self._hand_on(number, frame)
            return
        self._loop.call_soon_threadsafe(self._begin, lambda: self._hand_on(number, frame))

    def _begin(self, then: Callable[[], None] | None = None) -> "asyncio.Task[None]":
        if self._leaving is None:
            self._leaving = self._loop.create_task(self._leave(then))
        return self._leaving

    async def _leave(self, then: Callable[[], None] | None) -> None:
        # `wait_for` loses a cancellation that comes with its result, before Python 3.12.
        while not self._keeping.done():
            self._keeping.cancel()
            await asyncio.wait({self._keeping}, timeout=0.1)
        try:
            await self._registration.leave(self._app.provider.name)
        except Exception:
            log.exception("provider %s: taking leave failed; its lease ends by itself", self._app.provider.name)
        finally:
            # Twice the same signal is to some servers that they shall wait for nothing.
            if then is not None and not self._handed_on:
                then()

    def _hand_on(self, number: int, frame: Any) -> None:
        self._handed_on = True
        before = self._before[number]
        if callable(before):
            before(number, frame)
        elif before == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    async def left(self) -> None:
        """Takes leave, unless that was done already, and gives the signals back."""
        await asyncio.shield(self._begin())
        for number, before in self._before.items():
            if signal.getsignal(number) == self._heard:
                signal.signal(number, before if before is not None else signal.SIG_DFL)
        self._before.clear()


def _ended(keeping: "asyncio.Task[None]") -> None:
    if not keeping.cancelled() and (error := keeping.exception()) is not None:
        log.error("this instance registers no more; only a new start mends that", exc_info=error)
