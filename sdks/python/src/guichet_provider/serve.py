"""Serving over HTTP, and ending well: what is under way is finished."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from .settings import Settings

if TYPE_CHECKING:
    from .provider import Provider

log = logging.getLogger("guichet_provider")


def serve(provider: "Provider", settings: Settings) -> None:
    """See `Provider.serve`."""
    try:
        import uvicorn
    except ModuleNotFoundError:
        raise RuntimeError("serving needs uvicorn: pip install 'guichet-provider[serve]'") from None
    app = provider.app(settings.keys, settings.registration)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Handlers that wait for their step to be durable would keep their callers for minutes.
            app.stop()
            # Who presses Ctrl-C twice waits for nothing; a supervisor that repeats SIGTERM cuts no change off. The signal is
            # not raised again: this is an end as it should be.
            if self.should_exit and sig == signal.SIGINT:
                self.force_exit = True
            self.should_exit = True

    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
        # Longer than the gateway keeps a connection that is idle: none must be closed at the moment it is used.
        timeout_keep_alive=75,
    )
    logging.basicConfig(level=logging.INFO)
    server = Server(config)
    app.listens = lambda: server.started
    log.info("provider %s serves at %s:%s", provider.name, settings.host, settings.port)
    try:
        server.run()
    finally:
        if app.in_threads:
            # The interpreter would wait for them, and one that hangs never ends.
            log.error("%s calls of plain functions were not over when the provider stopped", app.in_threads)
            logging.shutdown()
            sys.stdout.flush()
            os._exit(1)
