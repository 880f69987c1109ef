# SPDX-License-Identifier: Apache-2.0
"""`/metrics`, `/healthz` and `/readyz` of a process.

Alive means the loop has run lately; ready means a complete snapshot was
looked at once. Served by a thread of its own: a pass never waits for a reader.
"""

import threading
import time
from collections.abc import Callable, Iterable
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest

from buoy.model.errors import InvalidInput

_STALLED = 30.0


class Pulse:
    """When the loop last beat, and whether the first pass is done."""

    def __init__(self) -> None:
        self.beaten = time.monotonic()
        self.ready = False

    def beat(self) -> None:
        """Say that the loop runs."""
        self.beaten = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the loop beat within the last half minute."""
        return time.monotonic() - self.beaten < _STALLED


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the parent's name
        """Scrapes are not events."""


def serve(listen: str, registry: CollectorRegistry, pulse: Pulse) -> Callable[[], None]:
    """Serve on ``host:port`` in a daemon thread; return what stops it. Raises `InvalidInput` if it cannot listen."""
    host, _, port = listen.rpartition(":")
    try:
        server = make_server(host, int(port), _application(registry, pulse), WSGIServer, _Quiet)
    except (OSError, OverflowError, ValueError) as error:
        raise InvalidInput("health.listen", listen, f"give a free host:port, or '' for none ({error})") from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server.shutdown


def _application(registry: CollectorRegistry, pulse: Pulse):  # type: ignore[no-untyped-def]  # noqa: ANN202  WSGI
    def application(environ, start_response) -> Iterable[bytes]:  # type: ignore[no-untyped-def]  # noqa: ANN001  WSGI
        match environ["PATH_INFO"]:
            case "/metrics":
                good, body = True, generate_latest(registry)
            case "/healthz":
                good, body = pulse.alive, b"the loop runs\n" if pulse.alive else b"the loop has not run for 30 s\n"
            case "/readyz":
                good, body = pulse.ready, b"reconciled\n" if pulse.ready else b"no complete snapshot reconciled yet\n"
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"try /metrics, /healthz or /readyz\n"]
        status = "200 OK" if good else "503 Service Unavailable"
        start_response(status, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")])
        return [body]

    return application
