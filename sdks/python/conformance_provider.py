"""The conformance kit's own actions (docs/conformance.md), in Python.

guichet provider check -- python conformance_provider.py
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field

from guichet_provider import ActionError, Context, Plan, Provider, provider

#: What was done, and how often: the kit asks for it.
effects: Counter[str] = Counter()


class Echo(BaseModel):
    word: str
    times: Annotated[int, Field(ge=1, le=10)] | None = None
    ratio: int | float | None = None
    loud: bool | None = None
    tags: list[str] | None = None


async def echo(ctx: Context, echo: Echo) -> dict[str, Any]:
    who = ctx.principal
    return {
        "input": echo.model_dump(exclude_unset=True),
        "asked_by": {"name": who.name, "kind": who.kind, "teams": who.teams, "agent": who.agent},
        "environment": ctx.environment,
    }


@dataclass
class Named:
    name: str


def count(_: Context, named: Named) -> dict[str, int]:
    return {"count": effects[named.name]}


@dataclass
class Wait:
    milliseconds: Annotated[int, Field(ge=0, le=60_000)]


async def wait(_: Context, wait: Wait) -> None:
    await asyncio.sleep(wait.milliseconds / 1_000)


@dataclass
class Add:
    name: str
    amount: Annotated[int, Field(ge=1, le=100)]
    note: str | None = None
    ratio: float | None = None
    details: Any = None


def may_be_added(name: str) -> None:
    if name.startswith("refused"):
        raise ActionError.conflict(f"`{name}` takes nothing").next("choose another name")


async def plan_add(_: Context, add: Add) -> Plan:
    may_be_added(add.name)
    plan = Plan(f"Add {add.amount} to {add.name}").fact("amount", add.amount).fact("name", add.name)
    return plan.moving_fact("count", effects[add.name]).bound_to({"name": add.name, "amount": add.amount})


async def add(ctx: Context, add: Add) -> dict[str, Any]:
    may_be_added(add.name)
    if add.name.startswith("slow"):
        await asyncio.sleep(1.5)
    effects[add.name] += 1
    if add.name.startswith("broken"):
        raise RuntimeError("it breaks off half-way, as the kit asks")
    return {
        "added": add.amount,
        "count": effects[add.name],
        "run": ctx.run,
        "approved_by": ctx.approved_by,
        "planned": ctx.planned,
    }


@dataclass
class Remove:
    name: str
    reason: str | None = None


def remove(_: Context, remove: Remove) -> None:
    effects[remove.name] += 1


@dataclass
class Tell:
    name: str
    fail: bool = False
    milliseconds: Annotated[int, Field(ge=0, le=60_000)] = 0


async def tell(ctx: Context, tell: Tell) -> dict[str, str]:
    effects[tell.name] += 1
    ctx.log(f"telling {tell.name}")
    ctx.progress(50, "half of it")
    ctx.note("half", 1)
    if await ctx.cancelled(within=tell.milliseconds / 1_000):
        raise ActionError.cancelled()
    if tell.fail:
        raise ActionError.conflict("it was asked to fail")
    return {"told": tell.name}


@dataclass
class Build:
    name: str
    breaks_at: str = ""
    stays: str = ""
    #: Milliseconds between the second and the third step.
    pause: Annotated[int, Field(ge=0)] = 0


async def build(ctx: Context, build: Build) -> list[str]:
    made = []
    for step in ("a", "b", "c"):
        if step == "c" and build.pause:
            await ctx.sleep("settle", build.pause / 1_000)

        def undo(step: str = step) -> None:
            if build.stays == step:
                raise ActionError.conflict(f"{step} is in use")
            effects[f"{build.name}/undo {step}"] += 1

        def work(step: str = step) -> str:
            effects[f"{build.name}/tried {step}"] += 1
            if build.breaks_at == step:
                raise ActionError.refused(f"{step} breaks")
            effects[f"{build.name}/{step}"] += 1
            return step

        ctx.undo(step, undo)
        made.append(await ctx.step(step, work))
    return made


def conformance() -> Provider:
    return (
        provider("conformance")
        .action("conformance-echo", echo)
        .route("GET", "/conformance/{word}/echo")
        .action("conformance-count", count)
        .read()
        .action("conformance-wait", wait)
        .read()
        .action("conformance-add", add)
        .plan(plan_add)
        .fact("amount", int)
        .fact("count", int)
        .fact("name", str)
        .action("conformance-remove", remove)
        .route("DELETE", "/conformance/{name}")
        .action("conformance-tell", tell)
        .long()
        .action("conformance-build", build)
        .resumable()
        .timeout("4h")
        .done()
    )


if __name__ == "__main__":
    conformance().serve()
