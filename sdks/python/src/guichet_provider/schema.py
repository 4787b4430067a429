"""From Python types to JSON Schema, and from texts and JSON to values of those types. Pydantic does both."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from . import canonical
from .errors import ActionError

Schema = dict[str, Any]
_DEEPEST = 32


class _Plain(GenerateJsonSchema):
    """Without titles: the gateway has names enough. Bytes are what they are on the wire."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def bytes_schema(self, schema: Any) -> Schema:
        # Bare bytes are a text in UTF-8 here; `format: binary` would say that they are anything.
        return {name: said for name, said in super().bytes_schema(schema).items() if name != "format"}


def handler_types(function: Callable[..., Any]) -> tuple[Any, Any]:
    """The types of a handler's input and result; ``None`` for a handler that takes the context alone."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ValueError(f"its annotations cannot be read: {error}") from None
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= 2:
        raise ValueError("its function takes the context and one input: `async def f(ctx, input: Input)`")
    if len(parameters) == 1:
        return None, hints.get("return", Any)
    if parameters[1].name not in hints:
        raise ValueError(f"its input `{parameters[1].name}` has no type: write a dataclass or a pydantic model")
    return hints[parameters[1].name], hints.get("return", Any)


def of_input(kind: Any, definitions: dict[str, Schema]) -> Schema:
    """The schema of an input type: an object that takes no further members. Raises ``ValueError``."""
    if kind is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    schema = _of(kind, "validation", definitions)
    for _ in range(8):
        name = schema.get("$ref", "").rpartition("/")[2]
        if name not in definitions:
            break
        schema = definitions[name]
    if schema.get("type") != "object" or "properties" not in schema:
        raise ValueError("its input type is no dataclass and no pydantic model with fields")
    schema = {name: value for name, value in schema.items() if name not in ("title", "description")}
    # A misspelt member must be told, not dropped.
    schema["additionalProperties"] = False
    return schema


def of_result(kind: Any, definitions: dict[str, Schema]) -> Schema:
    """The schema of a result; it says nothing where the type cannot be told."""
    if kind is Any:
        return {}
    try:
        return _of(kind, "serialization", definitions)
    except Exception:
        return {}


def of_fact(kind: Any) -> Schema:
    """The schema of a fact that policies read: a boolean, a whole number, a text, or a list of one of them.

    Raises ``ValueError``.
    """
    told = _of(kind, "serialization", {})
    named = told.get("items", {}) if told.get("type") == "array" else told
    if named.get("type") not in ("boolean", "integer", "string"):
        raise ValueError(f"policies read no `{kind}`: only bool, int, str, and lists of them")
    return told


def _of(kind: Any, mode: Any, definitions: dict[str, Schema]) -> Schema:
    schema: Schema = TypeAdapter(kind).json_schema(
        ref_template="#/components/schemas/{model}", schema_generator=_Plain, mode=mode
    )
    for name, definition in schema.pop("$defs", {}).items():
        definitions.setdefault(name, _flat_null(definition))
    flat: Schema = _flat_null(schema)
    return flat


def _flat_null(schema: Any) -> Any:
    """``anyOf: [{type: integer}, {type: null}]`` as ``type: [integer, null]``, which is easier to read for everybody."""
    if isinstance(schema, list):
        return [_flat_null(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: _flat_null(value) for name, value in schema.items()}
    if schema.get("type") == "string" and schema.get("format") in ("base64", "base64url"):
        # What pydantic calls a format, JSON Schema calls an encoding.
        schema["contentEncoding"] = schema.pop("format")
    branches = schema.get("anyOf")
    if isinstance(branches, list) and len(branches) == 2 and branches[1] == {"type": "null"}:
        first = branches[0]
        if isinstance(first.get("type"), str) and not {"enum", "const"} & first.keys():
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            return {**first, **rest, "type": [first["type"], "null"]}
    return schema


def without_null(schema: Schema) -> Schema:
    """Without ``null``: in a path or a query, what is absent is null."""
    schema = dict(schema)
    kinds = schema.get("type")
    if isinstance(kinds, list):
        kinds = [kind for kind in kinds if kind != "null"]
        schema["type"] = kinds[0] if len(kinds) == 1 else kinds
    if isinstance(schema.get("enum"), list):
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    if isinstance(schema.get("anyOf"), list):
        branches = [branch for branch in schema["anyOf"] if branch.get("type") != "null"]
        if len(branches) == 1:
            del schema["anyOf"]
            schema = {**branches[0], **schema}
        else:
            schema["anyOf"] = branches
    return schema


def takes(schema: Schema, kind: str, definitions: dict[str, Schema], depth: int = 0) -> bool:
    """Whether a schema says plainly that a value may be of this type."""
    schema = _resolve(schema, definitions)
    named = schema.get("type")
    if named == kind or (isinstance(named, list) and kind in named):
        return True
    branches = [b for word in ("anyOf", "oneOf", "allOf") for b in schema.get(word, [])]
    return depth < 8 and any(takes(branch, kind, definitions, depth + 1) for branch in branches)


def _resolve(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    for _ in range(16):
        name = schema.get("$ref", "").rpartition("/")[2]
        if name not in definitions:
            break
        schema = definitions[name]
    return schema


class Coerce:
    """A text from path or query as the value its schema asks for, by the rules of "The flat input" in the protocol."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self._definitions = definitions

    def texts(self, schema: Schema, texts: list[str]) -> Any:
        """Texts that came under one name."""
        if len(texts) == 1:
            return self.text(schema, texts[0])
        return self._items(self._list_schema(schema, 0) or schema, texts, 0)

    def text(self, schema: Schema, text: str) -> Any:
        """One text. What does not fit stays a text, so that validation names it."""
        value = self._fit(schema, text, 0)
        return text if value is _NOTHING else value

    def _fit(self, schema: Any, text: str, depth: int) -> Any:
        if depth > _DEEPEST or not isinstance(schema, dict):
            return text if schema is True else _NOTHING
        if "$ref" in schema:
            return self._fit(_resolve(schema, self._definitions), text, depth + 1)
        if "const" in schema:
            return _matching(schema["const"], text)
        if isinstance(schema.get("enum"), list):
            return _first(_matching(choice, text) for choice in schema["enum"])
        kinds = _kinds(schema)
        if kinds:
            found = _first(self._as(schema, kind, kinds, text, depth) for kind in kinds if kind != "null")
            if found is _NOTHING and "null" in kinds and text in ("null", ""):
                return None
            return found
        for word in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(word), list):
                fitting = [self._fit(branch, text, depth + 1) for branch in schema[word]]
                fitting = [value for value in fitting if value is not _NOTHING]
                return min(fitting, key=lambda value: _rank(value, text), default=_NOTHING)
        found = _container(text)
        return text if found is _NOTHING else found

    def _as(self, schema: Schema, kind: str, kinds: list[str], text: str, depth: int) -> Any:
        if kind == "integer":
            number = _number(text)
            return number if isinstance(number, int) else _NOTHING
        if kind == "number":
            return _number(text)
        if kind == "boolean":
            return {"true": True, "false": False}.get(text, _NOTHING)
        if kind == "object":
            found = _container(text)
            return found if isinstance(found, dict) else _NOTHING
        if kind == "array":
            found = _container(text)
            if isinstance(found, list):
                return found
            return _NOTHING if "string" in kinds else self._items(schema, [text], depth)
        return text if kind == "string" else _NOTHING

    def _items(self, schema: Schema, texts: list[str], depth: int) -> list[Any]:
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        items = []
        for position, text in enumerate(texts):
            value = self._fit(first[position] if position < len(first) else rest, text, depth + 1)
            items.append(text if value is _NOTHING else value)
        return items

    def _list_schema(self, schema: Any, depth: int) -> Schema | None:
        if depth > _DEEPEST or not isinstance(schema, dict):
            return None
        here: Schema = _resolve(schema, self._definitions)
        if "array" in _kinds(here):
            return here
        branches = [b for word in ("anyOf", "oneOf", "allOf") for b in here.get(word, [])]
        return next((found for b in branches if (found := self._list_schema(b, depth + 1))), None)


