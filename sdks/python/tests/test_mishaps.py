"""What handlers do that nobody meant: results that are no JSON, events that cannot be written, functions that hang."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from guichet_provider import ActionError, Context, provider
from guichet_provider import moment
from guichet_provider.bench import Bench, LongRun, Reply
from guichet_provider.journal import Answer
from guichet_provider.replay import Replay

#: A file name that is no UTF-8, as Python gives it.
ODD = os.fsdecode(b"caf\xe9")


class NotWritten(unittest.IsolatedAsyncioTestCase):
    async def test_a_step_whose_result_is_no_json_fails_and_what_was_done_is_undone(self) -> None:
        did: list[str] = []

        async def build(ctx: Context) -> None:
            ctx.undo("a", lambda: did.append("undo a"))
            await ctx.step("a", lambda: did.append("a") or object())

        run = LongRun("build", {})
        outcome = await run.to_its_end(Bench(provider("builder").action("build", build).resumable()))
        self.assertEqual(outcome["status"], "failed")
        self.assertIn("step `a` is done, but its result is no JSON: ", outcome["problem"]["detail"])
        self.assertEqual(did, ["a", "undo a"])

    async def test_a_result_that_is_no_json_is_unknown_and_of_a_resumable_action_a_failure(self) -> None:
        did: list[str] = []

        async def change(ctx: Context) -> float:
            did.append("change")
            return float("nan")

        async def build(ctx: Context) -> float:
            ctx.undo("a", lambda: did.append("undo a"))
            return await ctx.step("a", lambda: 1) + float("nan")

        bench = Bench(provider("odd").action("change", change).action("build", build).resumable())
        with self.assertLogs("guichet_provider", "ERROR"):
            self.assertEqual((await bench.send("change", {})).status, 504)
        outcome = await LongRun("build", {}).to_its_end(bench)
        self.assertEqual(outcome["status"], "failed")
        self.assertIn("done, but the result cannot be written as JSON", outcome["problem"]["detail"])
        self.assertEqual(did, ["change", "undo a"])

    async def test_one_event_that_cannot_be_written_breaks_no_stream(self) -> None:
        moment_of_it = datetime(2026, 1, 2, tzinfo=timezone.utc)
        rows = {"copied": 1}

        async def copy(ctx: Context) -> None:
            ctx.log(f"copies {ODD}")
            ctx.progress(50, f"copies {ODD}")
            ctx.note("at", moment_of_it)
            ctx.note("share", {"of": float("nan")})
            ctx.note("rows", rows)
            rows["copied"] = 2

        bench = Bench(provider("copier").action("copy", copy).long())
        with self.assertLogs("guichet_provider", "ERROR"):
            await bench.send("copy", {}, run="one")
        # Who comes late hears it as it was.
        told = [data for _, data in (await bench.send("copy", {}, run="one")).events()]
        self.assertEqual(
            told,
            [
                {"line": "copies caf?"},
                {"percent": 50.0, "message": "copies caf?"},
                {"name": "at", "state": "noted", "result": "2026-01-02T00:00:00Z"},
                {"name": "share", "state": "noted", "result": None},
                {"name": "rows", "state": "noted", "result": {"copied": 1}},
                {"status": "succeeded", "result": None},
            ],
        )

    async def test_an_exception_in_the_place_of_words_is_told_in_its_words(self) -> None:
        async def change(ctx: Context) -> None:
            raise ActionError.conflict(ValueError(f"{ODD} is there")).next(KeyError("look"))  # type: ignore[arg-type]

        async def worse(ctx: Context) -> None:
            ctx.undo("nothing", lambda: None)
            raise ActionError({**ActionError.conflict("").problem, "detail": "no", "cause": float("inf")})

        bench = Bench(provider("odd").action("change", change).action("worse", worse).resumable())
        with self.assertRaises(ActionError) as told:
            await asyncio.wait_for(bench.call("change", {}), 5)
        self.assertEqual((told.exception.status, told.exception.detail), (409, "caf? is there"))
        self.assertEqual(told.exception.problem["next"], "'look'")
        with self.assertLogs("guichet_provider", "ERROR"):
            outcome = await asyncio.wait_for(LongRun("worse", {}).to_its_end(bench), 5)
        self.assertEqual(outcome["status"], "failed")

    async def test_a_name_that_would_come_back_as_another_is_none(self) -> None:
        async def build(ctx: Context) -> None:
            await ctx.step(ODD, lambda: None)

        run = LongRun("build", {})
        bench = Bench(provider("builder").action("build", build).resumable())
        outcome = await asyncio.wait_for(run.to_its_end(bench), 5)
        self.assertEqual(outcome["problem"]["detail"], "'caf\\udce9' is no name for a step: it has half a character")

    async def test_who_waits_hears_an_end_also_of_what_cannot_be_weighed(self) -> None:
        replay = Replay(moment.now)
        story, _ = replay.enter("odd", "one", "sha256:0", False)
        assert story is not None
        with self.assertLogs("guichet_provider", "ERROR"):
            replay.end("odd", "one", Answer("done", object()), False)
        self.assertEqual((await asyncio.wait_for(story.wait(), 5)).kind, "lost")


@dataclass
class Hang:
    name: str


class Hanging(unittest.IsolatedAsyncioTestCase):
    async def test_a_plain_function_keeps_its_place_until_it_is_over(self) -> None:
        over = threading.Event()
        self.addCleanup(over.set)

        def hang(ctx: Context, hang: Hang) -> str:
            over.wait(30)
            return hang.name

        hanger = provider("hanger").action("hang", hang).read().done()
        hanger.most_calls = 1
        bench = Bench(hanger)
        late = await bench.send("hang", {"name": "a"}, headers={"guichet-deadline-ms": "50"})
        self.assertEqual(late.status, 504)
        # Its caller has gone, and its thread is at work.
        busy = await asyncio.wait_for(bench.send("hang", {"name": "b"}), 5)
        self.assertEqual((busy.status, bench.app.in_threads), (503, 1))
        over.set()
        while bench.app.in_threads:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        self.assertEqual(await bench.call("hang", {"name": "c"}), "c")


SERVED = """
import time
from guichet_provider import provider
def hang(ctx): time.sleep(60)
provider("hanger").action("hang", hang).read().serve()
"""


#: A change that takes a moment.
SLOW = """
import asyncio
from guichet_provider import provider
async def change(ctx):
    print("begun", flush=True)
    await asyncio.sleep(1)
    print("changed", flush=True)
