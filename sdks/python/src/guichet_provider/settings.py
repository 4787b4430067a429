"""What a provider's process is told by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from .keys import Keys
from .registration import Registration


@dataclass
class Settings:
    """Where to listen and whom to believe."""

    #: Address to listen on.
    host: str
    #: Its port; 0 lets the system choose.
    port: int
    #: The gateway's keys.
    keys: Keys
    #: How it registers itself; ``None`` when it stands in the gateway's configuration.
    registration: Registration | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """From the environment.

        ``GUICHET_LISTEN`` (default ``127.0.0.1:7100``); ``GUICHET_GATEWAY``, a URL whose ``/v1/keys`` is asked, or
        ``GUICHET_PUBLIC_KEYS``, a list of ``k4.public.…`` separated by commas, which wins; one of the two must be there;
        ``GUICHET_ISSUER`` (optional), the only issuer to believe: ``guichet/production``; ``GUICHET_TOKEN`` or
        ``GUICHET_TOKEN_FILE``, a service account's token, with which it registers itself at ``GUICHET_GATEWAY``, to be
        called at ``GUICHET_URL`` (default ``http://`` and the address to listen on), believed for
        ``GUICHET_LEASE_SECONDS`` (default 30). ``GUICHET_INSECURE=true`` sends the token to a gateway beyond this machine
        in the clear. Raises ``ValueError``.
        """
        said = os.environ if environ is None else environ
        listen = said.get("GUICHET_LISTEN", "").strip() or "127.0.0.1:7100"
        host, _, port = listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError(f"GUICHET_LISTEN is `{listen}`, which is no address: write for example 127.0.0.1:7100")
        fixed = [key for key in said.get("GUICHET_PUBLIC_KEYS", "").split(",") if key.strip()]
        gateway = said.get("GUICHET_GATEWAY", "").strip()
        if fixed:
            keys = Keys.fixed(*fixed)
        elif gateway:
            keys = Keys.from_gateway(gateway)
        else:
            raise ValueError(
                "the provider does not know its gateway: set GUICHET_GATEWAY to its URL, or GUICHET_PUBLIC_KEYS to its keys"
            )
        issuer = said.get("GUICHET_ISSUER", "").strip()
        if issuer:
            keys.issued_by(issuer)
        return cls(host.strip("[]"), int(port), keys, _registration(said, listen, host.strip("[]"), int(port)))


def _registration(environ: Mapping[str, str], listen: str, host: str, port: int) -> Registration | None:
    def said(name: str) -> str:
        return environ.get(name, "").strip()

    token, file, gateway, url = (
        said(name) for name in ("GUICHET_TOKEN", "GUICHET_TOKEN_FILE", "GUICHET_GATEWAY", "GUICHET_URL")
    )
    if not token and not file:
        return None
    if not gateway:
        raise ValueError("there is a token to register with, and no gateway: set GUICHET_GATEWAY to its URL")
    if not url and (port == 0 or _is_everywhere(host)):
        raise ValueError(
            f"the gateway cannot be told to call {listen}: set GUICHET_URL to where it reaches this provider"
        )
    lease = said("GUICHET_LEASE_SECONDS") or "30"
    if not (lease.isascii() and lease.isdigit()):
        raise ValueError(f"GUICHET_LEASE_SECONDS is `{lease}`, which is no number of seconds: write for example 30")
    return Registration(
        gateway,
        token or Path(file),
        url or f"http://{listen}",
        insecure=said("GUICHET_INSECURE") == "true",
        lease_seconds=int(lease),
    )


def _is_everywhere(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
