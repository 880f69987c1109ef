# SPDX-License-Identifier: Apache-2.0
"""Controllers on an API server in memory, whose every call and every piece of news waits for the test's word."""

import asyncio
import contextlib
import copy
import datetime as dt
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from buoy.controller.claims import CLAIM_OBJECT, CLAIMS
from buoy.controller.events import EVENTS, Events
from buoy.controller.fronts import CLASSES, INGRESSES, Ingress, IngressClass
from buoy.controller.metrics import Metrics
from buoy.controller.objects import Service
from buoy.controller.observe import POOLS, Observer
from buoy.controller.reading import Ours
from buoy.controller.work import Tools, Work
from buoy.controller.world import World
from buoy.controller.writes import Writes
from buoy.kubernetes.escaping import escape
from buoy.kubernetes.objects import Namespace
from buoy.kubernetes.own import STRUCTS
from buoy.kubernetes.pods import Pod
from buoy.kubernetes.resources import NAMESPACES, PODS, SERVICES
from buoy.model.address import Address
from buoy.model.errors import Conflict, StoreUnavailable
from buoy.store.api_names import ObjectName, Resource, Target
from buoy.store.api_objects import News
from tests.unit.controller.server import Json, Server

T = TypeVar("T")
START = dt.datetime(2026, 11, 21, 12, 0, 0, tzinfo=dt.UTC)
STRUCT_OF: dict[Resource, Any] = {
    SERVICES: Service,
    INGRESSES: Ingress,
    CLASSES: IngressClass,
    NAMESPACES: Namespace,
    PODS: Pod,
    POOLS: STRUCTS[POOLS],
    CLAIMS: CLAIM_OBJECT,
}


class Call(NamedTuple):
    """A call that waits: what it would do, and who waits for its outcome."""

    text: str
    act: Callable[[], Any]
    outcome: "asyncio.Future[Any]"

    def answer(self, first: Callable[[], None] = lambda: None) -> None:
        """Do it, then `first`, and say how it went."""
        try:
            done = self.act()
        except Conflict as error:
            self.outcome.set_exception(error)
        else:
            first()
            self.outcome.set_result(done)

    def lose(self, *, done: bool) -> None:
        """Say that nobody knows whether it was done."""
        if done:
            with contextlib.suppress(Conflict):
                self.act()
        self.outcome.set_exception(StoreUnavailable(f"{self.text}: no answer"))


class Api:
    """A client whose calls wait in `calls`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.calls: list[Call] = []

    async def get(self, target: Target, into: type[T]) -> T | None:
        return await self._call(f"get {target}", lambda: self.server.get(target), into)

    async def create(self, resource: Resource, namespace: str, body: object, into: type[T]) -> T:
        made = await self._call(
            f"create {resource}", lambda: self.server.create(resource, namespace, plain(body)), into
        )
        assert made is not None
        return made

    async def patch(
        self, target: Target, body: object, into: type[T], kind: Literal["merge", "json"] = "merge"
    ) -> T | None:
        return await self._call(f"patch {target}", lambda: self.server.patch(target, plain(body), kind), into)

    async def delete(self, target: Target, uid: str = "", revision: str = "") -> bool:
        assert not uid
        return bool(await self._call(f"delete {target}", lambda: self.server.delete(target, revision), bool))

    async def _call(self, text: str, act: Callable[[], Any], into: type[T]) -> T | None:
        call = Call(text, act, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        try:
            found = await call.outcome
        finally:
            if call in self.calls:
                self.calls.remove(call)
        return None if found is None else msgspec.json.decode(json.dumps(found).encode(), type=into)


def plain(body: object) -> Any:  # noqa: ANN401  JSON
    """Return a body as the server gets it."""
    return json.loads(msgspec.json.encode(body))


class Controller:
    """A controller that has heard the server's history up to `heard`."""

    def __init__(self, server: Server, clock: Callable[[], dt.datetime], ours: Ours) -> None:
        self.api = Api(server)
        self.world = World(ours)
        self.told: list[Json] = []
        self.events = Events(self.api, "test", clock)
        tools = Tools(Writes(self.api), self.events, METRICS, clock)
        self.work = Work(self.world, tools, lambda: None)
        self.broken: list[str] = []
        self._observer = Observer(self.world, lambda *said: self.broken.append(" ".join(map(str, said))))
        self._server = server
        self._list(server.objects)
        self.heard = len(server.history)
        self.world.everything()

    def hear(self, most: int = 1_000_000) -> None:
        """Hear at most so many lines of the history, and let the work look."""
        lines = self._server.history[self.heard : self.heard + most]
        self.heard += len(lines)
        told = {(line.resource, line.name): line.found for line in lines if line.resource in STRUCT_OF}
        if told:
            self._take(told, lines[-1].version)
        self.work.run_pass()

    def list_again(self, gone: Iterable[tuple[Resource, ObjectName]]) -> None:
        """Hear of everything as it now is, as after a watch that was lost; `gone` may be there no more."""
        found = {**dict.fromkeys(gone), **self._server.objects}
        self._list(found)
        self.heard = len(self._server.history)
        self.work.run_pass()

    def _list(self, found: Mapping[tuple[Resource, ObjectName], Json | None]) -> None:
        told = {key: each for key, each in found.items() if key[0] in STRUCT_OF}
        self._take(told, self._server.version, listed=True)

    def _take(
        self, found: Mapping[tuple[Resource, ObjectName], Json | None], version: int, *, listed: bool = False
    ) -> None:
        changed: dict[Resource, dict[ObjectName, Any]] = {}
        broken: dict[Resource, dict[ObjectName, str]] = {}
        for (resource, name), each in found.items():
            changed.setdefault(resource, {})
            try:
                raw = json.dumps(each).encode()
                changed[resource][name] = each and msgspec.json.decode(raw, type=STRUCT_OF[resource])
            except msgspec.ValidationError as error:
                broken.setdefault(resource, {})[name] = str(error)
        self._observer.take(
            {key: News(listed, told, broken.get(key, {}), version, listed) for key, told in changed.items()}
        )

    def telling(self) -> None:
        """Have its Events written, too."""
        self._telling = asyncio.create_task(self.events.run())

    async def kill(self) -> None:
        """End it in the middle of whatever it does."""
        await self.work.stop()


