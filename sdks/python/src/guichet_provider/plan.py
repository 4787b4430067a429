"""What a run would do, in the provider's words. Making a plan changes nothing."""

from __future__ import annotations

from typing import Any


class Plan:
    """One sentence, facts, and what it is bound to.

    The sentence and each fact that does not move are part of what is approved: when one differs at the start of the run,
    the approval is void.
    """

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        self.facts: list[dict[str, Any]] = []
        self.bound: Any = None
        self.narrowed: str | None = None

    def fact(self, name: str, value: Any) -> "Plan":
        """What an approver should know. Each has a name of its own: several of a kind are one fact with a list."""
        self.facts.append({"name": name, "value": value, "moves": False})
        return self

    def moving_fact(self, name: str, value: Any) -> "Plan":
        """One that may change by itself between approval and execution."""
        self.facts.append({"name": name, "value": value, "moves": True})
        return self

    def fact_within(self, name: str, value: int | float, within: str) -> "Plan":
        """A number that may move so far from what was approved: ``"10%"``, or ``"5"`` in its own unit."""
        self.facts.append({"name": name, "value": value, "moves": False, "within": within})
        return self

    def bound_to(self, bound: Any) -> "Plan":
        """What it is about exactly; it comes back as ``ctx.planned``."""
        self.bound = bound
        return self

    def resource(self, resource: str) -> "Plan":
        """What it touches, where that is narrower than the action's resource."""
        self.narrowed = resource
        return self

    def repeated(self) -> str | None:
        """The first name that more than one fact has: no gateway takes such a plan."""
        seen: set[str] = set()
        for fact in self.facts:
            if fact["name"] in seen:
                return str(fact["name"])
            seen.add(fact["name"])
        return None

    def to_json(self) -> dict[str, Any]:
        """As it goes on the wire."""
        plan: dict[str, Any] = {"sentence": self.sentence, "facts": self.facts}
        if self.narrowed is not None:
            plan["resource"] = self.narrowed
        if self.bound is not None:
            plan["bound"] = self.bound
        return plan