class _Nothing:
    pass


_NOTHING = _Nothing()


def _first(values: Any) -> Any:
    return next((value for value in values if value is not _NOTHING), _NOTHING)


def _kinds(schema: Schema) -> list[str]:
    named = schema.get("type")
    if named is None:
        named = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
    named = [named] if isinstance(named, str) else named
    order = ("integer", "number", "boolean", "object", "array", "string", "null")
    return [kind for kind in order if kind in named]


def _number(text: str) -> Any:
    if text.strip() != text:
        return _NOTHING
    try:
        value = canonical.loads(text)
    except ValueError:
        return _NOTHING
    whole = re.fullmatch(r"[0-9-]*", text) is not None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (whole and isinstance(value, float)):
        return _NOTHING
    return value


def _container(text: str) -> Any:
    if not text.lstrip().startswith(("[", "{")):
        return _NOTHING
    try:
        return canonical.loads(text)
    except ValueError:
        return _NOTHING


def _matching(choice: Any, text: str) -> Any:
    if isinstance(choice, str):
        return choice if choice == text else _NOTHING
    try:
        value = canonical.loads(text)
    except ValueError:
        return _NOTHING
    return choice if type(value) is type(choice) and value == choice else _NOTHING


def _rank(value: Any, text: str) -> int:
    if isinstance(value, str):
        return 1
    if isinstance(value, list) and not text.lstrip().startswith("["):
        return 2
    return 3 if value is None else 0


class Reader:
    """Checks a flat input and makes it a value of the handler's type."""

    def __init__(self, kind: Any, members: set[str]) -> None:
        self._adapter = None if kind is None else TypeAdapter(kind)
        self._members = members

    def read(self, flat: dict[str, Any]) -> Any:
        """The value. Raises `ActionError` with a pointer to each wrong member, ten at most."""
        unknown = [name for name in flat if name not in self._members]
        errors = [{"pointer": _pointer([name]), "message": "the input has no such member"} for name in unknown]
        value = None
        if self._adapter is not None:
            known = {name: value for name, value in flat.items() if name in self._members}
            try:
                value = self._adapter.validate_json(canonical.dumps(known), strict=True)
            except ValidationError as wrong:
                for error in wrong.errors(include_url=False, include_input=False, include_context=False):
                    errors.append({"pointer": _pointer(_within(known, error)), "message": error["msg"]})
        if errors:
            first = errors[0]
            raise ActionError.of(
                "invalid-input", f"{first['pointer'] or 'the input'}: {first['message']}", errors=errors[:10]
            )
        return value


def _within(flat: Any, error: Any) -> list[str]:
    """The part of pydantic's place that is a place in the input: it also names branches of unions."""
    way: list[str] = []
    here = flat
    for part in error["loc"]:
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not (error["type"] == "missing" and part == error["loc"][-1]):
            continue
        way.append(str(part))
    return way


def _pointer(way: list[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in way)


def to_json(kind: Any, result: Any) -> Any:
    """A handler's result as JSON. Raises ``ValueError`` when it is none."""
    adapter: TypeAdapter[Any] = TypeAdapter(Any if kind in (None, type(None)) else kind)
    return canonical.loads(json.dumps(adapter.dump_python(result, mode="json"), allow_nan=False))
