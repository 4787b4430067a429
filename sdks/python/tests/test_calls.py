"""Calls through the application, on the bench."""

import asyncio
import json
import unittest
from dataclasses import dataclass
from typing import Any

from guichet_provider import ActionError, Context, Keys, Mistakes, Plan, Principal, Settings, provider
from guichet_provider.bench import Bench


@dataclass
class Stop:
    identifier: str
    pid: int
    force: bool = False


class Shop:
    def __init__(self) -> None:
        self.stopped: list[int] = []

    async def stop(self, ctx: Context, stop: Stop) -> dict[str, Any]:
        if stop.identifier == "slow":
            await asyncio.sleep(0.2)
        if stop.identifier == "broken":
            raise KeyError("broken")
        if stop.identifier == "none":
            raise ActionError.not_found("there is no `none`").next("look at the list")
        if stop.identifier == "passed on":
            raise ActionError.of("provider-busy", "the other has no room").next("try again")
        self.stopped.append(stop.pid)
        return {"pid": stop.pid, "planned": ctx.planned, "by": ctx.principal.name}

    async def plan_stop(self, ctx: Context, stop: Stop) -> Plan:
        plan = Plan(f"Stop {stop.pid}").fact("user", "ada").bound_to({"started": 7})
        return plan.fact("user", "bob") if stop.pid == 13 else plan

    def look(self, ctx: Context, stop: Stop) -> list[Any]:
        return [stop.identifier, stop.pid, stop.force]

    def bench(self) -> Bench:
        return Bench(
            provider("shop")
            .action("stop", self.stop)
            .plan(self.plan_stop)
            .action("look", self.look)
            .route("GET", "/instances/{identifier}"),
            Principal("grace"),
        )


