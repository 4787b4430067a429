"""Proof that a call comes from the gateway: a PASETO v4.public token of at most a minute."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyseto

from . import moment
from .errors import ActionError, denied
from .keys import CannotAsk, Keys

#: How far the gateway's clock and ours may be apart.
CLOCKS_APART = timedelta(seconds=5)


@dataclass(frozen=True)
class Principal:
    """Who asks."""

    #: Unique within its kind.
    name: str
    #: ``person``, ``service_account`` or ``ci_job``.
    kind: str = "person"
    #: Teams that the registry puts it in.
    teams: tuple[str, ...] = ()
    #: The agent that works on behalf of this principal, when one does.
    agent: str | None = None


@dataclass(frozen=True)
class Claims:
    """What the gateway says about a call."""

    issuer: str
    principal: Principal
    environment: str
    action: str
    run: str | None = None
    input: str | None = None
    journal: str | None = None
    approved_by: tuple[str, ...] = field(default=())


class Verifier:
    """Checks tokens for one provider."""

    def __init__(self, provider: str, keys: Keys, clock: Callable[[], datetime]) -> None:
        self._provider = provider
        self._keys = keys
        self._clock = clock

    async def check(self, headers: list[str], operation: str) -> Claims:
        """The claims of the call's token, when it was signed by the gateway for this provider, operation and moment."""
        if len(headers) != 1:
            raise ActionError.of("not-signed-in", "the call carries no token of the gateway").next(
                "call the action through the gateway"
            )
        scheme, _, text = headers[0].partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise denied("the header Authorization is not of the form `Bearer TOKEN`")
        token = text.strip()
        kid = _kid(token)
        try:
            key = await self._keys.find(kid)
        except CannotAsk as why:
            # Another process may have them, and so may this one in a moment: surely nothing was done.
            problem = ActionError.of("provider-busy", f"the gateway's keys cannot be had: {why}")
            raise problem.next("try again when the provider can reach the gateway") from None
        if key is None:
            raise denied(f"the token was signed with key `{kid[:80]}`, which is not the gateway's")
        try:
            payload = pyseto.decode(key, token).payload
        except Exception:
            raise denied("the token's signature does not hold") from None
        try:
            said = json.loads(payload if isinstance(payload, (bytes, str)) else json.dumps(payload))
            return self._applies(said, operation)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise denied(f"the token's claims cannot be read: {error}") from None

    def _applies(self, said: dict[str, Any], operation: str) -> Claims:
        if said["aud"] != self._provider:
            raise denied(f"the token is for provider `{said['aud']}`; this is `{self._provider}`")
        if self._keys.issuer is not None and said["iss"] != self._keys.issuer:
            raise denied(f"the token is issued by `{said['iss']}`; this provider serves `{self._keys.issuer}`")
        if said["action"] != operation:
            raise denied(f"the token is for operation `{said['action']}`, the call for `{operation}`")
        now = self._clock()
        if now - moment.read(said["exp"]) >= CLOCKS_APART:
            raise denied(f"the token expired at {said['exp']}")
        if moment.read(said["nbf"]) - now > CLOCKS_APART:
            raise denied(f"the token holds only from {said['nbf']} on; compare the clocks")
        principal = Principal(
            name=said["sub"],
            kind=said["kind"],
            teams=tuple(sorted(said.get("teams") or ())),
            agent=said.get("agent"),
        )
        return Claims(
            issuer=said["iss"],
            principal=principal,
            environment=said["environment"],
            action=said["action"],
            run=said.get("run"),
            input=said.get("input"),
            journal=said.get("journal"),
            approved_by=tuple(said.get("approved_by") or ()),
        )


def _kid(token: str) -> str:
    """The id of the key that the token says it was signed with; nothing rests on it but which key is tried."""
    parts = token.split(".")
    if len(parts) != 4 or parts[:2] != ["v4", "public"]:
        raise denied("the token is no PASETO of version 4 with a footer: v4.public.…")
    try:
        footer = base64.urlsafe_b64decode(parts[3] + "=" * (-len(parts[3]) % 4))
        kid = json.loads(footer)["kid"]
        if isinstance(kid, str):
            return kid
    except (ValueError, KeyError, TypeError):
        pass
    raise denied("the token's footer names no key (`kid`)")
