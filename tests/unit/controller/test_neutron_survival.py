# SPDX-License-Identifier: Apache-2.0
"""One pool for both worlds: no address is given twice and none is lost, whatever ends, is away, late or done at once.

OpenStack gives floating IPs out of the same subnet meanwhile. Two controllers act at once, as they never should; each
call, to the API server or to Neutron, is done at a moment of the test's choosing, or without an answer, or not at all.
"""

import asyncio
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.unit.controller.cluster import spin
from tests.unit.controller.two_worlds import ADDRESSES, NAMES, TwoWorlds


class Storm:
    """Two worlds in which everything happens at once; `step` is one thing of it."""

    def __init__(self, worlds: TwoWorlds, data: st.DataObject) -> None:
        self.worlds = worlds
        self.data = data

    def draw(self, *choices: Any) -> Any:  # noqa: ANN401  whatever is chosen from
        return self.data.draw(st.sampled_from(choices))

    async def step(self) -> None:
        often = [*[self.answer] * 8, *[self.hear] * 4, *[self.look] * 3]
        act = self.draw(*often, self.user, self.user, self.openstack, self.lose, self.kill, self.later, self.outage)
        await act()
        await spin()
        self.worlds.check()

    async def answer(self) -> None:
        call = self.call()
        if call is not None:
            call.answer()

    async def lose(self) -> None:
        call = self.call()
        if call is not None:
            call.lose(done=self.draw(True, False))

    def call(self) -> Any:  # noqa: ANN401  a call, None if nobody calls
        calls = [call for controller in self.worlds.cluster.controllers for call in controller.api.calls]
        return self.draw(*calls) if calls else None

    def one(self) -> int:
        return int(self.draw(*range(len(self.worlds.keepers))))

    async def hear(self) -> None:
        self.worlds.cluster.controllers[self.one()].hear(self.draw(1, 2, 1000))
        self.worlds.cluster.wait(0.1)

    async def look(self) -> None:
        await self.worlds.look(self.one())

    async def later(self) -> None:
        self.worlds.cluster.wait(self.draw(11, 301))
        for controller in self.worlds.cluster.controllers:
            controller.hear()

    async def kill(self) -> None:
        await self.worlds.restart(self.one())

    async def outage(self) -> None:
        self.worlds.set_away(away=self.draw(True, False))

    async def openstack(self) -> None:
        network = self.worlds.network
        if network.floating and self.draw(True, False):
            network.sink(self.draw(*sorted(network.floating)))
        else:
            network.float()

    async def user(self) -> None:
        cluster, name = self.worlds.cluster, self.draw(*NAMES)
        act = self.draw("make", "make", "delete", "name", "type")
        if act == "make":
            cluster.service(name)
        elif act == "delete":
            cluster.delete(name)
        elif act == "name":
            cluster.service(name, loadBalancerIP=self.draw(*ADDRESSES))
        else:
            cluster.service(name, type="ClusterIP")


@settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(data=st.data())
def test_no_address_is_had_in_both_worlds_and_none_is_lost(data: st.DataObject) -> None:
    async def tell() -> None:
        worlds = TwoWorlds(controllers=2)
        storm = Storm(worlds, data)
        for _ in range(data.draw(st.integers(5, 80))):
            await storm.step()
        worlds.set_away(away=False)
        await worlds.settle()
        worlds.check()
        worlds.cluster.wait(301)
        await worlds.settle()
        worlds.check()
        worlds.check_settled()
        for controller in worlds.cluster.controllers:
            await controller.kill()

    asyncio.run(tell())
