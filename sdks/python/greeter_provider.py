"""A program with a page of its own and a provider beside it, which the gateway's own tests start, kill and drain.

It works in the folder it is started in, which all of its processes share; their places are
``crates/server/tests/process/greeters.rs``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from guichet_provider import App, Context, Settings, provider


@dataclass
class Greeting:
    name: str


async def hello(_: Context) -> int:
    await asyncio.sleep(0.02)
    return os.getpid()


async def greet(_: Context, greeting: Greeting) -> int:
    """Each is noted in a file that all processes share."""
    await asyncio.sleep(0.05)
    with open("greeted", "a", encoding="utf-8") as greeted:
        greeted.write(greeting.name + "\n")
    return os.getpid()


async def home(_: Request) -> PlainTextResponse:
    return PlainTextResponse("at home")


def greeter() -> App:
    greeter = provider("greeter").action("hello", hello).read().action("greet", greet).resource("greeter/guests")
    guichet: App = greeter.app()
    return guichet


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    settings, guichet = Settings.from_env(), greeter()
    program = Starlette(routes=[Route("/", home), Mount("/guichet", app=guichet)], lifespan=guichet.lifespan)
    uvicorn.run(
        program,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=30,
        timeout_keep_alive=75,
    )
