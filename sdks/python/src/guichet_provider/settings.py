"""What a provider's process is told by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from .keys import Keys


@dataclass
class Settings:
    """Where to listen and whom to believe."""

    #: Address to listen on.
    host: str
    #: Its port; 0 lets the system choose.
    port: int
    #: The gateway's keys.
    keys: Keys

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """From the environment.

        ``GUICHET_LISTEN`` (default ``127.0.0.1:7100``); ``GUICHET_GATEWAY``, a URL whose ``/v1/keys`` is asked, or
        ``GUICHET_PUBLIC_KEYS``, a list of ``k4.public.…`` separated by commas, which wins; one of the two must be there;
        ``GUICHET_ISSUER`` (optional), the only issuer to believe: ``guichet/production``. Raises ``ValueError``.
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
        return cls(host.strip("[]"), int(port), keys)
