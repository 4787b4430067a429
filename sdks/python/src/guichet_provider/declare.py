"""Declaring actions: what each does, what people must know, who must approve."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from . import moment, schema
from .schema import Schema

if TYPE_CHECKING:
    from .provider import Provider

Time = str | timedelta | int
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_PLACEHOLDER = re.compile(r"\{([^}]*)\}")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
#: Flags of the command line itself: a member of such a name has another one in the flat input.
OWN_FLAGS = frozenset(
    "output plan wait no-wait yes context reason approval-description help timeout color verbose quiet".split()
)


def placeholders(template: str) -> list[str]:
    """The names in braces of a template: ``/a/{b}`` names ``b``."""
    return _PLACEHOLDER.findall(template)


def flag_name(member: str) -> str:
    """A member's name as a flag of the command line: ``sourceInstance`` is ``source-instance``."""
    flag = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", member).lower()
    return re.sub(r"[^a-z0-9]+", "-", flag).strip("-")


@dataclass
class ApprovalBy:
    """Who must say yes before an action runs; from `team` or `owner`."""

    by: str
    people: int = 1
    reason: str | None = None
    time: Time | None = None

    def count(self, people: int) -> "ApprovalBy":
        """How many distinct people, 1-20."""
        self.people = people
        return self

    def because(self, reason: str) -> "ApprovalBy":
        """Why, in a few words, for the approver's card."""
        self.reason = reason
        return self

    def expires(self, time: Time) -> "ApprovalBy":
        """How long the request waits for people: ``"4h"``, between 1 minute and 30 days."""
        self.time = time
        return self

    def to_json(self) -> Schema:
        """As the document has it. Raises ``ValueError``."""
        if not 1 <= self.people <= 20:
            raise ValueError(f"approval by {self.people} people: the count must be 1 to 20")
        if self.by.startswith("team:") and not self.by[5:].strip():
            raise ValueError("approval by a team without a name")
        said: Schema = {"by": self.by, "count": self.people}
        if self.reason is not None:
            said["because"] = self.reason
        if self.time is not None:
            said["expires"] = moment.length(moment.seconds(self.time, 60, 2_592_000))
        return said


def team(name: str) -> ApprovalBy:
    """A member of this team must approve."""
    return ApprovalBy(f"team:{name}")


def owner() -> ApprovalBy:
    """A member of the team that owns the resource must approve."""
    return ApprovalBy("owner")


@dataclass
class Table:
    """Draws a result as a table; from `table`."""

    rows: str
    shown: list[str] = field(default_factory=list)
    depth: dict[str, str] | None = None
    offered: list[str] = field(default_factory=list)

    def columns(self, *names: str) -> "Table":
        """Members of a row to show, in order; all of them when never called."""
        self.shown = list(names)
        return self

    def tree(self, depth: str, column: str) -> "Table":
        """Rows come depth first, each with its depth (0 for a root) in member ``depth``; ``column`` is indented by it."""
        self.depth = {"depth": depth, "column": column}
        return self

    def row_actions(self, *operations: str) -> "Table":
        """Operations of this provider that apply to a row."""
        self.offered = list(operations)
        return self

    def to_json(self) -> Schema:
        """As the document has it."""
        said: Schema = {"rows": self.rows, "columns": self.shown, "row_actions": self.offered}
        return said | ({"tree": self.depth} if self.depth else {})


def table(rows: str = "") -> Table:
    """A table whose rows are the array at this JSON pointer in the result: ``""`` when the result is the array."""
    return Table(rows)


@dataclass
class OptionsFrom:
    """Where live values of a member come from; from `from_`."""

    operation: str
    pointer: str = ""
    chosen: str = ""
    beside: list[str] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)

    def rows(self, pointer: str) -> "OptionsFrom":
        """JSON pointer to the rows in its result; the result itself when never called."""
        self.pointer = pointer
        return self

    def value(self, pointer: str) -> "OptionsFrom":
        """JSON pointer to the value in a row; the row itself when never called."""
        self.chosen = pointer
        return self

    def label(self, pointer: str) -> "OptionsFrom":
        """JSON pointer to something in a row that helps a person choose. May be called several times."""
        self.beside.append(pointer)
        return self

    def with_(self, theirs: str, ours: str) -> "OptionsFrom":
        """Member ``theirs`` of that operation's input takes the value of member ``ours`` of this one's."""
        self.given[theirs] = ours
        return self

    def to_json(self) -> Schema:
        """As the document has it."""
        return {
            "operation": self.operation,
            "with": self.given,
            "rows": self.pointer,
            "value": self.chosen,
            "label": self.beside,
        }


