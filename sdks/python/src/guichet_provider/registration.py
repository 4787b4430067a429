"""Registering with a gateway: saying that one is there, again before each lease ends, and taking leave.

A gateway that is away or says no stops nothing: calls that come are answered, and it is told again soon. So a gateway that
was restarted has all its providers back within one such round.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ipaddress
import json
import logging
import random
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .keys import NoRedirect, reason, shown

log = logging.getLogger("guichet_provider")

#: How long a call to the gateway may take, in seconds.
CALL = 5.0
#: The first and the longest pause after calls that failed, in seconds; each is twice the one before.
PAUSE = (0.5, 10.0)
#: After its farewell an instance still answers for so long, in seconds: another gateway hears of it a moment later.
LINGER = 2.0
#: The shortest and the longest lease, in seconds.
LEASE = (10, 300)
#: How long it is waited for that the program listens, in seconds, and how often that is tried.
LISTENS = (5.0, 0.05)


class _NotTaken(Exception):
    """The gateway says no, or says nothing."""

    def __init__(self, why: str, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


class Registration:
    """How a provider registers itself with its gateway."""

    def __init__(
        self,
        gateway: str,
        token: str | Path,
        url: str,
        *,
        insecure: bool = False,
        lease_seconds: int = 30,
        instance: str | None = None,
    ) -> None:
        """With the gateway at ``gateway``, as the service account whose token this is (a path is read anew each time, so
        that the token in it can be exchanged), to be called at ``url``, which is this provider's own address with the
        prefix under which it is mounted. Plain ``http://`` beyond this machine is taken only when ``insecure``. The
        gateway believes for ``lease_seconds``, 10-300, that this instance is there. Raises ``ValueError``.
        """
        scheme, host = _parts(gateway) or ("", "")
        if not host or urllib.parse.urlsplit(gateway).username is not None:
            raise ValueError(f"{shown(gateway)} is no URL of a gateway: write http://host:port or https://host")
        here = _is_loopback(host)
        if scheme == "http" and not insecure and not here:
            raise ValueError(
                f"the token is not sent to {host} in the clear: use https://, or set GUICHET_INSECURE=true if the network "
                "itself is trusted"
            )
        own = urllib.parse.urlsplit(url) if _parts(url) else None
        if own is None or own.username is not None or own.query or own.fragment:
            raise ValueError(
                f"this provider's own address, {shown(url)}, is not of the form http://host:port or "
                "https://host:port/prefix; set GUICHET_URL to where the gateway reaches it"
            )
        if not LEASE[0] <= lease_seconds <= LEASE[1]:
            raise ValueError(
                f"a lease is {LEASE[0]} to {LEASE[1]} seconds, not {lease_seconds}: set GUICHET_LEASE_SECONDS"
            )
        #: Where the gateway is.
        self.gateway = gateway.rstrip("/")
        #: Where this provider is, for the gateway.
        self.url = url.rstrip("/")
        #: This process, as the gateway calls it: another one after each start.
        self.instance = instance or uuid.uuid4().hex
        #: For how long it is believed, in seconds.
        self.lease_seconds = lease_seconds
        self._token = token
        # The token is for the gateway, and not for whoever it points to; what stays on this machine goes through no proxy.
        handlers: list[urllib.request.BaseHandler] = [NoRedirect()]
        if here:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        self._told: str | None = None
        self._calling: asyncio.Future[bytes] | None = None

    def __repr__(self) -> str:
        return f"Registration(gateway={self.gateway!r}, url={self.url!r}, instance={self.instance!r})"

    async def keep(self, provider: str, document: Callable[[], str], listens: Callable[[], bool] | None = None) -> None:
        """Registers, and says so again, until this task is cancelled: that ``provider`` serves the document of this ETag.

        Not before ``listens`` says that the program takes connections; without it, that is tried.
        """
        await self._until_listening(listens)
        failures = 0
        while True:
            try:
                lease = await self._say(provider, document())
            except _NotTaken as error:
                failures += 1
                self._tell(provider, error)
            else:
                failures = 0
                self._tell(provider, lease)
            await asyncio.sleep(spread(pause(self.lease_seconds, failures)))

    async def leave(self, provider: str) -> None:
        """Tells the gateway that this instance goes, and lingers; calls are to be answered until then."""
        where = f"{_path(provider)}/instances/{self.instance}"
        if self._calling is None:
            # Nobody was told that it came.
            return
        # What is still on its way must not come after the farewell.
        await asyncio.wait({self._calling}, timeout=CALL)
        try:
            await self._call("DELETE", where, None)
        except _NotTaken as error:
            log.warning(
                "provider %s: the gateway was not told that this instance leaves; its lease ends by itself: %s",
                provider,
                error,
            )
            return
        log.info("provider %s: the gateway sends nothing more here", provider)
        await asyncio.sleep(LINGER)

    async def _until_listening(self, listens: Callable[[], bool] | None) -> None:
        """A program that is mounted begins to listen after it was started; a gateway that is told sooner meets nobody."""
        address = urllib.parse.urlsplit(self.url)
        port = address.port or (443 if address.scheme == "https" else 80)
        now = asyncio.get_running_loop().time
        until = now() + LISTENS[0]
        # Who finds the address taken by another ends meanwhile.
        await asyncio.sleep(4 * LISTENS[1])
        while now() < until if listens is None else not listens():
            if listens is None:
                # A host that cannot be a name is a `ValueError`.
                with contextlib.suppress(OSError, ValueError, asyncio.TimeoutError):
                    _, writer = await asyncio.wait_for(asyncio.open_connection(address.hostname, port), until - now())
                    writer.close()
                    return
            await asyncio.sleep(LISTENS[1])

    async def _say(self, provider: str, document: str) -> dict[str, Any]:
        said = {
            "instance": self.instance,
            "url": self.url,
            "document": document,
            "lease_seconds": self.lease_seconds,
        }
        answer = await self._call("PUT", _path(provider), json.dumps(said).encode())
        try:
            lease = json.loads(answer)
        except ValueError as error:
            raise _NotTaken(f"its answer cannot be read: {error}") from None
        if not isinstance(lease, dict):
            raise _NotTaken("its answer cannot be read: it is no object")
        return lease

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        calling = asyncio.ensure_future(asyncio.to_thread(self._call_here, method, path, body))
        # Who no longer waits for it does not want to know how it ended.
        calling.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._calling = calling
        # `wait_for` loses a cancellation that comes with the answer, before Python 3.12.
        if not (await asyncio.wait({calling}, timeout=CALL))[0]:
            raise _NotTaken(f"it did not answer within {CALL:.0f} s")
        return calling.result()

    def _call_here(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = {"Authorization": f"Bearer {self._read_token()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.gateway + path, data=body, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=CALL) as answer:
                read: bytes = answer.read(1 << 20)
                return read
        except urllib.error.HTTPError as error:
            with error:
                raise _NotTaken(_refusal(error), 400 <= error.code < 500) from None
        except urllib.error.URLError as error:
            raise _NotTaken(str(error.reason)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            # `ValueError`: a host that cannot be a name, or an address of a proxy that is none.
            raise _NotTaken(reason(error)) from None

    def _read_token(self) -> str:
        token = self._token
        if isinstance(token, Path):
            try:
                token = token.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text"
                raise _NotTaken(f"the token in {self._token} cannot be read: {reason}") from None
        token = token.strip()
        if not token or not all(" " < character <= "~" for character in token):
            # What cannot be a header would be shown by the library's error.
            raise _NotTaken("the token is empty, or has characters that no token has")
        return token

    def _tell(self, provider: str, outcome: dict[str, Any] | _NotTaken) -> None:
        """Each outcome is told once, not at each heartbeat."""
        words = str(outcome) if isinstance(outcome, _NotTaken) else "registered"
        if words == self._told:
            return
        self._told = words
        if not isinstance(outcome, _NotTaken):
            log.info(
                "registered provider %s with %s, environment %s, as instance %s at %s",
                provider,
                self.gateway,
                outcome.get("environment"),
                self.instance,
                self.url,
            )
        elif outcome.refused:
            log.error("the gateway does not take provider %s; it is asked again: %s", provider, words)
        else:
            log.warning("the gateway cannot be told that provider %s is there; again soon: %s", provider, words)


def pause(lease_seconds: int, failures: int) -> float:
    """How long until it is said again, after so many failures in a row, in seconds."""
    third = lease_seconds / 3
    if not failures:
        return third
    return min(PAUSE[0] * 2.0 ** min(failures, 10), PAUSE[1], third)


def spread(seconds: float) -> float:
    """Between four fifths and all of it, so that many who began together do not stay together."""
    return seconds * random.uniform(0.8, 1.0)


def _path(provider: str) -> str:
    return f"/v1/providers/{urllib.parse.quote(provider, safe='')}"


def _parts(url: str) -> tuple[str, str] | None:
    """Scheme and host of a URL of HTTP; ``None`` where it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return (parts.scheme, parts.hostname) if parts.scheme in ("http", "https") and parts.hostname else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(error: urllib.error.HTTPError) -> str:
    """What the gateway says, in its words."""
    try:
        said = json.loads(error.read(1 << 20))
        told = f"{said['detail']} ({said['code']})"
        return f"{told}: {said['next']}" if said.get("next") else told
    except Exception:
        return f"it answers {error.code} {error.reason}"
