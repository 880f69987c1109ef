# SPDX-License-Identifier: Apache-2.0
"""Events: one object for what is said, said again while it stands, and never in the way."""

import asyncio
import datetime as dt
from typing import Any

from buoy.controller.events import EVENTS, REPEAT, Events
from buoy.controller.step import Tell
from buoy.model.errors import InvalidInput, StoreUnavailable
from buoy.model.service_ip import Owner
from tests.unit.controller.cluster import START, Api
from tests.unit.controller.server import Server

WEB = Owner(kind="Service", namespace="shop", name="web", uid="u1")
FULL = Tell(True, "PoolFull", "pool public is full")
GIVEN = Tell(False, "Allocated", "192.0.2.1 from pool public")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now


async def written(events: Events, api: Api, fails: Any = None) -> None:  # noqa: ANN401  an error, None for none
    """Let every Event that waits be written; the first call fails."""
    task = asyncio.create_task(events.run())
    for _ in range(20):
        await asyncio.sleep(0)
        for call in tuple(api.calls):
            if fails is not None:
                call.outcome.set_exception(fails)
                fails = None
            else:
                call.answer()
    task.cancel()


def found(server: Server) -> list[dict[str, Any]]:
    return [each for (resource, _), each in server.objects.items() if resource == EVENTS]


def make() -> tuple[Events, Api, Clock]:
    api, clock = Api(Server()), Clock()
    return Events(api, "buoy-1", clock), api, clock


async def test_what_is_said_names_the_object_and_who_says_it() -> None:
    events, api, _ = make()
    events.tell(WEB, FULL)
    await written(events, api)
    (said,) = found(api.server)
    assert ("Warning", "PoolFull", "pool public is full", "buoy.dev/controller") == (
        said["type"],
        said["reason"],
        said["note"],
        said["reportingController"],
    )
    assert {"apiVersion": "v1", "kind": "Service", "namespace": "shop", "name": "web", "uid": "u1"} == said["regarding"]


async def test_what_is_said_again_is_counted_in_one_event() -> None:
    events, api, _ = make()
    for _ in range(3):
        events.tell(WEB, FULL)
        await written(events, api)
    (said,) = found(api.server)
    assert 3 == said["series"]["count"]


async def test_a_no_that_stands_is_said_again_before_the_api_server_forgets_it() -> None:
    events, api, clock = make()
    assert events.stand(WEB, FULL)
    assert not events.stand(WEB, FULL)
    clock.now += REPEAT
    events.repeat()
    events.repeat()
    await written(events, api)
    assert ["PoolFull"] == [each["reason"] for each in found(api.server)]
    assert "series" not in found(api.server)[0]


async def test_a_no_that_fell_is_not_said_again() -> None:
    events, api, clock = make()
    events.stand(WEB, FULL)
    events.fall(WEB.identity)
    clock.now += REPEAT
    events.repeat()
    await written(events, api)
    assert [] == found(api.server)


async def test_an_event_that_is_refused_holds_up_no_other() -> None:
    events, api, _ = make()
    events.tell(WEB, FULL)
    events.tell(WEB, GIVEN)
    await written(events, api, InvalidInput("request", "create", "the namespace is being terminated"))
    assert ["Allocated"] == [each["reason"] for each in found(api.server)]


async def test_an_event_waits_for_an_api_server_that_is_away() -> None:
    events, api, _ = make()
    events.tell(WEB, FULL)
    await written(events, api, StoreUnavailable("away"))
    assert [] == found(api.server)
    await written(events, api)
    assert ["PoolFull"] == [each["reason"] for each in found(api.server)]
