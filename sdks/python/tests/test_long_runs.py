"""Steps, pauses, compensations and cancelling, on the bench."""

import asyncio
import unittest
from dataclasses import dataclass

from guichet_provider import ActionError, Context, provider
from guichet_provider.bench import Bench, LongRun


@dataclass
class Build:
    breaks_at: str = ""
    stays: str = ""
    pause: float = 0.0


class World:
    """What was done, by all processes together."""

    def __init__(self) -> None:
        self.did: list[str] = []

    async def build(self, ctx: Context, build: Build) -> list[str]:
        made = []
        for name in ("a", "b", "c"):
            if name == "c" and build.pause:
                await ctx.sleep("settle", build.pause)

            async def undo(name: str = name) -> None:
                if build.stays == name:
                    raise ActionError.conflict(f"{name} is in use")
                self.did.append(f"undo {name}")

            async def work(name: str = name) -> str:
                if build.breaks_at == name:
                    raise ActionError.refused(f"{name} breaks")
                self.did.append(name)
                return name

            ctx.undo(name, undo)
            made.append(await ctx.step(name, work))
        return made

    def bench(self) -> Bench:
        return Bench(provider("builder").action("build", self.build).resumable().timeout("4h"))


class LongRuns(unittest.IsolatedAsyncioTestCase):
    def setUp(self) -> None:
        self.world = World()

    async def test_each_call_may_meet_another_process(self) -> None:
        run = LongRun("build", {})
        for status in ("noted", "noted", "noted", "succeeded"):
            outcome = await run.call(self.world.bench())
            self.assertEqual(outcome and outcome["status"], status)
        self.assertEqual((self.world.did, run.done()), (["a", "b", "c"], ["a", "b", "c"]))

    async def test_a_step_that_was_not_handed_back_is_told_again_and_not_done_again(self) -> None:
        bench, run = self.world.bench(), LongRun("build", {})
        await run.call(bench)
        run.journal.clear()
        await run.call(bench)
        self.assertEqual((run.done(), self.world.did), (["a", "a"], ["a"]))

    async def test_a_failure_undoes_in_reverse_and_says_what_stays(self) -> None:
        run = LongRun("build", {"breaks_at": "c", "stays": "a"})
        outcome = await run.to_its_end(self.world.bench())
        self.assertEqual(outcome["problem"]["detail"], "c breaks; NOT undone: a (a is in use)")
        self.assertEqual(self.world.did, ["a", "b", "undo c", "undo b"])

    async def test_undoing_goes_on_in_another_process_also_behind_a_pause(self) -> None:
        run = LongRun("build", {"breaks_at": "c", "pause": 0.3})
        first = self.world.bench()
        while "guichet: undoing" not in run.journal:
            outcome = await run.call(first)
            if outcome and outcome["status"] == "waiting":
                await asyncio.sleep(0.35)
        outcome = await run.to_its_end(self.world.bench())
        self.assertEqual(outcome["problem"]["detail"], "c breaks")
        self.assertEqual(self.world.did, ["a", "b", "undo c", "undo b", "undo a"])

    async def test_a_pause_ends_the_call_and_a_cancel_ends_the_pause(self) -> None:
        run = LongRun("build", {"pause": 3_600.0})
        outcome = await run.to_its_end(self.world.bench())
        self.assertEqual((outcome["status"], outcome["name"]), ("waiting", "settle"))
        again = await run.to_its_end(self.world.bench())
        self.assertEqual(again["until"], outcome["until"])
        run.cancelled = True
        self.assertEqual(await run.to_its_end(self.world.bench()), {"status": "cancelled", "problem": None})
        self.assertEqual(self.world.did, ["a", "b", "undo b", "undo a"])

    async def test_a_process_that_ends_leaves_the_next_step_to_another(self) -> None:
        first, run = self.world.bench(), LongRun("build", {})
        await run.call(first)
        self.assertEqual(await first.app.drain(5), 0)
        self.assertIsNone(await run.call(first))
        self.assertEqual((await run.to_its_end(self.world.bench()))["status"], "succeeded")
        self.assertEqual(self.world.did, ["a", "b", "c"])

    async def test_names_are_unique_results_small_and_the_journal_bounded(self) -> None:
        async def twice(ctx: Context) -> None:
            await ctx.step("same", lambda: 1)
            await ctx.step("same", lambda: 2)

        async def large(ctx: Context) -> str:
            return await ctx.step("large", lambda: "x" * 70_000)

        async def many(ctx: Context) -> None:
            for number in range(1_001):
                await ctx.step(f"step {number}", lambda: None)

        bench = Bench(
            provider("odd")
            .action("twice", twice)
            .resumable()
            .action("large", large)
            .resumable()
            .action("many", many)
            .resumable()
        )
        full = LongRun("many", {})
        full.journal = {f"step {number}": None for number in range(1_000)}
        for run, told in (
            (LongRun("twice", {}), "two steps of this run are named `same`"),
            (LongRun("large", {}), "its result has 70002 bytes"),
            (full, "has room for 1000 steps"),
        ):
            self.assertIn(told, (await run.to_its_end(bench))["problem"]["detail"])
