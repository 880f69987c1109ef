# SPDX-License-Identifier: Apache-2.0
"""What is answered at which path, and to whom.

Promises: nothing is answered to anybody but the front proxy; who that speaks for, kube-apiserver
has authorized already, and with `impersonate` the CRD's server judges once more. The tricky
thing: connections outlive certificates, so a client is looked at with each request.
"""

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from buoy.aggregation import discovery
from buoy.aggregation.answers import JSON, Unserved, failure, in_json
from buoy.aggregation.asking import LARGEST, ROOT, asked, is_watch
from buoy.aggregation.door import Door
from buoy.aggregation.forwarding import exchange, forward, reply, watch
from buoy.aggregation.front_proxy import on_behalf
from buoy.aggregation.versions import BEHIND, GROUP, SERVED, TWIN, VERSION, Json
from buoy.model.errors import BuoyError, InvalidInput
from buoy.store.api_transport import Request, Transport

_READING = frozenset({"GET", "HEAD"})


class Front:
    """Answers for one API server behind it; `impersonate` lets each request there be the client's own."""

    def __init__(self, behind: Transport, door: Door, *, impersonate: bool = False) -> None:
        self._behind = behind
        self._door = door
        self._impersonate = impersonate
        self.ends = False
        """Whether clients shall use other replicas: each connection is closed with its next answer."""

    def application(self) -> web.Application:
        """Return what a site serves."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        try:
            transport = request.transport
            if transport is None or not self._door.admits(transport.get_extra_info("peercert")):
                raise Unserved(403, "Forbidden", "only the front proxy of kube-apiserver is served")
            response = await self._answer(request)
            if self.ends and not response.prepared:
                response.force_close()
        except RecursionError:
            return failure(Unserved(400, "BadRequest", "the body is nested too deeply"), may_repeat=False)
        except BuoyError as error:
            return failure(error, may_repeat=request.method in _READING)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.rstrip("/")
        if path.startswith(ROOT):
            ask = await asked(request, self._spoken(request))
            return await (watch(self._behind, ask, request) if is_watch(request) else forward(self._behind, ask))
        if request.method not in _READING:
            raise Unserved(405, "MethodNotAllowed", f"{request.method} is not served at {path}")
        if path == "/apis":
            return await self._groups(request.headers.get("Accept", ""))
        if path == f"/apis/{GROUP}":
            return in_json(discovery.group())
        if path == f"/apis/{SERVED}":
            return await self._translated(f"/apis/{BEHIND}", discovery.resources)
        if path == discovery.OPENAPI_INDEX:
            return await self._translated(path, discovery.openapi_index)
        if path == f"{discovery.OPENAPI}/{VERSION}":
            return await self._schemas()
        raise Unserved(404, "NotFound", f"there is no {path}")

    async def _groups(self, accept: str) -> web.Response:
        match discovery.form(accept):
            case discovery.AGGREGATED:
                return await self._translated(f"/apis/{BEHIND}", discovery.aggregated, discovery.AGGREGATED)
            case "":
                raise Unserved(406, "NotAcceptable", f"discovery is served as {discovery.AGGREGATED} and {JSON}")
        return in_json(discovery.groups())

    async def _translated(self, path: str, translate: Callable[[Json], Json], content_type: str = JSON) -> web.Response:
        found = await exchange(self._behind, Request("GET", path))
        if found.status != 200:
            return reply(found)
        return in_json(translate(msgspec.json.decode(found.body)), content_type)

    async def _schemas(self) -> web.Response:
        found = await exchange(self._behind, Request("GET", f"{discovery.OPENAPI}/{TWIN}"))
        if found.status != 200:
            return reply(found)
        headers = {name: found.headers[name] for name in ("Etag", "Cache-Control") if name in found.headers}
        return web.Response(body=discovery.openapi(found.body), headers={**headers, "Content-Type": JSON})

    def _spoken(self, request: web.Request) -> Mapping[str, str]:
        try:
            spoken = on_behalf(self._door.trust, request.headers)
        except InvalidInput as error:
            raise Unserved(401, "Unauthorized", str(error)) from error
        return spoken if self._impersonate else {}
