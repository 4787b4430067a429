"""Why an action was not done, in words for the person who asked."""

from __future__ import annotations

from typing import Any

_TITLES = {
    "bad-request": (400, "The request cannot be read"),
    "invalid-input": (422, "The input is not valid"),
    "not-signed-in": (401, "You are not signed in"),
    "invalid-credentials": (401, "The credentials are not valid"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This method is not offered here"),
    "run-cancelled": (409, "The run was stopped on request"),
    "idempotency-conflict": (409, "This Idempotency-Key was used for something else"),
    "not-offered": (422, "The action does not offer this"),
    "body-too-large": (413, "The body is too large"),
    "provider-failed": (502, "The provider reports a failure"),
    "provider-silent": (504, "The provider's answer never came"),
    "provider-busy": (503, "The provider cannot take the call now"),
}


class ActionError(Exception):
    """An action was not done, and why. It becomes a problem of RFC 9457 on the wire.

    Any other exception that a *change* raises says nothing of how far it came: the run is then ``unknown``. Raise this
    where you know that nothing was done, or that what was done is to be told as a failure.
    """

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        #: The problem as it goes on the wire.
        self.problem = problem

    @classmethod
    def of(cls, code: str, detail: str, **members: Any) -> "ActionError":
        """From one of the protocol's codes."""
        status, title = _TITLES[code]
        problem: dict[str, Any] = {
            "type": f"https://guichet.dev/errors/{code}",
            "title": title,
            "status": status,
            "code": code,
            # An exception is given here as often as a text, and must be told as one.
            "detail": str(detail),
        }
        problem.update({name: value for name, value in members.items() if value is not None})
        return cls(problem)

    @classmethod
    def _own(cls, status: int, title: str, detail: str) -> "ActionError":
        error = cls.of("provider-failed", detail)
        error.problem.update(status=status, title=title)
        return error

    @classmethod
    def not_found(cls, detail: str) -> "ActionError":
        """What was named does not exist (404)."""
        return cls._own(404, "There is no such thing", detail)

    @classmethod
    def refused(cls, detail: str) -> "ActionError":
        """The provider will not do this, whoever asks and however often (403)."""
        return cls._own(403, "The provider refuses this", detail)

    @classmethod
    def conflict(cls, detail: str) -> "ActionError":
        """The world is not as the call supposes: it changed since it was planned, or someone else was first (409)."""
        return cls._own(409, "Things are not as they were", detail)

    @classmethod
    def unavailable(cls, detail: str) -> "ActionError":
        """What the action needs cannot be reached now; nothing was done (503)."""
        return cls._own(503, "What the action needs is not available", detail)

    @classmethod
    def failed(cls, detail: str) -> "ActionError":
        """It went wrong (500)."""
        return cls._own(500, "The action has failed", detail)

    @classmethod
    def invalid(cls, pointer: str, message: str) -> "ActionError":
        """A member of the input is wrong in a way its schema cannot tell (422). ``pointer`` is a JSON pointer: ``/pid``."""
        return cls.of("invalid-input", message, errors=[{"pointer": pointer, "message": str(message)}])

    @classmethod
    def cancelled(cls) -> "ActionError":
        """It was stopped, since somebody asked for that."""
        return cls.of("run-cancelled", "it was stopped on request")

    def next(self, next: str) -> "ActionError":
        """Says what to do next."""
        self.problem["next"] = str(next)
        return self

    @property
    def detail(self) -> str:
        """What happened here, and why."""
        return str(self.problem.get("detail", ""))

    @property
    def status(self) -> int:
        """HTTP status, 400-599."""
        return int(self.problem.get("status", 500))


def begun(problem: dict[str, Any]) -> dict[str, Any]:
    """Why a handler did not do it.

    That the call was not taken only who has not called it can say: a gateway would call again, and the handler may have
    done a part of it.
    """
    if problem.get("code") != "provider-busy":
        return problem
    failed = ActionError.of("provider-failed", problem.get("detail", "")).problem
    return failed | {name: problem[name] for name in ("status", "next") if name in problem}


def denied(detail: str) -> ActionError:
    """A refusal of credentials, with its reason."""
    return ActionError.of("invalid-credentials", detail).next("call the action through the gateway")


class Mistakes(Exception):
    """What is wrong with a provider's declarations."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("the provider is declared wrongly: " + "; ".join(mistakes))
        #: One sentence each.
        self.mistakes = mistakes
