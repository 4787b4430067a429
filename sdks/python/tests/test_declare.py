"""What a declaration becomes in the document, and what is told of a wrong one."""

import unittest
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from pydantic import Base64Bytes, BaseModel, Field

from guichet_provider import Action, ActionError, Context, Mistakes, Plan, from_, owner, provider, table, team
from guichet_provider.schema import Reader, to_json


class Size(Enum):
    small = "small"
    large = "large"


@dataclass
class Pause:
    #: The queue to pause.
    name: Annotated[str, Field(description="The queue to pause.")]
    size: Size = Size.small
    seconds: int | None = None


class Queues(BaseModel):
    queues: list[str]


@dataclass
class Blob:
    data: Base64Bytes
    parts: list[Base64Bytes]
    line: bytes
    sign: Base64Bytes | None = None


def keep_blob(ctx: Context, blob: Blob) -> Blob:
    return blob


async def pause(ctx: Context, pause: Pause) -> None:
    ctx.log(pause.name)


async def plan_pause(ctx: Context, pause: Pause) -> Plan:
    return Plan(f"Pause {pause.name}")


def listed(ctx: Context) -> Queues:
    return Queues(queues=["mail"])


def queues() -> Action:
    return (
        provider("queues")
        .action("list", listed)
        .read()
        .view(table("/queues").columns("name").row_actions("pause"))
        .action("pause", pause)
        .plan(plan_pause)
        .approval(team("mail").count(2).because("mail stops").expires("2h"))
        .options("name", from_("list").rows("/queues"))
        .resource("queues/{name}")
        .timeout("15m")
        .example("The mail", {"name": "mail"})
    )


class Declarations(unittest.TestCase):
    def test_the_whole_of_it_is_in_the_document(self) -> None:
        document = queues().document()
        operation = document["paths"]["/actions/pause"]["post"]
        self.assertEqual(
            operation["x-guichet"]["approval"],
            {"by": "team:mail", "count": 2, "because": "mail stops", "expires": "2h"},
        )
        self.assertEqual(operation["x-guichet"]["timeout"], "15m")
        self.assertTrue(operation["x-guichet"]["plan"] and operation["x-guichet"]["remembers"])
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        self.assertEqual(body["required"], ["name"])
        self.assertEqual(body["properties"]["name"]["description"], "The queue to pause.")
        self.assertEqual(body["properties"]["seconds"]["type"], ["integer", "null"])
        self.assertEqual(body["properties"]["name"]["x-guichet"]["options"]["operation"], "list")
        self.assertIs(body["additionalProperties"], False)
        read = document["paths"]["/list"]["get"]
        self.assertEqual(read["x-guichet"]["effect"], "read")
        self.assertEqual(document["x-guichet"]["provider"], "queues")
        queues().check()

    def test_a_decorator_declares_too(self) -> None:
        greeter = provider("greeter")

        @greeter.action("say-hello").approval(owner())
        def say_hello(ctx: Context, pause: Pause) -> str:
            return pause.name

        self.assertEqual(greeter.actions[0].perform, say_hello)
        self.assertEqual(greeter.check().actions[0].said["approval"], {"by": "owner", "count": 1})

    def test_members_with_the_name_of_a_flag_have_another_in_the_flat_input(self) -> None:
        @dataclass
        class Input:
            timeout: int
            name: str

        def stop(ctx: Context, input: Input) -> None: ...

        action = provider("x").action("stop", stop)
        # Defined in here, so that its annotations must be given by hand.
        stop.__annotations__["input"] = Input
        action(stop)
        self.assertEqual((action.flat_name("timeout"), action.flat_name("name")), ("body_timeout", "name"))

    def test_bytes_are_texts_in_base64(self) -> None:
        keep = provider("keeper").action("keep", keep_blob)
        body = keep.document()["paths"]["/actions/keep"]["post"]["requestBody"]["content"]["application/json"]
        members = body["schema"]["properties"]
        base64 = {"type": "string", "contentEncoding": "base64"}
        self.assertEqual(members["data"], base64)
        self.assertEqual(members["parts"]["items"], base64)
        self.assertEqual(members["sign"], {**base64, "type": ["string", "null"], "default": None})
        self.assertEqual(members["line"], {"type": "string"})
        told = {"data": "aGkA/w==", "parts": ["aGk=", ""], "line": "hi \u00e4"}
        blob = Reader(Blob, set(members)).read(told)
        self.assertEqual((blob.data, blob.parts, blob.sign, blob.line), (b"hi\0\xff", [b"hi", b""], None, "hi ä".encode()))
        self.assertEqual(to_json(Blob, blob), {**told, "sign": None})
        with self.assertRaises(ActionError) as wrong:
            Reader(Blob, set(members)).read({**told, "data": "a"})
        self.assertEqual(wrong.exception.problem["errors"][0]["pointer"], "/data")

    def test_what_is_wrong_is_told(self) -> None:
        for declare, told in (
            (lambda: provider("Wrong").action("a", listed).read(), "no name for a provider"),
            (lambda: provider("x").action("Wrong", listed).read(), "lower-case letters"),
            (lambda: provider("x").action("a", listed).read().action("a", listed).read(), "declared twice"),
            (lambda: provider("x").action("a", pause).resource("queues/{nme}"), "`{nme}`"),
            (lambda: provider("x").action("a", listed).read().approval(owner()), "a read has neither"),
            (lambda: provider("x").action("a", pause).route("GET", "/a").change(), "cannot be a GET"),
            (lambda: provider("x").action("a", pause).timeout("25h"), "outside"),
            (lambda: provider("x").action("a", pause).approval(team(" ")), "without a name"),
            (lambda: provider("x").action("a", pause).options("name", from_("b")), "no read"),
            (lambda: provider("x").action("a", pause).example("x", {"name": 7}), "example `x`: /name"),
            (lambda: provider("x").action("a", lambda ctx, input: None), "has no type"),
            (lambda: provider("x").action("a"), "no function"),
        ):
            with self.subTest(told), self.assertRaises(Mistakes) as wrong:
                declare().check()
            self.assertIn(told, str(wrong.exception))
