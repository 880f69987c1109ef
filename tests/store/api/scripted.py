# SPDX-License-Identifier: Apache-2.0
"""An API server that fails as a test wants it: one resource, its history, and faults that are used up once.

It answers lists (limit, continue, one object by name) and watches as kube-apiserver does. What a
right server does with anything else is for the real one to show.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Self

import msgspec
from aiohttp import web

from buoy.store.api_config import ApiSettings, Secret
from buoy.store.api_names import ObjectName, Resource

PATIENCE = 30
THINGS = Resource("example.org", "v1", "things", namespaced=True)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Metadata(msgspec.Struct, rename="camel", kw_only=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class Spec(msgspec.Struct):
    size: int = 0


class Thing(msgspec.Struct):
    metadata: Metadata
    spec: Spec = msgspec.field(default_factory=Spec)


def named(name: str) -> ObjectName:
    return ObjectName("default", name)


def refusal(code: int, message: str = "refused", **details: object) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message, "details": details}, status=code)


class _Watcher:
    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.extra: list[bytes] = []


class ScriptedServer:
    """`async with ScriptedServer() as server`; `server.next("watch", handler)` answers the next watch otherwise."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.revision = 100
        self.forgotten = 0
        """Watches and continued lists at an older revision than this are gone."""
        self.token = ""
        """The one accepted; "" accepts everybody."""
        self.served = True
        """Whether the resource is known."""
        self.version = ""
        """The only version by which it is known; "" by any."""
        self.asked: list[tuple[str, dict[str, str]]] = []
        """What was asked for, in order: list, watch or the method, and its query."""
        self._history: list[tuple[int, bytes]] = []
        self._faults: dict[str, list[Handler]] = {}
        self._watchers: set[_Watcher] = set()
        self._responses: set[web.StreamResponse] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._came = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away; `start` comes back on the same port."""
        if self._runner is not None:
            self.cut()
            runner, self._runner = self._runner, None
            await runner.cleanup()

    def settings(self, token: str = "", token_file: str = "") -> ApiSettings:
        return ApiSettings(server=f"http://127.0.0.1:{self._port}", token=Secret(token_file, token.encode()))

    def next(self, what: str, *handlers: Handler) -> None:
        """Answer the next requests so; `what` is list, continue, check (one object by name), watch, or a method."""
        self._faults.setdefault(what, []).extend(handlers)

    def put(self, name: str, size: object = 0, uid: str = "") -> None:
        self.revision += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        metadata = {"name": name, "namespace": "default", "uid": uid or name, "resourceVersion": str(self.revision)}
        self.objects[name] = {"metadata": metadata, "spec": {"size": size}}
        self.tell(kind, self.objects[name])

    def remove(self, name: str) -> None:
        self.revision += 1
        gone = self.objects.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.revision)
        self.tell("DELETED", gone)

    def bookmark(self) -> None:
        self.tell("BOOKMARK", {"metadata": {"resourceVersion": str(self.revision)}})

    def tell(self, kind: str, content: object) -> None:
        """Tell every watch an event."""
        self._history.append((self.revision, _line(kind, content)))
        for watcher in self._watchers:
            watcher.woken.set()

    def tell_those_who_watch(self, kind: str, content: object) -> None:
        """Tell an event to the watches there are, and to no later one."""
        for watcher in self._watchers:
            watcher.extra.append(_line(kind, content))
            watcher.woken.set()

    def compact(self) -> None:
        """Forget the history."""
        self.forgotten = self.revision
        self._history.clear()

    def set_back(self, revision: int, objects: dict[str, dict[str, Any]]) -> None:
        """Become what a backup holds; connections are lost with it."""
        self.revision, self.objects = revision, objects
        self._history = []
        self.cut()

    def cut(self) -> None:
        """Let every watch lose its connection."""
        for response in self._responses:
            abort(response)

    def count(self, what: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == what)

    async def asked_for(self, what: str, times: int) -> None:
        """Return once it was asked for so many times."""
        while self.count(what) < times:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), PATIENCE)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        what = _what(request)
        self.asked.append((what, dict(request.query)))
        self._came.set()
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return refusal(401, "Unauthorized")
        if faults := self._faults.get(what):
            return await faults.pop(0)(request)
        if not self.served or f"/{self.version}/" not in f"{request.path}//":
            return web.Response(status=404, text="404 page not found")
        if what == "watch":
            return await self.watch(request)
        if what in {"list", "continue", "check"}:
            return self._list(request)
        return refusal(405)

    def _list(self, request: web.Request) -> web.Response:
        names = sorted(self.objects)
        only = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        if only:
            names = [name for name in names if name == only]
        first = int(request.query.get("continue", "0"))
        limit = int(request.query.get("limit", "0")) or len(names)
        more = str(first + limit) if first + limit < len(names) else ""
        metadata = {"resourceVersion": str(self.revision), "continue": more}
        items = [self.objects[name] for name in names[first : first + limit]]
        return web.json_response({"metadata": metadata, "items": items or None})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """Answer a watch as it should be."""
        told = int(request.query["resourceVersion"])
        if told < self.forgotten:
            return refusal(410, "too old resource version")
        response = await begin(request)
        if told < self.forgotten:
            # forgotten just now
            abort(response)
            return response
        watcher = _Watcher()
        self._watchers.add(watcher)
        self._responses.add(response)
        try:
            while True:
                for revision, line in list(self._history):
                    if revision > told:
                        await response.write(line)
                        told = revision
                while watcher.extra:
                    await response.write(watcher.extra.pop(0))
                watcher.woken.clear()
                await watcher.woken.wait()
        except ConnectionError:
            return response
        finally:
            self._watchers.discard(watcher)
            self._responses.discard(response)


async def begin(request: web.Request) -> web.StreamResponse:
    """Begin an answer that is a stream."""
    response = web.StreamResponse()
    await response.prepare(request)
    return response


async def ending(request: web.Request) -> web.StreamResponse:
    """Begin a stream and end it."""
    return await begin(request)


def answering(status: int, text: str, retry_after: str = "") -> Handler:
    """Return a handler that answers so."""

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {"Retry-After": retry_after} if retry_after else {}
        return web.Response(status=status, text=text, headers=headers)

    return answer


def abort(response: web.StreamResponse) -> None:
    """Cut the connection of an answer."""
    request = response._req
    if request is not None and request.transport is not None:
        request.transport.abort()


def _line(kind: str, content: object) -> bytes:
    return json.dumps({"type": kind, "object": content}).encode() + b"\n"


def _what(request: web.Request) -> str:
    if request.method == "GET" and request.path.endswith(f"/{THINGS.plural}"):
        if "watch" in request.query:
            return "watch"
        if request.query.get("fieldSelector", "").startswith("metadata.name="):
            return "check"
        return "continue" if "continue" in request.query else "list"
    return request.method
