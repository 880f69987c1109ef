# SPDX-License-Identifier: Apache-2.0
"""No address is given twice and none is lost, whatever is killed, unanswered, late or done at once.

Two controllers act at once, as they never should; each call of theirs is done at a
moment of the test's choosing, or done without an answer, or not at all; news come
late; and either is killed anywhere. Users meanwhile do what users do.
"""

import asyncio
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from buoy.controller.claims import CLAIMS
from buoy.controller.fronts import CLASSES, INGRESSES
from buoy.kubernetes.resources import SERVICES
from buoy.store.api_names import ObjectName
from tests.unit.controller.cluster import Cluster, spin

NAMES = ("a", "b", "c", "d")
FRONT = "a"
ADDRESSES = ("192.0.2.0", "192.0.2.1", "192.0.2.2", "192.0.2.3")


class Storm:
    """A cluster in which everything happens at once; `step` is one thing of it."""

    def __init__(self, world: Cluster, data: st.DataObject) -> None:
        self.world = world
        self.data = data

    def draw(self, *choices: Any) -> Any:  # noqa: ANN401  whatever is chosen from
        return self.data.draw(st.sampled_from(choices))

    async def step(self) -> None:
        act = self.draw(*[self.answer] * 6, *[self.hear] * 4, self.user, self.user, self.lose, self.kill, self.later)
        await act()
        await spin()
        self.check()

    async def answer(self) -> None:
        call = self.call()
        if call is not None:
            call.answer()

    async def lose(self) -> None:
        call = self.call()
        if call is not None:
            call.lose(done=self.draw(True, False))

    def call(self) -> Any:  # noqa: ANN401  a call, None if nobody calls
        calls = [call for controller in self.world.controllers for call in controller.api.calls]
        return self.draw(*calls) if calls else None

    async def hear(self) -> None:
        controller = self.draw(*self.world.controllers)
        controller.hear(self.draw(1, 2, 1000))
        # a pause after a conflict is over
        self.world.wait(0.1)

    async def later(self) -> None:
        """Longer than a hold-down: what calls still wait were decided on long ago."""
        self.world.wait(301)
        for controller in self.world.controllers:
            controller.hear()

    async def kill(self) -> None:
        await self.world.restart(self.draw(*range(len(self.world.controllers))))

    async def user(self) -> None:
        world, name = self.world, self.draw(*NAMES)
        act = self.draw("make", "make", "delete", "name", "type", "wipe", "force", "ingress", "ingress")
        exists = world.server.get(world.at(name)) is not None
        if act == "ingress":
            self.ingress(name)
        elif act == "make":
            world.service(name)
        elif act == "delete":
            world.delete(name)
        elif act == "name":
            world.service(name, loadBalancerIP=self.draw(*ADDRESSES))
        elif act == "type":
            world.service(name, type="ClusterIP")
        elif act == "wipe" and exists:
            world.server.patch(world.at(name, "status"), {"status": {"loadBalancer": None, "conditions": None}})
        elif exists:
            world.server.patch(world.at(name), {"metadata": {"finalizers": None}})
            world.delete(name)

    def ingress(self, name: str) -> None:
        """Make an Ingress whose traffic is to go to one of the Services, or delete it."""
        place = INGRESSES.at(ObjectName("shop", f"site-{name}"))
        if not self.world.server.delete(place):
            said = {"metadata": {"name": f"site-{name}"}, "spec": {"ingressClassName": "web"}}
            self.world.server.create(INGRESSES, "shop", said)

    def check(self) -> None:
        """No address is shown by two Services."""
        shown = defaultdict(list)
        for name in NAMES:
            if self.world.server.get(self.world.at(name)) is not None:
                for address in self.world.addresses(name):
                    shown[address].append(name)
        assert [] == [(address, names) for address, names in shown.items() if len(names) > 1]


def check_settled(world: Cluster) -> None:
    """What Services show is what is claimed for them, and who lacks something lacks it for a reason."""
    services = {key.name: found for (at, key), found in world.server.objects.items() if at == SERVICES}
    claims = {
        found["spec"]["address"]: found["spec"] for (at, _), found in world.server.objects.items() if at == CLAIMS
    }
    live = {at: spec["owners"][0] for at, spec in claims.items() if "released" not in spec}
    ingresses = {key.name: found for (at, key), found in world.server.objects.items() if at == INGRESSES}
    assert {at for name in services for at in world.addresses(name)} == set(live)
    for at, owner in live.items():
        holder = (services if owner["kind"] == "Service" else ingresses)[owner["name"]]
        assert holder["metadata"]["uid"] == owner["uid"]
        assert at in world.addresses(owner["name"] if owner["kind"] == "Service" else FRONT)
    for name, found in ingresses.items():
        its = [at for at, owner in live.items() if owner["name"] == name]
        assert [{"ip": at} for at in its] == found.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    for name, found in services.items():
        balances = found["spec"]["type"] == "LoadBalancer"
        assert "deletionTimestamp" not in found["metadata"]
        asked = found["spec"].get("loadBalancerIP")
        its = [at for at, owner in live.items() if owner["name"] == name]
        has = its and (asked or its[0]) == its[0]
        assert ("" if not balances else "True" if has else "False") == world.condition(name)[0]
        assert found["metadata"].get("finalizers") or not world.addresses(name)
        if not balances:
            assert [] == world.addresses(name)
    # nobody waits for any address while one is free
    if len(live) < len(ADDRESSES):
        waits = [name for name in services if world.condition(name)[0] == "False"]
        assert [] == [name for name in waits if "loadBalancerIP" not in services[name]["spec"]]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_address_is_given_twice_and_none_is_lost(data: st.DataObject) -> None:
    async def story() -> None:
        world = Cluster(controllers=2)
        world.pool("public", "192.0.2.0/30", holdDown=300.0)
        leads = {"name": "web", "annotations": {"buoy.dev/service": f"shop/{FRONT}"}}
        world.server.create(CLASSES, "", {"metadata": leads, "spec": {}})
        storm = Storm(world, data)
        for _ in range(data.draw(st.integers(5, 60))):
            await storm.step()
        await world.settle()
        storm.check()
        world.wait(301)
        await world.settle()
        storm.check()
        check_settled(world)
        before = world.server.writes
        await world.restart(0)
        await world.settle()
        assert before == world.server.writes
        for controller in world.controllers:
            await controller.kill()

    asyncio.run(story())
