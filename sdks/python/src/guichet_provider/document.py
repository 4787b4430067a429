"""The provider's OpenAPI 3.1 document, and what is wrong with the declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import schema
from .declare import NAME, Action, placeholders
from .errors import ActionError
from .moment import length
from .schema import Reader, Schema

if TYPE_CHECKING:
    from .provider import Provider

_PROBLEM: Schema = {
    "type": "object",
    "description": "One problem (RFC 9457): what happened, why, and what to do next.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "next": {"type": "string"},
    },
    "required": ["title", "status", "detail"],
}


def of(provider: "Provider") -> Schema:
    """The document."""
    paths: dict[str, Any] = {}
    for action in provider.actions:
        method, path = action.method_and_path
        paths.setdefault(path, {})[method.lower()] = _operation(action)
    info: Schema = {"title": provider.title or provider.name, "version": provider.version}
    if provider.description:
        info["description"] = provider.description
    return {
        "openapi": "3.1.0",
        "info": info,
        "x-guichet": {"provider": provider.name},
        "paths": paths,
        "components": {
            "schemas": {**provider.definitions, "Problem": _PROBLEM},
            "securitySchemes": {
                "gateway": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "PASETO v4.public",
                    "description": "A token of the Guichet gateway, at most 60 s old.",
                }
            },
        },
        "security": [{"gateway": []}],
    }


def _operation(action: Action) -> Schema:
    whole = action.input_schema()
    required = whole.get("required", [])
    parameters, body = [], {}
    for name, member in whole["properties"].items():
        place = action.place_of(name)
        if place == "body":
            body[name] = member
        else:
            parameters.append(_parameter(name, place, name in required, member))
    kind = "text/event-stream" if action.is_long else "application/json"
    operation: Schema = {
        "operationId": action.operation,
        "summary": action.summary or action.operation,
        "responses": {
            "200": {"description": "Done.", "content": {kind: {"schema": action.output}}},
            "default": {
                "description": "Not done, and why.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
        "x-guichet": _extension(action),
    }
    if action.about:
        operation["description"] = action.about
    if parameters:
        operation["parameters"] = parameters
    if body:
        needed = [name for name in required if name in body]
        content = {**whole, "properties": body, "required": needed}
        if not needed:
            del content["required"]
        operation["requestBody"] = {
            "required": bool(needed),
            "content": {"application/json": {"schema": content}},
        }
    return operation


def _parameter(name: str, place: str, required: bool, member: Schema) -> Schema:
    parameter: Schema = {"name": name, "in": place, "required": place == "path" or required}
    member = dict(member)
    for word in ("description", "x-guichet"):
        if word in member:
            parameter[word] = member.pop(word)
    if place == "query":
        parameter.update(style="form", explode=True)
    return parameter | {"schema": member}


def _extension(action: Action) -> Schema:
    said: Schema = {"effect": action.effect, **action.said}
    if action.is_long:
        said["long"] = True
    if action.is_resumable:
        said["resumable"] = True
    if action.effect != "read":
        said["remembers"] = True
    said["timeout"] = length(action.timeout_seconds)
    return said


def mistakes(provider: "Provider") -> list[str]:
    """Everything that would make the document wrong or an action unreachable."""
    found: list[str] = []
    if not NAME.fullmatch(provider.name):
        found.append(f"`{provider.name}` is no name for a provider: use lower-case letters, digits, dashes")
    seen: set[Any] = set()
    for action in provider.actions:
        own = list(action.mistakes)
        for key in (action.operation, action.method_and_path):
            if key in seen:
                own.append(f"{key} is declared twice")
            seen.add(key)
        own.extend(_of_action(provider, action))
        found.extend(f"action `{action.operation}`: {mistake}" for mistake in own)
    return found


def _of_action(provider: "Provider", action: Action) -> list[str]:
    found: list[str] = []
    members = action.input.get("properties", {})
    read = action.effect == "read"
    if not NAME.fullmatch(action.operation):
        found.append("its name must be of lower-case letters, digits and dashes")
    if action.perform is None:
        found.append("it has no function that performs it")
    templates = {"path": action.method_and_path[1]}
    templates |= {word: action.said[word] for word in ("resource", "concurrency") if word in action.said}
    for what, template in templates.items():
        found += [
            f"the {what} names `{{{name}}}`, which is no member of its input"
            for name in placeholders(template)
            if name not in members
        ]
    for name, member in members.items():
        items = member.get("items", {}) if isinstance(member, dict) else {}
        nested = schema.takes(member, "object", provider.definitions) or schema.takes(
            items, "object", provider.definitions
        )
        if action.place_of(name) != "body" and nested:
            found.append(f"member `{name}` is an object: it does not fit into a path or query; give the action a body")
        if action.place_of(name) == "path" and schema.takes(member, "array", provider.definitions):
            found.append(f"member `{name}` is a list: it does not fit into a path")
    if action.is_resumable and (read or action.method_and_path[0] == "DELETE"):
        found.append("a resumable action is a change whose journal travels in the body: not a read, not DELETE")
    if read and (action.planner is not None or "approval" in action.said):
        found.append("a read has neither plan nor approval: is it a change?")
    if "facts" in action.said and action.planner is None:
        found.append("its facts are told by plans, and it makes none: add plan")
    if not read and action.method_and_path[0] == "GET":
        found.append("it changes something, so it cannot be a GET")
    reads = {other.operation for other in provider.actions if other.effect == "read"}
    all_of_them = {other.operation for other in provider.actions}
    for member, options in action.chosen.items():
        if member not in members:
            found.append(f"options for `{member}`, which is no member of its input")
        if options["operation"] not in reads:
            found.append(f"options from `{options['operation']}`, which is no read of this provider")
    for name in action.said.get("view", {}).get("row_actions", []):
        if name not in all_of_them:
            found.append(f"its view offers `{name}`, which is no action of this provider")
    undo = action.said.get("undo")
    if undo and undo["operation"] not in all_of_them:
        found.append(f"`{undo['operation']}` undoes it, which is no action of this provider")
    if not action.mistakes:
        reader = Reader(action.input_type, set(members))
        for example in action.said.get("examples", []):
            try:
                reader.read(example["input"])
            except ActionError as wrong:
                found.append(f"example `{example['title']}`: {wrong.detail}")
    return found