METRICS = Metrics()
OURS = Ours()


class Cluster:
    """A server, its users and its controllers."""

    def __init__(self, controllers: int = 1, ours: Ours = OURS) -> None:
        self.ours = ours
        self.server = Server()
        self.now = START
        self.server.create(NAMESPACES, "", {"metadata": {"name": "shop"}})
        self.controllers = [Controller(self.server, lambda: self.now, ours) for _ in range(controllers)]

    def pool(self, name: str, *prefixes: str, **more: Any) -> None:  # noqa: ANN401  JSON
        """Make a pool, or make another of it."""
        spec = {"prefixes": list(prefixes), **more}
        if self.server.patch(POOLS.at(ObjectName("", name)), {"spec": spec}) is None:
            self.server.create(POOLS, "", {"metadata": {"name": name}, "spec": spec})

    def service(self, name: str, annotations: Json | None = None, **spec: Any) -> None:  # noqa: ANN401  JSON
        """Make a Service of type LoadBalancer, or change its spec."""
        wanted = {"type": "LoadBalancer", "clusterIP": "10.96.0.10", "ports": [{"port": 80}], **spec}
        metadata = {"annotations": annotations} if annotations else {}
        if self.server.patch(at(name), {"metadata": metadata, "spec": wanted}) is None:
            self.server.create(SERVICES, "shop", {"metadata": {"name": name, **metadata}, "spec": wanted})

    def delete(self, name: str) -> None:
        """Delete a Service."""
        self.server.delete(at(name))

    def at(self, name: str, subresource: str = "") -> Target:
        """Return where a Service stands."""
        return at(name, subresource)

    def found(self, name: str) -> Json:
        """Return a Service."""
        found = self.server.get(at(name))
        assert found is not None
        return found

    def addresses(self, name: str) -> list[str]:
        """Return the addresses in a Service's status."""
        ingress = self.found(name).get("status", {}).get("loadBalancer", {}).get("ingress", [])
        return [entry["ip"] for entry in ingress if "ip" in entry]

    def condition(self, name: str) -> tuple[str, str, str]:
        """Return status, reason and message of our condition."""
        for said in self.found(name).get("status", {}).get("conditions", []):
            if said["type"] == "buoy.dev/AddressAllocated":
                return said["status"], said["reason"], said["message"]
        return "", "", ""

    def claim(self, address: str) -> Json:
        """Return the content of a claim."""
        found = self.server.get(CLAIMS.at(ObjectName("", escape(Address(address)))))
        assert found is not None
        return dict(found["spec"])

    async def settle(self, *, watch_first: bool = False) -> None:
        """Let every controller hear, decide and write until nothing is left to do.

        `watch_first`: the watch tells of each write before the write is answered.
        """
        quiet = 0
        while quiet < 3:
            before = self.server.version
            self._hear()
            await spin()
            calls = [call for controller in self.controllers for call in controller.api.calls]
            for call in calls:
                call.answer(*([self._hear] if watch_first else []))
                await spin()
            idle = not calls and before == self.server.version
            quiet = quiet + 1 if idle else 0
            # pauses after conflicts
            self.now += dt.timedelta(seconds=0.5)

    def _hear(self) -> None:
        for controller in self.controllers:
            controller.hear()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(seconds=seconds)

    def set_back(self, backup: Server, *, ahead: int = 0) -> None:
        """Set the server back to a backup, its version raised so far beyond; every controller lists anew."""
        gone = tuple(self.server.objects)
        self.server.objects = copy.deepcopy(backup.objects)
        self.server.version = backup.version + ahead
        for controller in self.controllers:
            controller.list_again(gone)

    async def restart(self, index: int = 0) -> None:
        """Kill a controller and start another in its place."""
        await self.controllers[index].kill()
        self.controllers[index] = Controller(self.server, lambda: self.now, self.ours)


def at(name: str, subresource: str = "") -> Target:
    """Return a Service of the namespace everything happens in."""
    return SERVICES.at(ObjectName("shop", name), subresource)


async def spin() -> None:
    """Let every task run until it waits."""
    for _ in range(6):
        await asyncio.sleep(0)


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run a story on a loop of its own."""
    return asyncio.run(story)


def events(server: Server) -> list[tuple[str, str, str]]:
    """Return type, reason and note of every Event."""
    return [
        (found["type"], found["reason"], found["note"]) for (at, _), found in server.objects.items() if at == EVENTS
    ]
