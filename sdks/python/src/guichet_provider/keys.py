"""The gateway's public keys: which signatures a provider believes."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

from pyseto import Key

log = logging.getLogger("guichet_provider")

#: An unknown key id makes the provider ask the gateway anew, at most this often, in seconds.
ASK_AGAIN_AFTER = 10.0
#: Known keys are asked for anew after this time, so that a withdrawn key does not hold for ever, in seconds.
KEYS_GROW_OLD = 300.0


class CannotAsk(Exception):
    """The gateway could not be asked for its keys."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A 3xx is an answer, and nobody is asked elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def shown(url: str) -> str:
    """What is no address, as it may be told of it: not what stands where passwords do."""
    return "an address with a user name or a password" if "@" in url else f"`{url}`"


def reason(error: Exception) -> str:
    """Why a call failed. The library shows an address of a proxy that is none whole, also a password in it."""
    told = str(error)
    return type(error).__name__ if not told or "@" in told else told


def _ring(public_keys: Iterable[str]) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for text in public_keys:
        text = text.strip()
        try:
            if not text.startswith("k4.public."):
                raise ValueError("of another kind")
            key = Key.from_paserk(text)
            keys[key.to_paserk_id()] = key
        except Exception:
            raise ValueError(f"`{text[:80]}` is no public key of version 4: it must begin with `k4.public.`") from None
    return keys


class Keys:
    """Where a provider finds the keys of the gateway it serves: `fixed` or `from_gateway`."""

    def __init__(self, ring: dict[str, Any], url: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._url = url
        self._clock = clock
        self._asked: float | None = None
        self._had: float | None = None
        self._problem: str | None = None
        self._asking: asyncio.Task[None] | None = None
        #: The only issuer to believe (``guichet/production``); any when ``None``.
        self.issuer: str | None = None

    @classmethod
    def fixed(cls, *public_keys: str) -> "Keys":
        """These keys and no others, each as ``k4.public.…`` (PASERK)."""
        return cls(_ring(public_keys), None)

    @classmethod
    def from_gateway(cls, url: str) -> "Keys":
        """The keys that the gateway at this URL publishes at ``/v1/keys``.

        They are fetched at the first call, again when a token names an unknown key (at most every 10 s), and every 5
        minutes.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise ValueError(f"{shown(url)} is no URL of a gateway: write http://host:port or https://host")
        return cls({}, url.rstrip("/") + "/v1/keys")

    def issued_by(self, issuer: str) -> "Keys":
        """Believes only tokens of this issuer: ``guichet/production``."""
        self.issuer = issuer
        return self

    async def find(self, kid: str) -> Any:
        """The key of this id; ``None`` when there is none. Raises `CannotAsk`."""
        key = self._ring.get(kid)
        if self._url is None:
            return key
        if key is not None:
            if self._had is None or self._clock() - self._had > KEYS_GROW_OLD:
                # Beside the call: a gateway that is away for a while does not stop the provider.
                self._begin()
            return key
        self._begin()
        if self._asking is not None:
            # Many callers, one question; who goes away does not end it.
            await asyncio.shield(self._asking)
        key = self._ring.get(kid)
        if key is None and self._problem is not None:
            raise CannotAsk(self._problem)
        return key

    def _begin(self) -> None:
        if self._asking is not None and not self._asking.done():
            return
        if self._asked is not None and self._clock() - self._asked < ASK_AGAIN_AFTER:
            self._asking = None
            return
        self._asked = self._clock()
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        try:
            self._ring = await asyncio.to_thread(self._fetch)
            self._had, self._problem = self._clock(), None
        except Exception as error:
            self._problem = reason(error)
            log.warning("the gateway's keys cannot be had from %s: %s", self._url, self._problem)

    def _fetch(self) -> dict[str, Any]:
        opener = urllib.request.build_opener(NoRedirect)
        with opener.open(str(self._url), timeout=5) as answer:
            published = json.loads(answer.read(1 << 20))
        return _ring(key["public"] for key in published["keys"])