async def stopped():
    print("stopped", flush=True)
provider("hanger").action("change", change).done().at_stop(stopped).serve()
"""


class Over(Bench):
    """A bench whose calls go to a process."""

    address = ("127.0.0.1", 0)

    async def exchange(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        return await asyncio.to_thread(self._exchange, method, path, headers, body)

    def _exchange(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        connection = http.client.HTTPConnection(*self.address, timeout=20)
        connection.request(method, path, body or None, headers)
        answer, reply = connection.getresponse(), Reply()
        reply.status, reply.body = answer.status, answer.read()
        connection.close()
        return reply


class Ending(unittest.IsolatedAsyncioTestCase):
    async def test_a_function_that_hangs_keeps_no_process(self) -> None:
        for asked in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(asked):
                await self.ends(asked)

    async def ends(self, asked: signal.Signals) -> None:
        bench = Over(provider("hanger").action("hang", lambda ctx: None).read())
        started = self.serves(bench, SERVED)
        late = await self.answered(bench, "hang", headers={"guichet-deadline-ms": "50"})
        self.assertEqual(late.status, 504)
        started.send_signal(asked)
        await asyncio.to_thread(started.wait, 20)

    async def test_a_second_sigterm_cuts_no_change_off(self) -> None:
        bench = Over(provider("hanger").action("change", lambda ctx: None))
        started = self.serves(bench, SLOW)
        assert started.stdout is not None
        changing = asyncio.create_task(self.answered(bench, "change"))
        self.assertEqual(await asyncio.to_thread(started.stdout.readline), b"begun\n")
        for _ in range(2):
            started.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        self.assertEqual((await changing).status, 204)
        self.assertEqual(await asyncio.to_thread(started.wait, 20), 0)
        self.assertEqual(started.stdout.read(), b"changed\nstopped\n")

    def serves(self, bench: Over, program: str) -> "subprocess.Popen[bytes]":
        (key,) = bench.app._verifier._keys._ring.values()
        with socket.create_server(("127.0.0.1", 0)) as free:
            Over.address = ("127.0.0.1", free.getsockname()[1])
        told = {
            "GUICHET_LISTEN": f"127.0.0.1:{Over.address[1]}",
            "GUICHET_PUBLIC_KEYS": key.to_paserk(),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        started = subprocess.Popen(
            [sys.executable, "-c", program], env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)
        if started.stdout is not None:
            self.addCleanup(started.stdout.close)
        return started

    async def answered(self, bench: Over, action: str, **more: Any) -> Reply:
        until = time.monotonic() + 20
        while True:
            try:
                return await bench.send(action, {}, **more)
            except ConnectionError:
                self.assertLess(time.monotonic(), until, "it does not listen")
                await asyncio.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