class Calls(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.shop = Shop()

    async def test_a_read_gathers_path_and_query(self) -> None:
        result = await self.shop.bench().call("look", {"identifier": "a/b c", "pid": 7, "force": True})
        self.assertEqual(result, ["a/b c", 7, True])

    async def test_a_plan_and_what_it_is_bound_to(self) -> None:
        bench = self.shop.bench()
        plan = await bench.plan("stop", {"identifier": "a", "pid": 7})
        self.assertEqual(plan["sentence"], "Stop 7")
        done = await bench.perform("stop", {"identifier": "a", "pid": 7}, plan)
        self.assertEqual(done, {"pid": 7, "planned": {"started": 7}, "by": "grace"})
        with self.assertRaises(ActionError) as twice:
            await bench.plan("stop", {"identifier": "a", "pid": 13})
        self.assertIn("more than one fact called `user`", twice.exception.detail)

    async def test_another_document_is_offered_while_it_runs(self) -> None:
        bench = self.shop.bench()
        tag = bench.app.etag
        under_way = asyncio.ensure_future(bench.send("stop", {"identifier": "slow", "pid": 7}))
        while not bench.app._tasks:
            await asyncio.sleep(0)
        with self.assertRaises(Mistakes):
            bench.app.renew(provider("shop").action("Wrong", self.shop.look).done())
        with self.assertRaisesRegex(ValueError, "not `other`"):
            bench.app.renew(provider("other").action("look", self.shop.look).done())
        self.assertEqual(bench.app.etag, tag)
        bench.provider = provider("shop").action("see", self.shop.look).route("GET", "/see/{identifier}").done()
        bench.app.renew(bench.provider)
        self.assertEqual((await under_way).result()["pid"], 7)
        seen = await bench.send("see", {"identifier": "a", "pid": 7})
        self.assertEqual(seen.result(), ["a", 7, False])
        self.assertNotEqual(bench.app.etag, tag)
        self.assertEqual(seen.headers["guichet-document"], bench.app.etag)

    async def test_the_same_key_is_done_once(self) -> None:
        bench = self.shop.bench()
        slow = {"identifier": "slow", "pid": 7}
        first, second = await asyncio.gather(*(bench.send("stop", slow, run="one") for _ in range(2)))
        self.assertEqual((first.body, self.shop.stopped), (second.body, [7]))
        other = await bench.send("stop", {"identifier": "slow", "pid": 8}, run="one")
        self.assertEqual(other.status, 409)

    async def test_a_change_goes_on_when_its_caller_goes_away(self) -> None:
        bench = self.shop.bench()
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(bench.send("stop", {"identifier": "slow", "pid": 7}, run="one"), 0.05)
        self.assertEqual(await bench.app.drain(5), 0)
        self.assertEqual(self.shop.stopped, [7])

    async def test_not_done_and_unknown_are_two_things(self) -> None:
        bench = self.shop.bench()
        refused = await bench.send("stop", {"identifier": "none", "pid": 7})
        self.assertEqual((refused.status, refused.headers["content-type"]), (404, "application/problem+json"))
        begun = await bench.send("stop", {"identifier": "passed on", "pid": 7})
        # Who began cannot say that the call was not taken.
        told = json.loads(begun.body)
        self.assertEqual((begun.status, told["code"], told["next"]), (503, "provider-failed", "try again"))
        with self.assertLogs("guichet_provider", "ERROR"):
            broken = await bench.send("stop", {"identifier": "broken", "pid": 7})
        self.assertEqual((broken.status, broken.headers["content-type"]), (504, "text/plain; charset=utf-8"))

    async def test_what_is_wrong_has_a_pointer(self) -> None:
        bench = self.shop.bench()
        for input, pointer in (
            ({"identifier": "a", "pid": "7"}, "/pid"),
            ({"identifier": "a"}, "/pid"),
            ({"identifier": 1, "pid": 7}, "/identifier"),
            ({"identifier": "a", "pid": 7, "fource": True}, "/fource"),
        ):
            wrong = await bench.send("stop", input)
            problem = __import__("json").loads(wrong.body)
            self.assertEqual((wrong.status, problem["errors"][0]["pointer"]), (422, pointer))
        self.assertEqual(self.shop.stopped, [])

    async def test_who_is_not_the_gateway_is_refused(self) -> None:
        bench = self.shop.bench()
        good = {"identifier": "a", "pid": 7}
        for wrong in (
            {"claims": {"aud": "other"}},
            {"claims": {"action": "look"}},
            {"claims": {"exp": "2020-01-01T00:00:00Z"}},
            {"claims": {"run": "another"}},
            {"claims": {"input": None}},
            {"claims": {"sub": None}},
            {"headers": {"authorization": None}},
            {"headers": {"authorization": "Bearer v4.public.x.y"}},
        ):
            self.assertEqual((await bench.send("stop", good, **wrong)).status, 401, wrong)
        self.assertEqual(self.shop.stopped, [])

    async def test_it_mounts_beside_an_application(self) -> None:
        bench = self.shop.bench()
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/guichet/openapi.json",
            "raw_path": b"/guichet/openapi.json",
            "root_path": "/guichet",
            "query_string": b"",
            "headers": [],
        }
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            sent.append(message)

        await bench.app(scope, receive, send)
        self.assertEqual(sent[0]["status"], 200)

    def test_settings_are_told_by_the_environment(self) -> None:
        settings = Settings.from_env({"GUICHET_GATEWAY": "http://127.0.0.1:7000/"})
        self.assertEqual((settings.host, settings.port), ("127.0.0.1", 7100))
        for wrong in (
            {},
            {"GUICHET_PUBLIC_KEYS": "k4.public.x"},
            {"GUICHET_GATEWAY": "gateway"},
            {"GUICHET_LISTEN": "7100", "GUICHET_GATEWAY": "http://x"},
        ):
            with self.assertRaises(ValueError):
                Settings.from_env(wrong)
        self.assertRaises(ValueError, Keys.fixed, "k4.secret.AAAA")