def from_(operation: str) -> OptionsFrom:
    """Live values from the rows that this reading operation answers."""
    return OptionsFrom(operation)


class Action:
    """One action: each method adds to it; ``.action(…)`` begins the next one, and ``.serve()`` and the others are its provider's.

    Called with a function, it takes it as the one that performs, so that it can be a decorator::

        @greeter.action("say-hello").read()
        async def say_hello(ctx: Context, hello: Hello) -> Greeting: ...
    """

    def __init__(self, provider: "Provider", operation: str, perform: Callable[..., Any] | None) -> None:
        self.provider = provider
        self.operation = operation
        self.mistakes: list[str] = []
        self.perform: Callable[..., Any] | None = None
        self.planner: Callable[..., Any] | None = None
        self.input_type: Any = None
        self.result_type: Any = Any
        self.input: Schema = {"type": "object", "properties": {}}
        self.output: Schema = {}
        self.said: Schema = {}
        self.summary: str | None = None
        self.about: str | None = None
        self.own_effect: str | None = None
        self.own_route: tuple[str, str] | None = None
        self.timeout_seconds = 30
        self.is_long = False
        self.is_resumable = False
        self.chosen: dict[str, Schema] = {}
        if perform is not None:
            self(perform)

    def __call__(self, perform: Callable[..., Any]) -> Callable[..., Any]:
        """Takes this function as the one that performs the action, and gives it back."""
        self.perform = perform
        try:
            self.input_type, self.result_type = schema.handler_types(perform)
            self.input = schema.of_input(self.input_type, self.provider.definitions)
            self.output = schema.of_result(self.result_type, self.provider.definitions)
        except Exception as error:
            self.mistakes.append(str(error).splitlines()[0] if str(error) else repr(error))
        return perform

    def plan(self, planner: Callable[..., Any]) -> "Action":
        """What running it would do, told without doing it: takes the same input, gives a `Plan`."""
        self.planner = planner
        self.said["plan"] = True
        return self

    def fact(self, name: str, kind: Any) -> "Action":
        """Policies may read this fact of its plans, as ``context.plan["…"]``.

        It is of this type: ``bool``, ``int``, ``str``, or a ``list`` of one of them. A plan need not tell it.
        """
        try:
            self.said.setdefault("facts", {})[name] = schema.of_fact(kind)
        except ValueError as error:
            self.mistakes.append(f"fact `{name}`: {error}")
        return self

    def read(self) -> "Action":
        """It looks and changes nothing: ``GET /{name}``, the input in the query."""
        self.own_effect = "read"
        return self

    def change(self) -> "Action":
        """It changes something that can be changed back. So is every action that does not say otherwise."""
        self.own_effect = "change"
        return self

    def destroy(self) -> "Action":
        """It removes something."""
        self.own_effect = "destroy"
        return self

    def route(self, method: str, path: str) -> "Action":
        """Its own method and path.

        Members named in braces travel in the path, the others in the query (GET, DELETE) or the JSON body.
        """
        if method in _METHODS and path.startswith("/"):
            self.own_route = (method, path)
        else:
            self.mistakes.append(f"`{method} {path}` is no method and path an action can have")
        return self

    def command(self, words: str) -> "Action":
        """The words people type after ``guichet``: ``rds cancel-query``."""
        self.said["command"] = words
        return self

    def title(self, title: str) -> "Action":
        """One line, for lists."""
        self.summary = title
        self.said["title"] = title
        return self

    def description(self, description: str) -> "Action":
        """More, in CommonMark, for help."""
        self.about = description
        return self

    def approval(self, by: ApprovalBy) -> "Action":
        """Who must approve before it runs: `team` or `owner`."""
        self._say("approval", by.to_json)
        return self

    def resource(self, template: str) -> "Action":
        """What it acts on, with members of the input in braces: ``postgres/{identifier}``."""
        self.said["resource"] = template
        return self

    def concurrency(self, template: str) -> "Action":
        """One run at a time for each value of this template."""
        self.said["concurrency"] = template
        return self

    def cool_down(self, time: Time) -> "Action":
        """Its start is delayed after everybody agreed, so that it can still be cancelled: ``"10m"``, 1 s to 7 d."""
        self._say("cool_down", lambda: moment.length(moment.seconds(time, 1, 604_800)))
        return self

    def undo(self, operation: str, with_: dict[str, str]) -> "Action":
        """The operation that undoes it, and for each of its inputs a JSON pointer into ``{"input", "plan", "result"}``."""
        self.said["undo"] = {"operation": operation, "with": with_}
        return self

    def confirm(self) -> "Action":
        """Whoever asks for it on a terminal is asked first whether they mean it. A courtesy, no control."""
        self.said["confirm"] = True
        return self

    def long(self) -> "Action":
        """It takes its time and tells how it goes: ``ctx.log``, ``ctx.progress``, ``ctx.note``."""
        self.is_long = True
        return self

    def resumable(self) -> "Action":
        """It is `long`, and its steps are journaled: cut off anywhere, it goes on after the last step that is durable.

        Its handler must be ``async`` and make the same steps each time.
        """
        self.is_long = self.is_resumable = True
        return self

    def idempotent(self) -> "Action":
        """Doing it twice with the same key (``ctx.run``) does no harm: where no answer comes, it is called again."""
        self.said["idempotent"] = True
        return self

    def timeout(self, time: Time) -> "Action":
        """How long a call may take: ``"15m"``, 1 s to 24 h; 30 s when never called."""
        try:
            self.timeout_seconds = moment.seconds(time, 1, 86_400)
        except ValueError as error:
            self.mistakes.append(f"timeout: {error}")
        return self

    def sensitive(self) -> "Action":
        """Its whole input is hidden in records and logs, where no member says otherwise."""
        self.said["sensitive"] = True
        return self

    def view(self, view: Table) -> "Action":
        """How its result is drawn: `table`."""
        self.said["view"] = view.to_json()
        return self

    def options(self, member: str, options: OptionsFrom) -> "Action":
        """Live values for a member of the input: `from_`."""
        self.chosen[member] = options.to_json()
        return self

    def example(self, title: str, input: dict[str, Any]) -> "Action":
        """A ready-made call for help."""
        self.said.setdefault("examples", []).append({"title": title, "input": input})
        return self

    def _say(self, name: str, say: Callable[[], Any]) -> None:
        try:
            self.said[name] = say()
        except ValueError as error:
            self.mistakes.append(f"{name}: {error}")

    # What is said of its provider.

    def action(self, name: str, perform: Callable[..., Any] | None = None) -> "Action":
        """The next action; see `Provider.action`."""
        return self.provider.action(name, perform)

    def done(self) -> "Provider":
        """The provider with this action."""
        return self.provider

    def serve(self, *arguments: Any, **named: Any) -> None:
        """See `Provider.serve`."""
        self.provider.serve(*arguments, **named)

    def app(self, *arguments: Any, **named: Any) -> Any:
        """See `Provider.app`."""
        return self.provider.app(*arguments, **named)

    def document(self) -> Schema:
        """See `Provider.document`."""
        return self.provider.document()

    def check(self) -> "Provider":
        """See `Provider.check`."""
        return self.provider.check()

    # What follows from what was said.

    @property
    def effect(self) -> str:
        """``read``, ``change`` or ``destroy``."""
        if self.own_effect is not None:
            return self.own_effect
        by_method = {"GET": "read", "DELETE": "destroy"}
        return by_method.get(self.own_route[0], "change") if self.own_route else "change"

    @property
    def method_and_path(self) -> tuple[str, str]:
        """Where it is called."""
        if self.own_route is not None:
            return self.own_route
        return ("GET", f"/{self.operation}") if self.effect == "read" else ("POST", f"/actions/{self.operation}")

    def place_of(self, member: str) -> str:
        """``path``, ``query`` or ``body``."""
        method, path = self.method_and_path
        if member in placeholders(path):
            return "path"
        return "query" if method in ("GET", "DELETE") else "body"

    def flat_name(self, member: str) -> str:
        """What a member is called in the flat input."""
        return f"{self.place_of(member)}_{member}" if flag_name(member) in OWN_FLAGS else member

    def input_schema(self) -> Schema:
        """The input's schema as gateway and provider both check it."""
        whole = dict(self.input)
        members = {}
        for name, member in self.input.get("properties", {}).items():
            member = without if (without := self._member(name, member)) else {}
            members[name] = member
        whole["properties"] = members
        return whole

    def _member(self, name: str, member: Schema) -> Schema:
        member = schema.without_null(member) if self.place_of(name) != "body" else dict(member)
        more: Schema = dict(member.get("x-guichet", {}))
        if name in self.chosen:
            more["options"] = self.chosen[name]
        if self.flat_name(name) != name:
            more.setdefault("name", self.flat_name(name))
        return member | ({"x-guichet": more} if more else {})
