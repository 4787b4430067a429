"""A provider: a name and its actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from . import document, moment
from .call import App
from .declare import Action
from .errors import Mistakes
from .keys import Keys
from .registration import Registration
from .schema import Schema
from .settings import Settings

Hook = Callable[[], Awaitable[None]]


class Provider:
    """A service that owns actions and performs them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.title: str | None = None
        self.description: str | None = None
        self.version = "1"
        self.actions: list[Action] = []
        self.definitions: dict[str, Schema] = {}
        #: The present moment; tests may set another clock.
        self.clock: Callable[[], datetime] = moment.now
        #: The largest body a call may have, bytes. A larger one is refused with 413.
        self.body_limit = 1 << 20
        #: How many calls are performed at once. One more is refused with 503.
        self.most_calls = 256
        self.is_one_process = False
        self._at_start: list[Hook] = []
        self._at_stop: list[Hook] = []

    def described(
        self, title: str | None = None, description: str | None = None, version: str | None = None
    ) -> "Provider":
        """What it is called in lists, what it is for (CommonMark), and the version of its document."""
        self.title = title or self.title
        self.description = description or self.description
        self.version = version or self.version
        return self

    def one_process(self) -> "Provider":
        """Only one process answers for this provider.

        Then, and only then, its memory can tell the gateway that a call never arrived.
        """
        self.is_one_process = True
        return self

    def at_start(self, hook: Hook) -> "Provider":
        """Calls this when it begins to serve."""
        self._at_start.append(hook)
        return self

    def at_stop(self, hook: Hook) -> "Provider":
        """Calls this when all is finished."""
        self._at_stop.append(hook)
        return self

    def action(self, name: str, perform: Callable[..., Any] | None = None) -> Action:
        """Declares an action: its ``operationId`` and the function that performs it.

        The types of the function are the action's input (a dataclass or a pydantic model) and its result. Until told
        otherwise it is a change, ``POST /actions/{name}`` with the input as JSON body.
        """
        action = Action(self, name, perform)
        self.actions.append(action)
        return action

    def document(self) -> Schema:
        """The OpenAPI 3.1 document that the gateway reads."""
        return document.of(self)

    def check(self) -> "Provider":
        """Raises `Mistakes` where something is declared wrongly: a test that calls this finds it before a gateway does."""
        mistakes = document.mistakes(self)
        if mistakes:
            raise Mistakes(mistakes)
        return self

    def app(self, keys: Keys | None = None, registration: Registration | None = None) -> App:
        """As an ASGI application, to be served by another program or mounted beside an application of its own.

        ``keys`` and ``registration`` are those of `Settings.from_env` where no keys are given. Whoever mounts it lives
        within its `App.lifespan`, or awaits ``drain()`` at their end. Raises `Mistakes`.
        """
        if keys is None:
            settings = Settings.from_env()
            keys, registration = settings.keys, registration or settings.registration
        return App(self, keys, registration)

    def serve(self, settings: Settings | None = None) -> None:
        """Serves, and registers with the gateway when the settings have a token, until SIGTERM or Ctrl-C.

        Then it takes leave, and finishes what is under way (at most 30 s). Needs ``uvicorn``.
        """
        from .serve import serve

        serve(self, settings or Settings.from_env())

    async def started(self) -> None:
        """Calls what `at_start` was given."""
        for hook in self._at_start:
            await hook()

    async def stopped(self) -> None:
        """Calls what `at_stop` was given."""
        for hook in self._at_stop:
            await hook()


def provider(name: str) -> Provider:
    """A provider without actions.

    The name is the audience of the gateway's tokens: lower-case letters, digits and dashes, the same as in the gateway's
    settings.
    """
    return Provider(name)
