"""Registering: what a gateway hears, by what it answers; the whole of it against the real one is in the gateway's tests."""

import asyncio
import contextlib
import json
import os
import signal
import tempfile
import threading
import unittest
import urllib.request
from collections.abc import AsyncIterator, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from guichet_provider import Action, Context, Keys, Mistakes, Plan, Registration, Settings, provider, registration

VECTORS = json.loads(Path(__file__).parents[2].joinpath("vectors.json").read_text("utf-8"))
OWN = "http://127.0.0.1:7100"
TAKEN = (200, {"provider": "shop", "lease_until": "2026-11-22T00:00:00Z", "environment": "staging"})
NO = (403, {"title": "No", "status": 403, "code": "refused", "detail": "no policy permits it", "next": "ask ops"})


def look(_: Context) -> str:
    return "seen"


def shop() -> Action:
    return provider("shop").action("look", look).read()


class Counter:
    """A gateway that answers as the test tells it to: each call with the first of its answers, which goes unless it is the last."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []
        self.said: list[Any] = []
        counter = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                counter.calls.append(f"{self.command} {self.path} {self.headers['Authorization']}")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                counter.said.append(json.loads(body) if body else None)
                answer = counter.answers.pop(0) if len(counter.answers) > 1 else counter.answers[0]
                if answer is None:
                    # It hangs up.
                    self.close_connection = True
                    return
                status, said = answer
                self.send_response(status)
                if isinstance(said, str):
                    self.send_header("Location", said)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            do_GET = do_PUT = do_DELETE = do_CONNECT = answer

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Counter":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    async def heard(self, calls: int) -> None:
        for _ in range(1_000):
            if len(self.calls) >= calls:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{calls} calls are waited for: {self.calls}")


class Registering(unittest.IsolatedAsyncioTestCase):
    def test_where_a_token_goes_and_how_long_a_pause_is(self) -> None:
        told = VECTORS["registering"]

        def taken(*arguments: Any, **named: Any) -> bool:
            try:
                return bool(Registration(*arguments, **named))
            except ValueError as error:
                self.assertNotRegex(str(error), "secret|se/cret")
                return False

        for case in told["gateways"]:
            self.assertEqual(taken(case["url"], "t", OWN, insecure=case["insecure"]), case["taken"], case)
        # Its password would be read as a port, and the error would show it.
        self.assertFalse(taken("https://ada:secret@gate.example", "t", OWN))
        with self.assertRaisesRegex(ValueError, "^an address with a user name or a password is no URL of a gateway"):
            Keys.from_gateway("https://ada:secret@gate.example")
        for case in told["own"]:
            self.assertEqual(taken("https://gate", "t", case["url"]), case["taken"], case)
        for case in told["leases"]:
            self.assertEqual(taken("https://gate", "secret", OWN, lease_seconds=case["seconds"]), case["taken"], case)
        for case in told["pauses"]:
            pause = registration.pause(case["lease_seconds"], case["failures"])
            self.assertEqual(round(pause * 1_000), case["milliseconds"], case)
        pauses = [registration.spread(10) for _ in range(50)]
        self.assertTrue(8 <= min(pauses) < max(pauses) <= 10, pauses)
        self.assertNotIn("secret", repr(Registration("https://gate", "secret", OWN)))

    def test_how_it_registers_is_told_by_the_environment(self) -> None:
        gateway, token = {"GUICHET_GATEWAY": "http://127.0.0.1:7000/"}, {"GUICHET_TOKEN": "t"}
        self.assertIsNone(Settings.from_env(gateway).registration)
        for good in (
            token,
            {"GUICHET_TOKEN_FILE": "/run/token"},
            token | {"GUICHET_LEASE_SECONDS": "10"},
            token | {"GUICHET_LISTEN": "0.0.0.0:1", "GUICHET_URL": "http://10.0.0.1:1"},
        ):
            self.assertIsNotNone(Settings.from_env(gateway | good).registration, good)
        for told, wrong in (
            ("no gateway", token | {"GUICHET_PUBLIC_KEYS": VECTORS["token"]["public"]}),
            ("set GUICHET_URL", token | gateway | {"GUICHET_LISTEN": "0.0.0.0:7100"}),
            ("cannot be told", token | gateway | {"GUICHET_LISTEN": "127.0.0.1:0"}),
            ("no number of seconds", token | gateway | {"GUICHET_LEASE_SECONDS": "soon"}),
            ("10 to 300 seconds", token | gateway | {"GUICHET_LEASE_SECONDS": "5"}),
            ("GUICHET_INSECURE=true", token | {"GUICHET_GATEWAY": "http://gateway.example"}),
            ("is not of the form", token | gateway | {"GUICHET_URL": "7100"}),
        ):
            with self.subTest(told), self.assertRaisesRegex(ValueError, told):
                Settings.from_env(wrong)

    async def test_it_says_that_it_is_there_until_it_takes_leave(self) -> None:
        answers = (NO, NO, (500, "oh"), None, TAKEN, TAKEN, (204, None))
        with Counter(*answers) as gateway, tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "token")
            file.write_text("secret-one\n")
            kept = Registration(f"{gateway.url}/prefix/", file, f"{OWN}/guichet/")
            kept.lease_seconds = 1  # Pauses of a third of a second.
            with self.assertLogs("guichet_provider", "INFO") as log:
                keeping = asyncio.create_task(kept.keep("shop", lambda: '"etag"', lambda: True))
                await gateway.heard(1)
                file.write_text("secret-two\n")
                await gateway.heard(6)
                keeping.cancel()
                began = asyncio.get_running_loop().time()
                await kept.leave("shop")
                lingered = asyncio.get_running_loop().time() - began
        where = "/prefix/v1/providers/shop"
        self.assertEqual(
            gateway.calls,
            [f"PUT {where} Bearer secret-one"]
            + [f"PUT {where} Bearer secret-two"] * 5
            + [f"DELETE {where}/instances/{kept.instance} Bearer secret-two"],
        )
        said = {"instance": kept.instance, "url": f"{OWN}/guichet", "document": '"etag"', "lease_seconds": 1}
        self.assertEqual(gateway.said[5], said)
        self.assertTrue(2 <= lingered < 5, lingered)
        told = "\n".join(log.output)
        for once in (
            "no policy permits it (refused): ask ops",
            "it answers 500",
            "registered provider shop",
            "sends nothing more",
        ):
            self.assertEqual(told.count(once), 1, told)
        self.assertNotIn("secret", told)

    async def test_a_token_goes_to_nobody_else(self) -> None:
        with Counter(TAKEN) as other, Counter((307, f"{other.url}/v1/providers/shop")) as gateway:
            with mock.patch.dict(os.environ, {"http_proxy": other.url, "HTTP_PROXY": other.url, "no_proxy": ""}):
                kept = Registration(gateway.url, "secret", OWN)
                with self.assertRaisesRegex(Exception, "307"):
                    await kept._say("shop", "etag")
            self.assertEqual((len(gateway.calls), other.calls), (1, []))
        for token, told in (("secret\x00", "no token has"), (Path("/none/token"), "No such file")):
            with self.assertRaisesRegex(Exception, told) as wrong:
                await Registration(gateway.url, token, OWN)._say("shop", "etag")
            self.assertNotIn("secret", str(wrong.exception))

    async def test_what_is_no_address_after_all_is_no_answer(self) -> None:
        proxy = {"https_proxy": "http:/ada:secret@proxy", "no_proxy": ""}
        for gateway, environment, told in (
            ("https://gate..example", {}, "label"),
            (f"https://{'g' * 64}.example", {}, "label"),
            ("https://gate.example", proxy, "^ValueError$"),
        ):
            with self.subTest(gateway), mock.patch.dict(os.environ, environment):
                with self.assertRaisesRegex(registration._NotTaken, told):
                    await Registration(gateway, "t", OWN)._say("shop", "etag")
                with self.assertLogs("guichet_provider", "WARNING") as log, self.assertRaisesRegex(Exception, told):
                    await Keys.from_gateway(gateway).find("k4.pid.none")
                self.assertNotIn("secret", log.output[0])

    async def test_it_goes_on_also_where_its_own_address_has_no_name(self) -> None:
        with (
            Counter(TAKEN) as gateway,
            mock.patch.object(registration, "LISTENS", (0.1, 0.01)),
            self.assertLogs("guichet_provider", "INFO"),
        ):
            keeping = asyncio.create_task(Registration(gateway.url, "t", "http://own..example").keep("shop", lambda: "etag"))
            await gateway.heard(1)
            await asyncio.sleep(0.05)
            keeping.cancel()

    async def test_it_ends_also_when_it_is_told_to_as_an_answer_comes(self) -> None:
        for turns in range(8):
            answers = asyncio.Event()

            async def answered(*_: Any, to: asyncio.Event = answers) -> bytes:
                await to.wait()
                return b"{}"

            with mock.patch.object(asyncio, "to_thread", answered), self.subTest(turns):
                keeping = asyncio.create_task(Registration("https://gate", "t", OWN).keep("shop", lambda: "etag", lambda: True))
                await asyncio.sleep(0.25)
                answers.set()
                for _ in range(turns):
                    await asyncio.sleep(0)
                keeping.cancel()
                await asyncio.wait({keeping}, timeout=0.1)
                self.assertTrue(keeping.cancelled())

    async def test_a_gateway_that_hangs_is_no_answer(self) -> None:
        holds = threading.Event()

        class Silent(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                holds.wait(5)

            def log_message(self, *_: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with (
            mock.patch.object(registration, "CALL", 0.3),
            self.assertRaisesRegex(Exception, "did not answer|timed out"),
        ):
            await Registration(f"http://127.0.0.1:{server.server_port}", "t", OWN)._say("shop", "etag")
        holds.set()
        server.shutdown()
        server.server_close()


def free_port() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return server.server_port


class Beside(unittest.TestCase):
    """A program with pages of its own, served by uvicorn, and the provider beside them."""

    def serves(self, program: Callable[[Any], Any]) -> list[str]:
        told: list[str] = []

        async def started() -> None:
            told.append("start")

        async def stopped() -> None:
            told.append("stop")

        with Counter(TAKEN) as gateway:
            port = free_port()
            home = f"http://127.0.0.1:{port}"
            offered = shop().done().at_start(started).at_stop(stopped)
            guichet = offered.app(Keys.from_gateway(gateway.url), Registration(gateway.url, "t", f"{home}/guichet"))
            server = uvicorn.Server(uvicorn.Config(program(guichet), port=port, log_level="error"))

            def get(path: str) -> str:
                with urllib.request.urlopen(home + path, timeout=5) as answer:
                    return str(answer.read().decode())

            def visit() -> None:
                try:
                    asyncio.run(gateway.heard(1))
                    told.append(get("/"))
                    told.append(get("/guichet/healthz"))
                    self.assertIn('"shop"', get("/guichet/openapi.json"))
                    os.kill(os.getpid(), signal.SIGTERM)
                    asyncio.run(gateway.heard(2))
                    told.append(get("/guichet/healthz"))
                except Exception as error:
                    told.append(repr(error))
                    server.should_exit = True

            visitor = threading.Thread(target=visit)
            visitor.start()
            # The server raises the signal again when it has ended.
            before = signal.signal(signal.SIGTERM, lambda *_: told.append("told to stop"))
            try:
                server.run()
            finally:
                visitor.join()
                signal.signal(signal.SIGTERM, before)
        where = "/v1/providers/shop"
        instance = guichet.registration.instance
        self.assertEqual(gateway.calls, [f"PUT {where} Bearer t", f"DELETE {where}/instances/{instance} Bearer t"])
        return told

    def test_under_starlette_it_takes_leave_before_the_server_stops(self) -> None:
        async def home(_: Request) -> PlainTextResponse:
            return PlainTextResponse("at home")

        def program(guichet: Any) -> Any:
            return Starlette(routes=[Route("/", home), Mount("/guichet", app=guichet)], lifespan=guichet.lifespan)

        told = self.serves(program)
        self.assertEqual(told, ["start", "at home", "ok\n", "ok\n", "stop", "told to stop"])

    def test_within_a_lifespan_of_the_programs_own(self) -> None:
        events: list[str] = []

        async def home(_: Request) -> PlainTextResponse:
            return PlainTextResponse("at home")

        def program(guichet: Any) -> Any:
            @contextlib.asynccontextmanager
            async def lifespan(_: Any) -> AsyncIterator[None]:
                events.append("opened")
                async with guichet.lifespan():
                    yield
                events.append("closed")

            return Starlette(routes=[Route("/", home), Mount("/guichet", app=guichet)], lifespan=lifespan)

        self.serves(program)
        self.assertEqual(events, ["opened", "closed"])


class Signalled(unittest.IsolatedAsyncioTestCase):
    """What a server hears of signals while leave is taken."""

    async def hears(self, leave: Callable[[], Any], signals: int) -> list[int]:
        heard: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        with Counter(TAKEN) as gateway:
            kept = Registration(gateway.url, "t", OWN)
            with mock.patch.object(kept, "leave", lambda _: leave()):
                async with shop().app(Keys.from_gateway(gateway.url), kept).lifespan():
                    for _ in range(signals):
                        os.kill(os.getpid(), signal.SIGTERM)
                        await asyncio.sleep(0.05)
                    self.during = list(heard)
        return heard

    async def test_a_farewell_that_fails_keeps_no_signal_back(self) -> None:
        async def leave() -> None:
            raise RuntimeError("nobody foresaw it")

        with self.assertLogs("guichet_provider", "ERROR") as log:
            heard = await self.hears(leave, 1)
        self.assertEqual((self.during, heard), ([signal.SIGTERM], [signal.SIGTERM]))
        self.assertIn("nobody foresaw it", log.output[0])

    async def test_a_second_signal_is_handed_on_at_once_and_the_first_then_not(self) -> None:
        async def leave() -> None:
            await asyncio.sleep(0.3)

        self.assertEqual((await self.hears(leave, 1), self.during), ([signal.SIGTERM], []))
        self.assertEqual((await self.hears(leave, 2), self.during), ([signal.SIGTERM], [signal.SIGTERM]))

    async def test_an_end_of_registering_that_nobody_foresaw_is_told(self) -> None:
        kept = Registration("http://127.0.0.1:1", "t", OWN)
        with (
            mock.patch.object(kept, "keep", mock.AsyncMock(side_effect=RuntimeError("nobody foresaw it"))),
            self.assertLogs("guichet_provider", "ERROR") as log,
        ):
            async with shop().app(Keys.from_gateway("http://127.0.0.1:1"), kept).lifespan():
                await asyncio.sleep(0.05)
        self.assertIn("registers no more", log.output[0])


class Facts(unittest.TestCase):
    def test_facts_that_policies_read(self) -> None:
        def stop(_: Context) -> None: ...

        def plan(_: Context) -> Plan:
            return Plan("Stop")

        def declared(name: str, kind: Any) -> Action:
            return provider("x").action("stop", stop).plan(plan).fact(name, kind)

        facts = declared("user", str).fact("pids", list[int]).fact("forced", bool).check().actions[0].said["facts"]
        self.assertEqual(facts["user"], {"type": "string"})
        self.assertEqual((facts["pids"]["items"], facts["forced"]["type"]), ({"type": "integer"}, "boolean"))
        for told, wrong in (
            ("policies read no", declared("lag", float)),
            ("policies read no", declared("all", list[list[str]])),
            ("policies read no", declared("anything", Any)),
            ("told by plans", provider("x").action("stop", stop).fact("user", str)),
        ):
            with self.subTest(told), self.assertRaisesRegex(Mistakes, told):
                wrong.check()
