"""What both sides must write alike: the vectors that the gateway's own tests hold too."""

import json
import unittest
from pathlib import Path

import pyseto

from guichet_provider import Keys, canonical, moment
from guichet_provider.token import Verifier

VECTORS = json.loads(Path(__file__).parents[2].joinpath("vectors.json").read_text("utf-8"))


class Vectors(unittest.IsolatedAsyncioTestCase):
    def test_canonical_json(self) -> None:
        for case in VECTORS["canonical"]:
            value = canonical.loads(case["json"])
            self.assertEqual(canonical.canonical(value), case["canonical"], case["json"])
            self.assertEqual(canonical.digest(value), case["digest"], case["json"])
            self.assertEqual(canonical.canonical(canonical.loads(canonical.dumps(value))), case["canonical"])

    def test_what_is_no_json(self) -> None:
        for text in VECTORS["not_json"]:
            with self.assertRaises(ValueError, msg=text):
                canonical.loads(text)

    async def test_the_token_of_the_page(self) -> None:
        told = VECTORS["token"]
        keys = Keys.fixed(told["public"])
        self.assertEqual(list(keys._ring), [told["kid"]])
        claims = await Verifier("greeter", keys, lambda: moment.read(told["at"])).check(
            [f"Bearer {told['token']}"], "say-hello"
        )
        self.assertEqual((claims.principal.name, claims.run), ("ada", told["claims"]["run"]))
        key = pyseto.Key.from_paserk(told["public"])
        self.assertEqual(json.loads(pyseto.decode(key, told["token"]).payload), told["claims"])
