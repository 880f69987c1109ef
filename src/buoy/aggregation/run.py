# SPDX-License-Identifier: Apache-2.0
"""The aggregated server as a process.

Promises: it serves once it knows whom to trust, waits for an API server that is not there, and
takes up exchanged certificates and CAs while it does. Told to end it says so where readiness
is asked, serves on until nobody sends it anything new, and then lets go of its watches; their
clients watch on at another replica. It keeps nothing: killed at any point, nothing is left over.
"""

import asyncio
import signal
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web

from buoy.aggregation.door import Door
from buoy.aggregation.front_proxy import Certificate, Trust, read_trust
from buoy.aggregation.serving import Front
from buoy.aggregation.versions import BEHIND
from buoy.model.errors import BuoyError, InvalidInput, StoreUnavailable
from buoy.runtime.telemetry import logger
from buoy.store.api_client import ApiServer
from buoy.store.api_config import find
from buoy.store.api_transport import Request, Transport

_PATIENCE = 0.5
_LAST_PORT = 65535


class Serving(NamedTuple):
    """How one server is run; made by `serving`."""

    kubeconfig: str
    certificate: Certificate
    listen: tuple[str, int]
    health: tuple[str, int]
    impersonate: bool
    farewell: float
    """Seconds it serves on after it was told to end."""
    renewal: float
    """Seconds after which trust and certificate are looked at again."""


def endpoint(field: str, text: str) -> tuple[str, int]:
    """Return ``host:port`` as a pair; raise `InvalidInput`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= _LAST_PORT:
        raise InvalidInput(field, text, "give host:port, such as 0.0.0.0:8443 or [::]:8443")
    return host.strip("[]"), int(port)


async def run(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; raise `InvalidInput` for what waiting does not mend."""
    log = logger()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = find(serving.kubeconfig)
    server, behind = ApiServer(settings), Transport(settings)
    ready = asyncio.Event()
    health = await _serve_health(serving.health, ready)
    try:
        trust = await first_trust(server, stop, log)
        if trust is None:
            return
        door = Door(trust, serving.certificate)
        front = Front(behind, door, impersonate=serving.impersonate)
        runner = await _serve(front, door, serving.listen)
        ready.set()
        log.info("serving", listen="{}:{}".format(*serving.listen), behind=settings.server)
        while not stop.is_set():
            await _pause(stop, serving.renewal)
            await _renew(door, server, log)
        ready.clear()
        front.ends = True
        await asyncio.sleep(serving.farewell)
        await runner.cleanup()
    finally:
        await health.cleanup()
        await behind.close()
        await server.close()


async def _serve(front: Front, door: Door, listen: tuple[str, int]) -> web.AppRunner:
    runner = web.AppRunner(
        front.application(),
        # a client that leaves ends its watch behind us at once, not with the next event
        handler_cancellation=True,
        # kube-apiserver closes an idle connection after 90 s: who closes first must not be us, or a write is lost
        keepalive_timeout=180.0,
        shutdown_timeout=1.0,
        access_log=None,
    )
    await runner.setup()
    await _listen(runner, "--listen", listen, door)
    return runner


async def _serve_health(listen: tuple[str, int], ready: asyncio.Event) -> web.AppRunner:
    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def serves(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if ready.is_set() else web.Response(status=503, text="not serving\n")

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", serves)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await _listen(runner, "--health", listen, None)
    return runner


async def _listen(runner: web.AppRunner, field: str, listen: tuple[str, int], door: Door | None) -> None:
    try:
        await web.TCPSite(runner, *listen, ssl_context=door.tls if door else None).start()
    except OSError as error:
        text = "{}:{}".format(*listen)
        raise InvalidInput(field, text, f"give an address of this host and a free port ({error.strerror})") from error


async def first_trust(server: ApiServer, stop: asyncio.Event, log: structlog.stdlib.BoundLogger) -> Trust | None:
    """Return whom to trust, once the API server says so and has our CRDs; None if we are told to end before."""
    while not stop.is_set():
        try:
            trust = await read_trust(server)
            if await server.call(Request("GET", f"/apis/{BEHIND}"), f"find {BEHIND}") is not None:
                return trust
            log.warning("waiting for CRDs that serve it: apply Buoy's own", version=BEHIND)
        except StoreUnavailable as error:
            log.warning("waiting for the API server", error=str(error))
        await _pause(stop, _PATIENCE)
    return None


async def _renew(door: Door, server: ApiServer, log: structlog.stdlib.BoundLogger) -> None:
    try:
        if door.renew(await read_trust(server)):
            log.info("certificates exchanged")
    except BuoyError as error:
        log.warning("certificates are as before", error=str(error))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def certificate(cert: str, key: str) -> Certificate:
    """Return a certificate's files; what is wrong with them is said when they are read."""
    return Certificate(Path(cert), Path(key))
